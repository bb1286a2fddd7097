"""Confident learning: against a slow form, and on real digits with planted wrong labels."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from vitreous.evaluation.label_errors import confident_class, likely_label_errors


def slow_label_errors(truth, probabilities):
    """Sample by sample, as the paper tells it."""
    n, classes = probabilities.shape
    thresholds = {}
    for label in range(classes):
        own = [probabilities[row, label] for row in range(n) if truth[row] == label]
        if own:
            thresholds[label] = sum(own) / len(own)
    found = []
    for row in range(n):
        reached = [k for k in thresholds if probabilities[row, k] >= thresholds[k]]
        if not reached:
            continue
        suggested = max(reached, key=lambda k: probabilities[row, k])
        margin = probabilities[row, suggested] - probabilities[row, truth[row]]
        if suggested != truth[row] and margin > 0:
            found.append((row, int(truth[row]), int(suggested), float(margin)))
    return sorted(found, key=lambda error: -error[3])


@pytest.mark.parametrize("absent", [None, 1])
def test_equals_the_slow_form(absent):
    random = np.random.default_rng(0)
    truth = random.choice([label for label in range(4) if label != absent], size=300)
    logits = random.normal(size=(300, 4)) + 1.2 * (truth[:, None] == np.arange(4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = likely_label_errors(truth, probabilities)
    expected = slow_label_errors(truth, probabilities)
    assert len(expected) > 5
    assert [(e.index, e.given, e.suggested) for e in found] == [e[:3] for e in expected]
    assert [e.score for e in found] == pytest.approx([e[3] for e in expected])


def test_no_threshold_reached_is_no_class():
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    assert confident_class(truth, probabilities).tolist() == [0, 0, 1, -1]


def test_planted_wrong_labels_of_real_digits_are_found():
    pixels, given = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    planted = random.choice(len(given), size=60, replace=False)
    given[planted] = (given[planted] + random.integers(1, 10, size=60)) % 10
    model = LogisticRegression(C=1, max_iter=1000)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    probabilities = cross_val_predict(model, pixels / 16, given, cv=folds, method="predict_proba")
    found = {error.index for error in likely_label_errors(given, probabilities)}
    right = found & set(planted.tolist())
    assert len(right) >= 45  # three in four of the planted ones
    assert len(right) >= 0.9 * len(found)  # and nine in ten of the found ones are planted
