"""A temporal convolution over all maps, for answers alone: laid out once, no way back.

Signals lie with their maps innermost, so that the window of an output is one piece of memory,
taps * maps numbers long. There are three ways, of which the first trial of its length and the first
in so many threads says which is the fastest. Windows are copied below each other, whole pieces at a
time, and the convolution is one matrix product: one processor core spends less on that than on a
library's own preparation. Or by a library's convolution, which shares its work better among
threads. Or by the spectra of blocks (`spectral`), where that takes fewer multiplications. Of many
trials copies would be too large, and a library's convolution along time is fast.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.convolution.fast.fastest_way import fastest_way
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
        self.chosen: dict[tuple[int, int], int] = {}  # of `_ways`, by samples and threads

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, time, maps), however it lies in memory, to (batch, groups, pool, out)."""
        groups = self.outputs_of(maps.shape[1]) // self.pool
        needed = groups * self.pool
        if len(maps) > 1:
            return self._by_library(maps, needed).unflatten(1, (groups, self.pool))
        ways = self._ways(maps, needed)
        known = maps.shape[1], torch.get_num_threads()
        if known not in self.chosen:
            self.chosen[known] = fastest_way(ways)
        return ways[self.chosen[known]]().unflatten(1, (groups, self.pool))

    def _ways(self, maps: Tensor, needed: int) -> list[Callable[[], Tensor]]:
        """To the first `needed` outputs of one trial: (1, needed, out)."""
        ways = [partial(self._as_product, maps, needed), partial(self._by_library, maps, needed)]
        length = best_length(self.taps, maps.shape[2], len(self.rows), needed)
        return ways if length is None else [*ways, partial(self._by_spectra, maps, length, needed)]

    def _padded(self, maps: Tensor) -> Tensor:
        batch, time, channels = maps.shape
        if not any(self.padding):
            return maps.contiguous()
        signals = maps.new_zeros(batch, time + sum(self.padding), channels)
        signals[:, self.padding[0] : self.padding[0] + time] = maps
        return signals

    def _by_library(self, maps: Tensor, needed: int) -> Tensor:
        """The first `needed` outputs of any number of trials: (batch, needed, out)."""
        outputs = F.conv2d(self._padded(maps).mT.unsqueeze(2), self.kernel, self.bias)
        return outputs.squeeze(2).mT[:, :needed]

    def _as_product(self, maps: Tensor, needed: int) -> Tensor:
        """The first `needed` outputs of one trial: (1, needed, out)."""
        channels = maps.shape[2]
        windows = (
            self._padded(maps)
            .as_strided((needed, self.taps * channels), (channels, 1))
            .contiguous()
        )
        if len(self.rows) < FEW_OUTPUTS:
            return torch.addmm(self.bias[:, None], self.rows, windows.mT).mT[None]
        return F.linear(windows, self.rows, self.bias)[None]

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
