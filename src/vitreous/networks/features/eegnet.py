"""EEGNet and BaseNet: small networks of a filter bank and a separable convolution.

V. Lawhern et al., "EEGNet: a compact convolutional neural network for EEG-based brain-computer
interfaces", Journal of Neural Engineering 15, 2018, 056013 (EEGNet-8,2).
M. Wimpff et al., "EEG motor imagery decoding: a framework for comparative analysis with channel
attention mechanisms", Journal of Neural Engineering 21, 2024, 036020 (BaseNet, without attention).
"""

from torch import Tensor, nn

from vitreous.convolution.fast.separable import separable
from vitreous.networks.features.eeg import (
    Dropout,
    FilterBank,
    SeparableConvolution,
    at_rate,
    glorot,
    require_samples,
)
from vitreous.networks.max_norm import limit_norm


class EEGNet(nn.Module):
    """EEGNet-8,2: 8 temporal kernels of half a second, 2 spatial kernels for each, 16 maps on.

    Published for 128 Hz: 64 taps, averages of 4 samples (then 32 a second), 16 taps, averages of 8.
    Of other rates the first two lengths go with the rate, so that what follows sees 32 samples a
    second. The norms have Keras' epsilon of 1e-3 and momentum of 0.99, which is 0.01 in PyTorch.
    Spatial kernels stay within a norm of 1. Keras pads an even kernel by k/2 - 1 before and k/2
    after; here it is k/2 on both sides, as in braindecode, whose weights fit: maps are one sample
    longer and lie one sample later.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        samples: int,
        sampling_rate_hz: float | None = None,
        filters: int = 8,
        depth: int = 2,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        taps, window = (at_rate(length, 128, sampling_rate_hz) for length in (64, 4))
        require_samples("eegnet", samples, 8 * window, sampling_rate_hz)
        maps = filters * depth
        self.channels, self.strides = (maps, maps), ((1, window), (1, 8 * window))
        self.bank = FilterBank(
            electrodes,
            filters,
            depth,
            taps,
            (taps // 2, taps // 2),
            window,
            window,
            (1e-3, 1e-3),
            0.01,
        )
        self.dropout1 = Dropout(dropout)
        self.separable = SeparableConvolution(maps, maps, 16)
        self.norm = nn.BatchNorm2d(maps, 1e-3, 0.01)
        self.activation = nn.ELU()
        self.pool = nn.AvgPool2d((1, 8))
        self.dropout2 = Dropout(dropout)
        glorot(self)
        limit_norm(self.bank.spatial, 1.0)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Maps (batch, 16, 1, time) of about 32 and 4 samples a second."""
        if self.bank.takes_fast_form(inputs):
            return self._fast(inputs)
        first = self.bank(inputs)
        second = self.norm(self.separable(self.dropout1(first)))
        return [first, self.dropout2(self.pool(self.activation(second)))]

    def _fast(self, inputs: Tensor) -> list[Tensor]:
        """The same with maps in front: (maps, batch, time)."""
        first = self.bank.maps_in_front(inputs)
        depth, point = self.separable
        second = separable(self.dropout1(first), depth, point, self.norm, 8)  # type: ignore
        last = self.dropout2(second)
        return [each.transpose(0, 1).unsqueeze(2) for each in (first, last)]


class BaseNet(nn.Module):
    """BaseNet: 40 temporal kernels with one spatial kernel each, 16 mixes of them, 16 taps on.

    Published for 250 Hz: 25 taps, averages of 75 samples every 15, 15 taps, averages of 8; the
    first three lengths go with the rate. Norms have PyTorch's epsilon and momentum, as published.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        samples: int,
        sampling_rate_hz: float | None = None,
        filters: int = 40,
        maps: int = 16,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        taps, window, stride = (at_rate(length, 250, sampling_rate_hz) for length in (25, 75, 15))
        require_samples("basenet", samples, window + 7 * stride, sampling_rate_hz)
        self.channels, self.strides = (filters, maps), ((1, stride), (1, 8 * stride))
        self.bank = FilterBank(electrodes, filters, 1, taps, (taps // 2, taps // 2), window, stride)
        self.dropout1 = Dropout(dropout)
        self.mix = nn.Conv2d(filters, maps, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(maps)
        self.mix_activation = nn.ELU()
        self.separable = SeparableConvolution(maps, maps, 15)
        self.norm = nn.BatchNorm2d(maps)
        self.activation = nn.ELU()
        self.pool = nn.AvgPool2d((1, 8))
        self.dropout2 = Dropout(dropout)
        glorot(self)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Maps (batch, 40 and 16, 1, time): every 15 and every 120 samples at 250 Hz."""
        first = self.bank(inputs)
        mixed = self.mix_activation(self.mix_norm(self.mix(self.dropout1(first))))
        second = self.activation(self.norm(self.separable(mixed)))
        return [first, self.dropout2(self.pool(second))]
