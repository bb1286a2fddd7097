"""Patches and their changes: what is drawn, where it lies, and that masks go along."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from tests.made_scans import blob, body

from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.volumes.augmentation import (
    NO_AUGMENTATION,
    VolumeAugmentation,
    augmented,
    blurred,
    moved,
    random_matrix,
    with_gamma,
)
from vitreous.data.volumes.patches import cut_patch, patch_start, random_patch
from vitreous.data.volumes.store import Prepared, some_places

SHAPE = (20, 22, 24)


@pytest.fixture
def scan():
    mask = np.zeros(SHAPE, np.uint8)
    mask[blob(SHAPE, (4, 5, 6), 2)] = 1
    mask[blob(SHAPE, (15, 16, 17), 3)] = 2
    values = body(SHAPE)[None] / 500
    return Prepared(values, mask, {1: some_places(mask, 1), 2: some_places(mask, 2)})


def test_patches_about_structures_hold_one_and_others_lie_anywhere(scan):
    patch = (8, 8, 8)
    held = {1: 0, 2: 0}
    for seed in range(60):
        start = patch_start(scan, patch, True, np.random.default_rng(seed))
        _, mask = cut_patch(scan, start, patch)
        assert set(np.unique(mask)) & {1, 2}
        for place in held:
            held[place] += place in mask
    assert min(held.values()) > 15  # both are drawn, however small
    starts = np.array(
        [patch_start(scan, patch, False, np.random.default_rng(seed)) for seed in range(300)]
    )
    assert starts.min() == 0
    assert (starts.max(axis=0) == np.array(SHAPE) - 8).all()


def test_a_patch_larger_than_the_scan_has_no_class_outside(scan):
    values, mask = cut_patch(scan, patch_start(scan, (32, 16, 24), False, np.random.default_rng(0)),
                             (32, 16, 24))  # fmt: skip
    assert (mask[:6] == IGNORE).all()
    assert (mask[-6:] == IGNORE).all()
    assert (mask[6:26] != IGNORE).all()
    assert (values[:, :6] == 0).all()


def test_the_same_seed_gives_the_same_patch(scan):
    recipe = VolumeAugmentation(turn_chance=1.0, noise_chance=1.0)
    first, again, other = (
        random_patch(scan, (16, 16, 16), recipe, seed, foreground=True) for seed in (3, 3, 4)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_without_augmentation_a_patch_is_cut_and_nothing_else(scan):
    values, mask = random_patch(scan, (9, 10, 11), NO_AUGMENTATION, 5, foreground=False)
    start = patch_start(scan, (9, 10, 11), False, np.random.default_rng(5))
    window = tuple(slice(s, s + w) for s, w in zip(start, (9, 10, 11), strict=True))
    assert np.array_equal(values.numpy()[0], scan.values[0][window])
    assert np.array_equal(mask.numpy(), scan.mask[window])


def test_mask_and_values_are_moved_alike(scan):
    """Values that are the mask itself stay so, up to the border between voxels."""
    mask = torch.from_numpy(scan.mask)
    recipe = VolumeAugmentation(
        turn_chance=1.0, scale_chance=1.0, noise_chance=0, blur_chance=0, brightness_chance=0,
        contrast_chance=0, gamma_chance=0,
    )  # fmt: skip
    for seed in range(5):
        inside = (mask == 2).float()[None]
        values, labels = augmented(inside, mask, recipe, torch.Generator().manual_seed(seed))
        valid = labels != IGNORE
        assert float(valid.float().mean()) > 0
        agree = ((values[0] > 0.5) == (labels == 2))[valid].float().mean()
        assert float(agree) > 0.99


def test_moving_is_what_scipy_does(scan):
    generator = torch.Generator().manual_seed(1)
    recipe = VolumeAugmentation(turn_chance=1.0, scale_chance=1.0)
    matrix = random_matrix(recipe, generator, (1.0, 1.0, 1.0))
    values, labels = moved(torch.from_numpy(scan.values), torch.from_numpy(scan.mask), matrix)
    middle = (np.array(SHAPE) - 1) / 2
    offset = middle - matrix.numpy() @ middle
    theirs = affine_transform(scan.values[0], matrix.numpy(), offset, order=1, mode="nearest")
    assert np.abs(values[0].numpy() - theirs)[labels.numpy() != IGNORE].max() < 1e-3
    nearest = affine_transform(scan.mask, matrix.numpy(), offset, order=0, cval=IGNORE)
    assert (nearest == labels.numpy()).mean() > 0.99


def test_turns_keep_millimetres_and_leave_thick_slices_alone():
    recipe = VolumeAugmentation(turn_chance=1.0, scale_chance=0.0)
    generator = torch.Generator().manual_seed(0)
    matrix = random_matrix(recipe, generator, (1.0, 1.2, 0.8))
    mm = torch.tensor((1.0, 1.2, 0.8), dtype=torch.float64)
    in_mm = torch.diag(mm) @ matrix @ torch.diag(1 / mm)
    assert torch.allclose(in_mm @ in_mm.T, torch.eye(3, dtype=torch.float64))
    thick = random_matrix(recipe, generator, (6.0, 0.7, 0.7))
    assert torch.equal(thick[0], torch.tensor([1.0, 0, 0], dtype=torch.float64))
    assert not torch.equal(thick[1], torch.tensor([0, 1.0, 0], dtype=torch.float64))


def test_gamma_keeps_mean_and_deviation_and_blur_keeps_the_sum():
    values = torch.from_numpy(body((8, 9, 10))[None] / 300)
    bent = with_gamma(values, 1.4)
    assert torch.allclose(bent.mean(), values.mean(), atol=1e-5)
    assert torch.allclose(bent.std(), values.std(), atol=1e-5)
    assert not torch.allclose(bent, values, atol=1e-2)
    point = torch.zeros(1, 13, 13, 13)
    point[0, 6, 6, 6] = 1.0
    soft = blurred(point, 0.8)
    assert float(soft.sum()) == pytest.approx(1.0, abs=1e-4)
    axis = soft[0, 6, 6]
    assert float(axis[5] / axis[6]) == pytest.approx(np.exp(-0.5 / 0.8**2), rel=1e-4)
