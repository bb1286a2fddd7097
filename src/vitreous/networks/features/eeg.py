"""What the EEG networks share: kernel lengths by the sampling rate, and the bank of filters.

Trials are (batch, 1, electrodes, time). Temporal kernels are 1 x k, spatial kernels electrodes x 1;
maps are (batch, maps, electrodes or 1, time).
"""

from collections import OrderedDict

from torch import Tensor, nn

from vitreous.convolution.fast.dropout import dropped
from vitreous.convolution.fast.filter_bank import filter_bank
from vitreous.convolution.fast.form import in_fast_form
from vitreous.errors import RequestError


def at_rate(samples: int, published_hz: float, sampling_rate_hz: float | None) -> int:
    """A length that was published for one sampling rate, for another; as it is where none is given.

    >>> at_rate(64, 128, 160), at_rate(64, 128, None)
    (80, 64)
    """
    if sampling_rate_hz is None:
        return samples
    return max(1, round(samples * sampling_rate_hz / published_hz))


def require_samples(name: str, given: int, needed: int, sampling_rate_hz: float | None) -> None:
    """Raises `RequestError` for trials too short for the network's kernels and poolings."""

    def length(samples: int) -> str:
        if sampling_rate_hz is None:
            return f"{samples} samples"
        return f"{samples} samples ({samples / sampling_rate_hz:.2f} s at {sampling_rate_hz:g} Hz)"

    if given < needed:
        raise RequestError(
            f"{name} needs trials of at least {length(needed)}, not {length(given)}; "
            "take a longer window, or a network with less pooling, like eegnet"
        )


def glorot(module: nn.Module) -> None:
    """Kernels and matrices uniform as in Glorot and Bengio 2010, biases zero: Keras' start."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def padding_of(padding: tuple[int, int]) -> tuple[nn.Module, int]:
    """A layer that pads time by zeros before and after, and what a convolution pads by itself.

    A convolution pads both sides alike; "same" with an even kernel makes a copy, with a warning.
    """
    before, after = padding
    if before == after:
        return nn.Identity(), before
    return nn.ZeroPad2d((before, after, 0, 0)), 0


class Dropout(nn.Dropout):
    """Dropout; in the fast form on a processor with random numbers that four values share."""

    def forward(self, input: Tensor) -> Tensor:
        """As large as it came."""
        if self.training and in_fast_form() and input.device.type == "cpu":
            return dropped(input, self.p)
        return super().forward(input)


class FilterBank(nn.Module):
    """Temporal kernels, norm, spatial kernels for each of them, norm, ELU, average pooling.

    (batch, 1, electrodes, time) to (batch, filters * depth, 1, averages). It is linear up to the
    ELU, so a temporal kernel is a finite impulse response filter, and a spatial one a weighting of
    electrodes in its band. In the fast form (`convolution.fast.filter_bank`) no map of all
    electrodes is made; it gives no gradient for the input, and where one is wanted is not taken.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        filters: int,
        depth: int,
        taps: int,
        padding: tuple[int, int],
        window: int,
        stride: int,
        epsilon: tuple[float, float] = (1e-5, 1e-5),
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        maps = filters * depth
        self.pad, inside = padding_of(padding)
        self.temporal = nn.Conv2d(1, filters, (1, taps), padding=(0, inside), bias=False)
        self.temporal_norm = nn.BatchNorm2d(filters, epsilon[0], momentum)
        self.spatial = nn.Conv2d(filters, maps, (electrodes, 1), groups=filters, bias=False)
        self.spatial_norm = nn.BatchNorm2d(maps, epsilon[1], momentum)
        self.activation = nn.ELU()
        self.pool = nn.AvgPool2d((1, window), (1, stride))
        self.padding, self.window, self.stride = padding, window, stride

    def forward(self, inputs: Tensor) -> Tensor:
        """Averages (batch, maps, 1, averages)."""
        if self.takes_fast_form(inputs):
            return self.maps_in_front(inputs).transpose(0, 1).unsqueeze(2)
        filtered = self.temporal_norm(self.temporal(self.pad(inputs)))
        return self.pool(self.activation(self.spatial_norm(self.spatial(filtered))))

    def maps_in_front(self, inputs: Tensor) -> Tensor:
        """The same in the fast form, as (maps, batch, averages)."""
        return filter_bank(
            inputs,
            self.temporal,
            self.temporal_norm,
            self.spatial,
            self.spatial_norm,
            self.padding,
            self.window,
            self.stride,
        )

    def takes_fast_form(self, inputs: Tensor) -> bool:
        """Whether these inputs are to be computed in the fast form, and can be."""
        alike = self.temporal_norm.training == self.spatial_norm.training
        return in_fast_form() and alike and not inputs.requires_grad


class SeparableConvolution(nn.Sequential):
    """A kernel 1 x k for each map, then a mix of all maps (Chollet 2017, "Xception")."""

    def __init__(self, channels: int, out_channels: int, taps: int) -> None:
        depth = nn.Conv2d(
            channels, channels, (1, taps), padding=(0, taps // 2), groups=channels, bias=False
        )
        point = nn.Conv2d(channels, out_channels, 1, bias=False)
        super().__init__(OrderedDict(depth=depth, point=point))
