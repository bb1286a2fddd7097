"""From a figure on resamples to a score: which interval it gets, and what is said without one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation import intervals
from vitreous.evaluation.intervals import Interval
from vitreous.evaluation.resampling import RESAMPLES, Grouping, Resampled
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values

MOST_PASSES = 3_000_000_000  # samples * classes * resamples: about a minute on one core
FEWEST_RESAMPLES = 100  # give a standard error to within 7 %


@dataclass(frozen=True)
class Sampling:
    """What the intervals rest on: the groups, the seed of the draws, their number, the level."""

    groups: Grouping
    seed: int = 0
    resamples: int = RESAMPLES
    level: float = intervals.LEVEL


def affordable(sampling: Sampling, n: int, classes: int) -> dict[str, int]:
    """How many resamples to draw of n samples, and their seed: fewer where each takes long."""
    most = max(FEWEST_RESAMPLES, MOST_PASSES // max(n * classes, 1))
    return {"resamples": min(sampling.resamples, most), "seed": sampling.seed}


def share_score(
    higher_is_better: bool,
    outcomes: NDArray[np.bool_],
    drawn: Resampled,
    sampling: Sampling,
    reason: str = "no sample",
) -> Score:
    """A share: Wilson's interval where samples are independent, else by the bootstrap."""
    if len(outcomes) == 0:
        return undefined(reason, sampling.level, higher_is_better)
    if not sampling.groups.single:
        fewest = min(len(outcomes), sampling.groups.count)
        return bounded_score(higher_is_better, drawn, sampling, fewest, reason)
    ends = intervals.wilson(float(outcomes.sum()), len(outcomes), sampling.level)
    return scored(higher_is_better, float(outcomes.mean()), ends, intervals.WILSON, sampling)


def bounded_score(
    higher_is_better: bool,
    drawn: Resampled,
    sampling: Sampling,
    fewest: int,
    reason: str,
) -> Score:
    """One figure in 0 ... 1 that is no plain share of independent samples.

    `fewest` is the number of independent samples behind it, `reason` why it may be undefined.
    """
    value = float(drawn.estimate[0])
    if not np.isfinite(value):
        return undefined(reason, sampling.level, higher_is_better)
    if sampling.groups.count < 2:
        return without_interval(higher_is_better, value, sampling)
    variance = float(np.nan_to_num(drawn.variance[0]))
    ends = intervals.effective_share(value, variance, sampling.groups.count, fewest, sampling.level)
    return scored(higher_is_better, value, ends, intervals.EFFECTIVE, sampling)


def mean_of_classes(
    per_class: Resampled,
    class_groups: Values,
    sampling: Sampling,
    higher_is_better: bool,
    reason: str,
) -> Score:
    """The mean over the classes of figures in 0 ... 1; undefined ones are left out.

    `class_groups` (classes,) is the number of independent samples of each class.
    """
    defined = ~np.isnan(per_class.estimate)
    if not defined.any():
        return undefined(reason, sampling.level, higher_is_better)
    value = float(per_class.estimate[defined].mean())
    if per_class.n_groups < 2:
        return without_interval(higher_is_better, value, sampling)
    ends = intervals.mean_of_classes(per_class, class_groups, sampling.level)
    return scored(higher_is_better, value, ends, intervals.OF_MEAN, sampling)


def mean_score(
    higher_is_better: bool, values: Values, sampling: Sampling, unit: str | None
) -> Score:
    """A mean that is never negative and has no upper bound."""
    value = float(values.mean())
    if sampling.groups.count < 2:
        return without_interval(higher_is_better, value, sampling, unit)
    low, high = intervals.mean_over_groups(
        values,
        sampling.groups,
        level=sampling.level,
        resamples=sampling.resamples,
        seed=sampling.seed,
    )
    ends = (max(0.0, low), high)
    return scored(higher_is_better, value, ends, intervals.STUDENTISED, sampling, unit)


def scored(
    higher_is_better: bool,
    value: float,
    ends: Interval,
    method: str,
    sampling: Sampling,
    unit: str | None = None,
) -> Score:
    """A value with its interval, which always holds it."""
    low, high = min(ends[0], value), max(ends[1], value)  # apart by rounding alone
    return Score(value, low, high, sampling.level, method, higher_is_better, unit)


def without_interval(
    higher_is_better: bool, value: float, sampling: Sampling, unit: str | None = None
) -> Score:
    """A value of which one group cannot say how far it may lie from the truth."""
    method = "no interval: all samples are of one group"
    return Score(value, None, None, sampling.level, method, higher_is_better, unit)
