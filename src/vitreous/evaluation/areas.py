"""The interval of an AUROC, or of the mean of several: a score interval.

Near 1 the variance of an AUROC falls quickly with the AUROC itself, and a small test set with
hardly a misplaced pair shows next to none. So the variance is that of a curve through the value
asked about, as Wilson's is for a share, and what the bootstrap finds sets its size.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, owens_t

from vitreous.evaluation.intervals import LEVEL, Interval, root, student
from vitreous.evaluation.resampling import Grouping
from vitreous.evaluation.weighted import Values

SCORE_OF_AREA = "score interval of a binormal curve, scaled by the bootstrap over groups"


def binormal_variance(area: float, positives: Values, negatives: Values) -> Values:
    """Sampling variance of an AUROC whose scores are normal, of one variance on both sides.

    Hanley and McNeil 1982, equation 2, with the chance that two positives both lie above one
    negative taken from the bivariate normal distribution with correlation 1/2 (by Owen's T, 1956),
    where they take exponential scores.
    """
    area = min(area, 1 - area)  # the same for both; near 0 no digits are lost
    if area <= 0:
        return np.zeros_like(np.asarray(positives, dtype=np.float64))
    height = ndtri(area)
    both = max(float(ndtr(height) - 2 * owens_t(height, np.sqrt(1 / 3))) - area**2, 0.0)
    return (area * (1 - area) + (positives + negatives - 2) * both) / (positives * negatives)


def misplaced_groups(positive: NDArray[np.bool_], score: Values, groups: Grouping) -> int:
    """How many groups an AUROC's variance is known from: those with a sample on the wrong side.

    Of the positives not above every negative, and of the negatives not below every positive, the
    fewer; 0 for a perfect order.
    """
    if positive.all() or not positive.any():
        return 0
    low = positive & (score <= score[~positive].max())
    high = ~positive & (score >= score[positive].min())
    return min(groups.count_with(low), groups.count_with(high))


def area_interval(
    area: float,
    variance: float,
    positives: Values,
    negatives: Values,
    known_from: int,
    n_groups: int,
    level: float = LEVEL,
) -> Interval:
    """Interval of the mean of k AUROCs with these numbers of samples on both sides, each (k,).

    It holds the areas a with |area - a| <= quantile * sqrt(ratio * binormal variance at a); the
    ratio is that of `variance` (the bootstrap's) to the binormal one at `area` itself. A variance
    known from few misplaced samples is mostly too small: within its own standard error, which is
    sqrt(2 / number) of it, it is drawn up to the binormal one.
    """
    quantile = student(n_groups, level)

    def model(at: float) -> float:
        return float(binormal_variance(at, positives, negatives).mean()) / np.size(positives)

    ratio = 1.0
    if variance > 0 and model(area) > 0:
        ratio = variance / model(area)
        likely = ratio * (1 + np.sqrt(2 / known_from)) if known_from else 1.0
        ratio = max(ratio, min(1.0, likely))

    def inside(at: float) -> float:
        return quantile * float(np.sqrt(ratio * model(at))) - abs(area - at)

    low = root(inside, 0.0, area) if area > 0 else 0.0
    high = 1 - root(lambda rest: inside(1 - rest), 0.0, 1 - area) if area < 1 else 1.0
    return low, high
