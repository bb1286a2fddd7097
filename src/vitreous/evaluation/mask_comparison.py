"""One true mask beside the answer: pixels by class, and how far their borders lie apart.

Works in any number of dimensions: pictures (height, width) and volumes (depth, height, width).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError

TOLERANCE = 0.0075  # of the picture's diagonal: within it a border is found (Csurka et al. 2013)
PERCENTILE = 95.0

Mask = NDArray[np.integer]


@dataclass(frozen=True)
class MaskComparison:
    """What one picture or volume says. Everything that figures need, without the pixels.

    `confusion[i, j]` counts pixels of class i that were answered as j. The others are (classes,):
    border points of the answer that lie near a true one and all of them, true border points near
    the answer's and all of them, and the 95 % Hausdorff distance, in the unit of the spacing:
    NaN where the class is neither there nor answered.
    """

    confusion: NDArray[np.int64]  # (classes, classes)
    answer_near: NDArray[np.int64]
    answer_border: NDArray[np.int64]
    truth_near: NDArray[np.int64]
    truth_border: NDArray[np.int64]
    hausdorff: NDArray[np.float64]


def compare_masks(
    truth: Mask,
    answer: Mask,
    classes: int,
    *,
    ignore: int = IGNORE,
    spacing: Sequence[float] | None = None,
    tolerance: float | None = None,
    borders: bool = True,
) -> MaskComparison:
    """Compare an answer with the truth; both hold class numbers, of one shape.

    Without `borders` pixels alone are counted, in a hundredth of the time; nothing is said of
    borders and distances then.

    Where `truth` is `ignore` nothing counts. `spacing` is the distance between neighbours along
    each axis (mm), 1 (pixels) by default; `tolerance`, in the same unit, is how far a border may
    lie off to be found, by default 0.75 % of the diagonal.

    Border points are those of a class beside another class (see `border`); for the Hausdorff
    distance the frame closes a thing that reaches it, as in torchmetrics and MONAI. The 95 %
    Hausdorff distance is the larger of the 95th percentiles of both directions' distances. Where a
    class is on one side only, it is the diagonal: the worst there is, so that not answering does
    not pay. Raises `RequestError` where shapes or numbers do not fit.
    """
    _require_fit(truth, answer, classes, ignore)
    steps = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if steps.shape != (truth.ndim,) or not (steps > 0).all():
        raise RequestError(f"spacing {spacing}: give a distance above 0 for each of {truth.ndim} "
                           "axes")  # fmt: skip
    diagonal = float(np.linalg.norm(steps * truth.shape))
    reach = TOLERANCE * diagonal if tolerance is None else tolerance
    valid = truth != ignore
    confusion = np.bincount(
        truth[valid].astype(np.int64) * classes + answer[valid], minlength=classes**2
    ).reshape(classes, classes)
    counts = np.zeros((4, classes), np.int64)
    hausdorff = np.full(classes, np.nan)
    there, answered = confusion.sum(axis=1) > 0, confusion.sum(axis=0) > 0
    for place in np.flatnonzero((there | answered) & borders):
        true_region, answered_region = (truth == place) & valid, (answer == place) & valid
        counts[:, place] = _found(true_region, answered_region, valid, steps, reach)
        hausdorff[place] = diagonal
        if there[place] and answered[place]:
            hausdorff[place] = hausdorff_distance(true_region, answered_region, steps)
    answer_near, answer_border, truth_near, truth_border = counts
    return MaskComparison(
        confusion, answer_near, answer_border, truth_near, truth_border, hausdorff
    )


def hausdorff_distance(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    percentile: float = PERCENTILE,
) -> float:
    """The larger of both directions' percentiles of the distances between two regions' surfaces.

    Neither may be empty. A percentile of 100 gives the Hausdorff distance itself.
    """
    everywhere = np.ones(first.shape, bool)
    surfaces = [
        np.argwhere(border(region, everywhere, closed=True)) * spacing for region in (first, second)
    ]
    return max(
        float(np.percentile(_distances(one, other), percentile))
        for one, other in (surfaces, surfaces[::-1])
    )


def border(
    region: NDArray[np.bool_], valid: NDArray[np.bool_], closed: bool = False
) -> NDArray[np.bool_]:
    """The pixels of a region that share a side with a valid pixel outside it.

    `closed`: those at the frame belong to it, too. A neighbour that is not valid says nothing.
    """
    found = np.zeros(region.shape, bool)
    outside = ~region & valid
    for axis in range(region.ndim):
        ahead, behind = _slices(region.ndim, axis)
        found[ahead] |= outside[behind]
        found[behind] |= outside[ahead]
        if closed:
            for end in (0, -1):
                found[(slice(None),) * axis + (end,)] = True
    return found & region & valid


def _slices(axes: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the first and all but the last along an axis."""
    every = [slice(None)] * axes
    ahead, behind = every.copy(), every.copy()
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return tuple(ahead), tuple(behind)


def _found(
    truth: NDArray[np.bool_],
    answer: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    reach: float,
) -> tuple[int, int, int, int]:
    """Answered border points near a true one, and all; true ones near an answered one, and all."""
    true_points, answered_points = (
        np.argwhere(border(region, valid)) * spacing for region in (truth, answer)
    )
    return (
        _near(answered_points, true_points, reach),
        len(answered_points),
        _near(true_points, answered_points, reach),
        len(true_points),
    )


def _near(points: NDArray[np.float64], others: NDArray[np.float64], reach: float) -> int:
    if not len(points) or not len(others):
        return 0
    return int((_distances(points, others) <= reach + 1e-9).sum())


def _distances(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each point to the nearest of the others."""
    return KDTree(others).query(points)[0]


def _require_fit(truth: Mask, answer: Mask, classes: int, ignore: int) -> None:
    if truth.shape != answer.shape or not truth.ndim:
        raise RequestError(
            f"a truth of shape {truth.shape} and an answer of {answer.shape}; give masks of one "
            "shape"
        )
    for what, mask in (("truth", truth), ("answer", answer)):
        numbers = mask[truth != ignore]
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            raise RequestError(
                f"the {what} has the class numbers {numbers.min()} to {numbers.max()}, but there "
                f"are {classes} classes"
            )
