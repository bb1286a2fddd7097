"""A scan as everything after the readers knows it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.grid import Grid, Turn


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan, turned so that depth grows to the head, height to the front, width to the right.

    `values` are (channels, depth, height, width), float32, in the scan's own unit (Hounsfield
    units for CT). `grid` is that of the values; `stored` is the file's own, and `turn` leads from
    the file's array to `values`.
    """

    values: NDArray[np.float32]
    grid: Grid
    stored: Grid
    turn: Turn

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along depth, height, width."""
        return self.grid.spacing_mm


def turned(values: NDArray, stored: Grid, turn: Turn) -> Volume:
    """A volume from a file's array (channels, three axes)."""
    laid = np.ascontiguousarray(turn.apply(values), dtype=np.float32)
    return Volume(laid, turn.grid(stored), stored, turn)
