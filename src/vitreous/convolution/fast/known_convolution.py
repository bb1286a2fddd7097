"""A temporal convolution over all maps, for answers alone: laid out once, no way back.

By the spectra of blocks where that takes fewer multiplications (`spectral`). Else signals lie with
their maps innermost, so that the window of an output is one piece of memory, taps * maps numbers
long. Of one trial the windows are copied below each other, whole pieces at a time, and the
convolution is one matrix product: a library spends longer on its own preparation there. Of many
trials that copy would be too large, and a library's convolution along time is fast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.convolution.fast.spectral import (
    best_length,
    outputs_of_products,
    spectra_of_kernels,
    spectra_of_signals,
)

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
        self.spectra: dict[int, Tensor] = {}  # of the kernels, by the length of blocks

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, time, maps), however it lies in memory, to (batch, groups, pool, out)."""
        batch, time, channels = maps.shape
        groups = self.outputs_of(time) // self.pool
        needed = groups * self.pool
        length = best_length(self.taps, channels, len(self.rows), needed, batch)
        if length is not None:
            return self._by_spectra(maps, length, needed).unflatten(1, (groups, self.pool))
        signals = maps.contiguous()
        if any(self.padding):
            signals = maps.new_zeros(batch, time + sum(self.padding), channels)
            signals[:, self.padding[0] : self.padding[0] + time] = maps
        if batch > 1:
            outputs = F.conv2d(signals.mT.unsqueeze(2), self.kernel, self.bias).squeeze(2).mT
            return outputs[:, :needed].unflatten(1, (groups, self.pool))
        windows = signals.as_strided((needed, self.taps * channels), (channels, 1)).contiguous()
        if len(self.rows) < FEW_OUTPUTS:
            outputs = torch.addmm(self.bias[:, None], self.rows, windows.mT)
            return outputs.view(-1, groups, self.pool).permute(1, 2, 0)[None]
        return F.linear(windows, self.rows, self.bias).view(1, groups, self.pool, -1)

    def _by_spectra(self, maps: Tensor, length: int, needed: int) -> Tensor:
        """The first `needed` outputs (batch, needed, out), in memory (out, batch, time)."""
        kernels = self.spectra.get(length)
        if kernels is None:
            self.spectra[length] = kernels = spectra_of_kernels(self.kernel.squeeze(2), length)
        signals = maps.permute(2, 0, 1)
        if any(self.padding):
            signals = F.pad(signals, self.padding)
        spectra = spectra_of_signals(signals[..., : needed + self.taps - 1], self.taps, length)
        outputs = outputs_of_products(torch.bmm(kernels, spectra), self.taps, length)
        outputs += self.bias[:, None, None]
        return outputs.view(len(kernels[0]), len(maps), -1)[..., :needed].permute(1, 2, 0)

    def outputs_of(self, time: int) -> int:
        """How many outputs a signal of so many samples has."""
        return time + sum(self.padding) - self.taps + 1


def group_maxima(outputs: Tensor) -> Tensor:
    """The largest of each of the groups (batch, groups, pool, out): (batch, groups, out)."""
    first, *others = outputs.unbind(2)
    for other in others:
        first = torch.maximum(first, other)
    return first
