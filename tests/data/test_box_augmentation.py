"""Pictures and boxes changed together: what is painted stays in its box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.augmentation import Augmentation
from vitreous.data.box_augmentation import LEAST_VISIBLE, box_augmentation, joined, mosaic, moved
from vitreous.data.boxes.boxes import NO_BOXES, Boxes, box_areas

SIZE = (72, 96)
RECIPE = Augmentation(flip_horizontal=True, flip_vertical=True, shift=0.2, scale=0.5)


def painted(random, shade):
    """A dark picture with one rectangle of a shade, and its box."""
    width, height = random.integers(14, 40, 2)
    left, top = random.integers(SIZE[1] - width), random.integers(SIZE[0] - height)
    pixels = np.zeros((*SIZE, 1), np.uint8)
    pixels[top : top + height, left : left + width] = shade
    corners = np.array([[left, top, left + width, top + height]], np.float64)
    nothing = np.zeros(1, bool)
    return pixels, Boxes(corners, np.array([shade]), nothing, nothing, box_areas(corners))


def hull(where):
    rows, columns = np.nonzero(where)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


def seen(pixels, shade):
    return np.abs(pixels[..., 0].astype(int) - shade) <= 10


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_a_moved_box_lies_on_its_thing(seed):
    random = np.random.default_rng(seed)
    pixels, boxes = moved(painted(random, 200), RECIPE, random)
    assert pixels.shape == (*SIZE, 1)
    if len(boxes):
        assert boxes.classes.tolist() == [200]
        assert np.abs(hull(seen(pixels, 200)) - boxes.corners[0]).max() <= 1.5
    else:  # less than a quarter of the largest that it can have become is left
        assert seen(pixels, 200).sum() <= LEAST_VISIBLE * (40 * 1.5) ** 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_each_box_of_a_mosaic_lies_on_its_own_thing(seed):
    random = np.random.default_rng(seed)
    shades = [60, 110, 160, 210]
    pixels, boxes = mosaic([painted(random, shade) for shade in shades], RECIPE, random)
    assert pixels.shape == (*SIZE, 1)
    assert set(boxes.classes.tolist()) <= set(shades)
    for corners, shade in zip(boxes.corners, boxes.classes, strict=True):
        # edges between shades pass through the others' values: looked at are a pixel within the
        # box, where all is of the shade, and lines two pixels beside it, where it has ended
        found = seen(pixels, shade)
        left, top = np.ceil(corners[:2] + 1).astype(int)
        right, bottom = np.floor(corners[2:] - 1).astype(int)
        within = found[top:bottom, left:right]
        assert within.size == 0 or within.mean() > 0.95
        for x in (left - 4, right + 3):
            if 0 <= x < SIZE[1] and bottom > top:
                assert found[top:bottom, x].mean() < 0.5
        for y in (top - 4, bottom + 3):
            if 0 <= y < SIZE[0] and right > left:
                assert found[y, left:right].mean() < 0.5


def test_what_is_hardly_visible_is_not_learned():
    pixels = np.zeros((*SIZE, 1), np.uint8)
    corners = np.array([[0.0, 10, 20, 30]])
    nothing = np.zeros(1, bool)
    boxes = Boxes(corners, np.array([1]), nothing, nothing, box_areas(corners))
    kept = [
        len(moved((pixels, boxes), Augmentation(shift=0.2), np.random.default_rng(seed))[1])
        for seed in range(60)
    ]
    assert 0 < sum(kept) < 60  # moved to the left by up to 19 of its 20 pixels, or not


def test_the_same_numbers_give_the_same_picture():
    pictures = [painted(np.random.default_rng(i), 100) for i in range(4)]
    one, other = (mosaic(pictures, RECIPE, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1].corners, other[1].corners)


def test_boxes_of_several_pictures_together():
    one = painted(np.random.default_rng(0), 60)[1]
    assert len(joined([])) == 0
    assert joined([NO_BOXES, one, one]).classes.tolist() == [60, 60]


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_are_not_mirrored(channels):
    assert box_augmentation(channels, 64, 64).flip_horizontal == (channels == 3)
