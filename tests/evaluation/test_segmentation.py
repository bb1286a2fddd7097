"""Masks judged by the slow form, beside torchmetrics, and in three dimensions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.segmentation import dice_score, hausdorff_distance, mean_iou

from vitreous.errors import RequestError
from vitreous.evaluation.mask_comparison import (
    border,
    compare_masks,
)
from vitreous.evaluation.mask_comparison import (
    hausdorff_distance as our_hausdorff,
)
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.segmentation import BLOCKS, segmentation_figures

CLASSES = ("sky", "road", "car")


def blobs(seed, size=(24, 24), classes=3):
    """A mask of round regions, and an answer that differs at their borders."""
    random = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(random.normal(size=size), 3) for _ in range(classes)])
    other = fields + 0.3 * np.stack([gaussian_filter(random.normal(size=size), 3)
                                     for _ in range(classes)])  # fmt: skip
    return fields.argmax(axis=0), other.argmax(axis=0)


def sampling(n, resamples=50, groups=None):
    return Sampling(grouping(groups, n), resamples=resamples)


def compared(pairs, **options):
    return [compare_masks(truth, answer, 3, **options) for truth, answer in pairs]


def points_on_border(region, valid, closed):
    """The slow form: pixel by pixel, neighbour by neighbour."""
    found = []
    for place in np.argwhere(region & valid):
        for axis in range(region.ndim):
            for step in (-1, 1):
                beside = place.copy()
                beside[axis] += step
                if not 0 <= beside[axis] < region.shape[axis]:
                    if closed:
                        found.append(tuple(place))
                elif not region[tuple(beside)] and valid[tuple(beside)]:
                    found.append(tuple(place))
    return sorted(set(found))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([(7, 9), (4, 5, 6)]))
def test_the_border_by_the_slow_form(seed, closed, size):
    random = np.random.default_rng(seed)
    region, valid = random.random(size) < 0.5, random.random(size) < 0.8
    ours = [tuple(place) for place in np.argwhere(border(region, valid, closed))]
    assert ours == points_on_border(region, valid, closed)


@pytest.mark.parametrize("seed", range(6))
def test_iou_and_dice_of_torchmetrics(seed):
    pairs = [blobs(10 * seed + n) for n in range(4)]
    figures = segmentation_figures(compared(pairs), CLASSES, sampling(4))
    truth, answer = (torch.tensor(np.stack(side)) for side in zip(*pairs, strict=True))
    flat = [each.reshape(1, -1) for each in (answer, truth)]
    iou = mean_iou(*flat, num_classes=3, per_class=True, input_format="index")[0]
    dice = dice_score(*flat, num_classes=3, average="none", input_format="index")[0]
    for place, row in enumerate(figures.per_class):
        assert row.scores["iou"].value == pytest.approx(float(iou[place]), abs=1e-6)
        assert row.scores["dice"].value == pytest.approx(float(dice[place]), abs=1e-6)
    assert figures.metrics["iou"].value == pytest.approx(float(iou.mean()), abs=1e-6)
    one = dice_score(answer, truth, num_classes=3, average="none", input_format="index")
    for place, row in enumerate(figures.per_class):
        there = ((truth == place) | (answer == place)).flatten(1).any(dim=1)
        expected = float(one[there, place].mean())
        assert row.scores["dice_a_picture"].value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
def test_the_hausdorff_distance_of_torchmetrics(seed, spacing):
    random = np.random.default_rng(seed)
    first, second = (gaussian_filter(random.normal(size=(20, 20)), 3) > 0 for _ in range(2))
    # off the frame: torchmetrics pads and treats it otherwise
    for region in (first, second):
        region[[0, -1]] = region[:, [0, -1]] = False
    masks = [torch.tensor(np.stack([~r, r])[None]).long() for r in (first, second)]
    options = {"num_classes": 2, "include_background": False, "input_format": "one-hot"}
    theirs = hausdorff_distance(*masks, **options)
    ours = our_hausdorff(first, second, np.ones(2), percentile=100)
    assert ours == pytest.approx(float(theirs[0, 0]), abs=1e-5)
    points = [np.array(points_on_border(r, np.ones_like(r), True)) * spacing
              for r in (first, second)]  # fmt: skip
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    slow = max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))
    assert our_hausdorff(first, second, np.array(spacing)) == pytest.approx(slow)


@pytest.mark.parametrize("seed", range(4))
def test_boundary_f1_by_the_slow_form(seed):
    truth, answer = blobs(seed)
    found = compare_masks(truth, answer, 3, tolerance=1.5)
    figures = segmentation_figures([found], CLASSES, sampling(1))
    everywhere = np.ones(truth.shape, bool)
    for place in range(3):
        true, answered = (
            np.array(points_on_border(mask == place, everywhere, False)) for mask in (truth, answer)
        )
        apart = np.linalg.norm(true[:, None] - answered[None], axis=2)
        precision, recall = (apart.min(axis=0) <= 1.5).mean(), (apart.min(axis=1) <= 1.5).mean()
        expected = 2 * precision * recall / (precision + recall)
        assert figures.per_class[place].scores["boundary_f1"].value == pytest.approx(expected)


def test_a_border_a_pixel_off_is_found_within_the_tolerance():
    truth, answer = np.zeros((20, 20), int), np.zeros((20, 20), int)
    truth[:, 10:], answer[:, 11:] = 1, 1
    near = compare_masks(truth, answer, 2, tolerance=1.0)
    far = compare_masks(truth, answer, 2, tolerance=0.9)
    assert near.answer_near.tolist() == near.answer_border.tolist() == [20, 20]
    assert far.answer_near.tolist() == [0, 0]
    assert near.hausdorff.tolist() == [1, 1]


def test_spacing_is_in_the_distances():
    truth, answer = np.zeros((6, 8, 8), int), np.zeros((6, 8, 8), int)
    truth[2:4, 2:5, 2:5] = 1
    answer[1:3, 2:5, 2:5] = 1
    assert compare_masks(truth, answer, 2, spacing=(3, 1, 1)).hausdorff[1] == 3
    assert compare_masks(truth, answer, 2).hausdorff[1] == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_ignored_does_not_count(seed):
    truth, answer = blobs(seed)
    truth[5:11, 3:20] = 255
    changed = answer.copy()
    changed[5:11, 3:20] = (changed[5:11, 3:20] + 1) % 3
    one, other = compare_masks(truth, answer, 3), compare_masks(truth, changed, 3)
    assert (one.confusion == other.confusion).all()
    assert one.confusion.sum() == truth.size - 6 * 17
    for name in ("answer_near", "answer_border", "truth_near", "truth_border"):
        assert (getattr(one, name) == getattr(other, name)).all()
    np.testing.assert_array_equal(one.hausdorff, other.hausdorff)


def test_a_class_on_one_side_only_costs_the_diagonal():
    truth, answer = np.zeros((3, 4), int), np.zeros((3, 4), int)
    truth[1, 1] = 1
    found = compare_masks(truth, answer, 3)
    assert found.hausdorff[1] == 5
    assert np.isnan(found.hausdorff[2])
    figures = segmentation_figures([found], CLASSES, sampling(1))
    scores = figures.per_class[1].scores
    assert scores["boundary_f1"].value == scores["dice"].value == scores["iou"].value == 0
    assert figures.per_class[2].scores["dice"].value is None
    assert figures.per_class[2].scores["hausdorff95"].method.startswith("undefined")
    assert figures.metrics["dice"].value == pytest.approx((0 + 22 / 23) / 2)


def test_a_perfect_answer():
    pairs = [(truth, truth) for truth, _ in map(blobs, range(3))]
    figures = segmentation_figures(compared(pairs), CLASSES, sampling(3), unit="mm")
    for name in (*BLOCKS, "pixel_accuracy"):
        assert figures.metrics[name].value == 1
    assert figures.metrics["hausdorff95"].value == 0
    assert figures.metrics["hausdorff95"].unit == "mm"


def test_the_background_is_left_out_of_means():
    pairs = [blobs(n) for n in range(3)]
    of_all = segmentation_figures(compared(pairs), CLASSES, sampling(3))
    without = segmentation_figures(compared(pairs), CLASSES, sampling(3), background=0)
    rows = [row.scores["dice"].value for row in of_all.per_class]
    assert without.metrics["dice"].value == pytest.approx(np.mean(rows[1:]))
    assert of_all.metrics["dice"].value == pytest.approx(np.mean(rows))


def test_intervals_are_over_groups_and_repeat():
    pairs = [blobs(n // 5) if n % 5 else blobs(n) for n in range(30)]
    compared_pairs = compared(pairs)
    single = segmentation_figures(compared_pairs, CLASSES, sampling(30, 200))
    groups = [str(n // 5) for n in range(30)]
    grouped = segmentation_figures(compared_pairs, CLASSES, sampling(30, 200, groups))
    for name in (*BLOCKS, "pixel_accuracy", "hausdorff95"):
        one, other = single.metrics[name], grouped.metrics[name]
        assert one.low < one.value < one.high, name
        assert other.value == one.value
        assert other.high - other.low > one.high - one.low, name
    again = segmentation_figures(compared_pairs, CLASSES, sampling(30, 200))
    assert again.metrics == single.metrics


def test_two_identical_pictures_are_one_counted_twice():
    pairs = [blobs(n) for n in range(3)]
    once = segmentation_figures(compared(pairs), CLASSES, sampling(3))
    twice = segmentation_figures(compared(pairs * 2), CLASSES, sampling(6))
    for name in (*BLOCKS, "hausdorff95"):
        assert twice.metrics[name].value == pytest.approx(once.metrics[name].value)
    assert (twice.confusion == 2 * once.confusion).all()


@pytest.mark.parametrize(
    ("truth", "answer", "options", "words"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), {}, "give masks of one shape"),
        (np.full((2, 3), 4), np.zeros((2, 3), int), {}, "the truth has the class numbers 4 to 4"),
        (np.zeros((2, 3), int), np.full((2, 3), 9), {}, "the answer has the class numbers 9 to 9"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), {"spacing": (1,)}, "each of 2 axes"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), {"spacing": (1, 0)}, "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(truth, answer, options, words):
    with pytest.raises(RequestError, match=words):
        compare_masks(truth, answer, 3, **options)
    with pytest.raises(RequestError, match="no picture to score"):
        segmentation_figures([], CLASSES, sampling(1))
