import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.augmentation import (
    RANDOM_COLUMNS,
    Augmentation,
    alternated,
    augment,
    default_augmentation,
    random_table,
)


def pictures(n=5, c=3, h=12, w=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, c, h, w), dtype=torch.uint8, generator=generator)


def randoms(n, **columns):
    table = torch.full((n, len(RANDOM_COLUMNS)), 0.5)
    for name, value in columns.items():
        table[:, RANDOM_COLUMNS.index(name)] = value
    return table


def test_no_epoch_shares_its_numbers_with_the_order_of_any():
    def of_order(epoch):
        return np.random.Philox(key=np.array([3, 2 * epoch], dtype=np.uint64))

    tables = [random_table(3, epoch, 1).numpy()[0] for epoch in range(12)]
    k = len(tables[0])
    orders = [np.random.Generator(of_order(e)).random(k, dtype=np.float32) for e in range(12)]
    assert not any(np.array_equal(table, order) for table in tables for order in orders)


def test_random_rows_depend_on_seed_epoch_and_row_alone():
    table = random_table(3, 7, 100)
    assert torch.equal(random_table(3, 7, 1000)[:100], table)
    assert not torch.equal(random_table(3, 8, 100), table)
    assert not torch.equal(random_table(4, 7, 100), table)
    assert not torch.equal(random_table(7, 3, 100), table)
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(random_table(0, 0, 20_000).mean() - 0.5) < 0.01
    assert len(np.unique(table.numpy())) == pytest.approx(table.numel(), rel=0.01)


def test_no_amounts_change_nothing():
    batch = pictures()
    assert torch.equal(augment(batch, Augmentation(), random_table(0, 0, 5)), batch)


EVERYTHING = Augmentation(True, True, 0.1, 0.2, 10, 0.1, 0.2, 0.3)


@pytest.mark.parametrize("recipe", [Augmentation(True, True, 0.2), EVERYTHING])
def test_a_picture_is_changed_alike_in_any_batch(recipe):
    batch, table = pictures(8), random_table(1, 2, 8)
    whole = augment(batch, recipe, table)
    order = torch.tensor([5, 1, 7])
    torch.testing.assert_close(augment(batch[order], recipe, table[order]), whole[order])
    assert whole.dtype == torch.uint8
    assert whole.shape == batch.shape
    assert not torch.equal(whole, batch)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.integers(2, 14), st.floats(0, 0.6), st.integers(0, 2**32))
def test_moving_equals_padding_by_mirror_and_cropping(h, w, shift, seed):
    batch, table = pictures(3, 2, h, w, seed), random_table(seed, 0, 3)
    recipe = Augmentation(flip_horizontal=True, flip_vertical=True, shift=shift)
    moved = augment(batch, recipe, table).numpy()
    for i in range(3):
        value = {name: float(table[i, j]) for j, name in enumerate(RANDOM_COLUMNS)}
        picture = batch[i].numpy()
        most_y, most_x = min(int(shift * h), h - 1), min(int(shift * w), w - 1)
        down = int(value["shift_y"] * (2 * most_y + 1)) - most_y
        across = int(value["shift_x"] * (2 * most_x + 1)) - most_x
        if value["flip_vertical"] < 0.5:
            picture = picture[:, ::-1]
        if value["flip_horizontal"] < 0.5:
            picture = picture[:, :, ::-1]
        pad = ((0, 0), (most_y, most_y), (most_x, most_x))
        padded = np.pad(picture, pad, mode="reflect")
        top, left = most_y + down, most_x + across
        np.testing.assert_array_equal(moved[i], padded[:, top : top + h, left : left + w])


def test_the_warp_without_zoom_and_turn_is_the_flip():
    batch = pictures(4)
    table = randoms(4, flip_horizontal=0.1, flip_vertical=0.9)
    recipe = Augmentation(flip_horizontal=True, flip_vertical=True, rotate_degrees=30)
    torch.testing.assert_close(augment(batch, recipe, table), batch.flip(3))
    table = randoms(4, flip_horizontal=0.9, flip_vertical=0.1)
    torch.testing.assert_close(augment(batch, recipe, table), batch.flip(2))


@pytest.mark.parametrize(("h", "w"), [(15, 15), (14, 14)])
def test_a_quarter_turn_is_a_quarter_turn(h, w):
    batch = pictures(2, 1, h, w)
    turned = augment(batch, Augmentation(rotate_degrees=180), randoms(2, rotate=0.75))
    torch.testing.assert_close(turned, torch.rot90(batch, 1, (2, 3)))


def test_a_turn_keeps_shapes_in_wide_pictures():
    batch = torch.zeros(1, 1, 41, 81, dtype=torch.uint8)
    batch[:, :, 20, 30:51] = 255  # a bar of 21 pixels stays one of 21 pixels, now upright
    turned = augment(batch, Augmentation(rotate_degrees=180), randoms(1, rotate=0.75))
    assert (turned[0, 0, 10:31, 40] == 255).all()
    assert turned.float().sum() == 255 * 21


def test_zoom_makes_things_larger_by_the_factor():
    batch = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    batch[:, :, 24:40, 24:40] = 200
    zoomed = augment(batch, Augmentation(scale=0.5), randoms(1, scale=1.0))
    assert zoomed.float().sum() / batch.float().sum() == pytest.approx(1.5**2, rel=0.02)


def test_light_is_added_and_multiplied_about_the_mean():
    batch = torch.tensor([100, 120], dtype=torch.uint8).reshape(1, 1, 1, 2)
    brighter = augment(batch, Augmentation(brightness=0.1), randoms(1, brightness=1.0))
    assert brighter.flatten().tolist() == [126, 146]  # 25.5 more, ties to even
    contrasted = augment(batch, Augmentation(contrast=0.5), randoms(1, contrast=1.0))
    assert contrasted.flatten().tolist() == [95, 125]
    bright = augment(batch + 130, Augmentation(brightness=0.1), randoms(1, brightness=1.0))
    assert bright.max() == 255


def test_erasing_takes_a_square_from_half_of_them():
    batch = pictures(200, 3, 20, 20)
    erased = augment(batch, Augmentation(erase=0.5), random_table(0, 0, 200))
    changed = (erased != batch).any(dim=1).flatten(1).sum(dim=1)
    assert 70 < (changed > 0).sum() < 130
    assert changed.max() <= 100
    assert changed[changed > 0].min() > 80


def test_grey_pictures_are_not_mirrored_and_the_recipe_says_so():
    digits = default_augmentation(1, 28, 28)
    assert not digits.flip_horizontal
    assert "not mirrored" in digits.why
    photographs = default_augmentation(3, 128, 96)
    assert photographs.flip_horizontal
    assert photographs.scale > 0
    assert default_augmentation(3, 32, 32).scale == 0


def test_alternating_mirrors_every_second_epoch_and_is_even_at_first():
    place = RANDOM_COLUMNS.index("flip_horizontal")
    tables = [random_table(7, epoch, 400) for epoch in range(4)]
    changed = [alternated(table, 7, epoch) for epoch, table in enumerate(tables)]
    first = changed[0][:, place] < 0.5
    assert 150 < int(first.sum()) < 250
    assert torch.equal(first, tables[0][:, place] < 0.5)
    for epoch, table in enumerate(changed):
        assert torch.equal(table[:, place] < 0.5, first ^ (epoch % 2 == 1))
        others = [i for i in range(table.shape[1]) if i != place]
        assert torch.equal(table[:, others], tables[epoch][:, others])


@pytest.mark.parametrize("size", [(64, 64), (31, 50)])
@pytest.mark.parametrize("flip_vertical", [False, True])
def test_zoom_by_rows_and_columns_is_the_warp(size, flip_vertical):
    """A zoom without a turn, done axis by axis, against the general way through a grid."""
    from vitreous.data.augmentation import RANDOM_COLUMNS, _warp, _zoom

    pictures = torch.randint(0, 256, (6, 3, *size), dtype=torch.uint8)
    recipe = Augmentation(flip_horizontal=True, flip_vertical=flip_vertical, shift=0.3, scale=0.4)
    random = random_table(3, 1, 6)
    column = {name: random[:, place] for place, name in enumerate(RANDOM_COLUMNS)}
    expected = _warp(pictures, recipe, column)
    torch.testing.assert_close(_zoom(pictures, recipe, column), expected, atol=0.02, rtol=1e-4)
