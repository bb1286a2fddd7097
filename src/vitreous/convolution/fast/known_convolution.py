"""A temporal convolution over all maps as matrix products, for answers alone: no way back.

Signals lie with their maps innermost, so the window of an output is one piece of memory, taps *
maps numbers long. For one trial the windows are copied below each other, whole pieces at a time,
and the convolution is one product. For many trials that copy would be too large; there no window is
copied: the windows of every S-th output do not overlap where S is not smaller than the kernel, so
they are the rows of a matrix that is there already. The outputs t = S * row + phase are

    outputs[phase] (rows, out) = windows[phase] (rows, taps * maps) @ kernel (taps * maps, out)

for S phases at once.
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
        out, _, self.taps = kernel.shape
        self.phases = pool * -(-self.taps // pool)
        self.rows = kernel.permute(0, 2, 1).reshape(out, -1).contiguous()  # (out, taps * maps)
        self.columns = self.rows.mT.contiguous().expand(self.phases, -1, -1)
        self.bias, self.padding, self.pool = bias, padding, pool

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, time, maps), however it lies in memory, to (batch, blocks, groups, pool, out).

        In the order of time; what comes behind `groups_of(time)` groups is no sum of windows.
        """
        return self._of_one(maps) if len(maps) == 1 else self._of_many(maps)

    def groups_of(self, time: int) -> int:
        """How many whole groups of outputs a signal of so many samples has."""
        return self.outputs_of(time) // self.pool

    def outputs_of(self, time: int) -> int:
        """How many outputs a signal of so many samples has."""
        return time + sum(self.padding) - self.taps + 1

    def _of_one(self, maps: Tensor) -> Tensor:
        _, time, channels = maps.shape
        groups = self.groups_of(time)
        count = groups * self.pool
        if any(self.padding):
            signal = maps.new_zeros(time + sum(self.padding), channels)
            signal[self.padding[0] : self.padding[0] + time] = maps[0]
        else:
            signal = maps[0].contiguous()
        windows = signal.as_strided((count, self.taps * channels), (channels, 1)).contiguous()
        if len(self.rows) < FEW_OUTPUTS:
            outputs = torch.addmm(self.bias[:, None], self.rows, windows.mT)
            return outputs.view(-1, groups, self.pool).permute(1, 2, 0)[None, :, None]
        outputs = F.linear(windows, self.rows, self.bias)
        return outputs.view(1, groups, 1, self.pool, -1)

    def _of_many(self, maps: Tensor) -> Tensor:
        batch, time, channels = maps.shape
        rows = -(-(time + sum(self.padding)) // self.phases)
        length = rows * self.phases  # of a trial; the last windows of all run on by one phase less
        memory = maps.new_zeros(batch * length + self.phases, channels)
        trials = memory[: batch * length].view(batch, length, channels)
        trials[:, self.padding[0] : self.padding[0] + time] = maps
        windows = memory.as_strided(
            (self.phases, batch * rows, self.taps * channels),
            (channels, self.phases * channels, 1),
        )
        outputs = torch.baddbmm(self.bias, windows, self.columns)
        outputs = outputs.view(-1, self.pool, batch, rows, len(self.rows))
        return outputs.permute(2, 3, 0, 1, 4)


def group_means(outputs: Tensor) -> Tensor:
    """Means of the groups (batch, blocks, groups, pool, out), as (batch, time, out)."""
    return outputs.mean(3).flatten(1, 2)


def group_maxima(outputs: Tensor) -> Tensor:
    """The largest of each of the groups (batch, blocks, groups, pool, out): (batch, time, out)."""
    first, *others = outputs.unbind(3)
    for other in others:
        first = torch.maximum(first, other)
    return first.flatten(1, 2)
