"""DICOM slices put in order along the body, and everything that can be wrong about that."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.samples import Skipped
from vitreous.data.volumes.dicom_headers import SEGMENTATION, File, Frame, read_file
from vitreous.data.volumes.dicom_pixels import read_frames
from vitreous.data.volumes.grid import Grid, from_lps
from vitreous.data.volumes.privacy import hidden_name
from vitreous.errors import DataError

SAME_DIRECTION = 2e-3  # cosines; headers round them
SAME_PLACE_MM = 1e-3
EVEN = 0.02  # of the usual gap: further apart and slices are said to be uneven
BEARABLE = 0.1  # of the usual gap: further apart and they are not used
TILTED = 0.01  # sine of the angle between the slices' way and their normal
ONE_SLICE = "one slice"
FEW_SWAPPED = 0.25  # of the slices: with more, numbers follow another order (interleaved)


@dataclass(frozen=True, eq=False)
class Series:
    """A DICOM series as one volume. `name` and `patient` are hashes; paths are never shown."""

    name: str
    patient: str
    modality: str
    grid: Grid  # of (slices, rows, columns)
    frames: tuple[Frame, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files, in the order of their slices."""
        return tuple(dict.fromkeys(frame.path for frame in self.frames))


def find_series(
    root: Path,
    paths: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
    segmented: list[str] | None = None,
) -> tuple[list[Series], list[Skipped]]:
    """All series among DICOM files (relative to `root`), by their UIDs, wherever they lie.

    What cannot be used is returned with its reason, under the series' hidden name. The paths of
    segmentations are put into `segmented`, where it is given.
    """
    by_series: dict[str, list[File]] = {}
    reasons: Counter[str] = Counter()
    for done, path in enumerate(paths, start=1):
        found = read_file(root / path, path)
        if found == SEGMENTATION and segmented is not None:
            segmented.append(path)
        elif isinstance(found, str):
            reasons[found] += 1
        else:
            by_series.setdefault(found.series_uid, []).append(found)
        if on_progress and done % 100 == 0:
            on_progress(done, len(paths))
    skipped = [
        Skipped(f"{count:,} DICOM files", reason, harmless=not reason.startswith("damaged"))
        for reason, count in reasons.items()
    ]
    series: list[Series] = []
    for uid, files in by_series.items():
        name = hidden_name("series", uid)
        try:
            series.append(assemble(name, files))
        except DataError as error:
            skipped.append(Skipped(name, str(error), harmless=str(error).startswith(ONE_SLICE)))
    return sorted(series, key=lambda one: one.name), skipped


def assemble(name: str, files: Iterable[File]) -> Series:
    """The files of one series in order. Raises `DataError` (without a name) with what is wrong."""
    kept, notes = _without_copies(list(files))
    first = kept[0]
    if first.samples != 1:
        raise DataError("its slices are in colour: give the series that they were made from")
    frames = [frame for file in kept for frame in file.frames]
    if len(frames) == 1:
        raise DataError(f"{ONE_SLICE}, no volume: save it as a picture (PNG) to use it as one")
    _require_alike(frames)
    ordered, depths = _ordered(frames)
    usual = _require_even(ordered, depths, notes)
    grid = _grid(ordered, usual, notes)
    _compare_numbers(ordered, notes)
    announced = first.images_in_acquisition
    if announced is not None and announced > len(frames) and not first.multi_frame:
        notes.append(
            f"its header speaks of {announced} images, {len(frames)} are here: look whether the "
            "first or last ones are missing"
        )
    patient = hidden_name("patient", *first.patient)
    return Series(name, patient, first.modality, grid, tuple(ordered), tuple(notes))


def read_series(root: Path, series: Series) -> NDArray[np.float32]:
    """The scaled values, (1, slices, rows, columns). Raises `DataError` with the series' name."""
    values = np.empty((1, *series.grid.shape), np.float32)
    places: dict[str, list[int]] = {}
    for place, frame in enumerate(series.frames):
        places.setdefault(frame.path, []).append(place)
    for path, rows in places.items():
        where = series.name
        if len(places) > 1:
            where += f", slice {rows[0] + 1} (instance number {series.frames[rows[0]].number})"
        values[0, rows] = read_frames(root / path, [series.frames[row] for row in rows], where)
    return values


def _without_copies(files: list[File]) -> tuple[list[File], list[str]]:
    once = {file.instance_uid or file.path: file for file in reversed(files)}
    kept = [file for file in files if once[file.instance_uid or file.path] is file]
    copies = len(files) - len(kept)
    return kept, [f"{copies} of its files are there twice: one of each is used"] if copies else []


def _require_alike(frames: Sequence[Frame]) -> None:
    """Raises `DataError` where slices have no place, or places that make no one stack."""
    nowhere = [frame for frame in frames if frame.directions is None or frame.position is None]
    if nowhere:
        raise DataError(
            f"{_count(len(nowhere), frames)} have no position or orientation: they cannot be put "
            "in order; convert the series to NIfTI with its maker's tool"
        )
    if any(frame.spacing_mm is None or min(frame.spacing_mm) <= 0 for frame in frames):
        raise DataError("the distance of its pixels (PixelSpacing) is missing: nothing can be "
                        "measured; send the series again")  # fmt: skip
    for what, counts in (
        ("orientations", _by_direction(frames)),
        ("sizes", _by(frames, lambda frame: frame.size)),
        (
            "pixel spacings",
            _by(frames, lambda frame: np.round(np.array(frame.spacing_mm), 4).tobytes()),
        ),
    ):
        if len(counts) > 1:
            shown = " and ".join(str(count) for count in counts)
            raise DataError(
                f"mixed {what}: {shown} slices; give each stack a series of its own, or remove "
                "what does not belong to it (such as a localizer)"
            )


def _by(frames: Sequence[Frame], key: Callable[[Frame], object]) -> list[int]:
    """How many slices there are of each kind, most first."""
    return sorted(Counter(map(key, frames)).values(), reverse=True)


def _by_direction(frames: Sequence[Frame]) -> list[int]:
    """The same by direction, within rounding: no rounding to a grid, which has borders."""
    kinds: list[tuple[NDArray[np.float64], int]] = []
    for frame in frames:
        assert frame.directions is not None
        for place, (directions, count) in enumerate(kinds):
            if np.abs(directions - frame.directions).max() <= SAME_DIRECTION:
                kinds[place] = (directions, count + 1)
                break
        else:
            kinds.append((frame.directions, 1))
    return sorted((count for _, count in kinds), reverse=True)


def _ordered(frames: Sequence[Frame]) -> tuple[list[Frame], NDArray[np.float64]]:
    """Slices along the normal of their planes, and how far along it they lie."""
    directions = frames[0].directions
    assert directions is not None
    normal = np.cross(directions[0], directions[1])
    depths = np.array([float(normal @ frame.position) for frame in frames])
    order = np.argsort(depths, kind="stable")
    return [frames[place] for place in order], depths[order]


def _require_even(ordered: Sequence[Frame], depths: NDArray[np.float64], notes: list[str]) -> float:
    """The usual gap. Raises `DataError` for slices at one place, missing ones, uneven gaps."""
    gaps = np.diff(depths)
    same = np.flatnonzero(gaps < SAME_PLACE_MM)
    if len(same):
        places = len(ordered) - len(same)
        if len(ordered) % places == 0 and len(ordered) > places:
            raise DataError(
                f"{len(ordered) // places} slices at each of {places} places: several volumes "
                "(times, echoes) in one series; give each a series of its own"
            )
        raise DataError(
            f"{_said(ordered, int(same[0]))} and {_said(ordered, int(same[0]) + 1)} lie at one "
            "place; remove the one that does not belong there"
        )
    usual = float(np.median(gaps))
    apart = gaps / usual
    whole = np.round(apart)
    missing = np.flatnonzero((whole >= 2) & (np.abs(apart - whole) <= BEARABLE))
    uneven = np.flatnonzero(np.abs(apart - 1) > BEARABLE)
    if len(uneven) and len(missing) == len(uneven):
        lost = int((whole[missing] - 1).sum())
        where = int(missing[0])
        more = f", and at {len(missing) - 1} more places" if len(missing) > 1 else ""
        raise DataError(
            f"missing slice{'s' if lost > 1 else ''}: {lost} between {_said(ordered, where)} and "
            f"{_said(ordered, where + 1)} ({gaps[where]:.4g} mm where {usual:.4g} mm is usual)"
            f"{more}; send the series again"
        )
    if len(uneven):
        where = int(uneven[np.argmax(np.abs(apart[uneven] - 1))])
        raise DataError(
            f"gaps between slices are not uniform: {gaps.min():.4g} to {gaps.max():.4g} mm, such "
            f"as {gaps[where]:.4g} mm between {_said(ordered, where)} and "
            f"{_said(ordered, where + 1)}; reconstruct it with even gaps"
        )
    if np.abs(apart - 1).max() > EVEN:
        notes.append(
            f"gaps between slices are {gaps.min():.4g} to {gaps.max():.4g} mm: taken as even"
        )
    return usual


def _grid(ordered: Sequence[Frame], usual: float, notes: list[str]) -> Grid:
    """The places of (slices, rows, columns); slices may be shifted evenly (a tilted gantry)."""
    first, last = ordered[0], ordered[-1]
    assert first.directions is not None
    assert first.spacing_mm is not None
    assert first.position is not None
    assert last.position is not None
    across, down = first.directions  # along a row: to the next column; along a column
    step = (last.position - first.position) / (len(ordered) - 1)
    even = first.position + np.arange(len(ordered))[:, None] * step
    off = np.stack([np.asarray(frame.position) for frame in ordered]) - even
    normal = np.cross(across, down)
    aside = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1)
    if aside.max() > BEARABLE * usual:
        where = int(aside.argmax())
        raise DataError(
            f"{_said(ordered, where)} lies {aside.max():.3g} mm beside the line of the others: its "
            "position is wrong, or it belongs to another stack; send the series again"
        )
    slant = float(np.linalg.norm(step - (step @ normal) * normal) / np.linalg.norm(step))
    if slant > TILTED:
        notes.append(
            f"its slices are tilted by {np.degrees(np.arcsin(slant)):.1f} degrees (gantry): kept "
            "in the places of its voxels"
        )
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = down * first.spacing_mm[0]
    affine[:3, 2] = across * first.spacing_mm[1]
    affine[:3, 3] = first.position
    return Grid((len(ordered), *first.size), from_lps(affine))


def _compare_numbers(ordered: Sequence[Frame], notes: list[str]) -> None:
    """Raises `DataError` where a few slices have numbers that contradict their positions."""
    numbers = np.array([frame.number for frame in ordered])
    if len(set(numbers.tolist())) < len(numbers):
        return  # not given, or counted in each of several acquisitions
    ranks = np.argsort(np.argsort(numbers))
    straight = np.arange(len(numbers))
    wrong = min((np.flatnonzero(ranks != way) for way in (straight, straight[::-1])), key=len)
    if not len(wrong):
        return
    if len(wrong) > max(2, FEW_SWAPPED * len(numbers)):
        notes.append("its instance numbers do not follow the positions: positions are taken")
        return
    shown = ", ".join(_said(ordered, int(place)) for place in wrong[:4])
    raise DataError(
        f"swapped slices: {shown}: their numbers contradict their positions, so that the order is "
        "in doubt; send the series again, or correct the positions"
    )


def _said(ordered: Sequence[Frame], place: int) -> str:
    return f"slice {place + 1} (instance number {ordered[place].number})"


def _count(count: int, frames: Sequence[Frame]) -> str:
    return "all slices" if count == len(frames) else f"{count} of {len(frames)} slices"
