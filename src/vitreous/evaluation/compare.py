"""Which of two sets of answers to the same samples is better, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from vitreous.errors import RequestError, unknown_name
from vitreous.evaluation import intervals
from vitreous.evaluation.metrics import CLASS_METRICS, Metric, top_label
from vitreous.evaluation.resampling import RESAMPLES, Grouping, Resampled, grouping, resample
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values
from vitreous.evaluation.weighted import mean as weighted_mean


@dataclass(frozen=True)
class Agreement:
    """On how many samples both, only one or none of the two are right.

    `p` is the exact McNemar test of "each is right alone equally often"; None for grouped samples,
    which it cannot judge.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float | None


@dataclass(frozen=True)
class Comparison:
    """The first against the second on the same samples, by one metric.

    `difference` is first minus second, so that for accuracy a positive one speaks for the first,
    for log loss a negative one; `better` says it in one word, None where the interval holds 0.
    """

    metric: str
    n: int
    n_groups: int | None
    first: float | None
    second: float | None
    difference: Score
    better: str | None
    agreement: Agreement | None  # single-label and multi-label tasks
    verdict: str  # one sentence

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            **vars(self),
            "difference": self.difference.to_json(),
            "agreement": vars(self.agreement) if self.agreement else None,
        }


def compare_paired(
    truth: NDArray[Any],
    first: Values,
    second: Values,
    *,
    groups: Sequence[str | None] | None = None,
    metric: str = "accuracy",
    table: Mapping[str, Metric] = CLASS_METRICS,
    names: tuple[str, str] = ("first", "second"),
    unit: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two sets of answers with a paired bootstrap over groups.

    `first` and `second` are probabilities (n, classes), or numbers (n,), for the same samples in
    the same order; `metric` is a name in `table`, the table of the task (`metrics`). Each resample
    draws the same samples for both, so that what is hard for both cancels out. Raises
    `RequestError` for an unknown metric or shapes that differ.
    """
    if metric not in table:
        raise unknown_name("metric", metric, table)
    if first.shape != second.shape or len(first) != len(truth):
        shapes = f"{first.shape} and {second.shape} for {len(truth)} samples"
        raise RequestError(f"answers to compare must be for the same samples; shapes are {shapes}")
    grouped, rule = grouping(groups, len(truth)), table[metric]
    values = [_defined(rule.value(truth, answers)) for answers in (first, second)]
    difference = _difference(truth, first, second, rule, grouped, unit, seed, resamples)
    better = better_of(difference, names)
    return Comparison(
        metric=metric,
        n=len(truth),
        n_groups=grouped.count if grouped.given else None,
        first=values[0],
        second=values[1],
        difference=difference,
        better=better,
        agreement=(
            _agreement(_right(truth, first), _right(truth, second), grouped)
            if first.ndim == 2
            else None
        ),
        verdict=verdict_of(metric, difference, better, names, len(truth)),
    )


def compare_all(
    truth: NDArray[Any],
    first: Values,
    second: Values,
    *,
    table: Mapping[str, Metric],
    groups: Sequence[str | None] | None = None,
    names: tuple[str, str] = ("first", "second"),
    unit: str | None = None,
    seed: int = 0,
) -> dict[str, Comparison]:
    """`compare_paired` by every metric of a table."""
    return {
        metric: compare_paired(
            truth,
            first,
            second,
            groups=groups,
            metric=metric,
            table=table,
            names=names,
            unit=unit,
            seed=seed,
        )
        for metric in table
    }


def compare_rights(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    groups: Sequence[str | None] | None = None,
    names: tuple[str, str] = ("first", "second"),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare accuracies from which answers were right, of one network or the mean of several.

    Both are (networks, n), true where a network was right about a sample. The interval is over the
    samples (or their groups), paired; how many networks answered them makes it no narrower. Raises
    `RequestError` for other numbers of samples.
    """
    if first.shape[1] != second.shape[1]:
        shapes = f"{first.shape} and {second.shape}"
        raise RequestError(f"answers to compare must be for the same samples; shapes are {shapes}")
    n = first.shape[1]
    grouped, rule = grouping(groups, n), CLASS_METRICS["accuracy"]
    apart = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    drawn = resample(
        lambda weights: weighted_mean(apart, weights), grouped, resamples=resamples, seed=seed
    )
    difference = _scored(drawn, n, rule, grouped, None)
    better = better_of(difference, names)
    alone = len(first) == len(second) == 1
    return Comparison(
        metric="accuracy",
        n=n,
        n_groups=grouped.count if grouped.given else None,
        first=float(first.mean()),
        second=float(second.mean()),
        difference=difference,
        better=better,
        agreement=_agreement(first[0], second[0], grouped) if alone else None,
        verdict=verdict_of("accuracy", difference, better, names, n),
    )


def _difference(
    truth: NDArray[Any],
    first: Values,
    second: Values,
    rule: Metric,
    groups: Grouping,
    unit: str | None,
    seed: int,
    resamples: int,
) -> Score:
    drawn = resample(
        lambda weights: rule.measure(truth, first, weights) - rule.measure(truth, second, weights),
        groups,
        resamples=resamples,
        seed=seed,
    )
    return _scored(drawn, len(truth), rule, groups, unit)


def _scored(drawn: Resampled, n: int, rule: Metric, groups: Grouping, unit: str | None) -> Score:
    shown_unit = unit if rule.has_unit else None
    value = float(drawn.estimate[0])
    if not np.isfinite(value):
        reason = "the metric is undefined on these samples"
        return undefined(reason, intervals.LEVEL, rule.higher_is_better, shown_unit)
    if groups.count < 2:
        method = "no interval: all samples are of one group"
        return Score(value, None, None, intervals.LEVEL, method, rule.higher_is_better, shown_unit)
    # One more sample on which the two differ is always possible (Agresti and Min 2005).
    unseen = 1 / n**2 if rule.share else 0.0
    variance = float(drawn.variance[0]) + unseen
    low, high = intervals.around(value, variance, groups.count)
    method = f"paired; {intervals.STUDENT}"
    return Score(value, low, high, intervals.LEVEL, method, rule.higher_is_better, shown_unit)


def _agreement(right: NDArray[np.bool_], other: NDArray[np.bool_], groups: Grouping) -> Agreement:
    alone, other_alone = int((right & ~other).sum()), int((~right & other).sum())
    discordant = alone + other_alone
    exact = float(binomtest(alone, discordant).pvalue) if discordant else 1.0
    return Agreement(
        both=int((right & other).sum()),
        only_first=alone,
        only_second=other_alone,
        neither=int((~right & ~other).sum()),
        p=exact if groups.single else None,
    )


def _right(truth: NDArray[Any], answers: Values) -> NDArray[np.bool_]:
    if truth.ndim == 1:
        return top_label(answers) == truth
    return ((answers >= 0.5) == truth).all(axis=1)


def better_of(difference: Score, names: tuple[str, str]) -> str | None:
    """The name of the better one; None where the interval holds 0."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return None
    return names[0] if (difference.low > 0) == difference.higher_is_better else names[1]


def verdict_of(
    metric: str, difference: Score, better: str | None, names: tuple[str, str], n: int
) -> str:
    """What a comparison found, in one sentence."""
    if difference.value is None:
        return f"{metric} cannot be compared: {difference.method}"
    size = f"difference in {metric} ({names[0]} minus {names[1]}) {difference}, {n} samples"
    if difference.low is None:
        return f"cannot be told: {size}; all samples are of one group"
    return f"{better} is better: {size}" if better else f"no difference shown: {size}"


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
