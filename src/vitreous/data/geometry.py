"""Pictures, boxes and masks moved together: one placement says where each point goes.

Crops, flips, resizes, letterboxes and turns are all affine maps; one after another they are one.
Coordinates are pixels, x to the right and y down, from the top-left corner of the first pixel: the
middle of the first pixel is (0.5, 0.5), and a flip takes x to width - x.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.data.boxes.boxes import Boxes, box_areas
from vitreous.data.letterbox import letterbox_geometry
from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the points of a picture of `source` size lie in a new one of `size`.

    `matrix` is (3, 3), float64: (x, y, 1) of the source to (x, y, 1) of the new picture.
    """

    source: Size
    size: Size
    matrix: NDArray[np.float64]

    def then(self, after: "Placement") -> "Placement":
        """This placement and another one of its result, as one. Raises `RequestError` where the
        other is made for pictures of another size.
        """
        if after.source != self.size:
            raise RequestError(
                f"a placement of pictures of {after.source[0]} x {after.source[1]} cannot follow "
                f"one that gives {self.size[0]} x {self.size[1]}"
            )
        return Placement(self.source, after.size, after.matrix @ self.matrix)

    @property
    def inverse(self) -> NDArray[np.float64]:
        """The way back, (3, 3)."""
        return np.linalg.inv(self.matrix).astype(np.float64, copy=False)


def crop(source: Size, left: int, top: int, size: Size) -> Placement:
    """A window of `size` whose first pixel is the source's pixel (`left`, `top`); it may reach
    outside.
    """
    return Placement(source, size, _shift(-left, -top))


def flip_horizontal(source: Size) -> Placement:
    """Left and right exchanged."""
    return Placement(source, source, np.array([[-1.0, 0, source[1]], [0, 1, 0], [0, 0, 1]]))


def flip_vertical(source: Size) -> Placement:
    """Top and bottom exchanged."""
    return Placement(source, source, np.array([[1.0, 0, 0], [0, -1, source[0]], [0, 0, 1]]))


def resize(source: Size, size: Size) -> Placement:
    """The whole picture in another size."""
    return Placement(source, size, np.diag([size[1] / source[1], size[0] / source[0], 1.0]))


def fit(source: Size, size: Size) -> Placement:
    """The whole picture in the middle of `size`, its shape kept: as `letterbox.letterbox`."""
    geometry = letterbox_geometry(source, size)
    scale = np.diag([geometry.scale_x, geometry.scale_y, 1.0])
    return Placement(source, size, _shift(geometry.left, geometry.top) @ scale)


def turn(
    source: Size, degrees: float, zoom: float = 1.0, shift_x: float = 0.0, shift_y: float = 0.0
) -> Placement:
    """Turned clockwise about the middle, enlarged by `zoom`, and moved by pixels."""
    angle = math.radians(degrees)
    # rounded, so that a quarter's cosine is 0 and whole pixels stay whole
    cos, sin = zoom * round(math.cos(angle), 15), zoom * round(math.sin(angle), 15)
    middle_x, middle_y = source[1] / 2, source[0] / 2
    about = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    matrix = _shift(middle_x + shift_x, middle_y + shift_y) @ about @ _shift(-middle_x, -middle_y)
    return Placement(source, source, matrix)


def place_corners(placement: Placement, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest upright boxes around the moved ones, (n, 4), not cut off at the new border."""
    left, top, right, bottom = corners.T
    x, y = np.stack([left, right, right, left]), np.stack([top, top, bottom, bottom])
    moved = np.einsum("ij,jkn->ikn", placement.matrix, np.stack([x, y, np.ones_like(x)]))
    return np.stack([moved[0].min(axis=0), moved[1].min(axis=0), moved[0].max(axis=0),
                     moved[1].max(axis=0)], axis=1)  # fmt: skip


def place_boxes(placement: Placement, boxes: Boxes, least_visible: float = 0.1) -> Boxes:
    """The boxes in the new picture, cut off at its border.

    One of which less than the share `least_visible` of its area is left is dropped. After a turn a
    box is the upright one around the turned one: exact for a thing that fills its box, else larger.
    """
    whole = place_corners(placement, boxes.corners)
    height, width = placement.size
    cut = np.clip(whole, 0.0, np.array([width, height, width, height], np.float64))
    left = box_areas(cut)
    kept = (left > 0) & (left >= least_visible * box_areas(whole))
    growth = abs(float(np.linalg.det(placement.matrix)))
    chosen = boxes.chosen(kept)
    # the areas of whole things: a thing's size class does not change where it is cut off
    return replace(chosen, corners=cut[kept], areas=chosen.areas * growth)


def place_picture(
    placement: Placement, pixels: NDArray[np.uint8], fill: int | None = None
) -> NDArray[np.uint8]:
    """The picture (height, width, 1 or 3) in its new place, uint8 of the same channels.

    Between pixels values are weighed (bilinear); where it shrinks to less than 0.7, blocks of
    pixels are averaged first, so that no detail is left out by chance. What lies outside gets
    `fill`, by default the picture's mean.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    back = placement.inverse
    shrunk = math.sqrt(abs(np.linalg.det(placement.matrix[:2, :2])))
    blocks = max(1, round(1 / shrunk)) if shrunk < 0.7 else 1
    if blocks > 1:
        image = image.reduce(blocks)
        back = np.diag([1 / blocks, 1 / blocks, 1.0]) @ back
    colour = [fill] * pixels.shape[2] if fill is not None else _mean(pixels)
    moved = _transform(image, placement.size, back, Image.Resampling.BILINEAR, colour)
    return moved[..., None] if pixels.shape[2] == 1 else moved


def place_mask(
    placement: Placement, mask: NDArray[np.uint8], outside: int = IGNORE
) -> NDArray[np.uint8]:
    """The mask (height, width) in its new place: each pixel takes the class that lies there.

    What lies outside gets `outside`, by default no class at all.
    """
    image = Image.fromarray(mask)
    back = placement.inverse
    return _transform(image, placement.size, back, Image.Resampling.NEAREST, [outside])


def grid_matrix(placement: Placement) -> NDArray[np.float64]:
    """The (2, 3) matrix with which torch's `affine_grid` (align_corners=False) does the same.

    It goes from the new picture to the source, in coordinates that run from -1 to 1.
    """
    height, width = placement.size
    source_height, source_width = placement.source
    to_pixels = np.array([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1.0]])
    to_unit = np.array([[2 / source_width, 0, -1], [0, 2 / source_height, -1], [0, 0, 1.0]])
    return (to_unit @ placement.inverse @ to_pixels)[:2]


def _transform(
    image: Image.Image,
    size: Size,
    back: NDArray[np.float64],
    method: Image.Resampling,
    fill: list[int],
) -> NDArray[np.uint8]:
    """Pillow's affine transform takes the way back, in the same coordinates as here."""
    height, width = size
    colour = fill[0] if len(fill) == 1 else tuple(fill)
    coefficients = tuple(round(float(value), 12) for value in back[:2].ravel())
    moved = image.transform(
        (width, height), Image.Transform.AFFINE, coefficients, method, fillcolor=colour
    )
    return np.asarray(moved)


def _mean(pixels: NDArray[np.uint8]) -> list[int]:
    # rows first, as whole numbers: a mean over both axes at once goes three numbers at a time
    sums = pixels.sum(axis=0, dtype=np.uint32).sum(axis=0, dtype=np.uint64)
    return [round(int(value) / (pixels.shape[0] * pixels.shape[1])) for value in sums]


def _shift(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
