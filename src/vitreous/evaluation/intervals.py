"""How far a figure could lie from the truth.

Which interval a figure gets was decided by simulation (`benchmarks/interval_coverage.py`):

- a share of independent samples: Wilson's interval;
- any other figure between 0 and 1 (grouped accuracy, F1, average precision): Wilson's interval
  with the effective number of samples, from the variance that a bootstrap (with few groups also
  the jackknife) finds. The mean of such figures over the classes: the score interval that is
  Wilson's where there is one class;
- AUROC: a score interval with a variance of its own (`areas`);
- means without an upper bound (log loss, absolute and squared error): the studentised bootstrap
  of Hall's transformed t, because a few confident mistakes carry most of such a sum;
- the calibration error, which chance lifts above the truth on small samples: no interval, but what
  chance alone would bring to calibrated answers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from vitreous.evaluation.resampling import RESAMPLES, Grouping, Resampled, draws
from vitreous.evaluation.weighted import Values, mean_over_defined

LEVEL = 0.95
FEWEST_TO_STUDENTISE = 8  # groups
ROUNDING = 1e-9  # of a share's spread: a variance below it is that of rounding, not of samples
Interval = tuple[float, float]

WILSON = "Wilson"
EFFECTIVE = "Wilson with the effective number of samples, bootstrap over groups"
OF_MEAN = "score interval of a mean of shares, bootstrap over groups"
STUDENTISED = "studentised bootstrap over groups, of Hall's transformed t"
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
    number = spread / variance if variance > ROUNDING * spread > 0 else max(fewest, 1.0)
    return _score_interval(share, number, student(n_groups, level))


def mean_of_classes(per_class: Resampled, class_groups: Values, level: float = LEVEL) -> Interval:
    """Interval of the mean of figures in 0 ... 1, one a class: balanced accuracy, macro-F1, ...

    `per_class` holds k figures, NaN where undefined (left out of the mean); `class_groups` (k,)
    the number of independent samples of each class. Each figure counts as a share of its
    effective number of samples; a class without a mistake shows no variance in any resample, and
    counts with its samples, and so does one whose samples are all of one group. A mean is in the
    interval where the k shares of that mean that are the likeliest, seen what was seen, do not make
    the mean that was seen a surprise (the score test of Miettinen and Nurminen 1985, there for a
    difference). With one class it is Wilson's interval.
    """
    defined = ~np.isnan(per_class.estimate)
    shares, variances = per_class.estimate[defined], np.nan_to_num(per_class.variance[defined])
    variances = np.where(variances > ROUNDING * shares * (1 - shares), variances, 0.0)
    means = per_class.turned(lambda values: mean_over_defined(values[:, defined])[:, None])
    spread, seen = shares * (1 - shares), float(variances.sum())
    shows = (spread > 0) & (variances > 0)
    trials = np.where(shows, spread / np.where(shows, variances, 1.0), class_groups[defined])
    # Figures that go up and down together (F1 of two classes) make a mean less certain.
    together = float(means.variance[0]) * len(shares) ** 2 / seen if seen > 0 else 1.0
    mean, quantile = float(shares.mean()), student(per_class.n_groups, level)

    def end(side: float) -> float:
        def surprise(exponent: float) -> float:
            likeliest = _tilted(shares, trials, side * 10.0**exponent)
            variance = together * float((likeliest * (1 - likeliest) / trials).sum())
            deviation = quantile * float(np.sqrt(variance)) / len(shares)
            return abs(float(likeliest.mean()) - mean) - deviation - 1e-12  # not yet moved: inside

        return float(_tilted(shares, trials, side * 10.0 ** root(surprise, -8.0, 9.0)).mean())

    return max(0.0, min(end(1), mean)), min(1.0, max(end(-1), mean))


def _tilted(shares: Values, trials: Values, strength: float) -> Values:
    """The likeliest shares (k,) of a lower (strength > 0) or a higher mean (strength < 0).

    Lagrange's condition x / p - (n - x) / (1 - p) = strength of k binomial likelihoods, solved
    for p in a form that loses no digits.
    """
    linear = trials + strength
    root_of = np.sqrt(np.maximum(linear**2 - 4 * strength * shares * trials, 0.0))
    below = linear >= 0
    divisor = np.where(below, linear + root_of, 1.0)
    tilted = np.where(below, 2 * shares * trials / divisor, (linear - root_of) / (2 * strength))
    return np.clip(tilted, 0.0, 1.0)  # not past the ends by rounding


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

    Efron and Tibshirani 1993, section 12.5, with the standard error of a ratio of group sums. The
    t is Hall's (1992): a cubic of it, monotone, that takes its skewness away. Few groups seldom
    hold the heavy ones, so that the bootstrap sees too little of the tail: where Student's
    quantile is farther out, it counts. For values that are not negative. With fewer than 8 groups
    too many resamples draw one group alone and have no spread; Student's interval of the logarithm
    stands in.
    """
    sums = np.bincount(groups.numbers, values, groups.count).astype(np.float64, copy=False)
    sizes = np.bincount(groups.numbers, minlength=groups.count).astype(np.float64)
    mean = float(sums.sum() / sizes.sum())
    apart = sums - mean * sizes  # about the mean, so that the cubes keep their digits
    _, error, skewness = (
        float(each[0]) for each in _moments(np.ones((1, groups.count)), apart, sizes)
    )
    if groups.count < FEWEST_TO_STUDENTISE:
        return _around_logarithm(mean, error, groups.count, level)
    if error <= 1e-12 * mean:
        return mean, mean
    rows = max(1, 1_000_000 // groups.count)
    drawn = [_moments(each, apart, sizes) for each in draws(groups.count, resamples, rows, seed)]
    shift, errors, skewnesses = (np.concatenate(part) for part in zip(*drawn, strict=True))
    usable = errors > 1e-6 * error
    quantile = student(groups.count, level)
    low, high = -quantile, quantile
    if usable.any():
        deviation = shift[usable] / errors[usable]
        transformed = _without_skewness(deviation, skewnesses[usable], groups.count)
        ends = np.quantile(transformed, [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    low, high = (_with_skewness(end, skewness, groups.count) for end in (low, high))
    return mean - max(high, 0.0) * error, mean - min(low, 0.0) * error


def _without_skewness(deviation: Values, skewness: Values, count: int) -> Values:
    """Hall's transformed t (Hall 1992, Journal of the Royal Statistical Society B 54, 221)."""
    t_over = deviation / np.sqrt(count)
    cubic = t_over + skewness * t_over**2 / 3 + skewness**2 * t_over**3 / 27
    return np.sqrt(count) * (cubic + skewness / (6 * count))


def _with_skewness(transformed: float, skewness: float, count: int) -> float:
    """The t that `_without_skewness` makes into `transformed`."""
    cubic = transformed / np.sqrt(count) - skewness / (6 * count)
    if abs(skewness) < 1e-6:
        return float(np.sqrt(count) * cubic)
    return float(np.sqrt(count) * 3 * (np.cbrt(1 + skewness * cubic) - 1) / skewness)


def _around_logarithm(mean: float, error: float, n_groups: int, level: float) -> Interval:
    if mean <= 0 or error <= 1e-12 * mean:
        return mean, mean
    factor = float(np.exp(student(n_groups, level) * error / mean))
    return mean / factor, mean * factor


def _moments(multiplicities: Values, apart: Values, sizes: Values) -> tuple[Values, Values, Values]:
    """Mean over samples, its standard error and the groups' skewness, each (r,).

    The groups, with these sums `apart` and `sizes`, are drawn so often.
    """
    n, count = multiplicities @ sizes, len(apart)
    mean = (multiplicities @ apart) / n
    columns = [apart ** (3 - power) * sizes**power for power in range(4)]
    columns += [apart ** (2 - power) * sizes**power for power in range(3)]
    a3, a2s, as2, s3, a2, a1s, s2 = (multiplicities @ np.stack(columns, axis=1)).T / count
    second = np.maximum(a2 - 2 * mean * a1s + mean**2 * s2, 0.0)
    third = a3 - 3 * mean * a2s + 3 * mean**2 * as2 - mean**3 * s3
    error = np.sqrt(second / max(count - 1, 1)) * count / n
    defined = second > 0
    skewness = np.where(defined, third, 0.0) / np.where(defined, second, 1.0) ** 1.5
    return mean, error, skewness * np.sqrt(count * (count - 1)) / max(count - 2, 1)


def calibration_error_by_chance(
    bins: NDArray[np.int64],
    confidence: Values,
    gap: Values,
    groups: Grouping,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """What the expected calibration error of calibrated answers stays under in `level` of the sets.

    Calibrated answers of these confidences are right in each bin as often as a draw with the mean
    confidence says (J. Bröcker and L. Smith, "Increasing the reliability of reliability diagrams",
    2007). Samples of a group are right or wrong together: then the chance is that of drawing whole
    groups again, where that is more. `bins`, `confidence` and `gap` (confidence minus outcome) are
    (n,).
    """
    used, bins = np.unique(bins, return_inverse=True)
    size, n = len(used), len(gap)
    count = np.bincount(bins, minlength=size)
    stated = np.clip(np.bincount(bins, confidence, minlength=size) / count, 0.0, 1.0)
    random = np.random.default_rng([seed, 1])
    right = random.binomial(count, stated, size=(resamples, size))
    alone = float(np.quantile(np.abs(right - count * stated).sum(axis=1), level))
    if groups.single:
        return alone / n
    by_group = np.bincount(groups.numbers * size + bins, gap, minlength=groups.count * size)
    by_group = by_group.reshape(groups.count, size)
    by_group = by_group - by_group.mean(axis=0)  # of calibrated answers, the mean gap is nought
    rows = max(1, 1_000_000 // groups.count)
    noise = [each @ by_group for each in draws(groups.count, resamples, rows, seed)]
    widened = np.sqrt(groups.count / max(groups.count - 1, 1))
    widened *= student(groups.count, level) / norm.ppf((1 + level) / 2)
    together = float(np.quantile(np.abs(np.concatenate(noise)).sum(axis=1), level)) * widened
    return min(max(alone, together) / n, 1.0)


def root(rising: Callable[[float], float], low: float, high: float, halvings: int = 30) -> float:
    """Where a rising function crosses zero between `low` and `high`; `low` where it starts above.

    >>> round(root(lambda x: x**2 - 2, 0, 2), 6)
    1.414214
    """
    if rising(low) >= 0:
        return low
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def around(value: float, variance: float, n_groups: int, level: float = LEVEL) -> Interval:
    """value +- Student's quantile * standard error: for figures without a bound nearby."""
    half = student(n_groups, level) * float(np.sqrt(variance))
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


def student(n_groups: int, level: float) -> float:
    """Student's two-sided quantile with one degree of freedom less than groups."""
    return float(t.ppf((1 + level) / 2, max(n_groups - 1, 1)))
