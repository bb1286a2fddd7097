"""A detector's evaluation: confidence, its threshold, curves, named pictures, comparisons."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from vitreous.data.boxes.boxes import NO_BOXES, Boxes, box_areas
from vitreous.errors import DataError, RequestError
from vitreous.evaluation.box_calibration import (
    AS_GOOD,
    CONFIDENCES,
    ENOUGH,
    USUAL,
    BoxCalibration,
    answer_outcomes,
    best_confidence,
    class_confidences,
    confidence_words,
    f1_by_confidence,
    fit_box_calibration,
)
from vitreous.evaluation.box_comparison import compare_boxes
from vitreous.evaluation.box_matching import BoxAnswers, match_pictures
from vitreous.evaluation.box_mistakes import KINDS, outcomes_of
from vitreous.evaluation.detection import detection_figures
from vitreous.evaluation.evaluate_boxes import evaluate_boxes
from vitreous.evaluation.place_baselines import mean_boxes
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling

CLASSES = ("a", "b")


def boxes_of(corners, classes):
    corners = np.array(corners, np.float64).reshape(-1, 4)
    nothing = np.zeros(len(corners), bool)
    return Boxes(corners, np.array(classes, np.int64), nothing, nothing, box_areas(corners))


def made(seed, pictures=30, noise=4.0):
    """True boxes and answers whose scores say something of how right they are."""
    random = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(pictures):
        n = int(random.integers(0, 6))
        low = random.uniform(0, 200, (n, 2))
        corners = np.hstack([low, low + random.uniform(20, 60, (n, 2))])
        classes = random.integers(0, 2, n)
        truth.append(boxes_of(corners, classes))
        off = random.normal(0, noise, (n, 4))
        far = random.uniform(0, 200, (4, 2))
        given = np.vstack([corners + off, np.hstack([far, far + 30])])
        scores = np.r_[np.clip(0.95 - np.abs(off).mean(1) / 10 - random.random(n) * 0.3, 0.02, 1),
                       random.random(4) * 0.5 + 0.01]  # fmt: skip
        kinds = np.r_[classes, random.integers(0, 2, 4)]
        answers.append(BoxAnswers(given, kinds, scores))
    return truth, answers


def evaluated(truth, answers, **more):
    settings = {
        "classes": CLASSES,
        "sample_ids": [f"{row}.png" for row in range(len(truth))],
        "calibration": BoxCalibration(confidence=0.4),
        "resamples": 60,
    }
    return evaluate_boxes(truth, answers, **{**settings, **more})


def test_calibration_has_the_least_log_loss_of_platts_targets():
    truth, answers = made(0)
    fitted = fit_box_calibration(truth, answers, 2)
    scores, right = answer_outcomes(match_pictures(truth, answers, 2))
    positive, negative = right.sum(), (~right).sum()
    targets = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(steepness, shift):
        shares = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) * steepness + shift)))
        return -np.mean(targets * np.log(shares) + (1 - targets) * np.log(1 - shares))

    slow = minimize(lambda x: loss(*x), [1.0, 0.0], method="Nelder-Mead",
                    options={"xatol": 1e-7, "fatol": 1e-12})  # fmt: skip
    assert loss(1 / fitted.temperature, fitted.shift) == pytest.approx(slow.fun, abs=1e-7)
    assert 1 / fitted.temperature == pytest.approx(slow.x[0], rel=1e-2)


def test_calibrated_answers_keep_their_order_and_average_precision():
    truth, answers = made(1)
    fitted = fit_box_calibration(truth, answers, 2)
    sampling = Sampling(grouping(None, len(truth)), resamples=40)
    plain, sure = (
        detection_figures(truth, each, CLASSES, sampling, confidence=0.5)
        for each in (answers, [fitted.of_answers(each) for each in answers])
    )
    assert plain.metrics["ap"].value == pytest.approx(sure.metrics["ap"].value, abs=1e-12)
    scores = np.linspace(0, 1, 50)
    assert (np.diff(fitted.calibrated(scores)) > 0).all()
    assert BoxCalibration.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    before = {"temperature": 1.5, "shift": 0.1, "confidence": 0.4}  # of runs of before
    assert BoxCalibration.from_json(before) == BoxCalibration(1.5, 0.1, 0.4)


def by_counting(truth, answers, confidence):
    """F1 of each class, and its mean error of the count a picture, at one confidence for all."""
    counts = np.stack(
        [outcomes_of(t, a, 2, confidence).counts for t, a in zip(truth, answers, strict=True)]
    )
    right, missed = (counts[..., KINDS.index(kind)] for kind in ("right", "missed"))
    answered, true = counts.sum(2) - missed, right + missed
    f1 = 2 * right.sum(0) / np.maximum(answered.sum(0) + true.sum(0), 1)
    return f1, np.abs(answered - true).mean(0)


def test_each_class_counts_from_a_confidence_with_the_best_f1_and_of_those_the_best_counts():
    truth, answers = made(2)
    sure = [  # class b is answered as surely as a, but too often
        BoxAnswers(each.corners, each.classes, np.where(each.classes == 1, each.confidences**0.3,
                                                        each.confidences))
        for each in answers
    ]  # fmt: skip
    fitted = fit_box_calibration(truth, sure, 2)
    calibrated = [fitted.of_answers(each) for each in sure]
    found = [by_counting(truth, calibrated, float(least)) for least in CONFIDENCES]
    f1, errors = (np.array([each[part] for each in found]) for part in (0, 1))
    for place, least in enumerate(fitted.confidence):
        row = int(np.argmin(np.abs(CONFIDENCES - least)))
        good = f1[:, place] >= f1[:, place].max() - AS_GOOD
        assert good[row]
        assert errors[row, place] == pytest.approx(errors[good, place].min())
    assert fitted.confidence[1] > fitted.confidence[0] + 0.1
    together = by_counting(truth, calibrated, fitted.confidence)
    alone = [by_counting(truth, calibrated, least) for least in fitted.confidence]
    for part in (0, 1):  # each class by its own confidence, as if it were asked about alone
        assert together[part].tolist() == [alone[0][part][0], alone[1][part][1]]


def test_a_class_that_validation_hardly_has_takes_the_confidence_of_all():
    truth, answers = made(3, pictures=60)
    few, left = [], ENOUGH - 1
    for boxes in truth:  # of class b only the first ones, which are answered as ever
        kept = (boxes.classes == 0) | (np.cumsum(boxes.classes == 1) <= left)
        few.append(boxes.chosen(kept))
        left -= int((few[-1].classes == 1).sum())
    assert left == 0
    matches = match_pictures(few, answers, 2)
    assert f1_by_confidence(matches[1]).any()
    of_all = best_confidence(matches)
    own, rare = class_confidences(matches)
    assert rare == of_all
    assert own != of_all


def test_confidences_are_said_shortly():
    assert confidence_words(0.4, CLASSES) == confidence_words((0.4, 0.4), CLASSES) == "0.40"
    assert confidence_words((0.4, 0.55), CLASSES) == "0.40 (a) and 0.55 (b)"
    many = np.linspace(0.2, 0.6, 20)
    assert confidence_words(tuple(many), [str(n) for n in range(20)]) == "0.20 to 0.60, by class"


def test_without_right_or_wrong_answers_scores_stay_as_they_are():
    truth = [boxes_of([[0, 0, 9, 9]], [0])]
    wrong = [BoxAnswers(np.array([[50.0, 50, 60, 60]]), np.zeros(1, int), np.array([0.7]))]
    assert fit_box_calibration(truth, wrong, 2) == BoxCalibration(confidence=(USUAL, USUAL))
    assert best_confidence(match_pictures([NO_BOXES], wrong, 2)) == USUAL


def test_an_evaluation_says_what_became_of_each_box_and_names_pictures():
    truth, answers = made(3)
    found = evaluated(truth, answers)
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["task"] == "detect"
    total = sum(len(each) for each in truth)
    counts = value["boxes"]["counts"]
    assert counts["right"] + counts["missed"] == total
    assert value["boxes"]["confidence"] == {"a": 0.4, "b": 0.4}
    assert {row["class"] for row in value["per_class"]} == set(CLASSES)
    own = [outcomes_of(t, a, 2, 0.4).counts.sum(0) for t, a in zip(truth, answers, strict=True)]
    wrong = [row.sum() - row[0] for row in own]
    named = [int(row["sample_id"].split(".")[0]) for row in value["boxes"]["pictures"]]
    assert len(set(named)) == len(named)
    assert wrong[named[0]] == max(wrong)
    for row, place in zip(value["boxes"]["pictures"], named, strict=True):
        assert list(row["counts"].values()) == own[place].tolist()
    for curve in value["boxes"]["curves"]:
        assert len(curve["recall"]) == len(curve["precision"]) == len(curve["confidence"]) > 10
        assert curve["recall"] == sorted(curve["recall"])
    assert any("only 30 samples" in each for each in value["warnings"])
    with pytest.raises(DataError, match="no sample"):
        evaluated([], [])


def test_baselines_stand_beside_and_a_picture_without_anything_is_no_harm():
    truth, answers = made(4)
    truth, answers = [*truth, NO_BOXES], [*answers, BoxAnswers(np.zeros((0, 4)),
                                          np.zeros(0, int), np.zeros(0))]  # fmt: skip
    mean = mean_boxes(truth, [(260, 260)] * len(truth), 2)
    baseline = {mean.name: [mean.answer((260, 260)) for _ in truth]}
    found = evaluated(truth, answers, baselines=baseline)
    beside = found.baselines[mean.name]["ap50"].value
    assert beside < found.metrics["ap50"].value


def test_paired_comparison_is_the_difference_of_both_and_sees_what_is_better():
    truth, good = made(5, noise=2.0)
    _, bad = made(5, noise=9.0)
    compared = compare_boxes(truth, good, bad, CLASSES, names=("good", "bad"), resamples=200)
    sampling = Sampling(grouping(None, len(truth)), resamples=40)
    for metric, one in compared.items():
        values = [
            detection_figures(truth, each, CLASSES, sampling, confidence=0.5).metrics[metric].value
            for each in (good, bad)
        ]
        assert [one.first, one.second] == pytest.approx(values)
        assert one.difference.value == pytest.approx(values[0] - values[1])
        assert one.difference.low < one.difference.value < one.difference.high
    assert compared["ap"].better == "good"
    same = compare_boxes(truth, good, good, CLASSES, resamples=50)
    assert same["ap"].difference.value == 0
    assert same["ap"].better is None
    with pytest.raises(RequestError, match="same ones"):
        compare_boxes(truth, good[1:], bad, CLASSES)
