"""A scan as a page carries it, to be looked through in three planes without a server.

Values are kept in 4,096 levels between the least and the greatest: of CT from -1024 to 3071 each
Hounsfield unit. What is too large for a file is cut to the structures and their surroundings, and
of what is still too large every second (third, ...) voxel is kept, along the finest axis first, so
that each value shown is one of the scan's own.
"""

import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.sheet import class_colours
from vitreous.data.volumes.sheet import point_of_interest
from vitreous.data.volumes.volume import Volume

LEVELS = 4096
VOXELS_IN_A_REPORT = 250_000  # of each of its scans: some 300 KB
VOXELS_OF_A_PAGE = 16_000_000  # that shows a single scan whole
AROUND_MM = 15.0  # structures, where a scan is cut
WINDOW = (1.0, 99.0)  # percentiles that are black and white at first
CT_WINDOWS = {  # level and width in Hounsfield units, as radiologists set them
    "soft tissue": (40, 400),
    "brain": (40, 80),
    "lung": (-600, 1500),
    "bone": (400, 1800),
}


class ClassShown(TypedDict):
    """A structure's name and colour, in the order of the classes from 1 on."""

    name: str
    colour: str


class MaskShown(TypedDict):
    """One labelling of the voxels: uint8 along depth, height, width, deflated, in base64."""

    name: str
    voxels: str


class ScanShown(TypedDict):
    """All that the viewer needs. Axes are depth (to the head), height (front), width (right)."""

    shape: list[int]
    spacing_mm: list[float]  # of the voxels that are shown
    step: list[int]  # of the scan's voxels every which one is shown
    first: list[int]  # the scan's voxel that is shown first
    whole: list[int]  # the scan's own size
    places: list[list[float]]  # (3, 4): shown voxel and 1 to millimetres right, front, head
    least: float  # the value of level 0
    greatest: float  # the value of level 4,095
    window: list[float]  # black and white at first
    windows: dict[str, list[float]]  # others by their names: black and white
    point: list[int]  # the shown voxel whose planes are seen first
    values: str  # two bytes a voxel: all low ones, then all high ones; deflated, in base64
    masks: list[MaskShown]
    classes: list[ClassShown]


def scan_shown(
    volume: Volume,
    masks: Mapping[str, NDArray[np.uint8]],
    classes: Sequence[str],
    *,
    most_voxels: int = VOXELS_IN_A_REPORT,
    modality: str | None = None,
) -> ScanShown:
    """A scan's first channel and its masks (depth, height, width) by their names.

    `classes` begin with the background, which has no colour.
    """
    shape = volume.values.shape[1:]
    parts = _part(shape, volume.spacing_mm, list(masks.values()), most_voxels)
    cut = {name: np.ascontiguousarray(mask[parts]) for name, mask in masks.items()}
    values = volume.values[0][parts]
    first = [part.start for part in parts]
    step = [part.step for part in parts]
    least, greatest = float(values.min()), float(values.max())
    low, high = (float(x) for x in np.percentile(values, WINDOW))
    affine = volume.grid.affine.copy()
    affine[:, 3] = volume.grid.affine @ np.array([*first, 1.0])
    affine[:, :3] *= np.array(step)
    colours = class_colours(max(len(classes), 1))
    return ScanShown(
        shape=list(values.shape),
        spacing_mm=[round(mm * by, 6) for mm, by in zip(volume.spacing_mm, step, strict=True)],
        step=step,
        first=first,
        whole=list(shape),
        places=[[round(float(x), 6) for x in row] for row in affine[:3]],
        least=least,
        greatest=greatest,
        window=[low, high if high > low else low + 1.0],
        windows=_windows(modality),
        point=list(point_of_interest(next(iter(cut.values()), None), values.shape)),
        values=_packed(_bytes_of_levels(values, least, greatest)),
        masks=[MaskShown(name=name, voxels=_packed(mask.tobytes())) for name, mask in cut.items()],
        classes=[
            ClassShown(name=str(name), colour=f"rgb({red}, {green}, {blue})")
            for name, (red, green, blue) in zip(classes[1:], colours[1:], strict=True)
        ],
    )


def shown_words(shown: ScanShown) -> str:
    """What of the scan is shown, for people."""
    by = " x ".join(f"{mm:.3g}" for mm in shown["spacing_mm"])
    sides = " x ".join(map(str, shown["whole"]))
    said = f"{sides} voxels (depth x height x width)"
    whole = all(
        size == -(-of // step)
        for size, of, step in zip(shown["shape"], shown["whole"], shown["step"], strict=True)
    )
    if not whole:
        said += f"; the part about the structures is shown, {' x '.join(map(str, shown['shape']))}"
    if max(shown["step"]) > 1:
        kept = " x ".join(map(str, shown["step"]))
        said += f"; one voxel of each {kept} is kept"
    return f"{said}; {by} mm"


def _part(
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    masks: Sequence[NDArray[np.uint8]],
    most_voxels: int,
) -> tuple[slice, ...]:
    """What is shown along each axis: all, or the structures' surroundings, or every k-th voxel."""
    ends = [(0, side) for side in shape]
    if np.prod(shape) > most_voxels:
        ends = _about_structures(shape, spacing_mm, masks)
    step = [1, 1, 1]
    while np.prod([-(-(b - a) // by) for (a, b), by in zip(ends, step, strict=True)]) > most_voxels:
        step[int(np.argmin(np.array(spacing_mm) * step))] += 1
    # the middle one of each k
    return tuple(
        slice(min(a + by // 2, b - 1), b, by) for (a, b), by in zip(ends, step, strict=True)
    )


def _about_structures(
    shape: Sequence[int], spacing_mm: Sequence[float], masks: Sequence[NDArray[np.uint8]]
) -> list[tuple[int, int]]:
    ends: list[tuple[int, int]] = []
    for axis, (side, mm) in enumerate(zip(shape, spacing_mm, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        there = np.zeros(side, bool)
        for mask in masks:
            there |= ((mask > 0) & (mask != IGNORE)).any(axis=others)
        found = np.flatnonzero(there)
        around = round(AROUND_MM / mm)
        ends.append(
            (max(0, int(found[0]) - around), min(side, int(found[-1]) + around + 1))
            if len(found)
            else (0, side)
        )
    return ends


def _bytes_of_levels(values: NDArray[np.float32], least: float, greatest: float) -> bytes:
    scale = (LEVELS - 1) / max(greatest - least, 1e-12)
    levels = np.empty(values.shape, np.uint16)
    for plane, one in enumerate(values):  # a plane at a time: little memory
        levels[plane] = np.rint((one.astype(np.float64) - least) * scale)
    return (levels & 255).astype(np.uint8).tobytes() + (levels >> 8).astype(np.uint8).tobytes()


def _packed(content: bytes) -> str:
    return b64encode(zlib.compress(content, 6)).decode("ascii")


def _windows(modality: str | None) -> dict[str, list[float]]:
    if modality != "CT":
        return {}
    return {
        name: [level - width / 2, level + width / 2] for name, (level, width) in CT_WINDOWS.items()
    }
