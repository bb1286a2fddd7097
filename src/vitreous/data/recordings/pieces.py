"""The trials of one recording: read, mended, cut, with the facts of each."""

from collections.abc import Iterator, Sequence

import numpy as np

from vitreous.data.preprocessing import AVERAGE, refuse_for_cut_trials
from vitreous.data.recordings.assemble import Piece
from vitreous.data.recordings.channels import electrode
from vitreous.data.recordings.cutting import (
    Chained,
    Cut,
    Window,
    chained,
    chained_trial,
    cut,
    windows_at_events,
    windows_side_by_side,
)
from vitreous.data.recordings.formats import CutRecording, Recording, read_file
from vitreous.data.recordings.places import Place
from vitreous.data.recordings.planning import Plan
from vitreous.data.recordings.selection import (
    Selection,
    interpolated,
    reference_rows,
    rows_of,
    tidy_and_kinds,
    unusable,
)
from vitreous.data.recordings.settings import class_of, event_classes
from vitreous.data.recordings.sidecars import called_bad, channels_beside
from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Skipped
from vitreous.errors import DataError, RequestError


def read_piece(place: Place, plan: Plan, skipped: list[Skipped]) -> Piece:
    """The trials of one file; what cannot be used of it goes to `skipped`."""
    file = plan.root / place.path
    read = read_file(file, str(file))
    table = channels_beside(file)
    names, kinds = tidy_and_kinds(read.names, read.kinds, table)
    rows = rows_of(names, plan.selection.channels, str(file))
    reference = reference_rows(names, plan.selection, str(file))
    marked = called_bad(read.marked_bad, table)
    around = _around(rows, names, kinds, plan.selection, isinstance(read, CutRecording))
    every = sorted({*rows, *reference, *around})
    bad = {row for row in every if read.names[row] in marked} | set(unusable(read, every))
    repaired = set(_repair(read, names, around, sorted(bad)))
    needed = bad & {*rows, *reference}  # others that are bad are of no matter
    made, lost = sorted(needed & repaired), sorted(needed - repaired)
    _refuse_lost_reference([names[row] for row in reference if row in lost], plan, str(file))
    notes = [f"{place.path}: {said}" for said in read.warnings]
    notes += _repairs_said(place.path, [names[row] for row in made], [names[row] for row in lost])
    chain = None
    if isinstance(read, CutRecording):
        cuts = list(_cuts_of_file(read, rows, reference, plan, str(file)))
        rate = plan.selection.chain.resample_hz or read.sampling_rate_hz
    else:
        read.events = plan.events[place.path]
        chain = chained(read, rows, plan.selection.channels, plan.selection.chain, reference)
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


def _around(
    rows: Sequence[int],
    names: Sequence[str],
    kinds: Sequence[str],
    selection: Selection,
    cut_before: bool,
) -> list[int]:
    """The channels that bad ones are made from: all EEG channels of the file with a known place.

    For runs that did so before, the chosen channels of a recording alone, where all have a place.
    """
    if selection.repaired_from_all:
        every = [row for row, kind in enumerate(kinds) if kind == "eeg" or row in rows]
        return [row for row in every if electrode(names[row])]
    unknown = cut_before or any(electrode(names[row]) is None for row in rows)
    return [] if unknown else list(rows)


def _repair(
    read: Recording | CutRecording, names: Sequence[str], around: Sequence[int], bad: Sequence[int]
) -> list[int]:
    """Make bad channels from the others `around` them, in place, or zero; those that were made."""
    repaired = [row for row in bad if row in around]
    if repaired:
        values = np.moveaxis(read.values[..., list(around), :], -2, 0)  # channels first
        made = interpolated(
            values.reshape(len(around), -1),  # trials end to end
            read.sampling_rate_hz,
            [names[row] for row in around],
            [names[row] for row in repaired],
        )
        if made is None:
            repaired = []
        else:
            by_row = dict(zip(around, made.reshape(values.shape), strict=True))
            for row in repaired:
                read.values[..., row, :] = by_row[row]
    for row in set(bad) - set(repaired):
        read.values[..., row, :] = 0.0
    return repaired


def _refuse_lost_reference(lost: Sequence[str], plan: Plan, file: str) -> None:
    """Zero is no reference; an average over many stands without one of them."""
    if lost and plan.selection.chain.reference != AVERAGE and plan.selection.repaired_from_all:
        raise DataError(
            f"{file}: the reference {lost[0]} is bad, and cannot be made from its neighbours; "
            "use another --reference, or leave the file out with --only"
        )


def _repairs_said(path: str, made: Sequence[str], lost: Sequence[str]) -> Iterator[str]:
    """Sentences on bad channels: those that were made from others, and those taken as zero."""
    if made:
        yield f"{path}: bad channels {', '.join(made[:6])} were made from their neighbours"
    if lost:
        known = all(electrode(name) for name in lost)
        why = "too few good channels are around them" if known else "their places are not known"
        yield f"{path}: bad channels {', '.join(lost[:6])} are taken as zero: {why}"


def _windows(read: Recording, chain: Chained, plan: Plan) -> list[Window]:
    if plan.side_by_side:
        seconds = plan.window_s[1] - plan.window_s[0]
        return windows_side_by_side(chain.stretches, seconds, chain.rate_hz)
    classes = event_classes(plan.settings.events)
    return windows_at_events(read.events, classes, plan.window_s, chain.rate_hz)


def _cuts_of_file(
    read: CutRecording, rows: Sequence[int], reference: Sequence[int], plan: Plan, file: str
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
        one = chained_trial(
            read.values[number], read.sampling_rate_hz, rows, reference, plan.selection.channels,
            plan.selection.chain,
        )  # fmt: skip
        if isinstance(one, str):
            found.append((window, one))
            continue
        values, rate = one.values, one.rate_hz
        wanted = plan.settings.window or plan.settings.like
        if wanted:
            first = round((plan.window_s[0] - read.start_s) * rate)
            last = first + round((plan.window_s[1] - plan.window_s[0]) * rate)
            if first < 0 or last > values.shape[1]:
                raise RequestError(
                    f"{file}: its trials last from {read.start_s:g} to "
                    f"{read.start_s + values.shape[1] / rate:g} s, which --window is not within"
                )
        part = np.ascontiguousarray(values[:, first:last], np.float32)
        found.append(Cut(window, part, one.dead))
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
