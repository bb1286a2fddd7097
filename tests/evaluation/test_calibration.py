"""Temperature and reliability: against a grid, a planted temperature, and what must not happen."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from vitreous.evaluation import calibration
from vitreous.evaluation.metrics import CLASS_METRICS


def planted(seed=0, n=4000, classes=4, temperature=2.5):
    """Logits whose probabilities are right once divided by `temperature`."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(n, classes))
    truth = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from the softmax
    return logits * temperature, truth


def test_planted_temperature_is_found_and_mends_the_calibration():
    logits, truth = planted()
    temperature = calibration.fit_temperature(logits, truth)
    assert temperature == pytest.approx(2.5, rel=0.05)
    found = calibration.calibrate(
        calibration.class_confidence(truth, calibration.class_probabilities(logits)),
        calibration.class_confidence(truth, calibration.class_probabilities(logits, temperature)),
        temperature,
    )
    assert found.ece_before > 0.1
    assert found.ece_after < 0.03


def test_temperature_is_the_best_of_a_fine_grid():
    logits, truth = planted(seed=1, n=300, temperature=0.6)
    grid = np.geomspace(0.05, 20, 4001)
    losses = [-log_softmax(logits / t, axis=1)[np.arange(len(truth)), truth].mean() for t in grid]
    best = grid[np.argmin(losses)]
    assert calibration.fit_temperature(logits, truth) == pytest.approx(best, rel=2e-3)


def test_label_temperature_is_found():
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(3000, 3))
    truth = random.random(logits.shape) < expit(logits)
    assert calibration.fit_label_temperature(logits * 0.5, truth) == pytest.approx(0.5, rel=0.05)


def test_separable_validation_data_do_not_make_answers_certain():
    truth = np.arange(50) % 3
    logits = 4.0 * (truth[:, None] == np.arange(3))
    assert calibration.fit_temperature(logits, truth) == 1
    labels = truth[:, None] == np.arange(3)
    assert calibration.fit_label_temperature(np.where(labels, 3.0, -3.0), labels) == 1


def test_hopeless_logits_are_bounded():
    truth = np.arange(60) % 3
    logits = -50.0 * (truth[:, None] == np.arange(3))
    assert calibration.fit_temperature(logits, truth) == pytest.approx(20, rel=1e-3)


def test_huge_logits_stay_finite():
    logits, truth = planted(n=200)
    assert np.isfinite(calibration.fit_temperature(logits.astype(np.float32) * 1e4, truth))
    assert np.isfinite(calibration.class_probabilities(logits * 1e5)).all()


@pytest.mark.parametrize("certain", [0, 30])
def test_reliability_bins_add_up_to_the_calibration_error(certain):
    logits, truth = planted(n=500)
    probabilities = calibration.class_probabilities(logits)
    probabilities[:certain] = np.eye(4)[truth[:certain]]
    confidence, right = calibration.class_confidence(truth, probabilities)
    bins = calibration.reliability_bins(confidence, right)
    assert len(bins) == (16 if certain else 15)
    assert sum(each.n for each in bins) == 500
    error = sum(each.n * abs(each.confidence - each.accuracy) for each in bins if each.n) / 500
    assert error == pytest.approx(CLASS_METRICS["ece"].value(truth, probabilities))
    for each in bins:
        assert each.n == 0 or each.low <= each.confidence <= each.high


@pytest.mark.parametrize(("n", "level"), [(19, 0.95), (100, 0.9), (333, 0.95)])
def test_prediction_interval_holds_new_numbers(n, level):
    random = np.random.default_rng(0)
    held = [
        np.abs(random.standard_t(3)) <= calibration.prediction_half_width(residuals, level)
        for residuals in random.standard_t(3, size=(4000, n))
    ]
    assert level - 0.015 < np.mean(held) < level + 1 / (n + 1) + 0.015


def test_too_few_residuals_give_no_prediction_interval():
    assert calibration.prediction_half_width(np.ones(18)) is None
    assert calibration.prediction_half_width(np.array([])) is None
