"""A temporal convolution over all maps, for answers alone: laid out once, no way back.

Signals lie with their maps innermost, so the window of an output is one piece of memory, taps *
maps numbers long. Of one trial the windows are copied below each other, whole pieces at a time, and
the convolution is one matrix product: a library spends longer on its own preparation there. Of many
trials that copy would be too large, and a library's convolution along time is fast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_OUTPUTS = 48  # below, products are faster with the outputs' maps as rows


class KnownConvolution:
    """Kernels (out, maps, taps) and a bias (out,), laid out once; outputs in groups of `pool`.

    `padding` are zeros before and after a signal.
    """

    def __init__(
        self, kernel: Tensor, bias: Tensor, pool: int, padding: tuple[int, int] = (0, 0)
    ) -> None:
        self.kernel = kernel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        self.rows = kernel.permute(0, 2, 1).flatten(1).contiguous()  # (out, taps * maps)
        self.bias, self.padding, self.pool, self.taps = bias, padding, pool, kernel.shape[2]

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, time, maps), however it lies in memory, to (batch, groups, pool, out)."""
        batch, time, channels = maps.shape
        groups = self.outputs_of(time) // self.pool
        signals = maps.contiguous()
        if any(self.padding):
            signals = maps.new_zeros(batch, time + sum(self.padding), channels)
            signals[:, self.padding[0] : self.padding[0] + time] = maps
        if batch > 1:
            outputs = F.conv2d(signals.mT.unsqueeze(2), self.kernel, self.bias).squeeze(2).mT
            return outputs[:, : groups * self.pool].unflatten(1, (groups, self.pool))
        windows = signals.as_strided(
            (groups * self.pool, self.taps * channels), (channels, 1)
        ).contiguous()
        if len(self.rows) < FEW_OUTPUTS:
            outputs = torch.addmm(self.bias[:, None], self.rows, windows.mT)
            return outputs.view(-1, groups, self.pool).permute(1, 2, 0)[None]
        return F.linear(windows, self.rows, self.bias).view(1, groups, self.pool, -1)

    def outputs_of(self, time: int) -> int:
        """How many outputs a signal of so many samples has."""
        return time + sum(self.padding) - self.taps + 1


def group_maxima(outputs: Tensor) -> Tensor:
    """The largest of each of the groups (batch, groups, pool, out): (batch, groups, out)."""
    first, *others = outputs.unbind(2)
    for other in others:
        first = torch.maximum(first, other)
    return first
