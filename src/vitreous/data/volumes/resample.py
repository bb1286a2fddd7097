"""Volumes from one grid to another: values weighed between voxels, classes never.

Where a voxel of the new grid lies is found through both affines, in millimetres, so that grids may
be shifted, slanted or turned against one another.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.grid import Grid, Shape

SLAB_VOXELS = 2_000_000  # handled at a time
HALF = 0.5 + 1e-3  # of a voxel: what is left over counts as none up to this


def spaced(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid over the same room whose voxels are as near to `spacing_mm` as whole voxels allow.

    The outer faces of its first and last voxels stay where they were. Half a voxel is left
    out, however a file rounds its spacing: 280 of 0.6875 or of 0.68750003 mm are 192 of 1 mm.
    """
    have = np.array(grid.spacing_mm)
    needed = np.array(grid.shape) * have / np.array(spacing_mm)
    shape = np.maximum(1, np.ceil(needed - HALF)).astype(int)
    step = np.array(grid.shape) / shape  # old voxels a new one
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * step
    affine[:3, 3] = grid.affine[:3, 3] + grid.affine[:3, :3] @ ((step - 1) / 2)
    sides: Shape = (int(shape[0]), int(shape[1]), int(shape[2]))
    return Grid(sides, affine)


def resampled(values: NDArray, source: Grid, target: Grid, *, nearest: bool = False) -> NDArray:
    """Values (channels, *source.shape) on the grid `target`, of the same type.

    Between voxels the eight around are weighed (trilinear), or the `nearest` is taken; beyond the
    outermost voxels they are continued by them.
    """
    result = np.empty((len(values), *target.shape), values.dtype)
    for slab, part in resampled_slabs(values, source, target, nearest=nearest):
        result[:, slab] = part
    return result


def resampled_slabs(
    values: NDArray, source: Grid, target: Grid, *, nearest: bool = False
) -> Iterator[tuple[slice, NDArray]]:
    """`resampled`, some planes of the first axis at a time: for answers with many classes."""
    from scipy.ndimage import affine_transform

    same = source.shape == target.shape and source.apart_mm(target) < 1e-6
    depth = max(1, SLAB_VOXELS // max(1, target.shape[1] * target.shape[2]))
    matrix = np.linalg.inv(source.affine) @ target.affine  # indices of the target to the source's
    for start in range(0, target.shape[0], depth):
        slab = slice(start, min(start + depth, target.shape[0]))
        if same:
            yield slab, values[:, slab].copy()
            continue
        planes = slab.stop - slab.start
        offset = matrix[:3, 3] + matrix[:3, 0] * start
        part = np.empty((len(values), planes, *target.shape[1:]), values.dtype)
        for channel, whole in enumerate(values):
            affine_transform(
                whole,
                _rounded(matrix[:3, :3]),
                _rounded(offset),  # type: ignore[arg-type]  # a number an axis
                output_shape=part.shape[1:],
                output=part[channel],
                order=0 if nearest else 1,
                mode="nearest",
                prefilter=False,
            )
        yield slab, part


def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the dust of an inverted matrix, by which a voxel would fall on the other side."""
    return np.round(numbers, 9)
