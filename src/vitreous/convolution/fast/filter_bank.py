"""Temporal kernels, batch norm, spatial kernels, batch norm, ELU, average pooling: spatial first.

The plain form makes a map of every temporal kernel on every electrode and sums over electrodes
afterwards. Both are linear, and the norm between them is one factor and one addition a temporal
kernel, so the electrodes are summed first: a matrix product from electrodes to spatial maps, then
the temporal kernels on those few. What is missing is the norm's mean and variance over all
electrodes; they come from the lagged products of the input (`lagged`). The addition is constant
along time and electrodes and vanishes in the second norm; what is left of the first norm there is
its factor.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitreous.convolution.fast.form import low_precision
from vitreous.convolution.fast.lagged import lagged_products
from vitreous.convolution.fast.norm_pool import Pooling, norm_elu_pool, scaled_elu_pool
from vitreous.convolution.fast.toeplitz import block_length, blocks_of, convolve_blocks

Norm = nn.BatchNorm2d


@dataclass(frozen=True)
class BankShape:
    """Sizes of one filter bank on one input."""

    filters: int
    maps: int
    taps: int
    before: int  # zeros in front of a signal
    outputs: int  # of the temporal kernels, a signal
    block: int
    blocks: int

    @property
    def samples(self) -> int:
        """Of a padded signal."""
        return self.block * self.blocks


def bank_shape(
    temporal: nn.Conv2d, spatial: nn.Conv2d, samples: int, padding: tuple[int, int], pool: int
) -> BankShape:
    """The sizes for signals of so many samples, pooled by `pool` (1 where windows overlap)."""
    taps = temporal.kernel_size[1]
    outputs = samples + sum(padding) - taps + 1
    block = block_length(taps, pool)
    return BankShape(
        temporal.out_channels,
        spatial.out_channels,
        taps,
        padding[0],
        outputs,
        block,
        blocks_of(outputs, block),
    )


def filter_bank(
    inputs: Tensor,
    temporal: nn.Conv2d,
    temporal_norm: Norm,
    spatial: nn.Conv2d,
    spatial_norm: Norm,
    padding: tuple[int, int],
    window: int,
    stride: int,
) -> Tensor:
    """(batch, 1, electrodes, time) to averages (maps, batch, outputs).

    `temporal` is 1 x k without bias, with `padding` zeros before and after a signal, at least k - 1
    in all; `spatial` is electrodes x 1 with one input map a group and without bias. Norms in
    training mode take and follow batch statistics as theirs would; both are in the same mode.
    """
    pool = window if window == stride else 1
    sizes = bank_shape(temporal, spatial, inputs.shape[-1], padding, pool)
    signals = padded(inputs, sizes)
    dtype = low_precision(inputs.device)
    kernels = temporal.weight.reshape(sizes.filters, sizes.taps)
    weights = spatial.weight.reshape(sizes.maps, -1)
    pooling = Pooling(window, stride, sizes.outputs, sizes.block)
    if temporal_norm.training:
        known = lagged_products(signals, sizes.taps, sizes.outputs)
        mean, variance = known.statistics(kernels)
        follow(temporal_norm, mean, variance, known.count)
        gain = temporal_norm.weight * torch.rsqrt(variance + temporal_norm.eps).to(kernels.dtype)
        gains = gain.repeat_interleave(sizes.maps // sizes.filters)
        maps = _maps(signals, weights, kernels, sizes, dtype)
        pooled, map_mean, map_variance = norm_elu_pool(
            maps, gains, spatial_norm.weight, spatial_norm.bias, spatial_norm.eps, pooling
        )
        with torch.no_grad():
            constant = temporal_norm.bias - gain * mean.to(gain.dtype)
            added = constant.repeat_interleave(sizes.maps // sizes.filters) * weights.sum(1)
            count = maps.shape[1] * sizes.outputs
            follow(spatial_norm, gains * map_mean + added, gains.square() * map_variance, count)
        return pooled
    gain, constant = known_norm(temporal_norm)
    factor, shift = known_norm(spatial_norm)
    each = sizes.maps // sizes.filters
    shift = shift + factor * constant.repeat_interleave(each) * weights.sum(1)
    maps = _maps(signals, weights, kernels, sizes, dtype)
    return scaled_elu_pool(maps, factor * gain.repeat_interleave(each), shift, pooling)


def padded(inputs: Tensor, sizes: BankShape) -> Tensor:
    """(electrodes, batch, samples): zeros around each signal, in whole blocks."""
    batch, _, electrodes, time = inputs.shape
    signals = inputs.new_empty(electrodes, batch, sizes.samples)
    signals[:, :, : sizes.before] = 0
    signals[:, :, sizes.before : sizes.before + time] = inputs[:, 0].transpose(0, 1)
    signals[:, :, sizes.before + time :] = 0
    return signals


def _maps(
    signals: Tensor, weights: Tensor, kernels: Tensor, sizes: BankShape, dtype: torch.dtype | None
) -> Tensor:
    """(maps, batch, samples): electrodes summed, then the temporal kernel of each map."""
    electrodes, batch, samples = signals.shape
    summed = weights @ signals.view(electrodes, -1)
    blocks = summed.view(sizes.filters, -1, sizes.block)
    return convolve_blocks(blocks, kernels, dtype).view(sizes.maps, batch, samples)


def known_norm(norm: Norm) -> tuple[Tensor, Tensor]:
    """A norm that is not in training mode as one factor and one addition a channel."""
    mean, variance = norm.running_mean, norm.running_var
    factor = norm.weight * torch.rsqrt(variance + norm.eps)  # type: ignore[operator]
    return factor, norm.bias - factor * mean  # type: ignore[operator]


@torch.no_grad()
def follow(norm: Norm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let running statistics follow those of a batch, as a batch norm in training mode does."""
    if not norm.track_running_stats:
        return
    norm.num_batches_tracked += 1  # type: ignore
    momentum = norm.momentum if norm.momentum is not None else 1 / int(norm.num_batches_tracked)  # type: ignore
    unbiased = variance * (count / max(1, count - 1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)  # type: ignore
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)  # type: ignore
