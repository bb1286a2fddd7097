"""Metrics against scikit-learn and torchmetrics, and what has to hold for each of them."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.evaluation import metrics, weighted
from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS


def class_data(seed=0, n=200, classes=5, ties=False, absent=None):
    random = np.random.default_rng(seed)
    labels = [label for label in range(classes) if label != absent]
    truth = random.choice(labels, size=n)
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), truth] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.maximum(probabilities.round(1), 0.01)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return truth, probabilities


def label_data(seed=0, n=200, classes=4, ties=False):
    random = np.random.default_rng(seed)
    truth = random.random((n, classes)) < 0.3
    predicted = np.clip(0.3 + 0.3 * truth + 0.25 * random.normal(size=truth.shape), 0, 1)
    return truth, predicted.round(1) if ties else predicted


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_class_metrics_equal_scikit_learn(classes, ties):
    truth, probabilities = class_data(classes=classes, ties=ties)
    answer = probabilities.argmax(axis=1)
    column = probabilities[:, 1] if classes == 2 else probabilities
    expected = {
        "accuracy": sk.accuracy_score(truth, answer),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, answer),
        "macro_f1": sk.f1_score(truth, answer, average="macro"),
        "auroc": sk.roc_auc_score(truth, column, multi_class="ovr"),
        "log_loss": sk.log_loss(truth, probabilities),
    }
    for name, value in expected.items():
        assert CLASS_METRICS[name].value(truth, probabilities) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
def test_class_metrics_equal_torchmetrics(classes):
    truth, probabilities = class_data(seed=1, classes=classes)
    outputs, targets = torch.tensor(probabilities), torch.tensor(truth)
    expected = {
        "accuracy": tm.multiclass_accuracy(outputs, targets, classes, average="micro"),
        "balanced_accuracy": tm.multiclass_accuracy(outputs, targets, classes),
        "macro_f1": tm.multiclass_f1_score(outputs, targets, classes),
        "auroc": tm.multiclass_auroc(outputs, targets, classes, thresholds=None),
        "ece": tm.multiclass_calibration_error(outputs, targets, classes, n_bins=15, norm="l1"),
    }
    for name, value in expected.items():
        found = CLASS_METRICS[name].value(truth, probabilities)
        assert found == pytest.approx(float(value), abs=2e-6), name


def test_calibration_error_of_certain_answers_equals_torchmetrics():
    truth, probabilities = class_data(seed=2, classes=3)
    probabilities[:50] = np.eye(3)[np.random.default_rng(0).integers(3, size=50)]
    expected = tm.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(truth), 3, n_bins=15, norm="l1"
    )
    found = CLASS_METRICS["ece"].value(truth, probabilities)
    assert found == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_label_metrics_equal_scikit_learn_and_torchmetrics(ties):
    truth, predicted = label_data(ties=ties)
    answer = predicted >= 0.5
    expected = {
        "mean_average_precision": sk.average_precision_score(truth, predicted, average="macro"),
        "auroc": sk.roc_auc_score(truth, predicted, average="macro"),
        "macro_f1": sk.f1_score(truth, answer, average="macro"),
        "micro_f1": sk.f1_score(truth, answer, average="micro"),
        "exact_match": sk.accuracy_score(truth, answer),
    }
    for name, value in expected.items():
        assert LABEL_METRICS[name].value(truth, predicted) == pytest.approx(value, abs=1e-12)
    outputs, targets = torch.tensor(predicted), torch.tensor(truth).int()
    precision = tm.multilabel_average_precision(outputs, targets, truth.shape[1], thresholds=None)
    found = LABEL_METRICS["mean_average_precision"].value(truth, predicted)
    assert found == pytest.approx(float(precision), abs=1e-6)


def test_number_metrics_equal_scikit_learn():
    random = np.random.default_rng(0)
    truth = 1e4 + random.normal(size=100)
    predicted = truth + 0.3 * random.normal(size=100)
    assert NUMBER_METRICS["mae"].value(truth, predicted) == pytest.approx(
        sk.mean_absolute_error(truth, predicted)
    )
    assert NUMBER_METRICS["rmse"].value(truth, predicted) == pytest.approx(
        sk.root_mean_squared_error(truth, predicted)
    )
    assert NUMBER_METRICS["r2"].value(truth, predicted) == pytest.approx(
        sk.r2_score(truth, predicted), rel=1e-9
    )


def test_absent_class_is_left_out_of_means():
    truth, probabilities = class_data(classes=4, absent=2)
    areas = metrics.auroc_per_class(truth, probabilities, weighted.once(len(truth)))[0]
    assert np.isnan(areas[2])
    others = [sk.roc_auc_score(truth == k, probabilities[:, k]) for k in (0, 1, 3)]
    assert CLASS_METRICS["auroc"].value(truth, probabilities) == pytest.approx(np.mean(others))
    recalls = sk.recall_score(
        truth, probabilities.argmax(axis=1), labels=[0, 1, 3], average="macro"
    )
    assert CLASS_METRICS["balanced_accuracy"].value(truth, probabilities) == pytest.approx(recalls)


def test_undefined_metrics_are_nan():
    one_class = np.zeros(10, dtype=int)
    answers = np.tile([0.7, 0.3], (10, 1))
    assert np.isnan(CLASS_METRICS["auroc"].value(one_class, answers))
    assert np.isnan(NUMBER_METRICS["r2"].value(np.full(10, 0.1), np.arange(10.0)))
    assert np.isnan(LABEL_METRICS["micro_f1"].value(np.zeros((5, 2), bool), np.zeros((5, 2))))


def slow_area(positive, score):
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in score[positive] for b in score[~positive]
    ]
    return np.mean(wins)


def test_area_under_roc_counts_pairs():
    random = np.random.default_rng(3)
    positive = random.random(60) < 0.4
    score = random.integers(0, 8, size=60).astype(float)
    found = weighted.area_under_roc(positive, score, weighted.once(60))[0]
    assert found == pytest.approx(slow_area(positive, score))


ALL = (
    [("classes", name) for name in CLASS_METRICS]
    + [("labels", name) for name in LABEL_METRICS]
    + [("numbers", name) for name in NUMBER_METRICS]
)


def data_for(kind, seed, ties):
    if kind == "classes":
        return CLASS_METRICS, *class_data(seed, n=40, classes=3, ties=ties)
    if kind == "labels":
        return LABEL_METRICS, *label_data(seed, n=40, classes=3, ties=ties)
    random = np.random.default_rng(seed)
    truth = random.normal(size=40)
    return NUMBER_METRICS, truth, truth + random.normal(size=40)


@pytest.mark.parametrize(("kind", "name"), ALL)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_weights_are_repetitions_and_order_does_not_matter(kind, name, seed, ties):
    table, truth, predicted = data_for(kind, seed, ties)
    random = np.random.default_rng(seed)
    times = random.integers(0, 4, size=len(truth))
    rows = random.permutation(np.repeat(np.arange(len(truth)), times))
    repeated = table[name].value(truth[rows], predicted[rows])
    both = np.stack([np.ones(len(truth)), times])
    under_weights = table[name].measure(truth, predicted, both)
    np.testing.assert_allclose(under_weights[1], repeated, rtol=1e-9)
    np.testing.assert_allclose(under_weights[0], table[name].value(truth, predicted), rtol=1e-12)
