"""From one recording to its trials: the chain, then equal windows, and why others are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vitreous.data.preprocessing import Preprocessing, preprocess
from vitreous.data.recordings.formats import Event, Recording
from vitreous.data.recordings.settings import class_of

MOST_DEAD = 0.25  # of the channels that may be constant in a trial that is used
JUMP = 1.7  # times a usual step between samples: a border at which time does not run on
# measured: 2.5 to 9.3 over the borders of the 16 files of UCI's set, 0.9 to 1.04 inside its trials
TILED = 0.95  # of a recording that its events cover without gap or overlap, so that it is looked at


@dataclass(frozen=True)
class Window:
    """One trial to be: its event, its class, and its samples in the recording."""

    event: Event
    label: str
    start: int
    stop: int


@dataclass(frozen=True)
class Cut:
    """A trial that can be used: values float32 (channels, time)."""

    window: Window
    values: np.ndarray
    dead: tuple[int, ...]  # rows of constant channels


def breaks(recording: Recording, rows: Sequence[int]) -> list[int]:
    """Samples at which time jumps: where trials were laid end to end, and where a file says so.

    Events that cover a recording without a gap may be stages of one long night, or single trials
    laid end to end. So the step over each border is measured in steps of the trials' inside: the
    root mean square over EEG channels (`rows`) jumps where time does.
    """
    rate, count = recording.sampling_rate_hz, recording.values.shape[1]
    said = {
        round(event.onset_s * rate)
        for event in recording.events
        if event.name.lower() in ("boundary", "bad boundary", "edge boundary", "new segment")
    }
    events = sorted(
        (event for event in recording.events if event.duration_s > 0), key=lambda e: e.onset_s
    )
    borders = [
        round(later.onset_s * rate)
        for first, later in pairwise(events)
        if abs(later.onset_s - first.onset_s - first.duration_s) < 1.5 / rate
    ]
    covered = sum(event.duration_s for event in events)
    if len(borders) >= 3 and covered >= TILED * recording.seconds:
        apart = np.diff(recording.values[list(rows)], axis=1)
        steps = np.sqrt(np.mean(np.nan_to_num(apart) ** 2, axis=0))
        at = np.array([border - 1 for border in borders if 0 < border < count])
        inside = np.delete(steps, at)
        if len(at) and np.median(steps[at]) > JUMP * np.median(inside):
            said |= set(borders)
    return sorted(place for place in said if 0 < place < count)


def stretches_between(places: Sequence[int], count: int) -> list[tuple[int, int]]:
    """(start, stop) of the contiguous stretches of `count` samples with breaks at `places`."""
    edges = [0, *places, count]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def filled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values without NaN (straight lines over the gaps, so that filters can run), and where it was.

    The second is bool (channels, time); trials that touch it are not used.
    """
    missing = ~np.isfinite(values)
    if not missing.any():
        return values, missing
    values = values.copy()
    time = np.arange(values.shape[1])
    for row in np.flatnonzero(missing.any(axis=1)):
        good = ~missing[row]
        values[row] = np.interp(time, time[good], values[row, good]) if good.any() else 0.0
    return values, missing


def windows_at_events(
    events: Sequence[Event],
    classes: dict[str, list[str]] | None,
    window_s: tuple[float, float],
    rate_hz: float,
) -> list[Window]:
    """A window for each event that belongs to a class, in the order of time."""
    length = round((window_s[1] - window_s[0]) * rate_hz)
    found = []
    for event in sorted(events, key=lambda one: one.onset_s):
        label = class_of(event.name, classes)
        if label is not None:
            start = round((event.onset_s + window_s[0]) * rate_hz)
            found.append(Window(event, label, start, start + length))
    return found


def windows_side_by_side(
    stretches: Sequence[tuple[int, int]], seconds: float, rate_hz: float
) -> list[Window]:
    """Windows without gap or overlap in each stretch; what is left over at an end is not used."""
    length = round(seconds * rate_hz)
    starts = [at for a, b in stretches for at in range(a, b - length + 1, length)]
    return [
        Window(Event(start / rate_hz, seconds, "window"), "", start, start + length)
        for start in starts
    ]


@dataclass(frozen=True)
class Chained:
    """The chosen channels of a recording after the chain, and as they were before."""

    values: np.ndarray  # float64 (channels, time)
    rate_hz: float
    missing: np.ndarray  # bool (channels, time): not a number in the file
    stretches: list[tuple[int, int]]  # contiguous in time, (start, stop) in samples
    raw: np.ndarray  # float64 (channels, time), at the recording's own rate
    no_reference: np.ndarray  # bool (time,): the reference is not a number in the file


def chained(
    recording: Recording,
    rows: Sequence[int],
    names: Sequence[str],
    chain: Preprocessing,
    reference: Sequence[int] = (),
) -> Chained:
    """The channels in `rows`, called `names`, after the chain.

    The mean of the rows in `reference`, which need not be among them, is what the chain's own
    reference means.
    """
    raw, missing = filled(recording.values[list(rows)])
    mean, no_reference = reference_of(recording.values, reference)
    rate = recording.sampling_rate_hz
    stretches = stretches_between(breaks(recording, rows), raw.shape[1])
    apart = raw - mean if len(reference) else raw
    rest = replace(chain, reference=None)
    values, new_rate = preprocess(apart, rate, names, rest, stretches)
    if new_rate != rate:
        factor = new_rate / rate
        places = (np.arange(values.shape[1]) / factor).round().astype(int)
        places = np.minimum(places, missing.shape[1] - 1)
        missing, no_reference = missing[:, places], no_reference[places]
        stretches = [
            (round(a * factor), min(round(b * factor), values.shape[1])) for a, b in stretches
        ]
    return Chained(values, new_rate, missing, stretches, raw, no_reference)


def reference_of(values: np.ndarray, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The mean (time,) of some rows of (channels, time), zero of none, and where it is unknown."""
    if not len(rows):
        return np.zeros(values.shape[1]), np.zeros(values.shape[1], bool)
    taken, missing = filled(values[list(rows)])
    return taken.mean(axis=0), np.logical_or.reduce(missing, axis=0)


def cut(
    recording: Recording, chain: Chained, windows: Sequence[Window], names: Sequence[str]
) -> Iterator[Cut | tuple[Window, str]]:
    """Each window's trial, or the reason why it cannot be used, in the order of the windows."""
    back = recording.sampling_rate_hz / chain.rate_hz
    for window in windows:
        reason = _refused(window, chain, recording.events, names)
        if reason:
            yield window, reason
            continue
        # looked for before the chain: a new reference makes a dead channel look alive
        dead = dead_rows(chain.raw[:, round(window.start * back) : round(window.stop * back)])
        if len(dead) > MOST_DEAD * len(names):
            yield window, f"{len(dead)} of {len(names)} channels are constant"
        else:
            part = chain.values[:, window.start : window.stop]
            yield Cut(window, np.ascontiguousarray(part, np.float32), dead)


@dataclass(frozen=True)
class ChainedTrial:
    """A trial that was cut before, after the chain by itself."""

    values: np.ndarray  # float64 (channels, time)
    rate_hz: float
    dead: tuple[int, ...]  # of its channels


def chained_trial(
    values: np.ndarray,
    rate_hz: float,
    rows: Sequence[int],
    reference: Sequence[int],
    names: Sequence[str],
    chain: Preprocessing,
) -> ChainedTrial | str:
    """One trial (channels, time) as `chained` makes recordings; or why it cannot be used."""
    values = np.asarray(values, np.float64)
    chosen = values[list(rows)]
    mean, no_reference = reference_of(values, reference)
    if not np.isfinite(chosen).all() or no_reference.any():
        return "values are missing (not a number)"
    dead = dead_rows(chosen)
    if len(dead) > MOST_DEAD * len(rows):
        return f"{len(dead)} of {len(rows)} channels are constant"
    after, rate = preprocess(chosen - mean, rate_hz, names, replace(chain, reference=None))
    return ChainedTrial(after, rate, dead)


def dead_rows(values: np.ndarray) -> tuple[int, ...]:
    """Rows of (channels, time) that do not move: all samples but for rounding the same."""
    spread = np.ptp(values, axis=1)
    return tuple(int(row) for row in np.flatnonzero(spread <= 1e-9 * np.median(spread)))


def _refused(
    window: Window, chain: Chained, events: Sequence[Event], names: Sequence[str]
) -> str | None:
    rate, total = chain.rate_hz, chain.values.shape[1]
    if window.start < 0:
        return f"begins {-window.start / rate:.2f} s before the recording"
    if window.stop > total:
        return f"runs {(window.stop - total) / rate:.2f} s over the recording's end"
    if not any(a <= window.start and window.stop <= b for a, b in chain.stretches):
        return "lies across a break in the recording"
    gap = chain.missing[:, window.start : window.stop].any(axis=1)
    if gap.any():
        some: list[int] = np.flatnonzero(gap)[:4].tolist()
        shown = ", ".join(names[row] for row in some)
        return f"values are missing (not a number) in {int(gap.sum())} channels: {shown}"
    if chain.no_reference[window.start : window.stop].any():
        return "values are missing (not a number) in a channel that the reference is taken from"
    for event in events:
        start, stop = event.onset_s * rate, (event.onset_s + event.duration_s) * rate
        marked = event.name.lower().startswith("bad") and event.duration_s > 0
        if marked and start < window.stop and window.start < stop:
            return f"in a stretch marked '{event.name}'"
    return None
