"""The kernels of the first convolution as pictures: what the network looks for at the pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.colours import around_grey, signed_pixels, symmetric_limit, write_png


@dataclass(frozen=True)
class Filters:
    """The kernels of one convolution: `weights` is float (filters, input channels, h, w).

    Of kernels in space `weights` has the `slices` side by side, as `beside_each_other` lays them.
    """

    layer: str
    weights: np.ndarray
    slices: int = 1

    @property
    def limit(self) -> float:
        """The one symmetric scale that all pictures of these kernels share."""
        return symmetric_limit(self.weights)


def first_filters(network: nn.Module) -> Filters:
    """The kernels of the network's first convolution of two or three dimensions, as it was built.

    Raises `RequestError` where there is none.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            weights = module.weight.detach().float().cpu().numpy()
            if isinstance(module, nn.Conv2d):
                return Filters(name, weights)
            return Filters(name, beside_each_other(weights), weights.shape[2])
    raise RequestError(f"{type(network).__name__}: has no convolution to show")


def signed_pictures(filters: Filters) -> np.ndarray:
    """Every kernel plane on the shared signed scale: uint8 (filters, input channels, h, w, 4)."""
    return signed_pixels(filters.weights, filters.limit)


def colour_pictures(filters: Filters) -> np.ndarray:
    """Kernels over red, green and blue as colours around mid-grey: uint8 (filters, h, w, 3).

    Raises `RequestError` where the convolution does not read three channels.
    """
    channels = filters.weights.shape[1]
    if channels != 3:
        raise RequestError(f"{filters.layer}: reads {channels} channels; colour needs 3")
    return around_grey(filters.weights, filters.limit)


def filter_pictures(filters: Filters) -> np.ndarray:
    """One picture a kernel: colour for three input channels, else its strongest plane, signed.

    Returns uint8 (filters, h, w, 3) or (filters, h, w, 4).
    """
    if filters.weights.shape[1] == 3:
        return colour_pictures(filters)
    strongest = strongest_planes(filters.weights)
    return signed_pictures(filters)[np.arange(len(strongest)), strongest]


def strongest_planes(weights: np.ndarray) -> np.ndarray:
    """For each kernel of (filters, input channels, h, w), the channel with the largest norm.

    >>> strongest_planes(np.array([[[[1.0]], [[-2.0]]], [[[3.0]], [[0.0]]]])).tolist()
    [1, 0]
    """
    return np.square(weights).sum(axis=(2, 3)).argmax(axis=1)


def beside_each_other(weights: np.ndarray) -> np.ndarray:
    """Kernels in space, (filters, input channels, depth, h, w), as planes: their slices side by
    side, with an empty column between two, (filters, input channels, h, depth * (w + 1) - 1).

    >>> beside_each_other(np.arange(1.0, 9.0).reshape(1, 1, 2, 2, 2))[0, 0].tolist()
    [[1.0, 2.0, 0.0, 5.0, 6.0], [3.0, 4.0, 0.0, 7.0, 8.0]]
    """
    filters, channels, depth, height, width = weights.shape
    apart = np.zeros((filters, channels, height, depth, width + 1), weights.dtype)
    apart[..., :width] = np.moveaxis(weights, 2, 3)
    return apart.reshape(filters, channels, height, depth * (width + 1))[..., :-1]


def grid(pictures: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Pictures (n, h, w, c) side by side in rows: one picture, with `gap` empty pixels between.

    Empty pixels are zero: black, or transparent where c is 4. Without `columns` the grid is
    about square.

    >>> grid(np.ones((3, 2, 2, 1), dtype=np.uint8), columns=2)[..., 0].tolist()
    [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    """
    count, height, width, channels = pictures.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    sheet = np.zeros(size, dtype=pictures.dtype)
    for index, picture in enumerate(pictures):
        top = index // columns * (height + gap)
        left = index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_filters(path: Path, filters: Filters, magnify: int = 8) -> None:
    """Write all kernels as one PNG, each weight a square of `magnify` pixels, atomically."""
    pictures = filter_pictures(filters).repeat(magnify, axis=1).repeat(magnify, axis=2)
    write_png(path, grid(pictures, gap=magnify))
