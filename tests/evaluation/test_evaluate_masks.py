import json

import numpy as np
import pytest

from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError
from vitreous.evaluation.calibration import reliability_bins
from vitreous.evaluation.evaluate_masks import (
    ConfidenceBins,
    best_and_worst,
    evaluate_masks,
    pixel_calibration,
)
from vitreous.evaluation.mask_comparison import compare_masks
from vitreous.evaluation.metrics import calibration_error
from vitreous.evaluation.weighted import once

CLASSES = ("sky", "road", "car")


def pictures(n=8, seed=0):
    """Masks of two or three classes, whose answers are worse and worse."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(n):
        truth = np.zeros((20, 24), np.uint8)
        truth[10:] = 1
        truth[14:18, 5:15] = 2
        answer = truth.copy()
        wrong = random.random(truth.shape) < number / (2 * n)
        answer[wrong] = random.integers(0, 3, truth.shape)[wrong]
        found.append((truth, answer))
    return found


def compared(pairs, **options):
    return [compare_masks(truth, answer, 3, **options) for truth, answer in pairs]


def names(n=8):
    return [f"{number}.png" for number in range(n)]


def test_counted_bins_are_those_of_all_pixels_at_once():
    random = np.random.default_rng(0)
    bins, all_sure, all_right = ConfidenceBins(), [], []
    for _ in range(5):
        sure = random.uniform(0.3, 1.0, (7, 9))
        sure[0, 0] = 1.0
        answer, truth = random.integers(0, 3, (2, 7, 9))
        truth[3] = IGNORE
        bins.add(sure, answer, truth)
        all_sure.append(sure[truth != IGNORE])
        all_right.append((answer == truth)[truth != IGNORE])
    sure, right = np.concatenate(all_sure), np.concatenate(all_right)
    assert bins.error == pytest.approx(calibration_error(sure, sure - right, once(len(sure)))[0])
    for ours, expected in zip(bins.bins(), reliability_bins(sure, right), strict=True):
        assert ours.n == expected.n
        assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high))
        if ours.n:
            assert ours.confidence == pytest.approx(expected.confidence)
            assert ours.accuracy == pytest.approx(expected.accuracy)


def test_an_evaluation_has_figures_baselines_and_pictures():
    pairs = pictures()
    noise = [(truth, np.roll(truth, 5, axis=0)) for truth, _ in pairs]
    found = evaluate_masks(
        compared(pairs),
        classes=CLASSES,
        sample_ids=names(),
        baselines={"moved": compared(noise, borders=False)},
        calibration=pixel_calibration(1.5, ConfidenceBins(), ConfidenceBins()),
        resamples=50,
    )
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["task"] == "segment"
    assert value["metrics"]["iou"]["low"] < value["metrics"]["iou"]["value"]
    assert value["metrics"]["boundary_f1"]["value"] < 1
    assert set(value["baselines"]["moved"]) == {
        "iou", "dice", "precision", "recall", "pixel_accuracy",
    }  # fmt: skip
    assert np.array(value["confusion"]["matrix"]).sum() == 8 * 20 * 24
    assert [row["class"] for row in value["per_class"]] == list(CLASSES)
    shown = value["pictures"]
    assert shown[0]["dice"] == min(one["dice"] for one in shown)
    assert "only 8 samples in the test part" in value["warnings"][0]


def test_the_worst_and_the_best_pictures_are_each_shown_once():
    comparisons = compared(pictures())
    dice = np.array([[2 * c.confusion[k, k] / (c.confusion[k].sum() + c.confusion[:, k].sum())
                      for k in range(3)] for c in comparisons])  # fmt: skip
    found = best_and_worst(dice, comparisons, CLASSES, names(), most=6)
    shown = [one.sample_id for one in found]
    assert len(shown) == len(set(shown)) == 8
    worst = [one for one in found if one.kind == "worst"]
    best = [one for one in found if one.kind == "best"]
    assert [one.dice for one in worst] == sorted(one.dice for one in worst)
    assert [one.dice for one in best] == sorted((one.dice for one in best), reverse=True)
    assert worst[0].dice == min(dice.mean(axis=1))
    assert best[0].sample_id == "0.png"
    assert best[0].dice == best[0].accuracy == 1
    assert worst[0].weakest == "car"
    alone = best_and_worst(dice[:1], comparisons[:1], CLASSES, names(1))
    assert [one.kind for one in alone] == ["worst"]


def test_without_borders_pixels_are_counted_alike():
    truth, answer = pictures()[-1]
    whole, pixels = compare_masks(truth, answer, 3), compare_masks(truth, answer, 3, borders=False)
    assert (whole.confusion == pixels.confusion).all()
    assert np.isnan(pixels.hausdorff).all()
    assert not pixels.truth_border.any()


def test_as_many_names_as_pictures():
    with pytest.raises(RequestError, match="7 sample ids for 8 pictures"):
        evaluate_masks(compared(pictures()), classes=CLASSES, sample_ids=names(7))
