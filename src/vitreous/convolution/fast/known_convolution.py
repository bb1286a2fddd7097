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

Way = Callable[[Tensor], Tensor]
FEW_OUTPUTS = 48  # below, products are faster with the outputs' maps as rows


class KnownConvolution:
    """Kernels (out, maps, taps) and a bias (out,), laid out once.

    `padding` are zeros before and after a signal. Outputs behind the last whole `group` of them may
    be left out: whoever pools by groups does not read them.
    """

    def __init__(
        self, kernel: Tensor, bias: Tensor, padding: tuple[int, int] = (0, 0), group: int = 1
    ) -> None:
        self.kernel = kernel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        self.rows = kernel.permute(0, 2, 1).flatten(1).contiguous()  # (out, taps * maps)
        self.bias, self.padding, self.taps, self.group = bias, padding, kernel.shape[2], group
        self.spectra: dict[int, tuple[Tensor, Tensor]] = {}  # by the length of blocks
        self.chosen: dict[tuple[int, int], Way] = {}  # by samples and threads

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, maps, 1, time) to (batch, out, 1, outputs).

        Both may lie in memory with their maps or with their time innermost.
        """
        if maps.shape[0] > 1:
            return self._by_library(maps)
        known = maps.shape[3], torch.get_num_threads()
        way = self.chosen.get(known)
        if way is None:
            ways = self._ways(maps.shape[1], maps.shape[3])
            way = self.chosen[known] = ways[fastest_way([partial(each, maps) for each in ways])]
        return way(maps)

    def _ways(self, channels: int, time: int) -> list[Way]:
        """From one trial to its outputs."""
        ways = [self._as_product, self._by_library]
        needed = self._outputs_of(time) // self.group * self.group
        length = best_length(self.taps, channels, len(self.rows), needed)
        if length is None:
            return ways
        return [*ways, partial(self._by_spectra, length=length, needed=needed)]

    def _outputs_of(self, time: int) -> int:
        return time + sum(self.padding) - self.taps + 1

    def _padded(self, maps: Tensor) -> Tensor:
        """With its maps innermost."""
        if not any(self.padding):
            return maps.contiguous(memory_format=torch.channels_last)
        batch, channels, _, time = maps.shape
        signals = maps.new_zeros(batch, time + sum(self.padding), channels)
        signals[:, self.padding[0] : self.padding[0] + time] = maps.squeeze(2).mT
        return signals.mT.unsqueeze(2)

    def _by_library(self, maps: Tensor) -> Tensor:
        """Of any number of trials."""
        return torch.conv2d(self._padded(maps), self.kernel, self.bias)

    def _as_product(self, maps: Tensor) -> Tensor:
        _, channels, _, time = maps.shape
        size = self._outputs_of(time), self.taps * channels
        windows = self._padded(maps).as_strided(size, (channels, 1)).contiguous()
        if len(self.rows) < FEW_OUTPUTS:
            outputs = torch.addmm(self.bias[:, None], self.rows, windows.mT)
        else:
            outputs = F.linear(windows, self.rows, self.bias).mT
        return outputs[None, :, None]

    def _by_spectra(self, maps: Tensor, length: int, needed: int) -> Tensor:
        """Of one trial; time lies innermost."""
        known = self.spectra.get(length)
        if known is None:
            kernels = spectra_of_kernels(self.kernel.squeeze(2), length)
            # the mean of a block is in its first frequency, and a bias is all mean
            known = self.spectra[length] = kernels, self.bias[:, None] * length
        kernels, constant = known
        signals = maps[0]  # (maps, 1, time)
        if any(self.padding):
            signals = F.pad(signals, self.padding)
        signals = signals[..., : needed + self.taps - 1]
        products = torch.bmm(kernels, spectra_of_signals(signals, self.taps, length))
        products.select(0, 0).add_(constant)
        outputs = outputs_of_products(products, self.taps, length)
        return outputs.view(1, len(constant), 1, -1)[..., :needed]
