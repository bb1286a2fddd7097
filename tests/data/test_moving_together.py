from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.augmentation import RANDOM_COLUMNS, Augmentation
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.moving_together import changed_together, random_placement

EXACT = Augmentation(flip_horizontal=True, flip_vertical=True, crop=(12, 10))


def picture_of(mask):
    """A picture that says the class by its light: 0 -> 40, 1 -> 80, ..."""
    return (40 + 40 * mask)[None].astype(np.uint8)


def masks(random, sizes):
    return [random.integers(0, 4, size, dtype=np.uint8) for size in sizes]


@given(st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_every_pixel_keeps_its_class_where_pixels_are_only_moved(seed):
    random = np.random.default_rng(seed)
    drawn = masks(random, [(20, 30), (9, 33), (40, 7)])
    numbers = torch.from_numpy(random.random((3, len(RANDOM_COLUMNS)), dtype=np.float32))
    pixels, targets = changed_together([picture_of(m) for m in drawn], drawn, EXACT, numbers)
    assert pixels.shape == (3, 1, 12, 10)
    assert targets.shape == (3, 12, 10)
    inside = targets != IGNORE
    assert (pixels[:, 0][inside] == 40 + 40 * targets[inside]).all()
    for mask, target in zip(drawn, targets, strict=True):
        lost = min(12, mask.shape[0]) * min(10, mask.shape[1])
        assert int((target != IGNORE).sum()) == lost  # nothing outside while there is more inside


def test_zoomed_and_turned_masks_lie_on_their_pictures():
    mask = np.zeros((96, 96), np.uint8)
    mask[20:70, 30:80] = 2
    recipe = Augmentation(flip_horizontal=True, scale=0.4, rotate_degrees=180, crop=(64, 64))
    random = torch.rand(16, len(RANDOM_COLUMNS), generator=torch.Generator().manual_seed(0))
    pixels, targets = changed_together([picture_of(mask)] * 16, [mask] * 16, recipe, random)
    inside = targets != IGNORE
    off = (pixels[:, 0].int() - (40 + 40 * targets.int())).abs() > 41
    wrong = float((off & inside).sum() / inside.sum())
    assert wrong < 0.01  # but for the line at the edge
    assert len({int((t == 2).sum()) for t in targets}) > 10


def test_light_changes_the_picture_alone_and_the_same_numbers_give_the_same():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20] = 1
    recipe = Augmentation(brightness=0.2, contrast=0.3, crop=(32, 32))
    numbers = torch.rand(1, len(RANDOM_COLUMNS), generator=torch.Generator().manual_seed(3))
    first = changed_together([picture_of(mask)], [mask], recipe, numbers)
    again = changed_together([picture_of(mask)], [mask], recipe, numbers)
    assert torch.equal(first[0], again[0])
    assert (first[1][0].numpy() == mask).all()
    assert not (first[0][0].numpy() == picture_of(mask)).all()


def test_crops_reach_every_place_of_a_picture():
    starts = set()
    for place in (0.0, 0.5, 0.999):
        numbers = torch.full((len(RANDOM_COLUMNS),), 0.5)
        numbers[RANDOM_COLUMNS.index("shift_x")] = place
        placement = random_placement((20, 50), replace(EXACT, flip_horizontal=False), numbers)
        starts.add(int(-placement.matrix[0, 2]))
    assert starts == {0, 20, 40}
