"""Detection against slow second derivations: assignment, losses, what becomes an answer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import generalized_box_iou

from vitreous.data.boxes.boxes import NO_BOXES, Boxes, box_areas, intersection_over_union
from vitreous.errors import DataError
from vitreous.networks.features.resnet import ResNet
from vitreous.networks.heads.detect import BINS, DetectHead, cell_grid
from vitreous.tasks.assignment import CELLS_A_BOX, OVERLAP_POWER, SCORE_POWER, assign
from vitreous.tasks.box_losses import (
    distribution_focal_loss,
    generalised_overlap,
    mean_distances,
    quality_focal_loss,
)
from vitreous.tasks.detect import SAME_THING, Detect

SIZE = (32, 48)
TASK = Detect(("ring", "disc"), SIZE)


def boxes_of(corners, classes, aside=()):
    corners = np.array(corners, np.float64).reshape(-1, 4)
    n = len(corners)
    difficult = np.isin(np.arange(n), aside)
    areas = box_areas(corners)
    return Boxes(corners, np.array(classes, np.int64), difficult, np.zeros(n, bool), areas)


def random_boxes(random, n, size=SIZE, smallest=2.0):
    first, second = random.random((2, n, 2)) * np.array(size[::-1])
    low, high = np.minimum(first, second), np.maximum(first, second) + smallest
    return np.concatenate([low, high], axis=1)


def assigned_slowly(scores, corners, truth, classes, counts, middles, strides):
    """One picture: for each box its best cells; for each cell the box it overlaps most."""
    cells, finest = len(middles), min(strides)
    overlaps = intersection_over_union(truth, corners)
    aligned = np.array([
        [scores[c, classes[t]] ** SCORE_POWER * overlaps[t, c] ** OVERLAP_POWER
         for c in range(cells)]
        for t in range(len(truth))
    ]).reshape(len(truth), cells)  # fmt: skip
    wants = {c: [] for c in range(cells)}
    for t, (left, top, right, bottom) in enumerate(truth):
        if not counts[t]:
            continue
        inside = []
        for c, (x, y) in enumerate(middles):
            least = finest / 2 if strides[c] == finest else 0.0
            near = abs(x - (left + right) / 2) <= max((right - left) / 2, least)
            if (
                aligned[t, c] > 0
                and near
                and abs(y - (top + bottom) / 2) <= max((bottom - top) / 2, least)
            ):
                inside.append(c)
        for c in sorted(inside, key=lambda c: -aligned[t, c])[:CELLS_A_BOX]:
            wants[c].append(t)
    box = [max(w, key=lambda t: overlaps[t, c]) if w else -1 for c, w in wants.items()]
    target = []
    for c, t in enumerate(box):
        own = [other for other in range(cells) if box[other] == t]
        best = max((aligned[t, other] for other in own), default=0.0)
        most = max((overlaps[t, other] for other in own), default=0.0)
        target.append(aligned[t, c] / best * most if t >= 0 and best > 0 else 0.0)
    return np.array(box), np.array(target)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_assignment_is_what_the_slow_form_gives(seed, n):
    random = np.random.default_rng(seed)
    middles, strides = cell_grid(SIZE)
    cells = len(middles)
    scores = random.random((2, cells, 2))
    truth = np.stack([random_boxes(random, n) for _ in range(2)])
    near = np.stack([each[random.integers(n, size=cells)] for each in truth])
    corners = near + random.normal(0, 2.0, near.shape)  # as a trained network answers
    corners[..., 2:] = np.maximum(corners[..., 2:], corners[..., :2] + 0.5)
    classes, counts = random.integers(2, size=(2, n)), random.random((2, n)) < 0.8
    arrays = [scores, corners, truth, classes, counts]
    found = assign(*(torch.from_numpy(each) for each in arrays), middles, strides)
    for picture in range(2):
        box, target = assigned_slowly(
            *(each[picture] for each in arrays), middles.numpy(), strides.numpy()
        )
        assert found.box[picture].tolist() == box.tolist()
        np.testing.assert_allclose(found.target[picture].numpy(), target, rtol=1e-6, atol=1e-9)


def test_a_thing_smaller_than_a_cell_is_learned_by_the_nearest_one():
    middles, strides = cell_grid(SIZE)
    truth = torch.tensor([[[13.0, 13.0, 14.0, 14.5]]])
    corners = torch.cat([middles - 3, middles + 3], 1)[None]
    found = assign(torch.full((1, len(middles), 1), 0.1), corners, truth,
                   torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool),
                   middles, strides)  # fmt: skip
    assert middles[found.box[0] >= 0].tolist() == [[12.0, 12.0]]


def test_quality_focal_loss_of_single_numbers():
    for logit, target in [(0.3, 0.0), (-2.0, 0.7), (4.0, 1.0)]:
        score = 1 / (1 + math.exp(-logit))
        entropy = -target * math.log(score) - (1 - target) * math.log(1 - score)
        wanted = abs(target - score) ** 2 * entropy
        found = quality_focal_loss(torch.tensor(logit), torch.tensor(target))
        assert found.item() == pytest.approx(wanted, rel=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_generalised_overlap_is_that_of_torchvision(seed):
    random = np.random.default_rng(seed)
    first, second = (torch.from_numpy(random_boxes(random, 9)) for _ in range(2))
    wanted = generalized_box_iou(first, second).diagonal()
    torch.testing.assert_close(generalised_overlap(first, second), wanted)


@given(st.floats(0, BINS - 1.01), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_distribution_loss_is_least_where_its_mean_is_the_distance(distance, seed):
    logits = np.random.default_rng(seed).normal(size=BINS)
    shares = np.exp(logits) / np.exp(logits).sum()
    below = int(distance)
    wanted = -math.log(shares[below]) * (below + 1 - distance)
    wanted -= math.log(shares[below + 1]) * (distance - below)
    found = distribution_focal_loss(torch.from_numpy(logits), torch.tensor(distance))
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    best = torch.full((BINS,), -30.0, dtype=torch.float64)
    best[below], best[below + 1] = (math.log(max(below + 1 - distance, 1e-13)),
                                    math.log(max(distance - below, 1e-13)))  # fmt: skip
    assert mean_distances(best).item() == pytest.approx(distance, abs=1e-4)
    assert distribution_focal_loss(best, torch.tensor(distance)) <= found + 1e-9


def answering(boxes, classes, scores, task=TASK):
    """Outputs of which cell i answers box i; the other cells answer nothing."""
    middles, strides = cell_grid(task.size)
    logits = torch.full((len(middles), task.outputs), -12.0)
    distributions = torch.zeros(len(middles), 4, BINS)
    for cell, (box, place, score) in enumerate(zip(boxes, classes, scores, strict=True)):
        logits[cell, place] = math.log(score / (1 - score))
        x, y = middles[cell].tolist()
        away = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / strides[cell].item()
        for side, distance in enumerate(away):
            assert 0 <= distance < BINS - 1
            below = int(distance)
            distributions[cell, side] = -40.0
            distributions[cell, side, below] = math.log(max(below + 1 - distance, 1e-12))
            distributions[cell, side, below + 1] = math.log(max(distance - below, 1e-12))
    return torch.cat([logits, distributions.flatten(1)], 1)[None]


def test_answers_are_the_boxes_that_the_cells_say_within_the_picture():
    outputs = answering([[1.5, 2.0, 9.0, 7.0], [10.0, 0.5, 70.0, 31.0]], [1, 0], [0.9, 0.4])
    (found,) = TASK.answers(outputs)
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.4], rtol=1e-5)
    np.testing.assert_allclose(found.corners, [[1.5, 2, 9, 7], [10, 0.5, 48, 31]], atol=1e-3)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_of_answers_that_overlap_the_surest_of_each_class_are_left(seed):
    random = np.random.default_rng(seed)
    middles, _ = cell_grid(SIZE)
    around = middles[:24].numpy()
    reach = random.uniform(2, 9, (24, 4)) * np.array([-1, -1, 1, 1])
    boxes = np.concatenate([around, around], 1) + reach
    classes, scores = random.integers(2, size=24), random.permutation(24) / 30 + 0.05
    (found,) = TASK.answers(answering(boxes, classes, scores))
    cut = np.clip(boxes, 0, np.array([48, 32, 48, 32]))
    kept = []
    for place in np.argsort(-scores):
        alike = [k for k in kept if classes[k] == classes[place]]
        overlaps = intersection_over_union(cut[[place]], cut[alike])
        if not (overlaps > SAME_THING).any():
            kept.append(place)
    np.testing.assert_allclose(found.scores, scores[kept], rtol=1e-4)
    assert found.classes.tolist() == classes[kept].tolist()


def test_targets_hold_boxes_their_classes_and_what_is_left_aside():
    label = boxes_of([[1, 2, 3, 4], [5, 6, 7, 8]], [1, 0], aside=[1])
    targets = TASK.encode([label, NO_BOXES])
    assert targets.shape == (2, 2, 6)
    assert targets[0].tolist() == [[1, 2, 3, 4, 1, 1], [5, 6, 7, 8, 0, 2]]
    assert not targets[1].any()
    with pytest.raises(DataError, match="no boxes"):
        TASK.encode(["a cat"])


@pytest.mark.parametrize(
    "labels", [[NO_BOXES, NO_BOXES], [NO_BOXES, boxes_of([[3, 3, 9, 9]], [0])]]
)
def test_pictures_without_boxes_teach_that_there_is_nothing(labels):
    torch.manual_seed(0)
    cells = len(cell_grid(SIZE)[0])
    outputs = torch.randn(2, cells, 2 + 4 * BINS, requires_grad=True)
    TASK.loss(outputs, TASK.encode(labels)).backward()
    gradient = outputs.grad[0, :, :2]
    assert (gradient > 0).all()  # every score is to fall
    assert not outputs.grad[0, :, 2:].any()  # and no box is learned


def test_cells_in_a_difficult_box_are_neither_that_thing_nor_background():
    cells = len(cell_grid(SIZE)[0])
    outputs = torch.zeros(1, cells, 2 + 4 * BINS, requires_grad=True)
    label = boxes_of([[0, 0, 16, 16]], [0], aside=[0])
    TASK.loss(outputs, TASK.encode([label])).backward()
    middles, _ = cell_grid(SIZE)
    inside = (middles <= 16).all(1)
    silent = (outputs.grad[0, :, :2] == 0).all(1)
    assert inside.any()
    assert (silent == inside).all()


def test_four_pictures_are_learned_by_heart():
    random = np.random.default_rng(0)
    pixels, labels = torch.zeros(4, 3, *SIZE), []
    for picture in range(4):
        corners, classes = [], [0, 1]
        for place in classes:
            width, height = random.integers(9, 20, 2)
            left, top = random.integers(SIZE[1] - width), random.integers(SIZE[0] - height)
            pixels[picture, place, top : top + height, left : left + width] = 2.0
            corners.append([left, top, left + width, top + height])
        labels.append(boxes_of(corners, classes))
    torch.manual_seed(0)
    features = ResNet(3, SIZE)
    network = nn.Sequential(features, DetectHead(features.channels, features.strides, 2, width=32))
    targets, optimizer = TASK.encode(labels), torch.optim.AdamW(network.parameters(), 4e-3)
    for _ in range(70):
        optimizer.zero_grad()
        TASK.loss(network(pixels), targets).backward()
        optimizer.step()
    with torch.no_grad():
        answers = TASK.answers(network.eval()(pixels))
    for found, true in zip(answers, labels, strict=True):
        sure = found.scores > 0.5
        assert sorted(found.classes[sure]) == [0, 1]
        by_class = np.argsort(found.classes[sure])
        overlaps = intersection_over_union(found.corners[sure][by_class], true.corners)
        assert overlaps.diagonal().min() > 0.7
