"""Random changes of a picture and its labels together: where everything goes, and how it is lit.

The recipe is `Augmentation`, the random numbers are those of the picture's row, as for whole
pictures; only that a crop is cut out, and that nothing is mirrored in at a border: what lies
outside the picture has no label.
"""

import numpy as np
import torch
from torch import Tensor

from vitreous.data.augmentation import RANDOM_COLUMNS, Augmentation, augment
from vitreous.data.geometry import (
    Placement,
    Size,
    crop,
    flip_horizontal,
    flip_vertical,
    place_mask,
    place_picture,
    turn,
)


def random_placement(size: Size, recipe: Augmentation, random: Tensor) -> Placement:
    """Where a picture of `size` goes: turned and zoomed about its middle, mirrored, then cut.

    `random` (columns,) is in [0, 1), as in `RANDOM_COLUMNS`; `shift_x` and `shift_y` say where the
    crop lies. A picture smaller than the crop lies whole within it.
    """
    number = dict(zip(RANDOM_COLUMNS, random.tolist(), strict=False))
    zoom = (1 + recipe.scale) ** (2 * number["scale"] - 1)
    placement = turn(size, recipe.rotate_degrees * (2 * number["rotate"] - 1), zoom)
    if recipe.flip_horizontal and number["flip_horizontal"] < 0.5:
        placement = placement.then(flip_horizontal(size))
    if recipe.flip_vertical and number["flip_vertical"] < 0.5:
        placement = placement.then(flip_vertical(size))
    if recipe.crop is None:
        return placement
    top = _start(size[0], zoom, recipe.crop[0], number["shift_y"])
    left = _start(size[1], zoom, recipe.crop[1], number["shift_x"])
    return placement.then(crop(size, left, top, recipe.crop))


def _start(side: int, zoom: float, wanted: int, random: float) -> int:
    """Where a crop begins, within the zoomed picture, or around it where that is smaller."""
    first = (side - side * zoom) / 2
    last = side - first - wanted
    low, high = min(first, last), max(first, last)
    return round(low + random * (high - low))


def changed_together(
    pictures: list[np.ndarray], masks: list[np.ndarray], recipe: Augmentation, random: Tensor
) -> tuple[Tensor, Tensor]:
    """A batch of crops and their masks, uint8 (batch, channels, height, width) and (batch, h, w).

    `pictures` are uint8 (channels, height, width) of any sizes, `masks` (height, width); `random`
    is (batch, columns). Pixels that come from outside a picture are `IGNORE` in the mask and get
    the picture's mean. Pictures of several sizes need a recipe with a crop.
    """
    pixels, targets = [], []
    for picture, mask, numbers in zip(pictures, masks, random, strict=True):
        size = (mask.shape[0], mask.shape[1])
        placement = random_placement(size, recipe, numbers)
        moved = place_picture(placement, np.ascontiguousarray(picture.transpose(1, 2, 0)))
        pixels.append(torch.from_numpy(moved.transpose(2, 0, 1).copy()))
        targets.append(torch.from_numpy(place_mask(placement, mask).copy()))
    light = Augmentation(brightness=recipe.brightness, contrast=recipe.contrast, erase=recipe.erase)
    return augment(torch.stack(pixels), light, random), torch.stack(targets)
