"""Temporal kernels, then spatial kernels that mix them, with nothing between: one convolution.

    kernel[o, c, k] = sum over f of spatial[o, f, c] * temporal[f, k]

The electrodes become the input channels of a convolution along time, which is the shape that
libraries are fast at; the trials lie in memory with electrodes innermost, so that no window is
copied. With 22 electrodes, 40 kernels of 25 taps and 40 mixes of them, 22 x 25 multiplications an
output cell stand in place of 22 x 25 + 40 x 22 and of maps 22 times as large.
"""

import torch
from torch import Tensor, nn

from vitreous.convolution.fast.long_kernels import long_convolution


def combined_kernel(temporal: nn.Conv2d, spatial: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """Kernel (out, electrodes, 1, taps) and bias (out,) of `temporal` (1 x k), then `spatial`."""
    taps = temporal.weight.reshape(temporal.out_channels, -1)
    mixes = spatial.weight.squeeze(3).transpose(1, 2)  # (out, electrodes, filters)
    kernel = (mixes.reshape(-1, temporal.out_channels) @ taps).view(*mixes.shape[:2], 1, -1)
    bias = spatial.bias
    if temporal.bias is not None:
        through = mixes.sum(1) @ temporal.bias
        bias = through if bias is None else bias + through
    return kernel, bias


def electrodes_as_channels(inputs: Tensor) -> Tensor:
    """(batch, 1, electrodes, time) as (batch, electrodes, 1, time), electrodes innermost."""
    return inputs.transpose(1, 2).contiguous(memory_format=torch.channels_last)


def combined_convolution(inputs: Tensor, temporal: nn.Conv2d, spatial: nn.Conv2d) -> Tensor:
    """(batch, 1, electrodes, time) to (batch, out, 1, time - k + 1), maps innermost in memory."""
    kernel, bias = combined_kernel(temporal, spatial)
    return long_convolution(electrodes_as_channels(inputs), kernel, bias)
