"""Numbers as pixels: two colour scales that are read alike on light and on dark paper.

Signed values: the sign is the hue (blue below zero, orange above), the size is the opacity, and
zero is transparent, so that the neutral colour is the page itself, in either theme. Blue and
orange stay apart for the common kinds of colour blindness. Values that cannot be negative: from
dark violet over green to yellow, with lightness growing evenly. What is not a number is drawn
like zero.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vitreous.files import write_bytes

NEGATIVE = (36, 115, 214)
POSITIVE = (217, 96, 26)

# Seventeen evenly spaced points of the "viridis" scale (matplotlib, released as CC0).
_SEQUENCE = np.array(
    [
        (68, 1, 84),
        (72, 24, 106),
        (71, 45, 123),
        (66, 64, 134),
        (59, 82, 139),
        (51, 99, 141),
        (44, 114, 142),
        (38, 129, 142),
        (33, 144, 140),
        (31, 159, 136),
        (40, 174, 128),
        (62, 188, 116),
        (93, 201, 99),
        (130, 211, 76),
        (171, 220, 50),
        (213, 226, 26),
        (253, 231, 37),
    ],
    dtype=np.float64,
)


def symmetric_limit(values: np.ndarray) -> float:
    """The largest absolute finite value: the scale runs from minus this to plus this.

    >>> symmetric_limit(np.array([-3.0, 1.0, np.inf]))
    3.0
    """
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def signed_pixels(values: np.ndarray, limit: float) -> np.ndarray:
    """Values of any sign as uint8 (..., 4) red, green, blue, opacity; zero is transparent.

    `values` has any shape; `limit` is the size that is fully opaque (larger ones are clipped).
    A `limit` of 0 (all values zero) gives fully transparent pixels.

    >>> signed_pixels(np.array([-1.0, 0.0, 0.5]), limit=1.0).tolist()
    [[36, 115, 214, 255], [217, 96, 26, 0], [217, 96, 26, 128]]
    """
    values = np.asarray(values, dtype=np.float64)
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((values < 0)[..., None], NEGATIVE, POSITIVE)
    pixels[..., 3] = np.rint(255 * _share(np.abs(values), limit))
    return pixels


def sequential_pixels(values: np.ndarray, limit: float) -> np.ndarray:
    """Values from 0 to `limit` as uint8 (..., 3) red, green, blue; others are clipped.

    >>> sequential_pixels(np.array([0.0, 2.0]), limit=2.0).tolist()
    [[68, 1, 84], [253, 231, 37]]
    """
    position = _share(np.asarray(values, dtype=np.float64), limit) * (len(_SEQUENCE) - 1)
    points = np.arange(len(_SEQUENCE))
    channels = [np.interp(position, points, _SEQUENCE[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def around_grey(values: np.ndarray, limit: float) -> np.ndarray:
    """Three channels of signed values as uint8 (..., h, w, 3) colour, with zero as mid-grey.

    `values` is (..., 3, h, w), the channels being red, green and blue. A pixel is redder than
    grey where the red weights are positive, and less red where they are negative.

    >>> around_grey(np.array([[[-1.0]], [[0.0]], [[1.0]]]), limit=1.0).tolist()
    [[[0, 128, 255]]]
    """
    values = np.moveaxis(np.asarray(values, dtype=np.float64), -3, -1)
    scaled = np.sign(values) * _share(np.abs(values), limit)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8)


def png_bytes(pixels: np.ndarray) -> bytes:
    """A PNG file's content from uint8 (h, w), (h, w, 3) or (h, w, 4) pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (h, w), (h, w, 3) or (h, w, 4) pixels as a PNG file, atomically."""
    write_bytes(path, png_bytes(pixels))


def _share(sizes: np.ndarray, limit: float) -> np.ndarray:
    if limit <= 0:
        return np.zeros_like(sizes)
    return np.clip(np.nan_to_num(sizes, nan=0.0) / limit, 0.0, 1.0)
