"""What a network says of each pixel of a picture, however large it is."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.transforms import Scaling
from vitreous.data.windows import Windows
from vitreous.inference.compute import Compute
from vitreous.inference.tiling import (
    Tiling,
    Window,
    apply_by_tiles,
    mirror_averaged,
    mirror_padded,
    padded_space,
    tiling_for,
)

WHOLE = 2**20  # pixels up to which a picture is looked at in one piece


def coarsest_stride(network: nn.Module, dimensions: int = 2) -> tuple[int, ...]:
    """Input cells per cell of the network's coarsest map, which inputs are made a multiple of."""
    strides = getattr(getattr(network, "features", None), "strides", None)
    return tuple(strides[-1]) if strides else (32,) * dimensions


def logit_slabs(
    network: nn.Module,
    picture: Windows,
    scaling: Scaling,
    compute: Compute,
    *,
    mirrored_axes: Sequence[int] = (),
    tiling: Tiling | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the picture and their logits float32 (outputs, rows, width) on the CPU, in order.

    Pictures of more than a million pixels go by tiles, unless a `tiling` is given; a slab of rows
    is in memory at a time. At its right and lower border a picture is continued, by its mirror
    image, to a multiple of the network's coarsest stride. `mirrored_axes` (0 up and down, 1 left
    and right) are those whose mirror images are averaged in. The network lies where
    `compute.place` puts it.
    """
    height, width = picture.size
    multiple = coarsest_stride(network)
    space = padded_space(picture.size, multiple)
    if tiling is None:
        whole = height * width <= WHOLE
        tiling = (
            Tiling(space, (0, 0), multiple, "uniform") if whole else tiling_for(space, multiple)
        )

    def read(window: Window) -> Tensor:
        rows, columns = window
        pixels = picture.read(
            rows.start, columns.start, min(rows.stop, height), min(columns.stop, width)
        )
        size = (rows.stop - rows.start, columns.stop - columns.start)
        return compute.inputs(torch.from_numpy(mirror_padded(pixels, size)[None].copy()), scaling)

    forward = mirror_averaged(compute.answers_of(network), mirrored_axes)
    for rows, logits in apply_by_tiles(forward, read, space, tiling):
        last = min(rows.stop, height)
        if last > rows.start:
            yield slice(rows.start, last), logits[:, : last - rows.start, :width]


def answer_mask(slabs: Iterator[tuple[slice, Tensor]], size: tuple[int, int]) -> np.ndarray:
    """The likeliest class of each pixel, uint8 (height, width), from its slabs of logits."""
    mask = np.zeros(size, np.uint8)
    for rows, logits in slabs:
        mask[rows] = logits.argmax(dim=0).to(torch.uint8).numpy()
    return mask
