"""From a folder of recordings, or a file, to a data set of trials."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from vitreous.data.listing import is_picture_name, walk
from vitreous.data.preprocessing import preprocess
from vitreous.data.recordings.assemble import Piece, as_source, pieces_of_containers
from vitreous.data.recordings.containers import container_files, read_container
from vitreous.data.recordings.cutting import (
    MOST_DEAD,
    Chained,
    Cut,
    Window,
    breaks,
    chained,
    cut,
    dead_rows,
    windows_at_events,
    windows_side_by_side,
)
from vitreous.data.recordings.formats import (
    CutRecording,
    Event,
    Header,
    Recording,
    read_file,
    read_header,
    recording_suffix,
)
from vitreous.data.recordings.places import Place, find_recordings, participants
from vitreous.data.recordings.selection import (
    Selection,
    interpolated,
    rows_of,
    select,
    tidy_and_kinds,
    unusable,
)
from vitreous.data.recordings.settings import (
    RecordingSettings,
    class_of,
    event_classes,
    window_seconds,
)
from vitreous.data.recordings.sidecars import channels_beside, events_beside
from vitreous.data.recordings.trials import EVENTS, PARTICIPANTS, TrialFacts
from vitreous.data.samples import Skipped, Source
from vitreous.errors import DataError, RequestError

Progress = Callable[[int, int], None]

LOOKED_AT = 1000  # files of a folder, to see whether it holds recordings
USUAL_BAND_HZ = (0.5, 45.0)  # what scalp EEG shows between drift and mains


@dataclass
class Plan:
    """What is settled before the first sample is read."""

    root: Path
    settings: RecordingSettings
    selection: Selection
    window_s: tuple[float, float]
    side_by_side: bool  # windows without events
    events: dict[str, list[Event]]  # by path, from the table beside a recording, or its own
    of_subject: dict[str, str] | None  # subject -> label, with --label
    notes: list[str] = field(default_factory=list)


def holds_recordings(path: Path) -> bool:
    """Whether there are recordings, or files of trials; in a folder more of them than pictures."""
    path = Path(path)
    if path.is_file() or recording_suffix(path) == ".mff":
        return recording_suffix(path) is not None or bool(container_files(path))
    if not path.is_dir():
        return False
    if container_files(path):
        return True
    first = [found.path for found in islice(walk(path, lambda _: None), LOOKED_AT)]
    recordings = sum(bool(recording_suffix(name)) or ".mff/" in name.lower() for name in first)
    return recordings > sum(is_picture_name(name) for name in first)


def read_recordings(
    path: Path, settings: RecordingSettings, on_progress: Progress | None = None
) -> Source:
    """The trials at a path (a file, a folder, a BIDS folder) as a `Source` that holds them.

    Raises `DataError` where nothing can be read or learned from, and `RequestError` for settings
    that do not fit. What cannot be used is in `Source.skipped` with its reason.
    """
    path = Path(path)
    files = container_files(path)
    root = path if path.is_dir() and recording_suffix(path) != ".mff" else path.parent
    if files:
        containers = [part for file in files for part in read_container(file, root)]
        pieces, skipped, common = pieces_of_containers(containers, settings, path)
        return as_source(root, files, pieces, skipped, common, settings)
    places, skipped = find_recordings(path, settings)
    if not places:
        raise DataError(f"{path}: no recording is there; check the path")
    plan, places, unread = _plan(root, places, settings)
    pieces: list[Piece] = []
    skipped = [*skipped, *unread]
    for done, place in enumerate(places, start=1):
        try:
            pieces.append(_piece(place, plan, skipped))
        except DataError as error:
            if len(places) == 1:
                raise
            skipped.append(Skipped(place.path, _reason(error, str(root / place.path))))
        if on_progress:
            on_progress(done, len(places))
    common = plan.selection
    common = replace(common, notes=(*common.notes, *plan.notes))
    files = [root / place.path for place in places]
    return as_source(
        root, files, pieces, skipped, common, settings, PARTICIPANTS if settings.label else EVENTS,
        plan.window_s,
    )  # fmt: skip


def _plan(
    root: Path, places: Sequence[Place], settings: RecordingSettings
) -> tuple[Plan, list[Place], list[Skipped]]:
    """Headers read, channels, rate and window settled; what has no readable header is left out."""
    headers, tables, events, skipped = {}, {}, {}, []
    for place in places:
        file = root / place.path
        try:
            headers[place.path] = header = read_header(file, str(file))
        except DataError as error:
            if len(places) == 1:
                raise
            skipped.append(Skipped(place.path, _reason(error, str(file))))
            continue
        tables[place.path] = channels_beside(file)
        beside = None if header.trials else events_beside(file)
        events[place.path] = header.events if beside is None else beside
    if not headers:
        shown = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        raise DataError(f"{root}: none of {len(places)} recordings can be read: {shown}")
    readable = [place for place in places if place.path in headers]
    selection = select(headers, tables, settings)
    if settings.usual_band:
        selection = _with_usual_band(root, readable, headers, events, selection)
    of_subject = participants(root, settings.label) if settings.label else None
    plan = Plan(root, settings, selection, (0.0, 0.0), False, events, of_subject)
    starts = {header.start_s for header in headers.values() if header.trials}
    _settle_window(plan, readable, starts.pop() if len(starts) == 1 else 0.0)
    return plan, readable, skipped


def _with_usual_band(
    root: Path,
    places: Sequence[Place],
    headers: dict[str, Header],
    events: dict[str, list[Event]],
    selection: Selection,
) -> Selection:
    """Drift and mains taken away, unless trials were cut before: too short to be filtered well."""
    low, high = USUAL_BAND_HZ
    first = places[0]
    if any(header.trials for header in headers.values()):
        return selection
    with suppress(DataError):  # what cannot be read is said where it is read for good
        read = read_file(root / first.path, first.path)
        if isinstance(read, Recording):
            read.events = events[first.path]
            names, _ = tidy_and_kinds(read.names, read.kinds, channels_beside(root / first.path))
            rows = [row for row, name in enumerate(names) if name in selection.channels]
            lowest = min(header.sampling_rate_hz for header in headers.values())
            if not breaks(read, rows) and read.seconds * low > 1:
                chain = replace(selection.chain, low_hz=low, high_hz=min(high, 0.4 * lowest))
                note = f"{chain.words}, as no --band was given"
                return replace(selection, chain=chain, notes=(*selection.notes, note))
    return selection


def _settle_window(plan: Plan, places: Sequence[Place], start_s: float) -> None:
    """The window asked for, or what the chosen events last; side by side where there are none.

    `start_s` is where trials begin that a file holds as such, from their events.
    """
    settings = plan.settings
    wanted = settings.like.window_s if settings.like else window_seconds(settings.window)
    classes = event_classes(settings.events)
    chosen = [
        event
        for place in places
        for event in plan.events[place.path]
        if class_of(event.name, classes) is not None
    ]
    if not chosen and plan.of_subject is None and settings.for_training:
        raise DataError(_no_events(plan, places, classes))
    plan.side_by_side = not chosen
    if wanted is not None:
        plan.window_s = wanted
        return
    if not chosen:
        raise RequestError(
            f"{plan.root}: has no events; say how long windows are to be, such as --window 0,2"
        )
    durations = [event.duration_s for event in chosen if event.duration_s > 0]
    if len(durations) < 0.9 * len(chosen):
        raise RequestError(
            f"{plan.root}: its events have no duration; say which window around them to take, in "
            "seconds, such as --window 0,4"
        )
    shortest = np.floor(100 * float(np.quantile(durations, 0.02)) + 1e-6) / 100
    plan.window_s = (start_s, start_s + float(shortest))
    plan.notes.append(
        f"window: {start_s:g} to {start_s + shortest:g} s from each event, as long as events last"
    )


def _no_events(plan: Plan, places: Sequence[Place], classes: dict[str, list[str]] | None) -> str:
    names = Counter(event.name for events in plan.events.values() for event in events)
    seen = ", ".join(f"'{name}' ({count})" for name, count in names.most_common(8)) or "none at all"
    where = plan.root / places[0].path if len(places) == 1 else plan.root
    wanted = f"no event is one of {', '.join(classes)}" if classes else "no event to learn from"
    remedy = (
        "name them with --events CLASS=EVENT,..."
        if names
        else "add annotations or an events.tsv beside it, or a label a subject with --label"
    )
    return f"{where}: {wanted}; events found: {seen}; {remedy}"


def _piece(place: Place, plan: Plan, skipped: list[Skipped]) -> Piece:
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


def _reason(error: DataError, path: str) -> str:
    return str(error).removeprefix(f"{path}: ")
