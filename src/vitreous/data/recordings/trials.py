"""Trials: equal windows of recordings as one tensor, and what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitreous.data.preprocessing import Preprocessing

MICROVOLTS = 1e6
EVENTS, PARTICIPANTS, GIVEN = "events", "participants", "given"


@dataclass(frozen=True)
class TrialFacts:
    """Where a trial comes from; None where the data does not say.

    `start_s` and `stop_s` are the window's ends in its recording: two trials of one recording whose
    windows overlap share samples.
    """

    recording: str  # the file's path under the data root
    subject: str | None = None
    session: str | None = None
    run: str | None = None
    onset_s: float | None = None  # of its event
    start_s: float | None = None
    stop_s: float | None = None
    event: str | None = None  # the event's own name, before it became a class
    dead_channels: tuple[str, ...] = ()  # constant over the whole trial


@dataclass(frozen=True)
class Trials:
    """Trials as networks take them, and the facts of each, in the same order."""

    values: np.ndarray  # float32 (n, channels, time)
    sampling_rate_hz: float
    channels: tuple[str, ...]
    positions_m: np.ndarray | None  # float64 (channels, 3), head coordinates, NaN where unknown
    facts: tuple[TrialFacts, ...]
    window_s: tuple[float, float]  # from the event on
    preprocessing: Preprocessing
    unit: str = "V"  # of the values; "" where the data does not say
    contiguous: bool = True  # False: time does not run on from one trial to the next
    labels_from: str = EVENTS  # events, participants (the label is the subject's), given
    reference_channels: tuple[str, ...] = ()  # whose mean was subtracted, used or not
    notes: tuple[str, ...] = field(default=())  # what was decided on the way, in sentences

    @property
    def of_subjects(self) -> bool:
        """Whether a label is a subject's: the same for all trials of one subject."""
        return self.labels_from == PARTICIPANTS

    @property
    def kept_hz(self) -> tuple[float, float]:
        """The lowest and the highest frequency that the values hold."""
        return self.preprocessing.kept_hz(self.sampling_rate_hz)

    def format_json(self) -> dict[str, Any]:
        """All that is needed to cut trials alike, and to show them, for run.json."""
        positions = None
        if self.positions_m is not None:
            positions = [
                None if np.isnan(place).any() else [round(float(x), 6) for x in place]
                for place in self.positions_m
            ]
        return {
            "sampling_rate_hz": self.sampling_rate_hz,
            "channels": list(self.channels),
            "positions_m": positions,
            "window_s": list(self.window_s),
            "preprocessing": self.preprocessing.to_json(),
            "reference_channels": list(self.reference_channels),
            "unit": self.unit,
            "contiguous": self.contiguous,
            "labels_from": self.labels_from,
        }


def usual_spread_uv(trials: Sequence[np.ndarray] | np.ndarray) -> float:
    """The median standard deviation of a channel in a trial, of volts (channels, time) each."""
    spreads = [trial.std(axis=1, dtype=np.float64) for trial in trials]
    return float(np.median(np.concatenate(spreads))) * MICROVOLTS


def overlapping(facts: Sequence[TrialFacts], rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of `rows` whose windows share time with a window of `others`; int64, sorted.

    Windows that only touch (one ends where the other begins) do not overlap.
    """
    ends: dict[str, list[tuple[float, float]]] = {}
    for row in others:
        fact = facts[row]
        if fact.start_s is not None and fact.stop_s is not None:
            ends.setdefault(fact.recording, []).append((fact.start_s, fact.stop_s))
    ordered = {name: np.array(sorted(windows)) for name, windows in ends.items()}
    # the latest end of all windows that begin no later: windows may have any length
    latest = {name: np.maximum.accumulate(windows[:, 1]) for name, windows in ordered.items()}
    found = []
    for row in rows:
        fact = facts[row]
        windows = ordered.get(fact.recording)
        if windows is None or fact.start_s is None or fact.stop_s is None:
            continue
        before = int(np.searchsorted(windows[:, 0], fact.stop_s - 1e-9))
        if before and latest[fact.recording][before - 1] > fact.start_s + 1e-9:
            found.append(int(row))
    return np.array(sorted(found), np.int64)
