"""A temporal convolution over all maps as one batched product, with no window laid out in memory.

Signals lie with their maps innermost, so the window of an output is one piece of memory, taps *
maps numbers long. The windows of every S-th output do not overlap where S is not smaller than the
kernel: they are the rows of a matrix that is there already. The outputs t = S * row + phase are

    outputs[phase] (rows, out) = windows[phase] (rows, taps * maps) @ kernel (taps * maps, out)

for S phases at once. A pooling whose windows divide S is then a mean, or the largest, over
neighbouring phases. For answers alone: there is no way back.
"""

import torch
from torch import Tensor


class PhasedConvolution:
    """Kernels (out, maps, taps) and a bias (out,), laid out once for many trials.

    `padding` are zeros before and after a signal; the number of phases is a multiple of `pool`.
    """

    def __init__(
        self, kernel: Tensor, bias: Tensor, pool: int, padding: tuple[int, int] = (0, 0)
    ) -> None:
        out, maps, self.taps = kernel.shape
        self.phases = pool * -(-self.taps // pool)
        self.weights = kernel.permute(2, 1, 0).reshape(1, self.taps * maps, out)
        self.weights = self.weights.contiguous().expand(self.phases, -1, -1)
        self.bias, self.padding = bias, padding

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, time, maps), however it lies in memory, to (phases, batch, rows, out)."""
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
        outputs = torch.baddbmm(self.bias, windows, self.weights)
        return outputs.view(self.phases, batch, rows, -1)

    def outputs(self, time: int) -> int:
        """How many outputs a signal of so many samples has; what comes behind them is no sum."""
        return time + sum(self.padding) - self.taps + 1


def mean_of_neighbours(outputs: Tensor, window: int) -> Tensor:
    """Means of each `window` outputs (phases, batch, rows, out), as (batch, time, out)."""
    return in_time(_grouped(outputs, window).mean(1))


def largest_of_neighbours(outputs: Tensor, window: int) -> Tensor:
    """The largest of each `window` outputs (phases, batch, rows, out), as (batch, time, out)."""
    return in_time(_grouped(outputs, window).amax(1))


def in_time(outputs: Tensor) -> Tensor:
    """(phases, batch, rows, out) in the order of time, (batch, rows * phases, out)."""
    phases, batch, rows, out = outputs.shape
    return outputs.permute(1, 2, 0, 3).reshape(batch, rows * phases, out)


def _grouped(outputs: Tensor, window: int) -> Tensor:
    phases, *rest = outputs.shape
    return outputs.view(phases // window, window, *rest)
