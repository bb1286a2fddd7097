"""Changes of training pictures with boxes: pixels and boxes move together.

Everything is a placement (`data.geometry`): mirrored, zoomed and moved; a mosaic is four windows
of four pictures, each with a placement of its own.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitreous.data.augmentation import Augmentation
from vitreous.data.boxes.boxes import NO_BOXES, Boxes
from vitreous.data.geometry import (
    Placement,
    Size,
    flip_horizontal,
    flip_vertical,
    place_boxes,
    place_picture,
    resize,
    turn,
)

LEAST_VISIBLE = 0.25  # share of a box's area; with less of it in the picture it is not learned
MOSAIC_MIDDLE = (0.35, 0.65)  # shares of the sides, where the four windows may meet

Labelled = tuple[NDArray[np.uint8], Boxes]
"""A picture uint8 (height, width, channels), and its boxes in its pixels."""


def box_augmentation(channels: int, height: int, width: int) -> Augmentation:
    """The recipe for pictures with boxes: mirrored, zoomed, moved, lit; mosaics until near the end.

    Grey pictures are not mirrored, as they may be letters or scans.
    """
    said = "mirrored" if channels == 3 else "not mirrored, because grey pictures may be letters"
    colour = "colour" if channels == 3 else "grey"
    return Augmentation(
        flip_horizontal=channels == 3,
        shift=0.1,
        scale=0.4,
        brightness=0.1,
        contrast=0.15,
        mosaic=0.5,
        why=f"{colour} pictures of {height}x{width} with boxes: {said}, zoomed, moved, lit a "
        "little differently; half of them mosaics of four until near the end",
    )


def moved(picture: Labelled, recipe: Augmentation, random: np.random.Generator) -> Labelled:
    """A picture and its boxes mirrored, zoomed about its middle and moved, in its own size."""
    size = (picture[0].shape[0], picture[0].shape[1])
    zoom, mirrored = _drawn(size, recipe, random)
    across, down = (recipe.shift * side * random.uniform(-1, 1) for side in size[::-1])
    placement = mirrored.then(turn(size, 0.0, zoom, across, down))
    return _placed(picture, placement)


def mosaic(
    pictures: Sequence[Labelled], recipe: Augmentation, random: np.random.Generator
) -> Labelled:
    """Windows of four pictures of one size, side by side in that size, and what is in them.

    A. Bochkovskiy et al., "YOLOv4", 2020, section 3.3; here each window shows things in about
    their own size.
    """
    height, width, channels = pictures[0][0].shape
    x = round(width * random.uniform(*MOSAIC_MIDDLE))
    y = round(height * random.uniform(*MOSAIC_MIDDLE))
    windows = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    canvas = np.empty((height, width, channels), np.uint8)
    found = []
    for picture, (left, top, right, bottom) in zip(pictures, windows, strict=True):
        window = _window((height, width), (bottom - top, right - left), recipe, random)
        canvas[top:bottom, left:right], boxes = _placed(picture, window)
        corner = np.array([left, top, left, top], np.float64)
        found.append(replace(boxes, corners=boxes.corners + corner))
    return canvas, joined(found)


def joined(several: Sequence[Boxes]) -> Boxes:
    """The boxes of all, one after the other."""
    if not several:
        return NO_BOXES
    return Boxes(
        np.concatenate([boxes.corners for boxes in several]),
        np.concatenate([boxes.classes for boxes in several]),
        np.concatenate([boxes.difficult for boxes in several]),
        np.concatenate([boxes.crowd for boxes in several]),
        np.concatenate([boxes.areas for boxes in several]),
    )


def _drawn(
    size: Size, recipe: Augmentation, random: np.random.Generator
) -> tuple[float, Placement]:
    """A zoom, and whether the picture is mirrored: the same numbers are drawn in any recipe."""
    zoom = (1 + recipe.scale) ** random.uniform(-1, 1)
    across, down = random.random(2) < 0.5
    placement = resize(size, size)
    if recipe.flip_horizontal and across:
        placement = placement.then(flip_horizontal(size))
    if recipe.flip_vertical and down:
        placement = placement.then(flip_vertical(size))
    return zoom, placement


def _window(
    size: Size, window: Size, recipe: Augmentation, random: np.random.Generator
) -> Placement:
    """A part of the zoomed picture, as large as the window; smaller pictures lie within it."""
    zoom, mirrored = _drawn(size, recipe, random)
    down, across = (
        random.uniform(min(0.0, zoom * side - seen), max(0.0, zoom * side - seen))
        for side, seen in zip(size, window, strict=True)
    )
    matrix = np.array([[zoom, 0, -across], [0, zoom, -down], [0, 0, 1.0]])
    return mirrored.then(Placement(size, window, matrix))


def _placed(picture: Labelled, placement: Placement) -> Labelled:
    pixels, boxes = picture
    return place_picture(placement, pixels), place_boxes(placement, boxes, LEAST_VISIBLE)
