"""A network applied to inputs of any size and dimension by overlapping tiles, in constant memory.

Tiles lie on a grid; what several of them say of a cell is averaged by weights that are a product
over the axes, so that the sum of the weights is one, too: no second map of them is needed. Tiles
run along the first axis; what no later tile touches is handed on as a finished slab, and memory
holds a tile's length of the first axis.

With uniform weights a tile's margins at its inner borders, where a network sees too little, count
nothing: then the tiled answer is that of the whole input wherever the network reaches no further
than the margin. With Gaussian weights (F. Isensee et al., "nnU-Net", 2021) they count less and
less, and no seam is seen where it reaches further.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vitreous.errors import RequestError

TileWeights = Literal["uniform", "gaussian"]

SIGMA = 1 / 8  # of a tile's side, as in nnU-Net
LEAST = 1e-3  # of the largest Gaussian weight: corners of a single tile count all there is


@dataclass(frozen=True)
class Tiling:
    """Sides of the tiles and of the margin that neighbours share on each side, in cells.

    Two neighbours overlap by twice the margin. Both are multiples of `multiple`, the coarsest
    stride of the network, so that its grid lies alike in all tiles.
    """

    tile: tuple[int, ...]
    margin: tuple[int, ...]
    multiple: tuple[int, ...]
    weights: TileWeights = "gaussian"

    def __post_init__(self) -> None:
        for tile, margin, multiple in zip(self.tile, self.margin, self.multiple, strict=True):
            if tile % multiple or margin % multiple or not 0 <= 2 * margin < tile:
                raise RequestError(
                    f"tiles of {tile} with margins of {margin}: take multiples of {multiple}, and "
                    "margins of less than half of a tile"
                )


def tiling_for(
    space: Sequence[int],
    multiple: Sequence[int],
    *,
    tile: int = 512,
    margin: int = 64,
    weights: TileWeights = "gaussian",
) -> Tiling:
    """Tiles of about these sides, at most as large as the (padded) input."""
    tiles, margins = [], []
    for size, step in zip(space, multiple, strict=True):
        side = min(-(-tile // step), -(-size // step)) * step
        tiles.append(side)
        margins.append(min(-(-margin // step) * step, (side - step) // 2 // step * step))
    return Tiling(tuple(tiles), tuple(margins), tuple(multiple), weights)


def padded_space(space: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """The smallest multiples that hold the input."""
    return tuple(-(-size // step) * step for size, step in zip(space, multiple, strict=True))


def tile_starts(size: int, tile: int, margin: int) -> list[int]:
    """Where tiles begin along an axis: inner parts side by side, the last one at the end.

    >>> tile_starts(20, 8, 1), tile_starts(8, 8, 1)
    ([0, 6, 12], [0])
    """
    step = tile - 2 * margin
    count = max(1, math.ceil((size - tile) / step) + 1)
    return [min(place * step, size - tile) for place in range(count)]


def tile_weights(start: int, size: int, tile: int, margin: int, kind: TileWeights) -> Tensor:
    """The weight of each cell of a tile along one axis, float32 (tile,)."""
    cells = torch.arange(tile, dtype=torch.float32)
    if kind == "gaussian":
        middle, sigma = (tile - 1) / 2, SIGMA * tile
        return torch.exp(-0.5 * ((cells - middle) / sigma) ** 2).clamp_min(LEAST)
    first = 0 if start == 0 else margin
    last = tile if start + tile == size else tile - margin
    return ((cells >= first) & (cells < last)).float()


Window = tuple[slice, ...]


def apply_by_tiles(
    forward: Callable[[Tensor], Tensor],
    read: Callable[[Window], Tensor],
    space: Sequence[int],
    tiling: Tiling,
) -> Iterator[tuple[slice, Tensor]]:
    """Finished slabs along the first axis, in order: its cells, and float32 (outputs, cells, ...).

    `read(window)` gives a part of the input as `forward` takes it, (1, channels, *window);
    `forward` gives (1, outputs, *window) on any device. `space` is a multiple of
    `tiling.multiple`, at least as large as a tile.
    """
    axes = list(zip(space, tiling.tile, tiling.margin, strict=True))
    starts = [tile_starts(*axis) for axis in axes]
    vectors = [
        [tile_weights(start, *axis, tiling.weights) for start in along]
        for along, axis in zip(starts, axes, strict=True)
    ]
    totals = [
        _total(size, along, weights)
        for (size, *_), along, weights in zip(axes, starts, vectors, strict=True)
    ]
    if all(len(along) == 1 for along in starts):  # one tile holds all
        answer = forward(read(tuple(slice(0, size) for size in space)))
        yield slice(0, space[0]), answer[0].float().cpu()
        return
    length = tiling.tile[0]
    summed: Tensor | None = None
    for row, top in enumerate(starts[0]):
        for places in product(*(range(len(along)) for along in starts[1:])):
            begins = [top, *(along[i] for along, i in zip(starts[1:], places, strict=True))]
            window = tuple(
                slice(begin, begin + side) for begin, side in zip(begins, tiling.tile, strict=True)
            )
            answer = forward(read(window))[0].float().cpu()
            if summed is None:
                summed = torch.zeros(len(answer), length, *space[1:])
            weights = [vectors[0][row], *(v[i] for v, i in zip(vectors[1:], places, strict=True))]
            summed[(slice(None), slice(None), *window[1:])] += _weighed(answer, weights)
        assert summed is not None  # there is a tile at least
        following = starts[0][row + 1] if row + 1 < len(starts[0]) else space[0]
        done = following - top
        cells = slice(top, following)
        yield (
            cells,
            _weighed(summed[:, :done], [1 / totals[0][cells], *(1 / t for t in totals[1:])]),
        )
        rest = summed[:, done:].clone()
        summed.zero_()
        summed[:, : rest.shape[1]] = rest


def _weighed(values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Values (outputs, *space) times a vector along each axis of the space, one new tensor."""
    result = values.clone()
    for axis, vector in enumerate(weights, start=1):
        shape = [1] * values.ndim
        shape[axis] = len(vector)
        result.mul_(vector.reshape(shape))
    return result


def _total(size: int, starts: Sequence[int], weights: Sequence[Tensor]) -> Tensor:
    """The sum of all tiles' weights at each cell of an axis, float32 (size,)."""
    total = torch.zeros(size)
    for start, vector in zip(starts, weights, strict=True):
        total[start : start + len(vector)] += vector
    return total


def mirror_averaged(
    forward: Callable[[Tensor], Tensor], axes: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """The mean answer to an input and its mirror images along all sets of some spatial axes.

    `axes` count the axes of space from 0; each answer is mirrored back. Two axes give four images.
    """
    if not axes:
        return forward
    images = [
        tuple(2 + axis for axis, mirrored in zip(axes, chosen, strict=True) if mirrored)
        for chosen in product((False, True), repeat=len(axes))
    ]

    def mean(inputs: Tensor) -> Tensor:
        total = forward(inputs)
        for image in images[1:]:
            total = total + forward(inputs.flip(image)).flip(image)
        return total / len(images)

    return mean


def mirror_padded(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An array (channels, *space) enlarged to `size` by its mirror image behind the last cells.

    Not by its last cells alone: streaks are like nothing that a network was shown, and what it
    answers beside them is wrong for as far as they are seen (decision 0035).
    """
    missing = [wanted - have for wanted, have in zip(size, values.shape[1:], strict=True)]
    if not any(missing):
        return values
    return np.pad(values, [(0, 0), *((0, more) for more in missing)], mode="reflect")
