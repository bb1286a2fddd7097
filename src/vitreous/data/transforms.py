"""From a decoded picture to what a network takes: letterbox, channels, scaling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision_functional

from vitreous.errors import RequestError

LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601, as JPEG and Pillow weigh them


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
    inside = _resize(pixels, (geometry.height, geometry.width))
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


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return resized[:, :, None] if grey else resized


def _border_mean(pixels: np.ndarray) -> np.ndarray:
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.rint(np.concatenate(edges).mean(axis=0)).astype(np.uint8)


@dataclass(frozen=True)
class Scaling:
    """What makes pixels fit for a network: (pixel / 255 - mean) / std, a number a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_scaling(
    pixels: np.ndarray, rows: Sequence[int] | np.ndarray, at_most: int = 20_000
) -> Scaling:
    """Mean and standard deviation a channel over `rows` of `pixels` uint8 (n, c, h, w).

    Give it training rows only. Of more than `at_most` rows an even spread is read, a few at a
    time. A constant channel gets a deviation of one grey level, not zero.
    Raises `RequestError` where there are no rows.
    """
    rows = np.sort(np.asarray(rows, dtype=np.int64))
    if not len(rows):
        raise RequestError("scaling: no training pictures to fit it on; check the split")
    if len(rows) > at_most:
        rows = rows[np.linspace(0, len(rows) - 1, at_most).astype(np.int64)]
    chunk = max(1, 16_000_000 // int(np.prod(pixels.shape[1:])))
    histogram = np.zeros((pixels.shape[1], 256), np.int64)
    for start in range(0, len(rows), chunk):
        part = pixels[rows[start : start + chunk]]
        for channel in range(pixels.shape[1]):
            histogram[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    return _scaling_of(histogram)


def _scaling_of(histogram: np.ndarray) -> Scaling:
    levels = np.arange(256) / 255
    shares = histogram / histogram.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = np.maximum(shares @ levels**2 - mean**2, 0)
    std = np.maximum(np.sqrt(variance), 1 / 255)
    return Scaling(mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def to_network_input(
    batch: torch.Tensor, scaling: Scaling, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Stored pictures, uint8 (batch, channels, height, width), as float32 for a network.

    Where `size` (height, width) is given and differs, they are resized (antialiased bilinear).
    Raises `RequestError` where that would distort them or the channels do not fit the scaling.
    """
    if batch.shape[1] != len(scaling.mean):
        raise RequestError(
            f"pictures have {batch.shape[1]} channels, the scaling has {len(scaling.mean)}; "
            f"use the scaling fitted on these pictures"
        )
    if size is not None and tuple(batch.shape[2:]) != tuple(size):
        _require_same_aspect((batch.shape[2], batch.shape[3]), size)
        batch = torchvision_functional.resize(batch, list(size), antialias=True)
    # one multiplication and one addition: x * 1/(255 std) - mean/std
    shape = (1, -1, 1, 1)
    std = torch.tensor(scaling.std, dtype=torch.float64, device="cpu").reshape(shape)
    mean = torch.tensor(scaling.mean, dtype=torch.float64, device="cpu").reshape(shape)
    factor = (1 / (255 * std)).to(batch.device, torch.float32)
    offset = (-mean / std).to(batch.device, torch.float32)
    return batch.to(torch.float32).mul_(factor).add_(offset)


def _require_same_aspect(stored: tuple[int, int], wanted: tuple[int, int]) -> None:
    if abs(stored[0] * wanted[1] - stored[1] * wanted[0]) > max(*stored, *wanted):
        raise RequestError(
            f"pictures stored as {stored[0]}x{stored[1]} would be distorted to "
            f"{wanted[0]}x{wanted[1]}; ask for a size of the same shape"
        )
