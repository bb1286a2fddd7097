"""What a metric is: each a short function over samples and weightings, in three tables.

All take `truth`, `predicted` and `weights` (r, n) and return r values, one a weighting (see
`weighted`); `Metric.value` is the plain value. Undefined values are NaN here and None in JSON.

- Single-label: truth int (n,), predicted probabilities (n, classes).
- Multi-label: truth bool (n, classes), predicted probabilities (n, classes), each on its own.
- Numbers: truth and predicted float (n,).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation import weighted
from vitreous.evaluation.weighted import Values, Weights

ECE_BINS = 15


@dataclass(frozen=True)
class Metric:
    """A number that judges answers.

    `share` marks a proportion of independent samples, for which Wilson's interval holds.
    `has_unit` marks what is measured in the unit of the target.
    """

    measure: Callable[[NDArray[Any], NDArray[Any], Weights], Values]
    higher_is_better: bool
    share: bool = False
    has_unit: bool = False

    def value(self, truth: NDArray[Any], predicted: NDArray[Any]) -> float:
        """The metric with each sample counted once; NaN where it is undefined."""
        return float(self.measure(truth, predicted, weighted.once(len(truth)))[0])


def accuracy(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Share of samples whose most probable class is the true one."""
    return weighted.mean(top_label(predicted) == truth, weights)


def balanced_accuracy(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean recall over the classes that occur in the truth."""
    hits, actual, _ = class_counts(truth, predicted, weights)
    return weighted.mean_over_defined(weighted.ratio(hits, actual))


def macro_f1(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean F1 over the classes that occur in the truth or among the answers."""
    return weighted.mean_over_defined(f1_scores(*class_counts(truth, predicted, weights)))


def auroc_per_class(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Area under the ROC curve of each class against the rest, (r, classes)."""
    columns = [
        weighted.area_under_roc(truth == label, predicted[:, label], weights)
        for label in range(predicted.shape[1])
    ]
    return np.stack(columns, axis=1)


def auroc(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Area under the ROC curve: of the second class where there are two, else the macro mean."""
    if predicted.shape[1] == 2:
        return weighted.area_under_roc(truth == 1, predicted[:, 1], weights)
    return weighted.mean_over_defined(auroc_per_class(truth, predicted, weights))


def log_loss(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean of -ln(probability given to the true class), in nats.

    Probabilities are clipped at the float64 epsilon (2.2e-16), as scikit-learn does, so that one
    sample costs at most 36 nats.
    """
    return weighted.mean(-np.log(probability_of_truth(truth, predicted)), weights)


def probability_of_truth(truth: NDArray[Any], predicted: NDArray[Any]) -> Values:
    """The probability given to each sample's true class, (n,), at least the float64 epsilon."""
    given = np.take_along_axis(predicted, truth[:, None], axis=1)[:, 0].astype(np.float64)
    return np.maximum(given, np.finfo(np.float64).eps)


def expected_calibration_error(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> Values:
    """Mean distance between confidence and accuracy, over 15 equal-width bins of confidence.

    The L1 form of Guo et al. 2017 on the top label, with the bins of torchmetrics: each holds its
    lower edge, and a confidence of exactly 1 has a bin of its own.
    """
    confidence = predicted.max(axis=1)
    gap = confidence - (top_label(predicted) == truth)
    return calibration_error(confidence, gap, weights)


def calibration_error(confidence: Values, gap: Values, weights: Weights) -> Values:
    """Sum over the bins of |weighted gap|, by total weight; `gap` is confidence minus outcome."""
    summed = weighted.sums_by(confidence_bin(confidence), ECE_BINS + 1, weights * gap)
    return weighted.ratio(np.abs(summed).sum(axis=1), weights.sum(axis=1))


def confidence_bin(confidence: Values) -> NDArray[np.int64]:
    """The bin of each confidence: 0 ... 14, and 15 for exactly 1."""
    return np.searchsorted(np.linspace(0, 1, ECE_BINS + 1), confidence, side="right") - 1


def top_label(predicted: NDArray[Any]) -> NDArray[np.int64]:
    """The most probable class of each sample, (n,); the first one of equals."""
    return predicted.argmax(axis=1)


def class_counts(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> tuple[Values, Values, Values]:
    """Weight of the right answers, of the true samples and of the answers, each (r, classes)."""
    classes, answer = predicted.shape[1], top_label(predicted)
    hits = weighted.sums_by(truth, classes, weights * (answer == truth))
    actual = weighted.sums_by(truth, classes, weights)
    return hits, actual, weighted.sums_by(answer, classes, weights)


def label_counts(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> tuple[Values, Values, Values]:
    """`class_counts` of a multi-label task, with an answer at a probability of at least 0.5."""
    answer = predicted >= 0.5
    return weights @ (answer & truth), weights @ truth, weights @ answer


def f1_scores(hits: Values, actual: Values, answered: Values) -> Values:
    """Harmonic mean of precision and recall, per class; NaN where a class occurs nowhere."""
    return weighted.ratio(2 * hits, actual + answered)


def mean_average_precision(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> Values:
    """Mean over the labels of the average precision; labels without a positive are left out."""
    return weighted.mean_over_defined(average_precision_per_class(truth, predicted, weights))


def average_precision_per_class(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> Values:
    """Average precision of each label, (r, classes)."""
    columns = [
        weighted.average_precision(truth[:, label], predicted[:, label], weights)
        for label in range(truth.shape[1])
    ]
    return np.stack(columns, axis=1)


def label_auroc_per_class(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Area under the ROC curve of each label, (r, classes)."""
    columns = [
        weighted.area_under_roc(truth[:, label], predicted[:, label], weights)
        for label in range(truth.shape[1])
    ]
    return np.stack(columns, axis=1)


def label_auroc(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean over the labels of the area under the ROC curve."""
    return weighted.mean_over_defined(label_auroc_per_class(truth, predicted, weights))


def label_macro_f1(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean F1 over the labels that occur in the truth or among the answers."""
    return weighted.mean_over_defined(f1_scores(*label_counts(truth, predicted, weights)))


def label_micro_f1(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """F1 of all (sample, label) answers together."""
    return f1_scores(*(count.sum(axis=1) for count in label_counts(truth, predicted, weights)))


def exact_match(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Share of samples with every label right."""
    return weighted.mean(((predicted >= 0.5) == truth).all(axis=1), weights)


def mean_absolute_error(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Mean of |predicted - truth|, in the target's unit."""
    return weighted.mean(np.abs(predicted - truth), weights)


def root_mean_square_error(
    truth: NDArray[Any], predicted: NDArray[Any], weights: Weights
) -> Values:
    """Square root of the mean squared error, in the target's unit."""
    return np.sqrt(weighted.mean((predicted - truth) ** 2, weights))


def r_squared(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """1 - squared error / variance of the truth: 0 is as good as the mean of these very samples.

    NaN where the truth does not vary.
    """
    middle = truth - truth.mean()  # a variance is the same about any origin; near 0 it is exact
    variance = weighted.mean(middle**2, weights) - weighted.mean(middle, weights) ** 2
    negligible = 1e-12 * np.mean(middle**2)
    varies = np.where(variance > negligible, variance, 0.0)
    return 1 - weighted.ratio(weighted.mean((predicted - truth) ** 2, weights), varies)


CLASS_METRICS = {
    "accuracy": Metric(accuracy, higher_is_better=True, share=True),
    "balanced_accuracy": Metric(balanced_accuracy, higher_is_better=True),
    "macro_f1": Metric(macro_f1, higher_is_better=True),
    "auroc": Metric(auroc, higher_is_better=True),
    "log_loss": Metric(log_loss, higher_is_better=False),
    "ece": Metric(expected_calibration_error, higher_is_better=False),
}
LABEL_METRICS = {
    "mean_average_precision": Metric(mean_average_precision, higher_is_better=True),
    "auroc": Metric(label_auroc, higher_is_better=True),
    "macro_f1": Metric(label_macro_f1, higher_is_better=True),
    "micro_f1": Metric(label_micro_f1, higher_is_better=True),
    "exact_match": Metric(exact_match, higher_is_better=True, share=True),
}
NUMBER_METRICS = {
    "mae": Metric(mean_absolute_error, higher_is_better=False, has_unit=True),
    "rmse": Metric(root_mean_square_error, higher_is_better=False, has_unit=True),
    "r2": Metric(r_squared, higher_is_better=True),
}
