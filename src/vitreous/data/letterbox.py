"""A whole picture in a frame of a fixed size: used alike for the cache and for prediction."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class LetterboxGeometry:
    """Where a picture lies inside its letterbox, and the way back.

    Coordinates are pixels, x to the right and y down, from the top-left corner of the first pixel.
    """

    scale_x: float
    scale_y: float
    left: int  # padding before the picture
    top: int
    width: int  # of the picture inside the letterbox
    height: int

    def to_letterbox(self, x: float, y: float) -> tuple[float, float]:
        """The place in the letterbox of a place in the original picture."""
        return x * self.scale_x + self.left, y * self.scale_y + self.top

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """The place in the original picture of a place in the letterbox."""
        return (x - self.left) / self.scale_x, (y - self.top) / self.scale_y


def letterbox_geometry(original_size: tuple[int, int], size: tuple[int, int]) -> LetterboxGeometry:
    """How a picture of `original_size` (height, width) is fitted, whole, into `size`.

    The picture fills the letterbox in one direction, keeps its aspect to within a pixel in the
    other, and lies in the middle.

    >>> letterbox_geometry((100, 200), (64, 64))
    LetterboxGeometry(scale_x=0.32, scale_y=0.32, left=0, top=16, width=64, height=32)
    """
    scale = min(size[0] / original_size[0], size[1] / original_size[1])
    height = max(1, min(size[0], round(original_size[0] * scale)))
    width = max(1, min(size[1], round(original_size[1] * scale)))
    return LetterboxGeometry(
        scale_x=width / original_size[1],
        scale_y=height / original_size[0],
        left=(size[1] - width) // 2,
        top=(size[0] - height) // 2,
        width=width,
        height=height,
    )


def letterbox(pixels: np.ndarray, size: tuple[int, int], fill: int | None = None) -> np.ndarray:
    """Fit a whole picture into `size` (height, width); nothing is cropped away.

    `pixels` is uint8 (height, width, channels) with 1 or 3 channels, and so is the result. It is
    resized with an antialiased bicubic filter. The bars left over get, a channel at a time, the
    mean of the picture's own outermost pixels, so that no edge is made up; or `fill`, where given.
    """
    geometry = letterbox_geometry((pixels.shape[0], pixels.shape[1]), size)
    inside = resized(pixels, (geometry.height, geometry.width))
    if inside.shape[:2] == tuple(size):
        return inside
    colour = _border_mean(inside) if fill is None else np.uint8(fill)
    boxed = np.empty((*size, pixels.shape[2]), np.uint8)
    boxed[:] = colour
    bottom, right = geometry.top + geometry.height, geometry.left + geometry.width
    boxed[geometry.top : bottom, geometry.left : right] = inside
    return boxed


def match_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """The picture (height, width, 1 or 3) with the wanted number of channels: grey or colour."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    return np.repeat(pixels, channels, axis=2)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (height, width, 1 or 3) in another size, by an antialiased bicubic filter."""
    if pixels.shape[:2] == size:
        return pixels
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return resized[:, :, None] if grey else resized


def _border_mean(pixels: np.ndarray) -> np.ndarray:
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.rint(np.concatenate(edges).mean(axis=0)).astype(np.uint8)
