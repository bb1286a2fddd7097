"""Likeness to the training data: silent on more of the same, loud on changed pictures."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from vitreous.evaluation.shift import (
    like_training,
    picture_features,
    some_rows,
)


@pytest.fixture(scope="module")
def pictures():
    """1,400 crops of the two photographs that scikit-learn ships, (n, 3, 48, 48)."""
    random = np.random.default_rng(0)
    crops = []
    for photograph in load_sample_images().images:
        for _ in range(700):
            top, left = random.integers(0, 370), random.integers(0, 590)
            crops.append(photograph[top : top + 48, left : left + 48].transpose(2, 0, 1))
    return random.permutation(np.stack(crops))


CHANGES = {
    "inverted": lambda pixels: 255 - pixels,
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "blurred": lambda pixels: gaussian_filter(pixels, (0, 0, 1.0, 1.0)),
    "noisy": lambda pixels: np.clip(
        pixels + np.random.default_rng(0).normal(0, 12, pixels.shape), 0, 255
    ).astype(np.uint8),
    "grey": lambda pixels: np.repeat(pixels.mean(axis=1, keepdims=True), 3, 1).astype(np.uint8),
}


def all_features(pixels):
    return picture_features(pixels, np.arange(len(pixels)))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n", [100, 400])
def test_changed_pictures_raise_the_alarm(pictures, change, n):
    training, new = pictures[:1000], CHANGES[change](pictures[1000 : 1000 + n])
    found = like_training(all_features(training), all_features(new))
    assert not found.alike
    assert "do not look like" in found.sentence


@pytest.mark.parametrize("n", [30, 300])
def test_more_of_the_same_raises_none(pictures, n):
    features, random = all_features(pictures), np.random.default_rng(0)
    alarms, areas = 0, []
    for seed in range(25):
        rows = random.permutation(len(features))
        found = like_training(features[rows[n : n + 600]], features[rows[:n]], seed=seed)
        alarms += not found.alike
        areas.append(found.score.value)
    assert alarms <= 1
    assert 0.4 < np.mean(areas) < 0.6


def test_too_few_pictures_say_so(pictures):
    features = all_features(pictures[:60])
    found = like_training(features[:50], features[50:])
    assert found.score is None
    assert found.alike
    assert "too few" in found.sentence


def test_features_of_rows_are_those_rows(pictures):
    rows = np.array([5, 3, 300, 3])
    np.testing.assert_allclose(picture_features(pictures, rows), all_features(pictures)[rows])


def test_pictures_sorted_by_class_raise_no_alarm(pictures, monkeypatch):
    monkeypatch.setattr("vitreous.evaluation.shift.MOST_SAMPLES", 300)  # fewer than there are
    ordered = pictures[np.argsort(pictures.mean(axis=(1, 2, 3)))]  # by what can be seen best
    new = np.random.default_rng(1).permutation(len(pictures))[:300]
    rows = np.setdiff1d(np.arange(len(pictures)), new)
    training = picture_features(ordered, some_rows(rows, 0))
    assert len(training) == 300
    assert like_training(training, picture_features(ordered, some_rows(new, 1))).alike
    assert not like_training(training, picture_features(255 - ordered, some_rows(new, 1))).alike
