"""ShallowConvNet and DeepConvNet (Deep4): temporal and spatial kernels with nothing between them.

R. Schirrmeister et al., "Deep learning with convolutional neural networks for EEG decoding and
visualization", Human Brain Mapping 38, 2017. Made for 250 Hz. All kernels stay within a norm of 2,
those of the last layer within 0.5, as in the authors' experiments. Norms have PyTorch's epsilon and
momentum, as published.
"""

import itertools

import torch
from torch import Tensor, nn

from vitreous.convolution.fast.combined import combined_convolution
from vitreous.convolution.fast.form import in_fast_form
from vitreous.convolution.fast.norm_max import norm_elu_max
from vitreous.convolution.fast.pooling import average_along_time
from vitreous.networks.features.eeg import Dropout, at_rate, glorot, require_samples
from vitreous.networks.max_norm import limit_norm

LARGEST_NORM = 2.0
LEAST_POWER = 1e-6  # what the logarithm of ShallowConvNet is given at least


class TemporalSpatial(nn.Module):
    """Temporal kernels with bias, then spatial kernels that mix them all, without.

    (batch, 1, electrodes, time) to (batch, filters, 1, time - taps + 1). In the fast form both are
    one convolution (`convolution.fast.combined`).
    """

    has_fast_form = True

    def __init__(self, electrodes: int, filters: int, taps: int) -> None:
        super().__init__()
        self.temporal = limit_norm(nn.Conv2d(1, filters, (1, taps)), LARGEST_NORM)
        self.spatial = nn.Conv2d(filters, filters, (electrodes, 1), bias=False)
        limit_norm(self.spatial, LARGEST_NORM)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (batch, filters, 1, time - taps + 1)."""
        if in_fast_form():
            return combined_convolution(inputs, self.temporal, self.spatial)
        return self.spatial(self.temporal(inputs))


class ShallowConvNet(nn.Module):
    """40 temporal kernels, 40 mixes over electrodes, norm, square, average, logarithm.

    The logarithm of the band power of 40 spatial filters, as filter bank common spatial patterns
    would have it, but learned. At 250 Hz: 25 taps, averages of 75 samples every 15.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        samples: int,
        sampling_rate_hz: float | None = None,
        filters: int = 40,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        taps, window, stride = (at_rate(length, 250, sampling_rate_hz) for length in (25, 75, 15))
        require_samples("shallowconvnet", samples, taps + window - 1, sampling_rate_hz)
        self.channels, self.strides = (filters,), ((1, stride),)
        self.filters = TemporalSpatial(electrodes, filters, taps)
        self.norm = nn.BatchNorm2d(filters)
        self.pool = nn.AvgPool2d((1, window), (1, stride))
        self.dropout = Dropout(dropout)
        self.window, self.stride = window, stride
        glorot(self)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The logarithms (batch, 40, 1, averages)."""
        squared = torch.square(self.norm(self.filters(inputs)))
        if in_fast_form():
            power = average_along_time(squared, self.window, self.stride)
        else:
            power = self.pool(squared)
        return [self.dropout(torch.log(torch.clamp(power, min=LEAST_POWER)))]


class DeepBlock(nn.Module):
    """Dropout, temporal kernels over all maps, norm, ELU, and the largest of every few samples."""

    def __init__(self, channels: int, out_channels: int, taps: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.convolution = nn.Conv2d(channels, out_channels, (1, taps), bias=False)
        limit_norm(self.convolution, LARGEST_NORM)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ELU()
        self.pool = nn.MaxPool2d((1, 3))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, 1, time) to (batch, out_channels, 1, a third of it)."""
        filtered = self.convolution(self.dropout(maps))
        if in_fast_form():
            return norm_elu_max(filtered, self.norm, 3)
        return self.pool(self.activation(self.norm(filtered)))


class Deep4(nn.Module):
    """Temporal and spatial kernels, then three blocks of temporal kernels over all maps.

    25, 25, 50, 100 and 200 maps; 10 taps and the largest of 3 samples in each block. Of another
    rate than 250 Hz the lengths of the first block go with it; what follows sees about 83 samples a
    second.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        samples: int,
        sampling_rate_hz: float | None = None,
        widths: tuple[int, int, int, int] = (25, 50, 100, 200),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        taps, window = (at_rate(length, 250, sampling_rate_hz) for length in (10, 3))
        require_samples("deep4", samples, self.least_samples(taps, window), sampling_rate_hz)
        self.channels = widths
        self.strides = tuple((1, window * 3**block) for block in range(4))
        self.filters = TemporalSpatial(electrodes, widths[0], taps)
        self.norm = nn.BatchNorm2d(widths[0])
        self.activation = nn.ELU()
        self.pool = nn.MaxPool2d((1, window))
        self.blocks = nn.ModuleList(
            DeepBlock(before, width, 10, dropout) for before, width in itertools.pairwise(widths)
        )
        glorot(self)

    @staticmethod
    def least_samples(taps: int, window: int) -> int:
        """Samples that leave one after all four blocks."""
        samples = 1
        for _ in range(3):
            samples = 3 * samples + 9
        return window * samples + taps - 1

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """One map a block, finest first: (batch, 25, 50, 100 and 200, 1, time)."""
        filtered = self.filters(inputs)
        if in_fast_form():
            maps = norm_elu_max(filtered, self.norm, self.pool.kernel_size[1])  # type: ignore[index]
        else:
            maps = self.pool(self.activation(self.norm(filtered)))
        collected = [maps]
        for block in self.blocks:
            maps = block(maps)
            collected.append(maps)
        return collected
