import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vitreous.data.masks.mask_label import IGNORE, MaskLabel
from vitreous.errors import DataError
from vitreous.tasks import Segment, task_for, task_named

TASK = Segment(("sky", "road", "car"))


def drawn(seed=0, shape=(2, 3, 5, 4)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    return logits, targets.to(torch.uint8)


def slow_loss(logits, targets, weights=None):
    """Pixel by pixel, class by class."""
    classes = logits.shape[1]
    flat = logits.movedim(1, -1).reshape(-1, classes).tolist()
    truth = targets.flatten().tolist()
    entropy = weight_sum = 0.0
    hits, answered, true = [0.0] * classes, [0.0] * classes, [0] * classes
    for scores, label in zip(flat, truth, strict=True):
        if label == IGNORE:
            continue
        total = sum(math.exp(score) for score in scores)
        p = [math.exp(score) / total for score in scores]
        weight = 1.0 if weights is None else weights[label]
        entropy -= weight * math.log(p[label])
        weight_sum += weight
        hits[label] += p[label]
        true[label] += 1
        answered = [a + b for a, b in zip(answered, p, strict=True)]
    dice = [2 * h / (a + t) for h, a, t in zip(hits, answered, true, strict=True) if t]
    return entropy / weight_sum + 1 - sum(dice) / len(dice)


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 3, 7), (2, 3, 3, 2, 4)])
def test_the_loss_is_that_of_the_slow_derivation(weights, shape):
    logits, targets = drawn(shape=shape)
    targets[0, ..., :1] = IGNORE
    targets[targets == 2] = 1  # a class that is not there has no Dice
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    found = TASK.loss(logits, targets, class_weights=given)
    assert float(found) == pytest.approx(slow_loss(logits, targets, weights), rel=1e-9)


def test_ignored_pixels_neither_count_nor_have_a_gradient():
    logits, targets = drawn()
    targets[:, 2:] = IGNORE
    logits.requires_grad_()
    TASK.loss(logits, targets).backward()
    assert not logits.grad[:, :, 2:].any()
    assert logits.grad[:, :, :2].abs().min() > 0
    other = logits.detach().clone()
    other[:, :, 2:] = 7.0
    assert float(TASK.loss(other, targets)) == float(TASK.loss(logits.detach(), targets))


def test_a_batch_without_a_label_teaches_nothing():
    logits, targets = drawn()
    logits.requires_grad_()
    loss = TASK.loss(logits, torch.full_like(targets, IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_right_answers_cost_nothing_and_wrong_ones_much():
    _, targets = drawn()
    right = 50.0 * F.one_hot(targets.long(), 3).movedim(-1, 1).double()
    assert float(TASK.loss(right, targets)) == pytest.approx(0, abs=1e-6)
    assert float(TASK.loss(-right, targets)) > 10


def test_coarser_answers_count_half_as_much_each():
    fine, targets = drawn(shape=(2, 3, 8, 6))
    half, _ = drawn(1, (2, 3, 4, 3))
    quarter, _ = drawn(2, (2, 3, 2, 2))
    found = TASK.loss([fine, half, quarter], targets)
    parts = [
        TASK.loss(fine, targets),
        TASK.loss(half, targets[:, ::2, ::2]),
        TASK.loss(quarter, targets[:, ::4, ::3]),
    ]
    expected = (parts[0] + parts[1] / 2 + parts[2] / 4) / 1.75
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_the_weight_of_a_part_is_its_labelled_pixels():
    _, targets = drawn()
    targets[0] = IGNORE
    assert TASK.weight(targets) == 20
    weights = torch.tensor([1.0, 2.0, 4.0])
    expected = sum(float(weights[label]) for label in targets[1].flatten().tolist())
    assert TASK.weight(targets, weights) == pytest.approx(expected)


def test_labels_are_counted_and_answers_are_probabilities():
    label = MaskLabel("a.png", np.array([3, 0, 9]), 2)
    assert TASK.encode([label, label]).tolist() == [[3, 0, 9]] * 2
    with pytest.raises(DataError, match="is no mask"):
        TASK.encode(["cat"])
    logits, _ = drawn()
    answers = TASK.answers(logits, temperature=2.0)
    torch.testing.assert_close(answers.sum(1), torch.ones(2, 5, 4))
    assert task_for("mask", TASK.classes, []) == TASK == task_named("segment", TASK.classes)
