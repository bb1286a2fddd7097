"""The tables that BIDS lays beside a recording: its events, and the state of its channels."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vitreous.data.recordings.formats import Event, recording_suffix
from vitreous.data.recordings.places import read_text
from vitreous.errors import DataError

NAME_COLUMNS = ("trial_type", "event_type", "description", "value", "stim_type", "label")
NO_VALUE = {"", "n/a", "nan"}
KINDS = {"EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "ECG": "ecg", "EMG": "emg",
         "TRIG": "stim", "SYSCLOCK": "stim"}  # fmt: skip
KINDS |= dict.fromkeys(("MISC", "REF", "RESP", "AUDIO", "EYEGAZE", "FITERR", "GSR", "OTHER", "PPG",
                        "PUPIL", "TEMP"), "misc")  # fmt: skip


@dataclass(frozen=True)
class ChannelRow:
    """What channels.tsv says of a channel."""

    kind: str | None  # as MNE names kinds; None where it does not say, or something else
    bad: bool


def events_beside(recording: Path) -> list[Event] | None:
    """The events of `..._events.tsv` beside a recording; None where there is no such table.

    Raises `DataError` with path and line for what is no table of events.
    """
    path = beside(recording, "events")
    if path is None:
        return None
    heading, lines = table(path)
    if "onset" not in heading:
        raise DataError(f"{path}: has no column onset (has {', '.join(heading)})")
    column = next((name for name in NAME_COLUMNS if name in heading), None)
    events = []
    for number, line in lines:
        name = line.get(column, "event") if column else "event"
        if name.lower() in NO_VALUE:
            continue
        onset = _seconds(line["onset"], path, number, "onset")
        duration = line.get("duration", "0")
        length = (
            0.0 if duration.lower() in NO_VALUE else _seconds(duration, path, number, "duration")
        )
        events.append(Event(onset, length, name))
    return events


def channels_beside(recording: Path) -> dict[str, ChannelRow]:
    """What `..._channels.tsv` beside a recording says, by channel; empty where there is none."""
    path = beside(recording, "channels")
    if path is None:
        return {}
    heading, lines = table(path)
    if "name" not in heading:
        raise DataError(f"{path}: has no column name (has {', '.join(heading)})")
    return {
        line["name"]: ChannelRow(
            KINDS.get(line.get("type", "").upper()), line.get("status", "").lower() == "bad"
        )
        for _, line in lines
    }


def called_bad(marked: Iterable[str], rows: Mapping[str, ChannelRow]) -> set[str]:
    """The channels that are bad by the recording itself (`marked`) or by the table beside it."""
    return {*marked, *(name for name, row in rows.items() if row.bad)}


def beside(recording: Path, what: str) -> Path | None:
    """`a_events.tsv` for `a_eeg.edf`, or for `a.edf`; None where there is none."""
    suffix = recording_suffix(recording) or recording.suffix
    stem = recording.name[: -len(suffix)]
    for base in (stem.removesuffix("_eeg"), stem):
        path = recording.with_name(f"{base}_{what}.tsv")
        if path.is_file():
            return path
    return None


def table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Heading, and (line number, cells by column) of a table with tabs. Raises `DataError`."""
    lines = read_text(path).splitlines()
    if not lines or not lines[0].strip():
        raise DataError(f"{path}: the table is empty; it needs a heading")
    heading = [cell.strip() for cell in lines[0].split("\t")]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(heading):
            raise DataError(
                f"{path}: line {number} has {len(cells)} cells for {len(heading)} columns; mend it"
            )
        rows.append((number, dict(zip(heading, cells, strict=True))))
    return heading, rows


def _seconds(text: str, path: Path, number: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: line {number}: {column} '{text}' is no number of seconds")
    return value
