"""A number an electrode as a map of the head: seen from above, nose up.

Electrodes are laid flat by their angle from the top of the head (azimuthal equidistant, as MNE and
most programs do): the vertex in the middle, the circle through Fpz, T7, Oz and T8 at 1. Between
them a thin plate spline runs through all values; beyond the outermost ones it does not leave their
range.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator

CELLS = 88  # a side
REACH = 1.06  # of the map beyond the head's circle, or beyond the outermost electrode
STANDARD_CENTRE_M = (0.001, -0.016, -0.001)  # of the sphere that MNE's standard 10-05 places lie on
LEAST = 4  # electrodes for a map
NEARLY_A_LINE = 0.05  # of the longer extent: nothing can be said across
WELL_KNOWN = 0.01  # least share of the weakest direction, for a sphere to be fitted


@dataclass(frozen=True)
class ScalpMap:
    """Values between electrodes, and the electrodes."""

    cells: np.ndarray  # float64 (CELLS, CELLS), first row at the front; NaN outside
    reach: float  # of the cells' square, from the middle
    places: np.ndarray  # float64 (electrodes, 2): right, front; the head's circle is 1
    placed: np.ndarray  # int (electrodes,): which of the channels they are


def scalp_map(values: np.ndarray, positions_m: np.ndarray) -> ScalpMap | None:
    """A map of values (channels,); positions_m (channels, 3), NaN for channels without a place.

    None where fewer than four electrodes have a place, or all lie on one line.
    """
    placed = np.flatnonzero(np.isfinite(positions_m).all(axis=1))
    if len(placed) < LEAST:
        return None
    places = flat_places(positions_m[placed])
    if _on_a_line(places):
        return None
    known = values[placed].astype(np.float64)
    reach = REACH * max(1.0, float(np.linalg.norm(places, axis=1).max()))
    axis = (np.arange(CELLS) + 0.5) / CELLS * 2 * reach - reach
    right, front = np.meshgrid(axis, -axis)
    inside = np.hypot(right, front) <= 1.05 * reach  # a drawing cuts a clean circle out of it
    try:
        spline = RBFInterpolator(places, known, kernel="thin_plate_spline")
    except np.linalg.LinAlgError:  # two at one place
        return None
    cells = np.full((CELLS, CELLS), np.nan)
    there = np.column_stack([right[inside], front[inside]])
    cells[inside] = np.clip(spline(there), known.min(), known.max())
    return ScalpMap(cells, reach, places, placed)


def _on_a_line(places: np.ndarray) -> bool:
    sizes = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    return bool(sizes[1] < NEARLY_A_LINE * sizes[0])


def flat_places(positions_m: np.ndarray) -> np.ndarray:
    """Places (n, 2), to the right and to the front, of electrodes at (n, 3) metres."""
    away = positions_m - _centre(positions_m)
    across = np.hypot(away[:, 0], away[:, 1])
    angle = np.arctan2(across, away[:, 2]) / (np.pi / 2)
    return away[:, :2] * (angle / np.maximum(across, 1e-12))[:, None]


def _centre(positions_m: np.ndarray) -> np.ndarray:
    """The middle of the sphere nearest to the electrodes; the standard head's where few say it."""
    made = np.column_stack([2 * positions_m, np.full(len(positions_m), 0.1)])
    found, _, rank, _ = np.linalg.lstsq(made, (positions_m**2).sum(axis=1), rcond=WELL_KNOWN)
    radius = np.sqrt(max(0.0, 0.1 * found[3] + (found[:3] ** 2).sum()))
    if rank < 4 or not 0.06 < radius < 0.13:
        return np.array(STANDARD_CENTRE_M)
    return found[:3]
