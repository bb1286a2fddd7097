"""Labels that are likely wrong, by confident learning."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.weighted import Values


@dataclass(frozen=True)
class LabelError:
    """A sample whose given label the network confidently contradicts.

    `score` is p(suggested) - p(given), the margin by which it does: 0 to 1, highest first.
    """

    index: int
    given: int
    suggested: int
    score: float


def likely_label_errors(truth: NDArray[np.int64], probabilities: Values) -> list[LabelError]:
    """Samples that likely carry the wrong label, the likeliest first.

    Confident learning (Northcutt, Jiang and Chuang 2021, section 3): the threshold of a class is
    the mean probability that its own samples get for it. A sample counts as confidently of the
    most probable class among those whose threshold it reaches; where that is not the class it is
    given as, it lies off the diagonal of the confident joint, and is returned. The order is that
    of the normalised margin.

    `truth` (n,) are the given labels, `probabilities` (n, classes) must come from a network that
    was not trained on these samples (validation, test or cross-validation).
    """
    suggested = confident_class(truth, probabilities)
    rows = np.flatnonzero((suggested >= 0) & (suggested != truth))
    margins = probabilities[rows, suggested[rows]] - probabilities[rows, truth[rows]]
    found = [
        LabelError(int(row), int(truth[row]), int(suggested[row]), float(margin))
        for row, margin in zip(rows, margins, strict=True)
        if margin > 0
    ]
    return sorted(found, key=lambda error: (-error.score, error.index))


def confident_class(truth: NDArray[np.int64], probabilities: Values) -> NDArray[np.int64]:
    """The class each sample is confidently of, (n,); -1 where it reaches no threshold."""
    classes = probabilities.shape[1]
    own = np.take_along_axis(probabilities, truth[:, None], axis=1)[:, 0]
    n = np.bincount(truth, minlength=classes)
    total = np.bincount(truth, own, minlength=classes)
    thresholds = np.divide(total, n, out=np.full(classes, np.inf), where=n > 0)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    return np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
