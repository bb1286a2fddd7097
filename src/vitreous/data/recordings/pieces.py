"""The trials of one recording: read, mended, cut, with the facts of each."""

from collections.abc import Sequence

import numpy as np

from vitreous.data.preprocessing import preprocess, refuse_for_cut_trials
from vitreous.data.recordings.assemble import Piece
from vitreous.data.recordings.cutting import (
    MOST_DEAD,
    Chained,
    Cut,
    Window,
    chained,
    cut,
    dead_rows,
    windows_at_events,
    windows_side_by_side,
)
from vitreous.data.recordings.formats import CutRecording, Recording, read_file
from vitreous.data.recordings.places import Place
from vitreous.data.recordings.planning import Plan
from vitreous.data.recordings.selection import interpolated, rows_of, tidy_and_kinds, unusable
from vitreous.data.recordings.settings import class_of, event_classes
from vitreous.data.recordings.sidecars import channels_beside
from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Skipped
from vitreous.errors import DataError, RequestError


def read_piece(place: Place, plan: Plan, skipped: list[Skipped]) -> Piece:
    """The trials of one file; what cannot be used of it goes to `skipped`."""
    file = plan.root / place.path
    read = read_file(file, str(file))
    table = channels_beside(file)
    names, _ = tidy_and_kinds(read.names, read.kinds, table)
    rows = rows_of(names, plan.selection.channels, str(file))
    marked = {*read.marked_bad, *(name for name, row in table.items() if row.bad)}
    bad = {row for row in rows if read.names[row] in marked} | set(unusable(read, rows))
    notes = [f"{place.path}: {said}" for said in read.warnings]
    if bad:
        notes.append(_repair(read, rows, names, sorted(bad), place.path))
    chain = None
    if isinstance(read, CutRecording):
        cuts = list(_cuts_of_file(read, rows, plan, str(file)))
        rate = plan.selection.chain.resample_hz or read.sampling_rate_hz
    else:
        read.events = plan.events[place.path]
        chain = chained(read, rows, plan.selection.channels, plan.selection.chain)
        cuts = list(cut(read, chain, _windows(read, chain, plan), plan.selection.channels))
        rate = chain.rate_hz
    label = None
    if plan.of_subject is not None:
        label = plan.of_subject.get(place.subject or "")
        if not label or label.lower() == "n/a":
            raise DataError(
                f"{file}: subject '{place.subject}' has no {plan.settings.label} in "
                "participants.tsv; add it there, or leave the file out with --only"
            )
    contiguous = chain is None or len(chain.stretches) == 1
    return _as_piece(place, cuts, rate, label, contiguous, notes, plan, skipped)


def _repair(
    read: Recording | CutRecording,
    rows: Sequence[int],
    names: Sequence[str],
    bad: Sequence[int],
    path: str,
) -> str:
    """Make bad channels from their neighbours, in place; the sentence that says so."""
    shown = ", ".join(names[row] for row in bad[:6])
    if isinstance(read, Recording):
        chosen = [names[row] for row in rows]
        values = np.nan_to_num(read.values[list(rows)])
        made = interpolated(values, read.sampling_rate_hz, chosen, [names[row] for row in bad])
        if made is not None:
            for place, row in enumerate(rows):
                if row in bad:
                    read.values[row] = made[place]
            return f"{path}: bad channels {shown} were made from their neighbours"
    for row in bad:
        read.values[..., row, :] = 0.0
    return f"{path}: bad channels {shown} are taken as zero: their places are not known"


def _windows(read: Recording, chain: Chained, plan: Plan) -> list[Window]:
    if plan.side_by_side:
        seconds = plan.window_s[1] - plan.window_s[0]
        return windows_side_by_side(chain.stretches, seconds, chain.rate_hz)
    classes = event_classes(plan.settings.events)
    return windows_at_events(read.events, classes, plan.window_s, chain.rate_hz)


def _cuts_of_file(
    read: CutRecording, rows: Sequence[int], plan: Plan, file: str
) -> list[Cut | tuple[Window, str]]:
    """Trials that a file holds as such, each after the chain by itself."""
    refuse_for_cut_trials(plan.selection.chain, file)
    classes = event_classes(plan.settings.events)
    found: list[Cut | tuple[Window, str]] = []
    first = last = None
    for number, event in enumerate(read.events):
        name = class_of(event.name, classes)
        if name is None:
            continue
        window = Window(event, name, number, number + 1)
        values = read.values[number][list(rows)]
        if not np.isfinite(values).all():
            found.append((window, "values are missing (not a number)"))
            continue
        dead = dead_rows(values)
        values, rate = preprocess(
            values, read.sampling_rate_hz, plan.selection.channels, plan.selection.chain
        )
        wanted = plan.settings.window or plan.settings.like
        if wanted:
            first = round((plan.window_s[0] - read.start_s) * rate)
            last = first + round((plan.window_s[1] - plan.window_s[0]) * rate)
            if first < 0 or last > values.shape[1]:
                raise RequestError(
                    f"{file}: its trials last from {read.start_s:g} to "
                    f"{read.start_s + values.shape[1] / rate:g} s, which --window is not within"
                )
        if len(dead) > MOST_DEAD * len(rows):
            found.append((window, f"{len(dead)} of {len(rows)} channels are constant"))
        else:
            part = np.ascontiguousarray(values[:, first:last], np.float32)
            found.append(Cut(window, part, dead))
    return found


def _as_piece(
    place: Place,
    cuts: Sequence[Cut | tuple[Window, str]],
    rate_hz: float,
    label: str | None,
    contiguous: bool,
    notes: list[str],
    plan: Plan,
    skipped: list[Skipped],
) -> Piece:
    """Cuts with their facts and ids; a second event at one time cannot have an id of its own."""
    piece = Piece(place, rate_hz, contiguous=contiguous, notes=notes)
    seen = set()
    for item in cuts:
        window = item.window if isinstance(item, Cut) else item[0]
        event = window.event
        sample_id = f"{place.path}#{event.onset_s:.6f}".rstrip("0").rstrip(".")
        if not isinstance(item, Cut):
            skipped.append(Skipped(sample_id, f"{event.name}: {item[1]}"))
            continue
        if sample_id in seen:
            skipped.append(Skipped(sample_id, f"{event.name}: another event is at the same time"))
            continue
        seen.add(sample_id)
        start = event.onset_s + (0.0 if plan.side_by_side else plan.window_s[0])
        facts = TrialFacts(
            recording=place.path,
            subject=place.subject,
            session=place.session,
            run=place.run,
            onset_s=round(event.onset_s, 6),
            start_s=start,
            stop_s=start + item.values.shape[1] / rate_hz,
            event=event.name,
            dead_channels=tuple(plan.selection.channels[row] for row in item.dead),
        )
        piece.add(sample_id, item.values, label if label is not None else window.label, facts)
    return piece
