"""EEG recipes: values that are kept with the run, and batches with recombined trials."""

import numpy as np
import pytest
import torch

from vitreous.data.augmentation import Augmentation
from vitreous.data.transforms import TrialScaling
from vitreous.networks.build import EEG_NETWORKS
from vitreous.training.batches import TrainingData, batches
from vitreous.training.eeg_recipes import EEG_RATES, eeg_epochs, eeg_recipe
from vitreous.training.recipe import Recipe


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_every_network_has_a_recipe_that_comes_back_from_a_run(name):
    assert name in EEG_RATES
    recipe = eeg_recipe(name, 288)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert (recipe.batch_size, recipe.recombined_segments, recipe.keep) == (64, 8, "last")


def test_fewer_trials_take_smaller_batches_and_more_epochs():
    assert [eeg_recipe("eegnet", n).batch_size for n in (36, 100, 400)] == [16, 32, 64]
    assert eeg_epochs(36, 16) > eeg_epochs(288, 64)
    assert eeg_recipe("braindecode:EEGConformer", 36) == eeg_recipe("eegnet", 36)


def data_of(count=20):
    generator = np.random.default_rng(0)
    trials = generator.standard_normal((count, 1, 3, 40)).astype(np.float32)
    targets = torch.from_numpy(generator.integers(0, 2, count))
    rows = np.arange(count)
    scaling = TrialScaling((0.0,) * 3, (1.0,) * 3)
    return TrainingData(trials, targets, rows[:16], rows[16:], scaling, kinds=targets.numpy())


def cropped(data, settings):
    augmentation = Augmentation()
    return batches(
        data, augmentation=augmentation, recombined_segments=4, crop_samples=25, **settings
    )


def test_batches_have_a_recombined_trial_beside_each_real_one():
    data, settings = data_of(), {"batch_size": 8, "seed": 3, "epoch": 1}
    plain = list(batches(data, augmentation=Augmentation(), **settings))
    both = list(batches(data, augmentation=Augmentation(), recombined_segments=4, **settings))
    for one, other in zip(plain, both, strict=True):
        count = len(one.pixels)
        assert torch.equal(other.pixels[:count], one.pixels)
        assert torch.equal(other.targets, one.targets.repeat(2))
        assert other.pixels.shape[0] == 2 * count
        assert other.samples == one.samples
        for new, target in zip(other.pixels[count:], one.targets, strict=True):
            for first in range(0, 40, 10):  # each piece is of a training trial of the class
                piece = new[..., first : first + 10].numpy()
                sources = data.pixels[data.train_rows, ..., first : first + 10]
                (found,) = np.flatnonzero((sources == piece).all(axis=(1, 2, 3)))
                assert data.targets[found] == target
    for one, other in zip(both, cropped(data, settings), strict=True):
        assert other.pixels.shape[-1] == 25
        starts = set()
        for trial, piece in zip(one.pixels, other.pixels, strict=True):
            (start,) = [k for k in range(16) if torch.equal(trial[..., k : k + 25], piece)]
            starts.add(start)
        assert len(starts) > 3  # each from a place of its own
    again = list(batches(data, augmentation=Augmentation(), recombined_segments=4, **settings))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(both, again, strict=True))
