"""Batches of pictures with boxes, and what is watched while training."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.data.augmentation import RANDOM_COLUMNS, Augmentation, random_table
from vitreous.data.box_augmentation import box_augmentation
from vitreous.data.boxes.boxes import Boxes, box_areas
from vitreous.data.transforms import Scaling
from vitreous.evaluation.detection import detection_figures
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling
from vitreous.inference import PLAIN
from vitreous.networks.heads.detect import BINS, cell_grid
from vitreous.tasks.detect import Detect
from vitreous.training.batches import TrainingData
from vitreous.training.box_batches import MOSAICS_UNTIL, BoxBatches, as_answers
from vitreous.training.processes import ALONE

SIZE = (48, 64)
TASK = Detect(("a", "b"), SIZE)
STILL = Augmentation()


@pytest.fixture(scope="module")
def boxes():
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 60, (20, 3, *SIZE), np.uint8), []
    for picture in pixels:
        corners = []
        for place in range(2):
            width, height = random.integers(10, 24, 2)
            left, top = random.integers(64 - width), random.integers(48 - height)
            picture[place, top : top + height, left : left + width] = 250
            corners.append([left, top, left + width, top + height])
        corners, nothing = np.array(corners, float), np.zeros(2, bool)
        labels.append(Boxes(corners, np.arange(2), nothing, nothing, box_areas(corners)))
    return BoxBatches(pixels, labels, np.arange(14), TASK)


def batch(boxes, rows, recipe, progress=0.0):
    random = random_table(3, 1, len(boxes.pixels))[torch.tensor(rows)]
    assert random.shape[1] == len(RANDOM_COLUMNS)
    return boxes.batch(np.array(rows), recipe, random, progress)


def test_without_augmentation_pictures_and_boxes_are_as_they_were(boxes):
    pixels, targets = batch(boxes, [3, 7], STILL)
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.numpy(), boxes.pixels[[3, 7]])
    np.testing.assert_allclose(targets[1, :, :4].numpy(), boxes.labels[7].corners)


def test_a_picture_changes_the_same_way_in_any_batch_and_pictures_differ(boxes):
    recipe = box_augmentation(3, *SIZE)
    together, _ = batch(boxes, [1, 2, 1, 5], recipe)
    alone, _ = batch(boxes, [5], recipe)
    assert torch.equal(together[3], alone[0])
    assert torch.equal(together[0], together[2])
    assert not np.array_equal(together[1].numpy(), boxes.pixels[2])


def test_mosaics_close_before_the_end(boxes):
    recipe = Augmentation(mosaic=1.0)
    early, _ = batch(boxes, [1, 2], recipe, progress=0.0)
    late, _ = batch(boxes, [1, 2], recipe, progress=MOSAICS_UNTIL)
    assert not np.array_equal(early.numpy(), boxes.pixels[[1, 2]])
    assert np.array_equal(late.numpy(), boxes.pixels[[1, 2]])


class Painted(nn.Module):
    """Answers boxes where the two colours are bright: right, but for a few pixels."""

    def forward(self, inputs):
        middles, strides = cell_grid(SIZE)
        answer = torch.full((len(inputs), len(middles), 2 + 4 * BINS), -9.0)
        for row, picture in enumerate(inputs):
            for place in range(2):
                y, x = torch.nonzero(picture[place] > 0.9, as_tuple=True)
                corners = [x.min(), y.min(), x.max() + 3, y.max() + 1]
                middle = torch.stack([corners[0] + corners[2], corners[1] + corners[3]]) / 2
                cell = int((middles - middle).abs().sum(1).argmin())
                cx, cy = middles[cell]
                away = [cx - corners[0], cy - corners[1], corners[2] - cx, corners[3] - cy]
                answer[row, cell, place] = 2.0
                for side, distance in enumerate(away):
                    at = 2 + side * BINS + int(torch.round(distance / strides[cell]))
                    answer[row, cell, at] = 9.0
        return answer


def test_validation_gives_the_average_precision_of_the_whole_evaluation(boxes):
    rows = np.arange(14, 20)
    data = TrainingData(boxes.pixels, torch.zeros(20), boxes.train_rows, rows,
                        Scaling((0.0,) * 3, (1.0,) * 3))  # fmt: skip
    scores = boxes.validate(Painted(), data, TASK, PLAIN, ALONE)
    inputs = torch.from_numpy(boxes.pixels[rows]).float() / 255
    answers = [as_answers(each) for each in TASK.answers(Painted()(inputs))]
    truth = [boxes.labels[row] for row in rows]
    figures = detection_figures(truth, answers, TASK.classes, Sampling(grouping(None, 6)),
                                confidence=0.5)  # fmt: skip
    assert 0 < scores["val_ap"] < scores["val_ap50"]
    assert scores["val_ap"] == pytest.approx(figures.metrics["ap"].value, abs=1e-6)
    assert scores["val_ap50"] == pytest.approx(figures.metrics["ap50"].value, abs=1e-6)
    targets = TASK.encode(truth)
    assert scores["val_loss"] == pytest.approx(float(TASK.loss(Painted()(inputs), targets)),
                                               rel=1e-4)  # fmt: skip


def test_without_a_validation_part_nothing_is_made_up(boxes):
    data = TrainingData(boxes.pixels, torch.zeros(20), boxes.train_rows, np.zeros(0, np.int64),
                        Scaling((0.0,) * 3, (1.0,) * 3))  # fmt: skip
    scores = boxes.validate(Painted(), data, TASK, PLAIN, ALONE)
    assert set(scores) == {"val_loss", "val_ap", "val_ap50"}
    assert all(math.isnan(value) for value in scores.values())
