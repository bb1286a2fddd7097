"""Patches as the loop takes them, and scans answered in one piece or by tiles."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.volumes.plan import Normalisation, VolumePlan
from vitreous.data.volumes.store import Prepared
from vitreous.inference import PLAIN
from vitreous.inference.volumes import patch_tiling, volume_probabilities, volume_scaling
from vitreous.training.volume_batches import volume_training_data

PATCH = (8, 8, 8)


class OneScan:
    """A store of one scan, whose structure lies in the lower half of its depth."""

    count = 1

    def __getitem__(self, row):
        mask = np.zeros((8, 8, 8), np.uint8)
        mask[:3] = 1
        return Prepared(np.zeros((1, 8, 8, 8), np.float32), mask, {1: np.argwhere(mask)})


def plan_mirrored(axes):
    return VolumePlan(
        (1.0, 1.0, 1.0), PATCH, 2, (Normalisation("z-score"),), (4,), ((1, 1, 1),), ((3, 3, 3),),
        0, mirrored_axes=axes,
    )  # fmt: skip


@pytest.mark.parametrize(("axes", "both"), [((), False), ((1, 2), False), ((0,), True)])
def test_training_mirrors_along_the_axes_of_the_plan_alone(axes, both):
    rows = np.arange(1)
    data = volume_training_data(
        OneScan(), plan_mirrored(axes), np.zeros((1, 1, 8, 8)), torch.zeros(1, 2), rows, rows,
        volume_scaling(1),
    )  # fmt: skip
    random = torch.rand(40, 11, generator=torch.Generator().manual_seed(0))
    _, masks = data.places.batch(np.zeros(40, int), Augmentation(), random, 0.0)
    middles = [float(torch.nonzero(mask == 1)[:, 0].double().mean()) for mask in masks]
    sides = {middle > 3.5 for middle in middles if not np.isnan(middle)}
    assert sides == ({True, False} if both else {False})
    assert (masks == IGNORE).any()  # some were turned as well


def test_a_scan_little_larger_than_a_patch_is_answered_in_one_piece():
    assert patch_tiling((16, 16, 16), (4, 4, 4), (16, 20, 24)).tile == (16, 20, 24)
    assert patch_tiling((16, 16, 16), (4, 4, 4), (16, 24, 32)).tile == (16, 16, 16)
    torch.manual_seed(0)
    network = nn.Conv3d(1, 3, 3, padding=1)
    calls = []
    network.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
    values = np.random.default_rng(0).normal(size=(1, 15, 20, 21)).astype(np.float32)
    shares = volume_probabilities(network, values, (16, 16, 16), (4, 4, 4), PLAIN)
    assert [tuple(shape) for shape in calls] == [(1, 1, 16, 20, 24)]
    padded = np.zeros((1, 1, 16, 20, 24), np.float32)
    padded[0, :, :15, :, 1:22] = values
    with torch.no_grad():
        whole = torch.softmax(network(torch.from_numpy(padded)), 1)[0, :, :15, :, 1:22]
    assert np.allclose(shares, whole.numpy(), atol=1e-3)
