"""Boxes judged as pycocotools judges them, weighed as copied pictures would, counted to the end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.beside_pycocotools import by_pycocotools

from vitreous.data.boxes.boxes import NO_BOXES, Boxes
from vitreous.errors import RequestError
from vitreous.evaluation.box_matching import BoxAnswers, match_pictures
from vitreous.evaluation.box_mistakes import KINDS, outcomes_of
from vitreous.evaluation.box_precision import (
    average_precisions,
    precision_recall_curve,
    recalls,
)
from vitreous.evaluation.detection import AVERAGES, detection_figures
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling

CLASSES = ("a", "b", "c")


def boxes_of(corners, classes, crowd=None, difficult=None, areas=None):
    corners = np.array(corners, np.float64).reshape(-1, 4)
    n = len(corners)
    own = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return Boxes(
        corners,
        np.array(classes, np.int64).reshape(n),
        np.zeros(n, bool) if difficult is None else np.array(difficult, bool),
        np.zeros(n, bool) if crowd is None else np.array(crowd, bool),
        own if areas is None else np.array(areas, np.float64),
    )


def answers_of(corners, classes, confidences):
    return BoxAnswers(
        np.array(corners, np.float64).reshape(-1, 4),
        np.array(classes, np.int64).reshape(-1),
        np.array(confidences, np.float64).reshape(-1),
    )


def made(seed, pictures=12, most=9, crowds=0.1, noise=6.0, spurious=4, rounded=False):
    """True boxes of all sizes, and answers near many of them, some on nothing."""
    random = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(pictures):
        n = int(random.integers(0, most + 1))
        places = random.uniform(0, 300, (n, 2))
        sides = np.exp(random.uniform(np.log(8), np.log(200), (n, 2)))
        corners = np.hstack([places, places + sides])
        classes = random.integers(0, 3, n)
        truth.append(boxes_of(corners, classes, random.random(n) < crowds,
                              areas=sides.prod(axis=1) * random.uniform(0.5, 1, n)))  # fmt: skip
        copies = np.repeat(np.arange(n), random.integers(0, 3, n))
        near = corners[copies] + random.normal(0, noise, (len(copies), 4))
        far = random.uniform(0, 200, (spurious, 2))
        far = np.hstack([far, far + random.uniform(5, 100, (spurious, 2))])
        given = np.vstack([near, far])
        given[:, 2:] = np.maximum(given[:, 2:], given[:, :2] + 1)
        kinds = np.r_[np.where(random.random(len(copies)) < 0.8, classes[copies],
                               random.integers(0, 3, len(copies))),
                      random.integers(0, 3, spurious)]  # fmt: skip
        confidences = random.random(len(given))
        if rounded:  # many equal confidences and overlaps
            given, confidences = np.round(given / 8) * 8, np.round(confidences, 1)
            given[:, 2:] = np.maximum(given[:, 2:], given[:, :2] + 8)
        answers.append(answers_of(given, kinds, confidences))
    return truth, answers


def sampling(n, resamples=20, groups=None):
    return Sampling(grouping(groups, n), resamples=resamples)


@pytest.mark.parametrize("seed", range(12))
def test_the_twelve_numbers_of_pycocotools(seed):
    truth, answers = made(seed, rounded=seed % 3 == 0, most=4 + 3 * (seed % 4))
    theirs = by_pycocotools(truth, answers).stats
    ours = detection_figures(truth, answers, CLASSES, sampling(len(truth)), confidence=0.5).metrics
    for name, expected in zip(AVERAGES, theirs, strict=True):
        value = ours[name].value
        assert (value is None) == (expected == -1), name
        assert value is None or value == pytest.approx(expected, abs=1e-9), name


@pytest.mark.parametrize("seed", range(4))
def test_every_class_threshold_and_size_of_pycocotools(seed):
    truth, answers = made(seed + 100, pictures=20, spurious=8)
    theirs = by_pycocotools(truth, answers).eval
    matches = match_pictures(truth, answers, 3)
    once = np.ones((1, len(truth)))
    for place in range(3):
        for size, name in enumerate(("all", "small", "medium", "large")):
            precision = theirs["precision"][:, :, place, size, 2]
            expected = np.where(precision > -1, precision, np.nan).mean(axis=1)
            ours = average_precisions(matches[place], once, name)[0]
            np.testing.assert_allclose(ours, expected, atol=1e-9, equal_nan=True)
            recall = theirs["recall"][:, place, size, 2]
            expected = np.where(recall > -1, recall, np.nan)
            np.testing.assert_allclose(recalls(matches[place], once, name)[0], expected, atol=1e-9)
        for most, limit in enumerate((1, 10, 100)):
            expected = theirs["recall"][:, place, 0, most]
            ours = recalls(matches[place], once, most=limit)[0]
            np.testing.assert_allclose(ours, np.where(expected > -1, expected, np.nan), atol=1e-9)


def test_beside_torchmetrics():
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    truth, answers = made(7, crowds=0.0)
    metric = MeanAveragePrecision(backend="pycocotools", class_metrics=True)
    metric.update(
        [{"boxes": torch.tensor(a.corners), "scores": torch.tensor(a.confidences),
          "labels": torch.tensor(a.classes)} for a in answers],
        [{"boxes": torch.tensor(t.corners), "labels": torch.tensor(t.classes),
          "area": torch.tensor(t.areas)} for t in truth],
    )  # fmt: skip
    theirs = metric.compute()
    ours = detection_figures(truth, answers, CLASSES, sampling(len(truth)), confidence=0.5)
    for name, other in (("ap", "map"), ("ap50", "map_50"), ("ap75", "map_75"), ("ar", "mar_100"),
                        ("ap_small", "map_small"), ("ar_large", "mar_large")):  # fmt: skip
        assert ours.metrics[name].value == pytest.approx(float(theirs[other]), abs=1e-6), name
    per_class = [row.averages["ap"].value for row in ours.per_class]
    assert per_class == pytest.approx(theirs["map_per_class"].tolist(), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_weight_of_two_is_a_picture_twice(seed):
    truth, answers = made(seed, pictures=6)
    times = np.random.default_rng(seed).integers(0, 3, 6)
    copied = [place for place, count in enumerate(times) for _ in range(count)]
    weighed = match_pictures(truth, answers, 3)
    repeated = match_pictures([truth[p] for p in copied], [answers[p] for p in copied], 3)
    weights = times[None].astype(float)
    for one, other in zip(weighed, repeated, strict=True):
        once = np.ones((1, len(copied)))
        for size in ("all", "small", "large"):
            np.testing.assert_allclose(
                average_precisions(one, weights, size),
                average_precisions(other, once, size),
                atol=1e-12,
            )
            np.testing.assert_allclose(
                recalls(one, weights, size), recalls(other, once, size), atol=1e-12
            )


def test_the_hundred_surest_of_a_picture_count():
    right = [[10, 10, 60, 60]]
    others = [[200 + n, 200, 230 + n, 230] for n in range(120)]
    answers = answers_of(right + others, [0] * 121, [0.01, *np.linspace(0.5, 0.9, 120)])
    truth = boxes_of(right, [0])
    figures = detection_figures([truth], [answers], ["a"], sampling(1), confidence=0.0)
    assert figures.metrics["ap"].value == 0
    assert by_pycocotools([truth], [answers], 1).stats[0] == 0


def test_difficult_boxes_are_neither_asked_for_nor_wrong():
    truth = boxes_of([[0, 0, 50, 50], [100, 0, 150, 50]], [0, 0], difficult=[False, True])
    on_both = answers_of(
        [[0, 0, 50, 50], [100, 0, 150, 50], [101, 0, 151, 50]], [0, 0, 0], [0.5, 0.9, 0.8]
    )
    figures = detection_figures([truth], [on_both], ["a"], sampling(1), confidence=0.1)
    assert figures.metrics["ap"].value == 1
    assert figures.per_class[0].n == 1
    assert figures.counts == dict.fromkeys(KINDS, 0) | {"right": 1}
    assert figures.outcomes[0].of_answers.tolist() == [0, -1, -1]


def test_what_becomes_of_each_box():
    truth = boxes_of(
        [[0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100], [600, 0, 700, 100]], [0, 0, 1, 0]
    )
    answers = answers_of(
        [
            [0, 0, 100, 100],  # right
            [5, 0, 105, 100],  # doubled
            [240, 0, 340, 100],  # misplaced: overlap 60 / 140
            [400, 0, 500, 100],  # misnamed: it is of class 1
            [800, 0, 900, 100],  # false
            [195, 0, 300, 100],  # right, but not sure enough
        ],
        [0, 0, 0, 0, 0, 0],
        [0.9, 0.8, 0.8, 0.7, 0.6, 0.2],
    )
    found = outcomes_of(truth, answers, 2, 0.5)
    names = [KINDS[place] if place >= 0 else None for place in found.of_answers]
    assert names == ["right", "doubled", "misplaced", "misnamed", "false", None]
    assert [KINDS[place] for place in found.of_truths] == ["right", "missed", "missed", "missed"]
    assert found.counts.tolist() == [[1, 2, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_counts_add_up(seed, confidence):
    truth, answers = made(seed, pictures=5, crowds=0.2)
    for boxes, given_answers in zip(truth, answers, strict=True):
        found = outcomes_of(boxes, given_answers, 3, confidence)
        right, missed = (found.of_truths == KINDS.index(kind) for kind in ("right", "missed"))
        assert right.sum() + missed.sum() == (~boxes.crowd).sum()
        assert right.sum() == (found.of_answers == KINDS.index("right")).sum()
        unsure = given_answers.confidences < confidence
        assert (found.of_answers[unsure] == -1).all()
        assert found.counts.sum() == (found.of_answers >= 0).sum() + missed.sum()


@pytest.mark.parametrize("seed", range(3))
def test_right_ones_are_those_of_the_matching(seed):
    truth, answers = made(seed + 40)
    matches = match_pictures(truth, answers, 3)
    sure = sum(int((m.right[0, 0] & (m.confidences >= 0.4)).sum()) for m in matches)
    ours = [outcomes_of(t, a, 3, 0.4) for t, a in zip(truth, answers, strict=True)]
    assert sum(int((o.of_answers == 0).sum()) for o in ours) == sure


def test_precision_recall_and_count_error_by_hand():
    truth = [boxes_of([[0, 0, 9, 9], [20, 0, 29, 9]], [0, 0]), boxes_of([[0, 0, 9, 9]], [0]),
             NO_BOXES]  # fmt: skip
    answers = [answers_of([[0, 0, 9, 9]], [0], [0.9]), answers_of([[0, 0, 9, 9]], [0], [0.8]),
               answers_of([[50, 0, 59, 9]], [0], [0.7])]  # fmt: skip
    figures = detection_figures(truth, answers, ["a"], sampling(3), confidence=0.5)
    assert figures.metrics["precision"].value == pytest.approx(2 / 3)
    assert figures.metrics["recall"].value == pytest.approx(2 / 3)
    assert figures.metrics["count_error"].value == pytest.approx(2 / 3)  # one, none, one off
    assert figures.a_picture["missed"].value == pytest.approx(1 / 3)
    recall, precision, confidence = precision_recall_curve(figures.matches[0])
    assert recall.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert precision.tolist() == pytest.approx([1, 1, 2 / 3])
    assert confidence.tolist() == [0.9, 0.8, 0.7]


def test_intervals_are_over_groups():
    truth, answers = made(3, pictures=40)
    single = detection_figures(truth, answers, CLASSES, sampling(40, 200), confidence=0.5)
    groups = [str(number // 8) for number in range(40)]
    grouped = detection_figures(truth, answers, CLASSES, sampling(40, 200, groups), confidence=0.5)
    for name in ("ap", "ap50", "ar", "precision", "recall", "count_error"):
        one, other = single.metrics[name], grouped.metrics[name]
        assert one.low < one.value < one.high
        assert one.value == other.value
    assert grouped.metrics["ap50"].high - grouped.metrics["ap50"].low > (
        single.metrics["ap50"].high - single.metrics["ap50"].low
    )
    again = detection_figures(truth, answers, CLASSES, sampling(40, 200), confidence=0.5)
    assert again.metrics["ap"] == single.metrics["ap"]


def test_a_perfect_and_a_silent_detector():
    truth, _ = made(5, crowds=0)
    same = [answers_of(t.corners, t.classes, np.full(len(t), 0.9)) for t in truth]
    perfect = detection_figures(truth, same, CLASSES, sampling(len(truth)), confidence=0.5)
    assert perfect.metrics["ap"].value == pytest.approx(1)
    assert perfect.counts["missed"] == perfect.counts["false"] == 0
    none = [answers_of([], [], []) for _ in truth]
    silent = detection_figures(truth, none, CLASSES, sampling(len(truth)), confidence=0.5)
    assert silent.metrics["ap"].value == 0
    assert silent.metrics["precision"].value is None
    assert silent.counts["missed"] == sum(map(len, truth))


@pytest.mark.parametrize(
    ("truth", "answers", "words"),
    [
        ([], [], "0 pictures with true boxes"),
        ([NO_BOXES], [], "1 pictures with true boxes, 0 with answers"),
        ([boxes_of([[0, 0, 1, 1]], [3])], [answers_of([], [], [])], "the class numbers 3 to 3"),
        ([NO_BOXES], [answers_of([[0, 0, 1, np.nan]], [0], [0.5])], "corners that are no numbers"),
    ],
)
def test_what_does_not_fit_is_refused(truth, answers, words):
    with pytest.raises(RequestError, match=words):
        detection_figures(truth, answers, CLASSES, sampling(max(len(truth), 1)), confidence=0.5)
