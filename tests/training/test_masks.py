import math

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.masks.store import MaskStore
from vitreous.data.transforms import Scaling
from vitreous.inference import Compute, Views
from vitreous.tasks import Segment
from vitreous.training.batches import TrainingData, batches
from vitreous.training.masks import (
    MaskPlaces,
    batch_size_for,
    crop_for,
    crops_a_picture,
    mask_augmentation,
    mask_recipe,
    mirrored_axes,
    pixel_metrics,
    pixel_weights,
    watched_rows,
)
from vitreous.training.processes import ALONE
from vitreous.training.recipe import Recipe

SIZES = [(40, 50), (64, 33), (70, 70), (36, 41)]


class Light(nn.Module):
    """Answers with the class that a pixel's light says."""

    def forward(self, inputs):
        return torch.cat([-inputs, inputs], dim=1) * 5


def data_of(places=2):
    random = np.random.default_rng(0)
    masks = [random.integers(0, 2, size, dtype=np.uint8) for size in SIZES]
    masks[3][:5] = IGNORE
    pictures = [np.where(m == 1, 200, 60).astype(np.uint8)[None] for m in masks]
    store = MaskStore(pictures, masks, np.array(SIZES))
    rows = np.arange(2)
    return TrainingData(
        np.zeros((4, 1, 32, 32), np.uint8),
        torch.zeros(4, 2, dtype=torch.int64),
        np.concatenate([rows + 4 * time for time in range(places)]),
        np.array([2, 3]),
        Scaling((0.5,), (0.25,)),
        places=MaskPlaces(store, 2, 4),
    ), masks


def epoch_of(data, seed=0, epoch=0, progress=0.0):
    recipe = mask_augmentation((32, 32), True, True)
    return list(
        batches(data, batch_size=3, seed=seed, epoch=epoch, augmentation=recipe, progress=progress)
    )


def test_batches_are_crops_with_their_masks_the_same_for_the_same_seed():
    data, _ = data_of(places=4)
    made = epoch_of(data)
    assert [batch.samples for batch in made] == [3, 3, 2]
    for batch in made:
        assert batch.pixels.shape == (batch.samples, 1, 32, 32)
        assert batch.targets.shape == (batch.samples, 32, 32)
        assert set(batch.targets.unique().tolist()) <= {0, 1, IGNORE}
    again, other = epoch_of(data), epoch_of(data, epoch=1)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(made, again, strict=True))
    assert not torch.equal(made[0].pixels, other[0].pixels)


def test_each_crop_of_a_picture_in_an_epoch_is_another_one():
    data, _ = data_of(places=5)
    crops = torch.cat([batch.pixels for batch in epoch_of(data)])
    assert len({crop.numpy().tobytes() for crop in crops}) == 10


def test_validation_is_of_all_pixels_of_whole_pictures():
    data, masks = data_of()
    task, network = Segment(("dark", "light")), Light()
    scores = data.places.validate(network, data, task, Compute(), ALONE)
    assert scores["val_iou"] == scores["val_dice"] == scores["val_pixel_accuracy"] == 1
    for row in (2, 3):  # a third of the light becomes dark: known and unknown pixels
        masks[row][: SIZES[row][0] // 3] = 0
    truth = np.concatenate([masks[row].ravel() for row in (2, 3)])
    answer = np.concatenate(
        [(data.places.store.pictures[row][0] > 128).ravel() for row in (2, 3)]
    ).astype(int)
    confusion = np.bincount(2 * truth + answer, minlength=4).reshape(2, 2)
    scores = data.places.validate(network, data, task, Compute(), ALONE)
    expected = [confusion[c, c] / (confusion[c].sum() + confusion[:, c].sum() - confusion[c, c])
                for c in (0, 1)]  # fmt: skip
    assert scores["val_iou"] == pytest.approx(np.mean(expected))
    assert scores["val_loss"] > 0.1
    assert math.isnan(pixel_metrics(np.zeros((2, 2)))[0])


def test_sizes_of_crops_and_how_often_a_picture_is_seen():
    large = np.array([[2000, 3000]] * 10)
    assert crop_for(large) == (384, 384)
    assert crop_for(large, tuned=False) == (256, 256)
    assert batch_size_for((256, 352), 367) == 5
    assert batch_size_for((256, 256), 20, tuned=False) == 4
    assert batch_size_for((64, 64), 20) == batch_size_for((64, 64), 20, tuned=False) == 8
    assert crops_a_picture(large, 10) == round(6_000_000 / 384**2)
    assert crop_for(np.array([[20, 30]])) == (64, 64)
    few = np.array([[128, 128]] * 5)
    assert crops_a_picture(few, 5) * 5 >= 25 * 8 - 5


def test_what_keeps_to_a_half_is_not_mirrored():
    random = np.random.default_rng(0)
    nowhere = [random.integers(0, 2, (20, 20), dtype=np.uint8) for _ in range(5)]
    assert mirrored_axes(nowhere, 2) == (True, True)
    sky = [np.repeat(np.array([0, 1], np.uint8), 10)[:, None].repeat(20, 1)] * 3
    assert mirrored_axes(sky, 2) == (False, True)
    assert mirrored_axes([mask.T for mask in sky], 2) == (True, False)
    speck = [mask.copy() for mask in nowhere * 10]
    speck[0][0, 0] = 2  # so rare that it says nothing
    assert mirrored_axes(speck, 3) == (True, True)
    assert "not mirrored" in mask_augmentation((64, 64), False, False).why
    assert mask_augmentation((64, 64), True, True).rotate_degrees == 180


def test_rare_classes_weigh_more_with_a_mean_of_one():
    counts = torch.tensor([900_000, 90_000, 9000, 0])
    weights = pixel_weights(counts)
    assert weights[0] < weights[1] < weights[2] == pytest.approx(8 * float(weights[0]))
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1, rel=1e-5)
    assert pixel_weights(torch.tensor([100, 80, 50])) is None


def test_the_recipe_goes_to_json_and_back():
    recipe = mask_recipe(np.array([[360, 480]]), 367, mask_augmentation((256, 352), False, True),
                         tuned=True)  # fmt: skip
    assert Recipe.from_json(recipe.to_json()) == recipe
    import json

    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert recipe.views == Views(mirrored=True)
    everywhere = mask_recipe(np.array([[512, 512]]), 20, mask_augmentation((256, 256), True, True),
                             tuned=False)  # fmt: skip
    assert everywhere.views.count == 4


def test_trained_features_of_small_sets_rest_as_for_boxes():
    augmentation = mask_augmentation((256, 352), False, True)
    small, large, new = (
        mask_recipe(np.array([[360, 480]]), samples, augmentation, tuned)
        for samples, tuned in ((367, True), (5000, True), (367, False))
    )
    assert (small.resting_stride, small.frozen_norms) == (4, True)
    for other in (large, new):
        assert (other.resting_stride, other.frozen_norms) == (0, False)


def test_an_epoch_ends_with_all_validation_pictures_or_an_even_spread():
    rows = np.arange(100, 160)
    assert (watched_rows(rows, np.array([[100, 100]] * 60)) == rows).all()
    some = watched_rows(rows, np.array([[600, 600]] * 60))
    assert len(some) == 2**23 // 360_000
    assert (some[0], some[-1]) == (100, 159)
    assert np.ptp(np.diff(some)) <= 1
    assert len(watched_rows(rows, np.array([[9000, 9000]] * 60))) == 16
    assert len(watched_rows(rows[:0], np.zeros((0, 2)))) == 0
