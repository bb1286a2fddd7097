"""Baselines of masks and boxes: what they must get right, and what they cannot."""

import numpy as np
import pytest
from scipy.ndimage import correlate
from sklearn.datasets import load_sample_image

from vitreous.convolution.kernels import gabor, gaussian_blur
from vitreous.data.boxes.boxes import NO_BOXES, Boxes
from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError
from vitreous.evaluation.place_baselines import _correlated, kernel_maps, mean_boxes, pixel_logistic

PHOTOGRAPH = load_sample_image("china.jpg")


def test_maps_are_cross_correlations_mirrored_at_the_border():
    plane = PHOTOGRAPH[100:140, 200:250, 0].astype(np.float32)
    kernels = [gaussian_blur(2.0), gabor(30.0, 4.0, phase_deg=40.0), np.array([[0.0, 1, 5]])]
    for ours, kernel in zip(_correlated(plane, kernels), kernels, strict=True):
        expected = correlate(plane.astype(np.float64), kernel, mode="reflect")
        np.testing.assert_allclose(ours, expected, atol=0.01)


def test_maps_of_grey_and_colour():
    assert kernel_maps(PHOTOGRAPH[:40, :50]).shape == (40, 50, 3 + 9 + 2 + 8)
    assert kernel_maps(PHOTOGRAPH[:40, :50, :1]).shape == (40, 50, 1 + 3 + 2 + 8)


def stripes_and_light(seed):
    """Left bright, middle dark, right striped: three textures that a straight line can tell."""
    random = np.random.default_rng(seed)
    pixels = random.normal(100, 8, (48, 96))
    pixels[:, :32] += 70
    pixels[:, 64:] += 50 * np.sin(np.arange(32) * 2 * np.pi / 4)
    mask = np.zeros((48, 96), np.uint8)
    mask[:, 32:64], mask[:, 64:] = 1, 2
    return pixels.clip(0, 255).astype(np.uint8)[..., None], mask


def test_light_and_texture_are_learned():
    train = [stripes_and_light(seed) for seed in range(3)]
    baseline = pixel_logistic(*map(list, zip(*train, strict=True)))
    pixels, mask = stripes_and_light(9)
    assert (baseline.answer(pixels) == mask).mean() > 0.93
    assert "13,824 pixels of 3 training pictures" in baseline.note


def test_ignored_pixels_teach_nothing():
    pixels, mask = stripes_and_light(0)
    spoiled = mask.copy()
    spoiled[:24] = IGNORE
    baseline = pixel_logistic([pixels], [spoiled])
    assert set(np.unique(baseline.answer(pixels))) <= {0, 1, 2}
    assert "2,304 pixels" in baseline.note
    with pytest.raises(RequestError, match="no pixel of the training pictures has a class"):
        pixel_logistic([pixels], [np.full_like(mask, IGNORE)])


def test_one_class_alone_and_two():
    pixels, mask = stripes_and_light(0)
    assert (pixel_logistic([pixels], [np.full_like(mask, 2)]).answer(pixels) == 2).all()
    two = np.where(mask == 0, 3, 1).astype(np.uint8)
    answered = pixel_logistic([pixels], [two]).answer(pixels)
    assert (answered == two).mean() > 0.95


def test_the_mean_box_of_each_class():
    def boxes(*rows):
        corners = np.array([row[:4] for row in rows], float)
        n = len(rows)
        crowd = np.array([len(row) > 5 for row in rows])
        return Boxes(corners, np.array([row[4] for row in rows]), np.zeros(n, bool), crowd,
                     np.ones(n))  # fmt: skip

    truth = [boxes((0, 0, 20, 10, 0), (40, 40, 60, 50, 2, "crowd")), boxes((20, 20, 60, 40, 0)),
             NO_BOXES]  # fmt: skip
    baseline = mean_boxes(truth, [(50, 100), (100, 200), (10, 10)], 3)
    answers = baseline.answer((100, 100))
    assert answers.classes.tolist() == [0]
    np.testing.assert_allclose(answers.corners, [[5, 10, 25, 30]])
    np.testing.assert_allclose(answers.confidences, [2 / 3])
    assert "over 2 boxes of 3 training pictures" in baseline.note
