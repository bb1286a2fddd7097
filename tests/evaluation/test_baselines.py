"""Baselines on real digits, and thumbnails against block means written out."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vitreous.evaluation import baselines
from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS


@pytest.fixture(scope="module")
def digits():
    pixels, truth = load_digits(return_X_y=True)
    pictures = (pixels.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    pictures = pictures.repeat(4, axis=2).repeat(4, axis=3)  # 32 x 32
    rows = np.random.default_rng(0).permutation(len(truth))
    return pictures, truth, rows[:1200], rows[1200:]


@pytest.mark.parametrize("height", [16, 37, 64])
def test_thumbnails_are_block_means(height):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, size=(5, 3, height, 50), dtype=np.uint8)
    found = baselines.thumbnails(pixels, np.array([3, 1])).reshape(2, 3, 16, 16)
    for y in range(16):
        for x in range(16):
            top, bottom = y * height // 16, (y + 1) * height // 16
            left, right = x * 50 // 16, (x + 1) * 50 // 16
            block = pixels[[3, 1], :, top:bottom, left:right].mean(axis=(2, 3))
            np.testing.assert_allclose(found[:, :, y, x], block, rtol=1e-5)


def test_small_pictures_are_repeated():
    pixels = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)
    found = baselines.thumbnails(pixels, np.array([0]), side=4).reshape(4, 4)
    np.testing.assert_array_equal(found, np.kron([[0, 1], [2, 3]], np.ones((2, 2))))


def test_class_baselines(digits):
    pixels, truth, train, test = digits
    majority = baselines.majority_class(truth[train], len(test), 10)
    most = np.bincount(truth[train]).argmax()
    accuracy = CLASS_METRICS["accuracy"].value(truth[test], majority.answers)
    assert accuracy == pytest.approx((truth[test] == most).mean())
    assert np.allclose(majority.answers.sum(axis=1), 1)
    logistic = baselines.thumbnail_logistic(pixels, train, truth[train], test, 10)
    assert logistic.name == "logistic regression on 16x16 thumbnails"
    assert CLASS_METRICS["accuracy"].value(truth[test], logistic.answers) > 0.94
    assert "1200 of 1200" in logistic.note


def test_baseline_is_capped_deterministic_and_forgives_an_unknown_class(digits):
    pixels, truth, train, test = digits
    known = train[truth[train] != 7]
    fitted = [
        baselines.thumbnail_logistic(pixels, known, truth[known], test, 10, seed=3, most=300)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fitted[0].answers, fitted[1].answers)
    assert (fitted[0].answers[:, 7] == 0).all()
    assert fitted[0].note.startswith(f"fitted on 300 of {len(known)}")
    assert CLASS_METRICS["accuracy"].value(truth[test], fitted[0].answers) > 0.7


def test_one_class_in_training_is_answered_always(digits):
    pixels, truth, train, test = digits
    threes = train[truth[train] == 3]
    fitted = baselines.thumbnail_logistic(pixels, threes, truth[threes], test, 10)
    assert (fitted.answers.argmax(axis=1) == 3).all()


def test_label_baselines(digits):
    pixels, truth, train, test = digits
    labels = np.stack([truth % 2 == 0, truth > 6, np.zeros(len(truth), bool)], axis=1)
    prevalence = baselines.label_prevalence(labels[train], len(test))
    assert prevalence.answers[0] == pytest.approx(labels[train].mean(axis=0))
    fitted = baselines.thumbnail_label_logistic(pixels, train, labels[train], test)
    better = LABEL_METRICS["auroc"].value(labels[test], fitted.answers)
    assert better > 0.9
    assert LABEL_METRICS["auroc"].value(labels[test], prevalence.answers) == pytest.approx(0.5)


def test_number_baselines(digits):
    pixels, _, train, test = digits
    brightness = pixels.mean(axis=(1, 2, 3)) + np.random.default_rng(0).normal(size=len(pixels))
    mean = baselines.training_mean(brightness[train], len(test))
    ridge = baselines.thumbnail_ridge(pixels, train, brightness[train], test)
    assert NUMBER_METRICS["r2"].value(brightness[test], mean.answers) < 0.01
    assert NUMBER_METRICS["r2"].value(brightness[test], ridge.answers) > 0.9
