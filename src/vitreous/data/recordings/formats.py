"""Recordings opened through MNE: one function, whatever the format; what fails says why."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vitreous.data.content import describe_content, recording_format
from vitreous.errors import DataError, RequestError

SUFFIXES = {
    ".edf": "EDF",
    ".bdf": "BDF",
    ".gdf": "GDF",
    ".vhdr": "BrainVision",
    ".set": "EEGLAB",
    ".fif": "FIF",
    ".fif.gz": "FIF",
    ".cnt": "CNT",
    ".mff": "EGI",
    ".raw": "EGI",
}
PARTS = (".eeg", ".vmrk", ".fdt", ".bdf.evt", ".json", ".tsv")  # of a recording or its description
MARKED = ("EDF", "BDF", "GDF", "BrainVision")  # whose first bytes say it: others may not
Taken = TypeVar("Taken")


def load_mne() -> Any:
    """MNE itself. Raises `RequestError` saying which extra to install where it is missing."""
    try:
        import mne
    except ImportError:
        raise RequestError(
            "recordings are read through MNE, which is not installed; "
            "pip install 'vitreous[eeg]' brings it"
        ) from None
    return mne


@dataclass(frozen=True)
class Event:
    """A mark in a recording: seconds from its first sample, how long it lasts, its name."""

    onset_s: float
    duration_s: float
    name: str


@dataclass
class Recording:
    """One file, read whole: channels of all kinds in volts, and its marks."""

    values: np.ndarray  # float64 (channels, time), volts
    sampling_rate_hz: float
    names: list[str]
    kinds: list[str]  # eeg, eog, stim, misc...
    places: dict[str, np.ndarray]  # name -> (3,) metres, where the file says it
    marked_bad: list[str]
    events: list[Event]
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.values.shape[1] / self.sampling_rate_hz


@dataclass
class CutRecording:
    """One file that holds trials, not a recording: (trials, channels, time), volts."""

    values: np.ndarray  # float64 (n, channels, time)
    sampling_rate_hz: float
    names: list[str]
    kinds: list[str]
    places: dict[str, np.ndarray]
    marked_bad: list[str]
    events: list[Event]  # one a trial
    start_s: float  # of the window, from the event
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Header:
    """What a file says of itself, its samples unread."""

    sampling_rate_hz: float
    names: list[str]
    kinds: list[str]
    marked_bad: list[str]
    seconds: float
    events: list[Event]  # of trials in a file: each as long as it is
    trials: bool = False  # whether the file holds trials, not a recording
    start_s: float = 0.0  # of the trials, from their events


def recording_suffix(path: Path | str) -> str | None:
    """The suffix by which a file is taken for a recording; None for any other.

    >>> [recording_suffix(name) for name in ("a/b_raw.fif.gz", "S001R04.EDF", "x.py")]
    ['.fif.gz', '.edf', None]
    """
    name = str(path).lower()
    return next((suffix for suffix in (".fif.gz", *SUFFIXES) if name.endswith(suffix)), None)


def read_file(path: Path, shown: str) -> Recording | CutRecording:
    """The recording, or the trials, in a file. Raises `DataError` starting with `shown`."""
    with _collected() as found:
        read = _through_mne(path, shown, lambda mne, opened: (
            _cut(opened) if isinstance(opened, mne.BaseEpochs) else _whole(mne, opened)
        ), preload=True)  # fmt: skip
    read.warnings = found
    if not read.names or not read.values.size:
        raise DataError(f"{shown}: holds no samples; copy it again, or leave it out with --only")
    return read


def read_header(path: Path, shown: str) -> Header:
    """What the file says of itself. Raises `DataError` starting with `shown`."""
    with _collected():
        return _through_mne(path, shown, _header, preload=False)


def _through_mne(
    path: Path, shown: str, take: Callable[[Any, Any], Taken], *, preload: bool
) -> Taken:
    suffix = recording_suffix(path)
    if suffix is None:
        raise DataError(f"{shown}: no recording ('{path.suffix}'); known are {', '.join(SUFFIXES)}")
    kind = SUFFIXES[suffix]
    _check_content(path, shown, kind)
    mne = load_mne()
    try:
        with mne.utils.catch_logging():  # what it prints is no result of ours
            return take(mne, _opened(mne, path, kind, preload))
    except MemoryError:
        raise DataError(f"{shown}: does not fit into memory; cut it into shorter files") from None
    except ImportError as error:
        raise DataError(f"{shown}: {_one_line(error)}") from None
    except Exception as error:  # readers of damaged files fail in every way there is
        if missing := re.search(r"the module (\S+) is needed, but", str(error)):  # as MNE says it
            raise DataError(
                f"{shown}: {kind} is read through {missing[1]}, which is not installed; "
                f"pip install {missing[1]}"
            ) from None
        reason = _one_line(error).replace(str(path), path.name)
        raise DataError(
            f"{shown}: not readable as {kind}: truncated, damaged or another format "
            f"({reason}); copy it again from its source, or leave it out with --only"
        ) from None


def _header(mne: Any, opened: Any) -> Header:
    cut = isinstance(opened, mne.BaseEpochs)
    rate = float(opened.info["sfreq"])
    return Header(
        sampling_rate_hz=rate,
        names=list(opened.ch_names),
        kinds=list(opened.get_channel_types()),
        marked_bad=list(opened.info["bads"]),
        seconds=len(opened.times) / rate * (len(opened.events) if cut else 1),
        events=_events_of_epochs(opened) if cut else _events(mne, opened),
        trials=cut,
        start_s=float(opened.tmin) if cut else 0.0,
    )


def _check_content(path: Path, shown: str, kind: str) -> None:
    """What can be said without MNE: nothing there, nothing in it, the content of another format."""
    try:
        if path.is_dir():
            if not any(path.iterdir()):
                raise DataError(f"{shown}: an empty folder; an .mff recording has files in it")
            return
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DataError(f"{shown}: cannot be read ({error.strerror}); check the path") from None
    if not start:
        raise DataError(f"{shown}: the file is empty (an unfinished copy?); copy it again")
    found = recording_format(start)
    if found == kind or (found is None and kind not in MARKED):
        return
    words = describe_content(start) + ("; give it the right suffix" if found is None else "")
    raise DataError(f"{shown}: is no {kind} file but {words}, or leave it out with --only")


def _opened(mne: Any, path: Path, kind: str, preload: bool) -> Any:
    if kind == "FIF":
        return _fif(mne, path, preload)
    if kind == "EEGLAB":
        return _eeglab(mne, path, preload)
    if kind == "EGI":
        return mne.io.read_raw_egi(path, preload=preload, verbose="warning")
    return mne.io.read_raw(path, preload=preload, verbose="warning")


def _fif(mne: Any, path: Path, preload: bool) -> Any:
    """Raw or epochs: the name says it where it follows MNE's convention, else both are tried."""
    if re.search(r"[-_]epo\.fif(\.gz)?$", path.name):
        return mne.read_epochs(path, preload=preload, verbose="warning")
    try:
        return mne.io.read_raw_fif(path, preload=preload, verbose="warning")
    except ValueError as error:
        if "No raw data" not in str(error):  # a damaged recording, of which epochs know nothing
            raise
        return mne.read_epochs(path, preload=preload, verbose="warning")


def _eeglab(mne: Any, path: Path, preload: bool) -> Any:
    try:
        return mne.io.read_raw_eeglab(path, preload=preload, verbose="warning")
    except TypeError as error:
        if "trials" not in str(error):
            raise
        return mne.io.read_epochs_eeglab(path, verbose="warning")


def _whole(mne: Any, raw: Any) -> Recording:
    return Recording(
        values=raw.get_data(),
        sampling_rate_hz=float(raw.info["sfreq"]),
        names=list(raw.ch_names),
        kinds=list(raw.get_channel_types()),
        places=_places(raw),
        marked_bad=list(raw.info["bads"]),
        events=_events(mne, raw),
    )


def _events(mne: Any, raw: Any) -> list[Event]:
    """The annotations, or where there are none the codes of the stimulus channel."""
    notes = raw.annotations
    first = raw.first_time if notes.orig_time is not None else 0.0
    if len(notes) or "stim" not in raw.get_channel_types():
        every = zip(notes.onset, notes.duration, notes.description, strict=True)
        return [Event(float(at) - first, float(seconds), _event_name(name))
                for at, seconds, name in every]  # fmt: skip
    found = mne.find_events(raw, shortest_event=1, initial_event=True, verbose="error")
    rate = raw.info["sfreq"]
    return [Event((int(at) - raw.first_samp) / rate, 0.0, str(code)) for at, _, code in found]


def _event_name(description: str) -> str:
    """The name of a mark; BrainVision's `Stimulus/S  1` and `Comment/left` lose what they add.

    >>> [_event_name(name) for name in ("Stimulus/S  1", "Comment/left", "New Segment/", "S1 obj")]
    ['S1', 'left', 'New Segment/', 'S1 obj']
    """
    kind, slash, name = str(description).strip().partition("/")
    if not slash or not name or kind not in ("Stimulus", "Response", "Comment"):
        return str(description).strip()
    return re.sub(r"^([SR]) +(\d+)$", r"\1\2", name.strip())


def _events_of_epochs(epochs: Any) -> list[Event]:
    names = {code: name for name, code in epochs.event_id.items()}
    rate = float(epochs.info["sfreq"])
    return [
        Event(int(at) / rate, len(epochs.times) / rate, names.get(int(code), str(code)))
        for at, _, code in epochs.events
    ]


def _cut(epochs: Any) -> CutRecording:
    events = _events_of_epochs(epochs)
    return CutRecording(
        values=epochs.get_data(copy=True),
        sampling_rate_hz=float(epochs.info["sfreq"]),
        names=list(epochs.ch_names),
        kinds=list(epochs.get_channel_types()),
        places=_places(epochs),
        marked_bad=list(epochs.info["bads"]),
        events=events,
        start_s=float(epochs.tmin),
    )


def _places(instance: Any) -> dict[str, np.ndarray]:
    """Places that the file gives, in head coordinates, metres."""
    montage = instance.get_montage()
    if montage is None:
        return {}
    positions = montage.get_positions()
    if positions["coord_frame"] not in ("head", "unknown"):
        return {}
    return {name: np.asarray(place) for name, place in (positions["ch_pos"] or {}).items()}


@contextmanager
def _collected() -> Iterator[list[str]]:
    """What MNE warns of inside, as sentences; names of files are no matter."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    said = dict.fromkeys(
        _one_line(item.message) for item in caught if issubclass(item.category, RuntimeWarning)
    )
    found += [text for text in said if "naming conventions" not in text]


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return (text[:300] + "...") if len(text) > 300 else text or type(error).__name__
