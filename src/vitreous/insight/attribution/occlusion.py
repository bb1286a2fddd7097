"""Occlusion: cover a patch, and see what the answer loses. Slow, and the referee.

M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2.
It asks the network itself, again and again; no first-order method can promise as much (Bilodeau
et al. 2024, PNAS 121, arXiv 2212.11870).
"""

from collections.abc import Sequence
from itertools import product
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.insight.attribution.target import scores
from vitreous.networks.modes import evaluating

PATCH_SHARE = {1: 1 / 32, 2: 1 / 8, 3: 1 / 5}
"""A patch's side as a share of the input's, by dimensions: at most 225 places in each case."""


def patches_of(
    space: tuple[int, ...], sides: Sequence[int] | None = None
) -> list[tuple[slice, ...]]:
    """Patches that overlap by half (side by side in three dimensions) and cover every place.

    `sides` are theirs along each axis; by default a share of the space's.
    """
    share = PATCH_SHARE[len(space)]
    axes = []
    for axis, size in enumerate(space):
        side = max(1, ceil(size * share)) if sides is None else min(size, sides[axis])
        step = side if len(space) == 3 else max(1, ceil(side / 2))
        starts = [*range(0, max(1, size - side), step), max(0, size - side)]
        axes.append([slice(start, start + side) for start in sorted(set(starts))])
    return list(product(*axes))


def occlusion(
    network: nn.Module,
    inputs: Tensor,
    fill: Tensor,
    weights: Tensor,
    batch_size: int = 32,
    sides: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """(batch, *space): what the explained number loses when a patch around a place is covered.

    The mean over the patches that cover the place, in units of the number; `fill` has the shape
    of the inputs, `sides` are a patch's. Also the explained numbers themselves, (batch,).
    """
    space = tuple(inputs.shape[2:])
    patches = patches_of(space, sides)
    with evaluating(network):
        whole = scores(network(inputs), weights)
        maps = [
            _one(network, inputs[row], fill[row], weights[row], whole[row], patches, batch_size)
            for row in range(len(inputs))
        ]
    return torch.from_numpy(np.stack(maps)), whole


def _one(network, sample, fill, weights, whole, patches, batch_size) -> np.ndarray:
    losses = []
    for start in range(0, len(patches), batch_size):
        part = patches[start : start + batch_size]
        covered = sample.repeat(len(part), *(1,) * sample.ndim)
        for row, patch in enumerate(part):
            covered[(row, slice(None), *patch)] = fill[(slice(None), *patch)]
        losses.append(whole - scores(network(covered), weights[None]))
    found = torch.cat(losses).double().cpu().numpy()
    total, count = np.zeros(sample.shape[1:]), np.zeros(sample.shape[1:])
    for loss, patch in zip(found, patches, strict=True):
        total[patch] += loss
        count[patch] += 1
    return (total / count).astype(np.float32)
