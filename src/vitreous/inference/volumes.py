"""What a network says of each voxel of a scan, by patches, brought back to the scan's own grid."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitreous.data.transforms import Scaling
from vitreous.data.volumes.grid import Grid
from vitreous.data.volumes.resample import resampled
from vitreous.inference.compute import Compute
from vitreous.inference.tiling import (
    Tiling,
    Window,
    apply_by_tiles,
    mirror_averaged,
    padded_space,
)

MARGIN = 1 / 4  # of a patch on each side: neighbours overlap by half, as nnU-Net's
WHOLE = 2  # patches: a scan of no more voxels is answered in one piece
LEAST = 6e-8  # the least number above 0 that float16 holds

OnProgress = Callable[[int, int], None]


def volume_scaling(channels: int) -> Scaling:
    """Prepared scans are numbers around 0 already: the scaling that changes nothing."""
    return Scaling((0.0,) * channels, (1 / 255,) * channels)


def patch_tiling(patch: Sequence[int], multiple: Sequence[int], space: Sequence[int]) -> Tiling:
    """Tiles of a patch's size that overlap by half, Gaussian weights; or one tile for all of it.

    The one where the (padded) `space` is not much larger than a patch: it would take eight tiles
    that say nearly the same, and answering keeps far fewer maps than training.
    """
    if math.prod(space) <= WHOLE * math.prod(patch):
        return Tiling(tuple(space), (0,) * len(space), tuple(multiple), "uniform")
    margin = [int(side * MARGIN) // step * step for side, step in zip(patch, multiple, strict=True)]
    return Tiling(tuple(patch), tuple(margin), tuple(multiple), "gaussian")


def volume_probabilities(
    network: nn.Module,
    values: NDArray[np.float32],
    patch: Sequence[int],
    multiple: Sequence[int],
    compute: Compute,
    *,
    mirrored_axes: Sequence[int] = (),
    on_progress: OnProgress | None = None,
) -> NDArray[np.float16]:
    """Probabilities (classes, depth, height, width) of a prepared scan (channels, d, h, w).

    Float16, which holds shares to a thousandth in half of the memory. A scan smaller than a patch
    lies in the middle of one, as in training. `on_progress(planes, of)` is called after each slab.
    """
    size = values.shape[1:]
    space = padded_space([max(side, p) for side, p in zip(size, patch, strict=True)], multiple)
    first = [(wide - side) // 2 for wide, side in zip(space, size, strict=True)]
    scaling = volume_scaling(len(values))

    def read(window: Window) -> Tensor:
        tile = np.zeros((1, len(values), *(w.stop - w.start for w in window)), np.float32)
        inside, placed = [], []
        for part, begin, side in zip(window, first, size, strict=True):
            start, stop = max(part.start, begin), min(part.stop, begin + side)
            inside.append(slice(start - begin, max(stop - begin, start - begin)))
            placed.append(slice(start - part.start, max(stop, start) - part.start))
        tile[(0, slice(None), *placed)] = values[(slice(None), *inside)]
        return compute.inputs(torch.from_numpy(tile), scaling)

    forward = mirror_averaged(compute.answers_of(network), mirrored_axes)
    result: NDArray[np.float16] | None = None
    for planes, logits in apply_by_tiles(
        forward, read, space, patch_tiling(patch, multiple, space)
    ):
        shares = torch.softmax(logits, dim=0).to(torch.float16).numpy()
        if result is None:
            result = np.empty((len(shares), *size), np.float16)
        start, stop = max(planes.start, first[0]), min(planes.stop, first[0] + size[0])
        if stop > start:
            inner = (slice(b, b + s) for b, s in zip(first[1:], size[1:], strict=True))
            part = shares[:, start - planes.start : stop - planes.start]
            result[:, start - first[0] : stop - first[0]] = part[(slice(None), slice(None), *inner)]
        if on_progress:
            on_progress(min(planes.stop, space[0]), space[0])
    assert result is not None  # there is a tile at least
    return result


def likeliest_on(
    probabilities: NDArray[np.float16], grid: Grid, own: Grid
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The likeliest class of each voxel of another grid, and its probability.

    Probabilities are weighed between voxels, class by class, so that memory holds three maps of the
    grid, however many classes there are.
    """
    best = np.full(own.shape, -1.0, np.float32)
    mask = np.zeros(own.shape, np.uint8)
    for place, shares in enumerate(probabilities):
        there = resampled(shares.astype(np.float32)[None], grid, own)[0]
        better = there > best
        mask[better] = place
        np.maximum(best, there, out=best)
    return mask, best


def tempered(probabilities: NDArray[np.float16], temperature: float) -> NDArray[np.float16]:
    """Probabilities as a temperature calibrates them: their logarithms by it, and softmax again."""
    if temperature == 1.0:
        return probabilities
    result = np.empty_like(probabilities)
    for plane in range(probabilities.shape[1]):  # a plane at a time: little memory
        shares = np.maximum(probabilities[:, plane].astype(np.float32), LEAST) ** (1 / temperature)
        result[:, plane] = shares / shares.sum(axis=0)
    return result
