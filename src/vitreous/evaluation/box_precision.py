"""Average precision and recall of boxes under many weightings of the pictures at once.

The matches are made once (`box_matching`); a resample only weighs the pictures anew.
"""

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.box_matching import SIZES, THRESHOLDS, ClassMatches
from vitreous.evaluation.weighted import Values, Weights, ratio

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO reads precision off at these
PLACE = {name: place for place, name in enumerate(SIZES)}


def average_precisions(matches: ClassMatches, weights: Weights, size: str = "all") -> Values:
    """Average precision at every threshold of overlap, (r, thresholds); NaN without a true box.

    `weights` (r, pictures). Precision is made to fall with recall, and read off at 101 recalls.
    """
    order = np.argsort(-matches.confidences, kind="stable")
    by_answer = weights[:, matches.pictures[order]]
    truths = weights @ matches.truths[PLACE[size]]
    columns = [
        _area(by_answer, truths, matches.right[PLACE[size], place, order],
              matches.ignored[PLACE[size], place, order])
        for place in range(len(THRESHOLDS))
    ]  # fmt: skip
    return np.stack(columns, axis=1)


def _area(
    weights: Weights, truths: Values, right: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> Values:
    """Area under the curve of each weighting; answers come the surest first."""
    defined = np.where(truths > 0, 0.0, np.nan)
    stops = np.flatnonzero(right)
    if not len(stops):
        return defined
    found = np.cumsum(weights[:, stops], axis=1)
    answered = np.cumsum(np.where(ignored, 0.0, weights), axis=1)[:, stops]
    precision = np.divide(found, answered, out=np.zeros_like(found), where=answered > 0)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = found / np.where(truths > 0, truths, np.inf)[:, None]
    passed = np.searchsorted(RECALLS, recall, side="right")  # of the 101, up to each stop
    steps = np.diff(passed, axis=1, prepend=0)
    return defined + (falling * steps).sum(axis=1) / len(RECALLS)


def recalls(matches: ClassMatches, weights: Weights, size: str = "all", most: int = 100) -> Values:
    """Share of the true boxes found at every threshold, (r, thresholds), with the `most` surest
    answers of each picture; NaN without a true box.
    """
    right = matches.right[PLACE[size]] & (matches.ranks < most)
    pictures = matches.truths.shape[1]
    found = np.stack([
        np.bincount(matches.pictures, of_threshold, pictures) for of_threshold in right
    ])  # fmt: skip
    truths = weights @ matches.truths[PLACE[size]]
    return ratio(weights @ found.T, truths[:, None])


def precision_recall_curve(
    matches: ClassMatches, threshold: float = 0.5
) -> tuple[Values, Values, Values]:
    """Recall, precision and confidence after each answer that counts, the surest first.

    The plain curve, not made to fall. `threshold` is one of `THRESHOLDS`. All (answers,), and
    empty where there is no true box.
    """
    place = int(np.argmin(np.abs(THRESHOLDS - threshold)))
    order = np.argsort(-matches.confidences, kind="stable")
    counted = order[~matches.ignored[0, place, order]]
    truths = int(matches.truths[0].sum())
    if not truths:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    found = np.cumsum(matches.right[0, place, counted])
    return (
        found / truths,
        found / np.arange(1, len(counted) + 1),
        matches.confidences[counted],
    )
