import numpy as np
import pytest
import torch

from vitreous.data.augmentation import Augmentation, augment, random_table
from vitreous.data.trivial_augment import CHANGES, trivial_augment

COLOUR = torch.from_numpy(np.random.default_rng(0).integers(40, 220, (28, 3, 24, 20), np.uint8))


def numbers(name: str, strength: float, sign: float, count: int = 1):
    place = (list(CHANGES).index(name) + 0.5) / len(CHANGES)
    return (torch.full((count,), value) for value in (place, strength, sign))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CHANGES)
def test_every_change_keeps_shape_and_bytes_and_leaves_the_input(name, channels):
    batch = COLOUR[:2, :channels].clone()
    changed = trivial_augment(batch, *numbers(name, 1.0, 0.2, 2))
    assert changed.shape == batch.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(batch, COLOUR[:2, :channels])
    same = torch.equal(changed, batch)
    assert same == (name == "identity" or (name == "colour" and channels == 1))


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"identity", "autocontrast", "equalize"}))
def test_no_strength_is_no_change(name):
    changed = trivial_augment(COLOUR[:1], *numbers(name, 0.0, 0.2))
    off = (changed.int() - COLOUR[:1].int()).abs()
    if name == "solarize":  # from 255 on: the brightest value alone is turned
        off = off[COLOUR[:1] < 255]
    assert off.max() <= 1


def test_both_ways():
    right = trivial_augment(COLOUR[:1], *numbers("translate_x", 1.0, 0.2))
    left = trivial_augment(COLOUR[:1], *numbers("translate_x", 1.0, 0.8))
    moved = round(20 * 32 / 224)
    assert torch.equal(right[..., moved:], COLOUR[:1, ..., :-moved])
    assert torch.equal(left[..., :-moved], COLOUR[:1, ..., moved:])


def test_a_picture_depends_on_its_own_row_alone():
    recipe = Augmentation(trivial=True)
    table = random_table(3, 1, 28)
    whole = augment(COLOUR, recipe, table)
    for rows in ([5], [27, 0, 13]):
        assert torch.equal(augment(COLOUR[rows], recipe, table[rows]), whole[rows])
    assert not torch.equal(augment(COLOUR, recipe, random_table(3, 2, 28)), whole)
    assert not torch.equal(augment(COLOUR, recipe, random_table(4, 1, 28)), whole)
    assert torch.equal(augment(COLOUR, Augmentation(), table), COLOUR)


def test_all_operations_are_drawn_about_equally_often():
    drawn = (random_table(0, 0, 5000)[:, 5] * len(CHANGES)).long().bincount(minlength=14)
    assert drawn.min() > 0.8 * 5000 / 14


def test_other_channels_are_left_alone():
    four = torch.zeros(2, 4, 8, 8, dtype=torch.uint8)
    assert trivial_augment(four, *numbers("equalize", 1.0, 0.0, 2)) is four
