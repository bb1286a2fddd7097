"""How far a figure could lie from the truth.

Which interval a figure gets was decided by simulation (`benchmarks/interval_coverage.py`):

- a share of independent samples: Wilson's interval;
- any other figure between 0 and 1 (grouped accuracy, balanced accuracy, F1, AUROC, average
  precision): Wilson's interval with the effective number of samples, from the variance that a
  bootstrap (with few groups also the jackknife) finds. Percentile and BCa intervals were too
  short near 1;
- means without an upper bound (log loss, absolute and squared error): the studentised bootstrap,
  because a few confident mistakes carry most of such a sum;
- the calibration error, whose estimate is too high on small samples: a bootstrap test turned round.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from vitreous.evaluation.resampling import RESAMPLES, Grouping, Resampled, draws
from vitreous.evaluation.weighted import Values, mean_over_defined

LEVEL = 0.95
FEWEST_TO_STUDENTISE = 8  # groups
Interval = tuple[float, float]

WILSON = "Wilson"
EFFECTIVE = "Wilson with the effective number of samples, bootstrap over groups"
STUDENTISED = "studentised bootstrap over groups"
INVERTED = "inverted bootstrap test over groups"
STUDENT = "Student's t with the bootstrap's standard error, over groups"


def wilson(successes: float, trials: float, level: float = LEVEL) -> Interval:
    """Score interval of a share of independent trials (Wilson 1927).

    >>> [round(end, 4) for end in wilson(81, 100)]
    [0.7222, 0.8749]
    """
    if trials <= 0:
        raise ValueError(f"an interval of a share needs at least one trial, not {trials}")
    return _score_interval(successes / trials, trials, float(norm.ppf((1 + level) / 2)))


def effective_share(
    share: float, variance: float, n_groups: int, fewest: float, level: float = LEVEL
) -> Interval:
    """Wilson's interval for a figure in 0 ... 1 with a known sampling variance.

    The effective number of samples is share * (1 - share) / variance (Korn and Graubard 1998 use
    it for shares of grouped samples); the normal quantile becomes Student's with one degree of
    freedom less than groups. Where chance left no variance (nothing is wrong), `fewest`, the
    number of independent samples behind the figure, takes its place.
    """
    spread = share * (1 - share)
    number = spread / variance if spread > 0 and variance > 0 else max(fewest, 1.0)
    return _score_interval(share, number, _student(n_groups, level))


def mean_of_classes(
    per_class: Resampled, class_groups: Values, least_variance: float = 0.0, level: float = LEVEL
) -> Interval:
    """Interval of the mean of figures in 0 ... 1, one a class: balanced accuracy, macro-F1, ...

    `per_class` holds k figures, NaN where undefined (left out of the mean); `class_groups` (k,)
    the number of independent samples of each class. A class without a mistake shows no variance
    in any resample, although its next samples may bring some: it counts with the variance it
    would have at the mean figure.
    """
    defined = ~np.isnan(per_class.estimate)
    share = float(per_class.estimate[defined].mean())
    means = per_class.turned(lambda values: mean_over_defined(values[:, defined])[:, None])
    silent = defined & (per_class.variance == 0)
    unseen = share * (1 - share) * float((1 / class_groups[silent]).sum()) / defined.sum() ** 2
    fewest = defined.sum() ** 2 / float((1 / class_groups[defined]).sum())
    variance = max(float(means.variance[0]) + unseen, least_variance)
    return effective_share(share, variance, per_class.n_groups, float(fewest), level)


def area_variance(area: float, positives: float, negatives: float) -> float:
    """Variance of an AUROC by Hanley and McNeil (1982), equation 2, with exponential scores."""
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    return (
        area * (1 - area)
        + (positives - 1) * (two_positives - area**2)
        + (negatives - 1) * (two_negatives - area**2)
    ) / (positives * negatives)


def mean_over_groups(
    values: Values,
    groups: Grouping,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Studentised bootstrap interval of a mean over samples, (n,), drawn by group.

    Efron and Tibshirani 1993, section 12.5, with the standard error of a ratio of group sums.
    For values that are not negative. With fewer than 8 groups too many resamples draw one group
    alone and have no spread; Student's interval of the logarithm stands in.
    """
    sums = np.bincount(groups.numbers, values, groups.count).astype(np.float64, copy=False)
    sizes = np.bincount(groups.numbers, minlength=groups.count).astype(np.float64)
    mean, error = (float(each[0]) for each in _ratio(np.ones((1, groups.count)), sums, sizes))
    if groups.count < FEWEST_TO_STUDENTISE:
        return _around_logarithm(mean, error, groups.count, level)
    rows = max(1, 1_000_000 // groups.count)
    drawn = [_ratio(each, sums, sizes) for each in draws(groups.count, resamples, rows, seed)]
    means, errors = (np.concatenate(part) for part in zip(*drawn, strict=True))
    usable = errors > 1e-6 * error
    if error <= 1e-12 * mean or not usable.any():
        return mean, mean
    deviations = (means[usable] - mean) / errors[usable]
    low, high = np.quantile(deviations, [(1 - level) / 2, (1 + level) / 2])
    return mean - max(float(high), 0.0) * error, mean - min(float(low), 0.0) * error


def _around_logarithm(mean: float, error: float, n_groups: int, level: float) -> Interval:
    if mean <= 0 or error <= 1e-12 * mean:
        return mean, mean
    factor = float(np.exp(_student(n_groups, level) * error / mean))
    return mean / factor, mean * factor


def _ratio(multiplicities: Values, sums: Values, sizes: Values) -> tuple[Values, Values]:
    """Mean over samples and its standard error, each (r,), with the groups drawn so often."""
    n = multiplicities @ sizes
    mean = (multiplicities @ sums) / n
    moments = np.stack([sums**2, sums * sizes, sizes**2], axis=1)
    square, cross, size = (multiplicities @ moments).T
    count = len(sums)
    variance = np.maximum(square - 2 * mean * cross + mean**2 * size, 0.0) / n**2
    return mean, np.sqrt(variance * count / max(count - 1, 1))


def calibration_error_interval(
    bins: NDArray[np.int64],
    gap: Values,
    groups: Grouping,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of the expected calibration error, a sum over the bins of |summed gap| / n.

    Chance adds to every |gap|, so that the estimate of a small, well calibrated test set is too
    high, and its bootstrap twice so. Instead, the observed gaps are shrunk or stretched by one
    factor c, and the interval holds the errors of those c under which the observed estimate is no
    surprise (bootstrap test inversion, Carpenter 1999). It starts at 0 where chance alone explains
    the estimate, and always holds the estimate itself.
    """
    size = int(bins.max()) + 1
    by_group = np.bincount(groups.numbers * size + bins, gap, minlength=groups.count * size)
    by_group = by_group.reshape(groups.count, size)
    total, n = by_group.sum(axis=0), len(gap)
    rows = max(1, 1_000_000 // groups.count)
    noise = [each @ by_group - total for each in draws(groups.count, resamples, rows, seed)]
    noise = np.concatenate(noise) * np.sqrt(groups.count / max(groups.count - 1, 1))
    observed = float(np.abs(total).sum())

    def surprise(factor: float, quantile: float) -> float:
        under = np.abs(factor * total + noise).sum(axis=1)
        return float(np.quantile(under, quantile)) - observed

    low = _root(lambda factor: surprise(factor, (1 + level) / 2))
    high = _root(lambda factor: surprise(factor, (1 - level) / 2))
    return min(low, 1.0) * observed / n, min(max(high, 1.0) * observed / n, 1.0)


def _root(rising: Callable[[float], float], highest: float = 8.0) -> float:
    """Where a rising function crosses zero between 0 and `highest`; 0 where it starts above."""
    low, high = 0.0, highest
    if rising(low) >= 0:
        return low
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def around(value: float, variance: float, n_groups: int, level: float = LEVEL) -> Interval:
    """value +- Student's quantile * standard error: for figures without a bound nearby."""
    half = _student(n_groups, level) * float(np.sqrt(variance))
    return value - half, value + half


def bootstrap(
    resampled: Resampled, level: float = LEVEL, *, share: bool = False
) -> list[Interval | None]:
    """An interval for each number of any statistic: `bootstrap(resample(statistic, groups))`.

    `share` says that the numbers lie in 0 ... 1. None where a number is undefined, or where there
    is one group only.
    """
    one = effective_share if share else lambda value, v, g, _, level: around(value, v, g, level)
    return [
        one(float(value), float(variance), resampled.n_groups, resampled.n_groups, level)
        if resampled.n_groups > 1 and np.isfinite(value) and np.isfinite(variance)
        else None
        for value, variance in zip(resampled.estimate, resampled.variance, strict=True)
    ]


def _score_interval(share: float, trials: float, quantile: float) -> Interval:
    square = quantile**2 / trials
    centre = (share + square / 2) / (1 + square)
    half = quantile * np.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    low, high = max(0.0, centre - float(half)), min(1.0, centre + float(half))
    return min(low, share), max(high, share)  # not past the share itself by rounding


def _student(n_groups: int, level: float) -> float:
    return float(t.ppf((1 + level) / 2, max(n_groups - 1, 1)))
