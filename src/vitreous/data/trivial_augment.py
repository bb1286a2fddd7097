"""TrivialAugment: one random change of random strength a picture, and no more to choose.

S. G. Mueller and F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation",
2021, in its wide form (table 6 there). The operations are torchvision's, on uint8; what a picture
goes through depends on its own three random numbers alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

SHIFT_PIXELS = 32 / 224  # of the side: the published 32 pixels belong to pictures of 224
STEPS = 31  # strengths lie on a grid from nothing to the widest
BILINEAR = InterpolationMode.BILINEAR

Change = Callable[[Tensor, float], Tensor]
"""A picture (1, channels, height, width) uint8 and a strength from -1 to 1, to another."""


def _affine(picture: Tensor, angle=0.0, x=0.0, y=0.0, shear_x=0.0, shear_y=0.0) -> Tensor:
    height, width = picture.shape[-2:]
    moved = [float(round(x * width)), float(round(y * height))]
    # what is uncovered gets the picture's own mean: black bars would be an edge to learn
    fill = picture.float().mean((0, 2, 3)).round().tolist()
    return F.affine(
        picture, angle, moved, 1.0, [shear_x, shear_y], interpolation=BILINEAR, fill=fill
    )


def _degrees(shear: float) -> float:
    return float(torch.rad2deg(torch.atan(torch.tensor(shear))))


CHANGES: dict[str, Change] = {
    "identity": lambda picture, _: picture,
    "shear_x": lambda picture, s: _affine(picture, shear_x=_degrees(0.99 * s)),
    "shear_y": lambda picture, s: _affine(picture, shear_y=_degrees(0.99 * s)),
    "translate_x": lambda picture, s: _affine(picture, x=SHIFT_PIXELS * s),
    "translate_y": lambda picture, s: _affine(picture, y=SHIFT_PIXELS * s),
    "rotate": lambda picture, s: _affine(picture, angle=135.0 * s),
    "brightness": lambda picture, s: F.adjust_brightness(picture, 1 + 0.99 * s),
    "colour": lambda picture, s: _colour(picture, 1 + 0.99 * s),
    "contrast": lambda picture, s: F.adjust_contrast(picture, 1 + 0.99 * s),
    "sharpness": lambda picture, s: F.adjust_sharpness(picture, 1 + 0.99 * s),
    "posterize": lambda picture, s: F.posterize(picture, 8 - round(6 * abs(s))),
    "solarize": lambda picture, s: F.solarize(picture, 255.0 * (1 - abs(s))),
    "autocontrast": lambda picture, _: F.autocontrast(picture),
    "equalize": lambda picture, _: F.equalize(picture),
}
"""The fourteen of the wide space; geometry and light go both ways, the others one."""


def trivial_augment(batch: Tensor, operation: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Each picture of a uint8 batch (b, c, h, w) changed by the one operation drawn for it.

    The other three are (b,), random in [0, 1). Grey and colour pictures only (1 or 3 channels);
    others are returned as they are.
    """
    if batch.shape[1] not in (1, 3):
        return batch
    names = list(CHANGES)
    changed = batch.clone()
    for row in range(len(batch)):
        name = names[min(int(operation[row] * len(names)), len(names) - 1)]
        size = round(float(strength[row]) * (STEPS - 1)) / (STEPS - 1)
        signed = size if float(sign[row]) < 0.5 else -size
        changed[row] = CHANGES[name](batch[row : row + 1], signed)[0]
    return changed


def _colour(picture: Tensor, factor: float) -> Tensor:
    return F.adjust_saturation(picture, factor) if picture.shape[1] == 3 else picture
