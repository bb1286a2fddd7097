"""Trials that come as arrays: `.ts` text (UEA), `.npz` and `.npy`, and the user's own arrays."""

import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.data.listing import walk
from vitreous.data.recordings.formats import recording_suffix
from vitreous.data.recordings.places import read_text
from vitreous.data.split_names import first_split
from vitreous.errors import DataError, RequestError

VALUE_NAMES = ("x", "data", "eeg", "trials", "epochs")
LABEL_NAMES = ("y", "label", "labels", "target", "targets")
RATE_NAMES = ("sampling_rate_hz", "sampling_rate", "sfreq", "fs", "srate")
CHANNEL_NAMES = ("channels", "ch_names", "channel_names")
SUBJECT_NAMES = ("subject", "subjects", "group", "groups", "participant")
PARTS = ("", "train", "val", "test")
SESSION_NAMES = ("session", "sessions")


@dataclass(frozen=True)
class Container:
    """Trials as they lie in one file, or in one part of it."""

    path: str  # shown, relative to the data root
    values: np.ndarray  # float32 (n, channels, time); NaN where the file has no value
    labels: list[str]
    split: str | None = None  # as named: train, val or test
    sampling_rate_hz: float | None = None
    channels: tuple[str, ...] | None = None
    subjects: list[str] | None = None
    sessions: list[str] | None = None


def container_files(path: Path, sampling_rate_hz: float | None = None) -> list[Path]:
    """The `.ts` files, or the one `.npz` or `.npy` of trials, at a path; empty where none is.

    Who says a sampling rate has trials: then an `.npz` of plain X and y is taken for them, too.
    """
    try:
        return _container_files(path, sampling_rate_hz is not None)
    except OSError:
        return []  # who reads the folder for good says what is wrong with it


def _container_files(path: Path, has_rate: bool) -> list[Path]:
    if path.is_file():
        if path.suffix == ".ts":
            return [path]
        return [path] if path.suffix in (".npz", ".npy") and _holds_trials(path, has_rate) else []
    if not path.is_dir():
        return []
    texts = [file for file in sorted(path.glob("*.ts")) if _is_series(file)]
    if texts:
        return texts
    archives = sorted(path.glob("*.npz"))
    if len(archives) == 1 and _holds_trials(archives[0], has_rate and not _has_recordings(path)):
        return archives
    arrays = [path / name for name in ("X.npy", "x.npy") if (path / name).is_file()]
    return arrays[:1]


def _has_recordings(folder: Path) -> bool:
    """Whether plain arrays in this folder may be anything: something laid beside recordings."""
    return any(recording_suffix(found.path) for found in walk(folder, lambda _: None))


def read_container(path: Path, root: Path) -> list[Container]:
    """The parts of a file. Raises `DataError` with the path, and the line where there is one."""
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    if path.suffix == ".ts":
        return [read_ts(path, shown)]
    return _read_npz(path, shown) if path.suffix == ".npz" else [_read_npy(path, shown)]


def read_ts(path: Path, shown: str) -> Container:
    """A `.ts` file of the UEA and UCR archives (Bagnall et al. 2018, arXiv:1811.00075).

    After `@data` each line is a case: channels divided by `:`, values by `,`, the label last; `?`
    is a missing value. Cases must be equally long.
    """
    lines = read_text(path).splitlines()
    head = {}
    after = next((n for n, line in enumerate(lines, 1) if line.strip().lower() == "@data"), None)
    for words in (line.split() for line in lines[:after]):
        if words and words[0].startswith("@"):
            head[words[0][1:].lower()] = words[1:]
    if after is None:
        raise DataError(f"{path}: has no line @data; it is no .ts file, or cut short")
    if head.get("timestamps", ["false"])[0] == "true":
        raise DataError(f"{path}: has time stamps, which are not understood; leave them out")
    if head.get("classlabel", ["true"])[0] == "false":
        raise DataError(f"{path}: has no class labels (@classLabel false); add them")
    known = head.get("classlabel", [])[1:]
    cases, labels = [], []
    for number, line in enumerate(lines[after:], start=after + 1):
        if not line.strip():
            continue
        *dimensions, label = line.strip().split(":")
        if known and label not in known:
            raise DataError(f"{path}: line {number}: label '{label[:40]}' is none of {known}")
        cases.append(_case(dimensions, path, number))
        labels.append(label)
        if cases[-1].shape != cases[0].shape:
            raise DataError(
                f"{path}: line {number} has {_sizes(cases[-1])}, the first case "
                f"{_sizes(cases[0])}; is the file cut short?"
            )
    if not cases:
        raise DataError(f"{path}: has no case after @data; copy it again")
    split = first_split(re.split(r"[-_. ]", path.stem))
    return Container(shown, np.stack(cases), labels, split)


def _case(dimensions: Sequence[str], path: Path, number: int) -> np.ndarray:
    try:
        rows = [
            [math.nan if cell.strip() == "?" else float(cell) for cell in row.split(",")]
            for row in dimensions
        ]
        case = np.array(rows, np.float32)
    except ValueError:
        raise DataError(
            f"{path}: line {number} is broken: numbers with , between them, channels with :"
        ) from None
    if case.ndim != 2:
        raise DataError(f"{path}: line {number}: has no channel, or the line is cut short")
    return case


def _sizes(case: np.ndarray) -> str:
    return f"{case.shape[0]} channels of {case.shape[1]} values"


def _holds_trials(path: Path, has_rate: bool) -> bool:
    """Whether an archive says that it holds trials: by a rate, channels, or its array's name.

    With a rate from elsewhere it need only have values and labels.
    """
    if path.suffix == ".npy":
        return path.stem.lower() in VALUE_NAMES and (path.parent / f"{_label_file(path)}").is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy").lower() for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        return False  # the reader of picture arrays says what is wrong with it
    return bool(names & {*RATE_NAMES, *CHANNEL_NAMES, "eeg", "trials", "epochs"}) or (
        has_rate
        and any(
            names & {*_with_part(VALUE_NAMES, part)} and names & {*_with_part(LABEL_NAMES, part)}
            for part in PARTS
        )
    )


def _is_series(path: Path) -> bool:
    """Whether a `.ts` file holds time series, and not a program in TypeScript."""
    with path.open("rb") as file:
        return b"@problemname" in file.read(65_536).lower()


def _label_file(path: Path) -> str:
    return "y.npy" if path.stem == "x" or path.stem == "X" else "labels.npy"


def _read_npz(path: Path, shown: str) -> list[Container]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name.lower(): archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: not readable as .npz of plain numbers: truncated, damaged, or it holds "
            f"Python objects ({error})"
        ) from None
    rate = _rate(_first(arrays, RATE_NAMES), path)
    named = _first(arrays, CHANNEL_NAMES)
    containers = []
    for part in PARTS:
        values = _first(arrays, _with_part(VALUE_NAMES, part))
        labels = _first(arrays, _with_part(LABEL_NAMES, part))
        if values is None or labels is None:
            continue
        _check(values, labels, path)
        containers.append(
            Container(
                f"{shown}/{part}" if part else shown,
                values.astype(np.float32),
                [str(label) for label in labels.tolist()],
                part or None,
                rate,
                None if named is None else tuple(map(str, named.tolist())),
                _names(_first(arrays, _with_part(SUBJECT_NAMES, part))),
                _names(_first(arrays, _with_part(SESSION_NAMES, part))),
            )
        )
    if not containers:
        raise DataError(
            f"{path}: has the arrays {', '.join(arrays) or '(none)'}; X (trials, channels, time) "
            "with y are understood, or X_train with y_train and so on"
        )
    return containers


def _rate(array: np.ndarray | None, path: Path) -> float | None:
    if array is None:
        return None
    if array.size != 1 or array.dtype.kind not in "fiu" or not 0 < array.item() < math.inf:
        raise DataError(
            f"{path}: its sampling rate is {array.tolist()}; one number of Hz is needed"
        )
    return float(array.item())


def _read_npy(path: Path, shown: str) -> Container:
    arrays = []
    for file in (path, path.with_name(_label_file(path))):
        try:
            with file.open("rb") as opened:  # no archive under this name, as `np.load` would have
                arrays.append(np.lib.format.read_array(opened, allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"{file}: not readable as an array of plain numbers ({error})"
            ) from None
    values, labels = arrays
    _check(values, labels, path)
    return Container(shown, values.astype(np.float32), [str(label) for label in labels.tolist()])


def _check(values: np.ndarray, labels: np.ndarray, path: Path) -> None:
    if values.ndim != 3 or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: trials of shape {values.shape} ({values.dtype}); "
            "numbers (trials, channels, time) are needed"
        )
    if labels.shape != (len(values),):
        raise DataError(
            f"{path}: labels of shape {labels.shape} for {len(values)} trials; one each is needed"
        )


def _with_part(names: Sequence[str], part: str) -> list[str]:
    if not part:
        return list(names)
    return [pattern for name in names for pattern in (f"{name}_{part}", f"{part}_{name}")]


def _first(arrays: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _names(array: np.ndarray | None) -> list[str] | None:
    return None if array is None else [str(value) for value in array.tolist()]


def common_rate(
    containers: Sequence[Container], asked_hz: float | None, where: Path, of_a_run: bool = False
) -> float:
    """The rate that the files give, else the one asked for, which may be that of a run.

    Raises `RequestError` where nobody says it, or the user says another one than the files.
    """
    if asked_hz is not None and not 0 < asked_hz < 1e6:
        raise RequestError(f"--sampling-rate {asked_hz:g}: use a number of Hz above 0")
    rates = {c.sampling_rate_hz for c in containers if c.sampling_rate_hz is not None}
    if len(rates) == 1:
        (own,) = rates
        if asked_hz is None or of_a_run or math.isclose(own, asked_hz, rel_tol=1e-6):
            return own
        raise RequestError(
            f"{where}: says itself that its trials have {own:g} samples a second, and "
            f"--sampling-rate says {asked_hz:g}; leave the flag out, or mend the file (--resample "
            "brings trials to another rate)"
        )
    if asked_hz is None:
        raise RequestError(
            f"{where}: does not say how many samples a second its trials have; "
            "add --sampling-rate, in Hz"
        )
    return asked_hz
