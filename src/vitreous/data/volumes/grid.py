"""Where the voxels of a volume lie in the body, and how its axes are laid along the body's.

Millimetres are NIfTI's: x grows to the patient's right, y to the front (anterior), z to the head
(superior); in short RAS. DICOM and ITK count x to the left and y to the back; `from_lps` turns
their matrices.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError

Shape = tuple[int, int, int]
Affine = NDArray[np.float64]

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # against and along the body's axes
LYING = (2, 1, 0)  # the body's axis that depth, height and width of a `Volume` run along
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Grid:
    """The places of an array's voxels.

    `affine` is (4, 4), float64: an index along the array's three axes, and 1, to millimetres (RAS)
    of the voxel's middle, and 1. Columns need not be square to one another (a tilted gantry).
    """

    shape: Shape
    affine: Affine

    def __post_init__(self) -> None:
        linear = self.affine[:3, :3]
        if not np.isfinite(self.affine).all() or abs(np.linalg.det(linear)) < 1e-12:
            raise DataError("its affine matrix is no grid (a spacing of 0, or not a number)")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres from a voxel to the next, along each axis of the array."""
        first, second, third = (float(x) for x in np.linalg.norm(self.affine[:3, :3], axis=0))
        return first, second, third

    @property
    def voxel_mm3(self) -> float:
        """The room of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def letters(self) -> str:
        """The direction in which each axis grows, such as LPS for usual DICOM columns, rows."""
        axes, signs = self._lying()
        return "".join(LETTERS[axis][sign > 0] for axis, sign in zip(axes, signs, strict=True))

    def places(self, indices: NDArray) -> NDArray[np.float64]:
        """Millimetres of array indices (n, 3), as (n, 3)."""
        return indices @ self.affine[:3, :3].T + self.affine[:3, 3]

    def corners(self) -> NDArray[np.float64]:
        """The middles of the eight corner voxels, (8, 3)."""
        ends = product(*((0, side - 1) for side in self.shape))
        return self.places(np.array(list(ends), np.float64))

    def apart_mm(self, other: "Grid") -> float:
        """How far the voxels of two grids of one shape lie apart at most."""
        return float(np.linalg.norm(self.corners() - other.corners(), axis=1).max())

    def _lying(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """For each axis of the array the nearest axis of the body, and whether along (1) it."""
        directions = self.affine[:3, :3] / np.array(self.spacing_mm)
        free = np.abs(directions)
        axes = [0, 0, 0]
        for axis in np.argsort(-free.max(axis=0)):  # the least slanted one chooses first
            axes[axis] = int(np.argmax(free[:, axis]))
            free[axes[axis]] = -1.0
        signs = tuple(1 if directions[axes[axis], axis] >= 0 else -1 for axis in range(3))
        return tuple(axes), signs


@dataclass(frozen=True)
class Turn:
    """Axes exchanged and reversed, nothing else: every value is kept, and there is a way back."""

    axes: tuple[int, int, int]  # the old axis that each new one was
    reversed: tuple[bool, bool, bool]  # of the new axes

    def apply(self, values: NDArray) -> NDArray:
        """Values (..., three axes) turned."""
        ahead = values.ndim - 3
        turned = values.transpose(*range(ahead), *(ahead + axis for axis in self.axes))
        steps = tuple(slice(None, None, -1 if back else 1) for back in self.reversed)
        return turned[(..., *steps)]

    def undo(self, values: NDArray) -> NDArray:
        """Turned values (..., three axes) as they were."""
        ahead = values.ndim - 3
        steps = tuple(slice(None, None, -1 if back else 1) for back in self.reversed)
        back = tuple(int(axis) for axis in np.argsort(self.axes))
        return values[(..., *steps)].transpose(*range(ahead), *(ahead + axis for axis in back))

    def grid(self, grid: Grid) -> Grid:
        """The grid of turned values."""
        affine = grid.affine.copy()
        affine[:, :3] = grid.affine[:, list(self.axes)]
        shape = tuple(grid.shape[axis] for axis in self.axes)
        for axis in np.flatnonzero(self.reversed):
            affine[:, 3] += affine[:, axis] * (shape[axis] - 1)
            affine[:, axis] *= -1
        return Grid((shape[0], shape[1], shape[2]), affine)


def turn_to_ras(grid: Grid) -> Turn:
    """The turn after which depth grows to the head, height to the front, width to the right.

    A slanted grid stays slanted: it takes the nearest of the 48 turns.
    """
    lying, signs = grid._lying()
    axes = tuple(lying.index(body) for body in LYING)
    back = tuple(signs[axis] < 0 for axis in axes)
    return Turn((axes[0], axes[1], axes[2]), (back[0], back[1], back[2]))


def from_lps(affine: Affine) -> Affine:
    """A matrix to DICOM's millimetres (left, posterior, superior) as one to RAS; and back."""
    return LPS @ affine


def described(grid: Grid) -> str:
    """Size, spacing and directions for people: `35 x 51 x 35 voxels of 1 x 1 x 1 mm, RAS`."""
    sides = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
    return f"{sides} voxels of {spacing} mm, {grid.letters}"
