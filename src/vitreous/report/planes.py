"""A map of a scan laid over three planes of it, as one picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.sheet import AXIS, PLANES, plane, plane_spacing, windowed

BETWEEN = 4  # columns between two planes
WORDS = "axial, coronal, sagittal, where the map is strongest; the patient's left is on the right"
WORDS_AT_VOXEL = "axial, coronal, sagittal, through the voxel; the patient's left is on the right"

Marks = list[tuple[float, float, float, float]]


def planes_of_map(
    scan: NDArray[np.float32],
    values: NDArray[np.float32],
    spacing_mm: Sequence[float],
    voxel: tuple[int, int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Marks]:
    """Three planes through a voxel, or that of which a map says most: uint8 (1, rows, columns), the
    map's values there, (rows, columns), 0 between the planes, and where the voxel lies in each
    plane (left, top, right, bottom); nowhere where none was given.

    `scan` and `values` are (depth, height, width). Of the scan's values the 1st percentile is
    black and the 99th white; pixels are square, as small as the finest spacing.
    """
    strongest = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    point = strongest if voxel is None else voxel
    grey, finest = windowed(scan), min(spacing_mm)
    here = np.zeros(values.shape, bool)
    here[tuple(point)] = True
    cells = []
    for name in PLANES:
        sizes = plane_spacing(spacing_mm, name)
        at = int(point[AXIS[name]])
        cells.append(
            tuple(_squared(plane(each, name, at), sizes, finest) for each in (grey, values, here))
        )
    height = max(picture.shape[0] for picture, *_ in cells)
    width = sum(picture.shape[1] for picture, *_ in cells) + BETWEEN * (len(cells) - 1)
    shown, mapped = np.zeros((1, height, width), np.uint8), np.zeros((height, width), np.float32)
    left = 0
    marks: Marks = []
    for picture, found, own in cells:
        rows, columns = picture.shape
        top = (height - rows) // 2
        shown[0, top : top + rows, left : left + columns] = picture
        mapped[top : top + rows, left : left + columns] = found
        down, across = np.nonzero(own)
        ends = (
            left + across.min(),
            top + down.min(),
            left + across.max() + 1,
            top + down.max() + 1,
        )
        marks.append((float(ends[0]), float(ends[1]), float(ends[2]), float(ends[3])))
        left += columns + BETWEEN
    return shown, mapped, [] if voxel is None else marks


def _squared(cells: NDArray, sizes: tuple[float, float], finest: float) -> NDArray:
    """Rows and columns repeated so that each stands for as many millimetres."""
    for axis, size in enumerate(sizes):
        count = cells.shape[axis]
        wanted = max(1, round(count * size / finest))
        cells = cells.take(np.arange(wanted) * count // wanted, axis=axis)
    return cells
