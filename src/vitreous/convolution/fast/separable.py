"""Temporal kernels, one a map, then a mix of the maps, batch norm, ELU and average pooling.

As EEGNet's second block has them, on maps (maps, batch, time): channels in front, so that the mix
is one matrix product and each map's kernel runs over one long row.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.convolution.fast.filter_bank import Norm, follow, known_norm
from vitreous.convolution.fast.form import low_precision
from vitreous.convolution.fast.norm_pool import Pooling, norm_elu_pool, scaled_elu_pool
from vitreous.convolution.fast.toeplitz import block_length, blocks_of, convolve_blocks


def separable(maps: Tensor, depth: nn.Conv2d, point: nn.Conv2d, norm: Norm, window: int) -> Tensor:
    """(maps, batch, time) to averages (out maps, batch, outputs) of `window` samples each.

    `depth` is 1 x k with a kernel a map, `point` is 1 x 1; both without bias.
    """
    groups, batch, time = maps.shape
    taps = depth.kernel_size[1]
    before = int(depth.padding[1])
    outputs = time + 2 * before - taps + 1
    block = block_length(taps, window)
    samples = block * blocks_of(outputs, block)
    rows = F.pad(maps, (before, samples - before - time)).view(groups, -1, block)
    filtered = convolve_blocks(rows, depth.weight.reshape(groups, taps), low_precision(maps.device))
    mixed = point.weight.flatten(1) @ filtered.view(groups, -1)
    mixed = mixed.to(norm.weight.dtype).view(-1, batch, samples)
    pooling = Pooling(window, window, outputs, block)
    if not norm.training:
        return scaled_elu_pool(mixed, *known_norm(norm), pooling)
    ones = norm.weight.new_ones(len(mixed))
    pooled, mean, variance = norm_elu_pool(mixed, ones, norm.weight, norm.bias, norm.eps, pooling)
    follow(norm, mean, variance, batch * outputs)
    return pooled
