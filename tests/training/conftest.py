"""A small real training set: digits that scikit-learn ships, and a small network."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.transforms import fit_scaling
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import State
from vitreous.training.loop import Training
from vitreous.training.recipe import Recipe

SHIFTED = Augmentation(shift=0.15)


def small_network(seed: int = 0) -> nn.Module:
    """Convolution, batch norm, dropout: all that makes a resumed training hard to keep equal."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),  # a bias before batch norm has only rounding for gradient
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * 6 * 6, 10),
    )


@pytest.fixture
def digits() -> TrainingData:
    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)[:, None]
    order = np.random.default_rng(0).permutation(len(pixels))[:500]
    targets = torch.from_numpy(found.target).long()
    return TrainingData(pixels, targets, order[:390], order[390:], fit_scaling(pixels, order[:390]))


@pytest.fixture
def make_training(digits, tmp_path):
    def make(steps: int = 30, network: nn.Module | None = None, **changes) -> Training:
        recipe = Recipe(batch_size=64, learning_rate=3e-3, augmentation=SHIFTED)
        settings = {
            "network": network or small_network(),
            "task": Classify(tuple("0123456789")),
            "data": digits,
            "recipe": recipe,
            "state": State(planned_steps=steps),
            "seed": 3,
            "metric": "val_accuracy",
            "higher_is_better": True,
            "folder": tmp_path,
        }
        return Training(**{**settings, **changes})

    return make
