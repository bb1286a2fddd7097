"""What is settled before the first sample is read: channels, rate, chain, window, events."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vitreous.data.recordings.cutting import breaks
from vitreous.data.recordings.formats import Event, Header, Recording, read_file, read_header
from vitreous.data.recordings.places import Place, participants
from vitreous.data.recordings.selection import Selection, select, tidy_and_kinds
from vitreous.data.recordings.settings import (
    RecordingSettings,
    class_of,
    event_classes,
    window_seconds,
)
from vitreous.data.recordings.sidecars import channels_beside, events_beside
from vitreous.data.samples import Skipped
from vitreous.errors import DataError, RequestError, VitreousError

MOST_NAMED = 8  # events in a message
USUAL_BAND_HZ = (0.5, 45.0)  # what scalp EEG shows between drift and mains


@dataclass
class Plan:
    """What all recordings have in common. Made by `make_plan`."""

    root: Path
    settings: RecordingSettings
    selection: Selection
    window_s: tuple[float, float]
    side_by_side: bool  # windows without events
    events: dict[str, list[Event]]  # by path, from the table beside a recording, or its own
    of_subject: dict[str, str] | None  # subject -> label, with --label
    notes: list[str] = field(default_factory=list)


def make_plan(
    root: Path, places: Sequence[Place], settings: RecordingSettings
) -> tuple[Plan, list[Place], list[Skipped]]:
    """Headers read, channels, rate and window settled; what has no readable header is left out."""
    headers, tables, events, skipped = {}, {}, {}, []
    for place in places:
        file = root / place.path
        try:
            header = read_header(file, str(file))
            table = channels_beside(file)
            beside = None if header.trials else events_beside(file)
        except DataError as error:
            if len(places) == 1:
                raise
            skipped.append(Skipped(place.path, reason_of(error, str(file), root)))
            continue
        headers[place.path], tables[place.path] = header, table
        events[place.path] = header.events if beside is None else beside
    if not headers:
        shown = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        raise DataError(f"{root}: none of {len(places)} recordings can be read: {shown}")
    readable = [place for place in places if place.path in headers]
    selection = select(headers, tables, settings)
    if settings.usual_band:
        selection = _with_usual_band(root, readable, headers, events, selection)
    of_subject = participants(root, settings.label, readable) if settings.label else None
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
                note = f"{low:g} to {chain.high_hz:g} Hz kept, as no --band was given"
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
    if plan.of_subject is None and settings.for_training:
        there = {class_of(event.name, classes) for event in chosen}
        missing = {name: events for name, events in (classes or {}).items() if name not in there}
        if missing or not there:
            raise DataError(_no_events(plan, places, missing))
    if settings.for_training and classes is None and chosen:
        _say_set_aside(plan, places, Counter(event.name for event in chosen))
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


def _say_set_aside(plan: Plan, places: Sequence[Place], taken: Counter[str]) -> None:
    """A note of the events taken for marks of programs: some are a class, as `stop` can be.

    Raises `DataError` where only one class is left without them.
    """
    marks = [event.name for place in places for event in plan.events[place.path]]
    aside = Counter(name for name in marks if class_of(name, None) is None)
    if not aside:
        return
    names = [*taken, *aside]
    plain = len(names) <= MOST_NAMED and all(re.fullmatch(r"[\w.-]+", name) for name in names)
    said = (
        f"events set aside, as programs leave marks of such names: {_counted(aside)}; if they are "
        f"classes, name all classes: --events {','.join(names) if plain else 'CLASS=EVENT,...'}"
    )
    of_events = plan.of_subject is None and plan.settings.task != "regress"
    if of_events and len(taken) == 1:
        (only,) = taken
        where = plan.root / places[0].path if len(places) == 1 else plan.root
        raise DataError(
            f"{where}: all {taken[only]} trials are '{only}'; at least two classes are needed; "
            f"{said}"
        )
    plan.notes.append(said)


def _counted(names: Counter[str]) -> str:
    """The most frequent names, with their counts."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    most = names.most_common(MOST_NAMED)
    return ", ".join(f"'{name}' ({count})" for name, count in most) + more


def _no_events(plan: Plan, places: Sequence[Place], missing: dict[str, list[str]]) -> str:
    names = Counter(event.name for events in plan.events.values() for event in events)
    seen = _counted(names) or "none at all"
    where = plan.root / places[0].path if len(places) == 1 else plan.root
    named = [f"'{name}' ({' or '.join(events)})" for name, events in missing.items()]
    wanted = f"no event is {' nor '.join(named)}" if named else "no event to learn from"
    remedy = (
        "name them with --events CLASS=EVENT,..."
        if names
        else "add annotations or an events.tsv beside it, or a label a subject with --label"
    )
    return f"{where}: {wanted}; events found: {seen}; {remedy}"


def reason_of(error: VitreousError, path: str, root: Path) -> str:
    """What an error says, without the path; that of another file begins under the root."""
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{root}/")
