"""Every figure of one set of answers, with its interval: the same for a network and a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation import areas, intervals, metrics, weighted
from vitreous.evaluation.metrics import Metric
from vitreous.evaluation.resampling import Resampled, resample
from vitreous.evaluation.scored import (
    Sampling,
    affordable,
    bounded_score,
    mean_of_classes,
    mean_score,
    scored,
    share_score,
    without_interval,
)
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values, Weights

__all__ = ["ClassScores", "Figures", "Sampling", "class_figures", "label_figures", "number_figures"]

NO_CALIBRATION_INTERVAL = "no interval: chance lifts it; compare it with that of calibrated answers"


@dataclass(frozen=True)
class ClassScores:
    """One row of the table of classes; `n` counts the true samples."""

    name: str
    n: int
    precision: Score
    recall: Score
    f1: Score
    auroc: Score
    average_precision: Score | None = None  # multi-label only

    def to_json(self) -> dict[str, Any]:
        """The row as `evaluation.json` has it."""
        scores = {
            name: getattr(self, name).to_json()
            for name in ("precision", "recall", "f1", "auroc", "average_precision")
            if getattr(self, name) is not None
        }
        return {"class": self.name, "n": self.n, **scores}


@dataclass(frozen=True)
class Figures:
    """The metrics by name, and the table of classes (empty for numbers)."""

    metrics: dict[str, Score]
    per_class: tuple[ClassScores, ...] = ()


def class_figures(
    truth: NDArray[np.int64], predicted: Values, classes: Sequence[str], sampling: Sampling
) -> Figures:
    """Figures of a single-label task: `truth` (n,), `predicted` probabilities (n, classes)."""
    k = len(classes)

    def statistic(weights: Weights) -> Values:
        counts = metrics.class_counts(truth, predicted, weights)
        accuracy = metrics.accuracy(truth, predicted, weights)[:, None]
        areas = metrics.auroc_per_class(truth, predicted, weights)
        return np.hstack([*_recall_precision_f1(counts), areas, accuracy])

    drawn = resample(statistic, sampling.groups, **affordable(sampling, len(truth), k))
    parts = _Parts(drawn, truth[:, None] == np.arange(k), _one_hot(predicted), predicted, sampling)
    table = _table(parts, classes)
    hits = metrics.top_label(predicted) == truth
    loss = -np.log(metrics.probability_of_truth(truth, predicted))
    confidence, gap = predicted.max(axis=1), predicted.max(axis=1) - hits
    figures = {
        "accuracy": share_score(
            metrics.CLASS_METRICS["accuracy"].higher_is_better,
            hits,
            drawn.columns(4 * k, 4 * k + 1),
            sampling,
        ),
        "balanced_accuracy": parts.macro(metrics.CLASS_METRICS["balanced_accuracy"], 0),
        "macro_f1": parts.macro(metrics.CLASS_METRICS["macro_f1"], 2),
        "auroc": table[1].auroc if k == 2 else parts.area(metrics.CLASS_METRICS["auroc"]),
        "log_loss": mean_score(
            metrics.CLASS_METRICS["log_loss"].higher_is_better, loss, sampling, "nats"
        ),
        "ece": _calibration(confidence, gap, sampling),
    }
    return Figures(figures, table)


def label_figures(
    truth: NDArray[np.bool_], predicted: Values, classes: Sequence[str], sampling: Sampling
) -> Figures:
    """Figures of a multi-label task: `truth` and `predicted` probabilities (n, classes)."""
    k, table = len(classes), metrics.LABEL_METRICS

    def statistic(weights: Weights) -> Values:
        counts = metrics.label_counts(truth, predicted, weights)
        areas = metrics.label_auroc_per_class(truth, predicted, weights)
        precisions = metrics.average_precision_per_class(truth, predicted, weights)
        micro = metrics.label_micro_f1(truth, predicted, weights)[:, None]
        exact = metrics.exact_match(truth, predicted, weights)[:, None]
        return np.hstack([*_recall_precision_f1(counts), areas, precisions, micro, exact])

    drawn = resample(statistic, sampling.groups, **affordable(sampling, len(truth), k))
    parts = _Parts(drawn, truth, predicted >= 0.5, predicted, sampling)
    exact = ((predicted >= 0.5) == truth).all(axis=1)
    last = drawn.estimate.shape[0]
    figures = {
        "mean_average_precision": parts.macro(table["mean_average_precision"], 4),
        "auroc": parts.area(table["auroc"]),
        "macro_f1": parts.macro(table["macro_f1"], 2),
        "micro_f1": bounded_score(
            table["micro_f1"].higher_is_better,
            drawn.columns(last - 2, last - 1),
            sampling,
            sampling.groups.count,
            "no label in the truth or in the answers",
        ),
        "exact_match": share_score(
            table["exact_match"].higher_is_better, exact, drawn.columns(last - 1, last), sampling
        ),
    }
    return Figures(figures, _table(parts, classes))


def number_figures(
    truth: Values, predicted: Values, unit: str | None, sampling: Sampling
) -> Figures:
    """Figures of a regression: `truth` and `predicted` (n,), in `unit`."""
    table, error = metrics.NUMBER_METRICS, predicted - truth
    squared = mean_score(table["rmse"].higher_is_better, error**2, sampling, unit)
    fit = resample(
        lambda weights: metrics.r_squared(truth, predicted, weights),
        sampling.groups,
        **affordable(sampling, len(truth), 1),
    )
    return Figures(
        {
            "mae": mean_score(table["mae"].higher_is_better, np.abs(error), sampling, unit),
            "rmse": _root(squared),
            "r2": _explained(table["r2"], fit, sampling),
        }
    )


AREAS = 3  # the place of the block of AUROCs
_NO_CLASS = "no class has both samples of its own and others"


@dataclass(frozen=True)
class _Parts:
    """Blocks of k columns (recall, precision, F1, AUROC, average precision), drawn together."""

    drawn: Resampled
    member: NDArray[np.bool_]  # (n, k): the sample is of the class
    answer: NDArray[np.bool_]  # (n, k): the sample is answered so
    scores: Values  # (n, k): its probability
    sampling: Sampling

    def block(self, place: int) -> Resampled:
        k = self.member.shape[1]
        return self.drawn.columns(place * k, (place + 1) * k)

    def groups_with(self, member: NDArray[np.bool_]) -> Values:
        count = self.sampling.groups.count_with
        return np.array([count(column) for column in member.T], dtype=np.float64)

    def macro(self, metric: Metric, place: int) -> Score:
        """The mean over the classes of one block, where there is more than one group."""
        block, groups = self.block(place), self.groups_with(self.member)
        return mean_of_classes(
            block, np.maximum(groups, 1), self.sampling, metric.higher_is_better, _NO_CLASS
        )

    def area(self, metric: Metric, place: int | None = None, reason: str = _NO_CLASS) -> Score:
        """The AUROC of one class, or the mean of all that have one."""
        block, sampling = self.block(AREAS), self.sampling
        of_all = np.arange(len(block.estimate)) if place is None else np.array([place])
        chosen = of_all[~np.isnan(block.estimate[of_all])]
        if len(chosen) == 0:
            return undefined(reason, sampling.level, metric.higher_is_better)
        mean = block.turned(lambda values: weighted.mean_over_defined(values[:, chosen])[:, None])
        value = float(mean.estimate[0])
        if block.n_groups < 2:
            return without_interval(metric.higher_is_better, value, sampling)
        positives = self.member[:, chosen].sum(axis=0)
        ends = areas.area_interval(
            value,
            float(np.nan_to_num(mean.variance[0])),
            positives,
            len(self.member) - positives,
            sum(self.misplaced[one] for one in chosen),
            block.n_groups,
            sampling.level,
        )
        return scored(metric.higher_is_better, value, ends, areas.SCORE_OF_AREA, sampling)

    @cached_property
    def misplaced(self) -> list[int]:
        """How many groups each class's AUROC has its variance from."""
        columns = zip(self.member.T, self.scores.T, strict=True)
        return [areas.misplaced_groups(*column, self.sampling.groups) for column in columns]


def _table(parts: _Parts, classes: Sequence[str]) -> tuple[ClassScores, ...]:
    return tuple(_row(parts, place, name) for place, name in enumerate(classes))


def _row(parts: _Parts, place: int, name: str) -> ClassScores:
    member, answer = parts.member[:, place], parts.answer[:, place]
    sampling, groups = parts.sampling, parts.sampling.groups
    absent = f"no sample of class '{name}'"
    blocks = [
        parts.block(block).columns(place, place + 1)
        for block in range(parts.drawn.estimate.shape[0] // len(parts.member[0]))
    ]
    of_class, n = groups.count_with(member), int(member.sum())
    reason = absent if n == 0 else f"every sample is of class '{name}'"
    f1 = blocks[2] if n else blocks[2].turned(lambda values: values * np.nan)
    return ClassScores(
        name,
        n,
        precision=share_score(True, member[answer], blocks[1], sampling, "never answered"),
        recall=share_score(True, answer[member], blocks[0], sampling, absent),
        f1=bounded_score(True, f1, sampling, of_class, absent),
        auroc=parts.area(metrics.CLASS_METRICS["auroc"], place, reason),
        average_precision=bounded_score(True, blocks[4], sampling, of_class, absent)
        if len(blocks) > 4
        else None,
    )


def _root(score: Score) -> Score:
    """The square root of a mean square, ends and all."""
    value, low, high = (
        None if end is None else float(np.sqrt(end)) for end in (score.value, score.low, score.high)
    )
    return replace(score, value=value, low=low, high=high)


def _explained(metric: Metric, drawn: Resampled, sampling: Sampling) -> Score:
    """R squared: Student's interval of ln(1 - R squared), which has no bound, turned back."""
    value = float(drawn.estimate[0])
    if not np.isfinite(value):
        return undefined("the true values do not vary", sampling.level, metric.higher_is_better)
    if sampling.groups.count < 2:
        return without_interval(metric.higher_is_better, value, sampling)
    if value == 1:
        return scored(
            metric.higher_is_better, value, (1.0, 1.0), "every number is met exactly", sampling
        )
    unexplained = drawn.turned(lambda values: np.log(np.maximum(1 - values, 1e-12)))
    low, high = intervals.around(
        float(unexplained.estimate[0]),
        float(unexplained.variance[0]),
        drawn.n_groups,
        sampling.level,
    )
    ends = (1 - float(np.exp(high)), 1 - float(np.exp(low)))
    return scored(
        metric.higher_is_better, value, ends, f"{intervals.STUDENT}, of ln(1 - R2)", sampling
    )


def _calibration(confidence: Values, gap: Values, sampling: Sampling) -> Score:
    metric = metrics.CLASS_METRICS["ece"]
    value = float(metrics.calibration_error(confidence, gap, weighted.once(len(gap)))[0])
    by_chance = None
    if sampling.groups.count > 1:
        by_chance = intervals.calibration_error_by_chance(
            metrics.confidence_bin(confidence),
            confidence,
            gap,
            sampling.groups,
            level=sampling.level,
            resamples=sampling.resamples,
            seed=sampling.seed,
        )
    return Score(
        value, None, None, sampling.level, NO_CALIBRATION_INTERVAL, metric.higher_is_better,
        by_chance=by_chance,
    )  # fmt: skip


def _recall_precision_f1(counts: tuple[Values, Values, Values]) -> list[Values]:
    hits, actual, answered = counts
    recall, precision = weighted.ratio(hits, actual), weighted.ratio(hits, answered)
    return [recall, precision, metrics.f1_scores(hits, actual, answered)]


def _one_hot(predicted: Values) -> NDArray[np.bool_]:
    return metrics.top_label(predicted)[:, None] == np.arange(predicted.shape[1])
