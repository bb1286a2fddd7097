"""Heads of the EEG networks: all of the last map, or ATCNet's attention over sliding windows."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.convolution.fast.form import in_fast_form
from vitreous.networks.features.atcnet import LARGEST_NORM, WINDOWS
from vitreous.networks.features.eeg import Dropout, glorot
from vitreous.networks.heads.windows_together import answers_together
from vitreous.networks.max_norm import limit_norm


class FlatHead(nn.Module):
    """A linear layer on all values of the last map, where each place in time has its weights.

    Maps (batch, channels, 1, time), finest first, to (batch, outputs). A convolution over the whole
    of the map, as some write it, is the same.
    """

    def __init__(
        self, channels: int, positions: int, outputs: int, largest_norm: float | None = None
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(channels * positions, outputs)
        glorot(self)
        if largest_norm is not None:
            limit_norm(self.linear, largest_norm)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps."""
        return self.linear(torch.flatten(maps[-1], 1))


class ATCNetHead(nn.Module):
    """Five windows over the last map, each with its own attention, convolutions and answer.

    A window leaves out 0 to 4 vectors in front and 4 to 0 at the end; the five answers (batch,
    outputs) are averaged. 32 channels, as ATCNet's features give them. In the fast form the windows
    are computed together (`windows_together`).
    """

    has_fast_form = True

    def __init__(self, channels: int, outputs: int, windows: int = WINDOWS) -> None:
        super().__init__()
        self.windows = nn.ModuleList(AttentionWindow(channels, outputs) for _ in range(windows))
        self.classifiers = tuple(f"windows.{number}.linear" for number in range(windows))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps (batch, channels, 1, time)."""
        last, count = maps[-1], len(self.windows)
        if in_fast_form():
            return answers_together(list(self.windows), last)
        length = last.shape[3] - count + 1
        answer = self.windows[0](last[:, :, :, :length])
        for start in range(1, count):
            answer = answer + self.windows[start](last[:, :, :, start : start + length])
        return answer / count


class AttentionWindow(nn.Module):
    """Self-attention over time, two residual blocks of causal convolutions, a linear answer.

    From the vector at the window's last place alone, which by then has seen the others.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.attention = Attention(channels)
        self.blocks = nn.Sequential(CausalBlock(channels, 1), CausalBlock(channels, 2))
        self.linear = limit_norm(nn.Linear(channels, outputs), 0.25)
        glorot(self.linear)

    def forward(self, window: Tensor) -> Tensor:
        """(batch, outputs) from (batch, channels, 1, time)."""
        seen = self.blocks(self.attention(window))
        return self.linear(torch.flatten(seen[:, :, :, -1:], 1))


class Attention(nn.Module):
    """Layer norm, attention of two heads of 8 over time, added to the input.

    A. Vaswani et al., "Attention is all you need", 2017. Dropout is on the attention weights, as in
    the authors' code; epsilon of the norm 1e-6, as there.
    """

    def __init__(self, channels: int, heads: int = 2, width: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.norm = nn.LayerNorm(channels, 1e-6)
        self.query = nn.Linear(channels, heads * width)
        self.key = nn.Linear(channels, heads * width)
        self.value = nn.Linear(channels, heads * width)
        self.output = nn.Linear(heads * width, channels)
        self.weights_dropout = Dropout(dropout)
        self.dropout = Dropout(0.3)
        glorot(self)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, 1, time), as it came."""
        batch, channels, _, time = maps.shape
        rows = maps.reshape(batch, channels, time).transpose(1, 2)
        normed = self.norm(rows)
        query, key, value = (
            layer(normed).reshape(batch, time, self.heads, self.width).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(self.width)
        weights = self.weights_dropout(torch.softmax(scores, dim=3))
        seen = torch.matmul(weights, value).transpose(1, 2).reshape(batch, time, -1)
        added = rows + self.dropout(self.output(seen))
        return added.transpose(1, 2).reshape(batch, channels, 1, time)


class CausalBlock(nn.Module):
    """Two convolutions of 4 taps that look back only, with norm, ELU and dropout, and the input.

    S. Bai et al., "An empirical evaluation of generic convolutional and recurrent networks for
    sequence modeling", 2018, with norms and ELU as in EEG-TCNet (Ingolfsson et al. 2020).
    """

    def __init__(self, channels: int, dilation: int, taps: int = 4, dropout: float = 0.3) -> None:
        super().__init__()
        self.before = (taps - 1) * dilation
        self.convolution1 = _causal(channels, taps, dilation)
        self.norm1 = nn.BatchNorm2d(channels)
        self.dropout1 = Dropout(dropout)
        self.convolution2 = _causal(channels, taps, dilation)
        self.norm2 = nn.BatchNorm2d(channels)
        self.dropout2 = Dropout(dropout)
        self.activation = nn.ELU()

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, 1, time), as it came."""
        inner = self.convolution1(F.pad(maps, (self.before, 0)))
        inner = self.dropout1(self.activation(self.norm1(inner)))
        inner = self.convolution2(F.pad(inner, (self.before, 0)))
        inner = self.dropout2(self.activation(self.norm2(inner)))
        return self.activation(maps + inner)


def _causal(channels: int, taps: int, dilation: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, channels, (1, taps), dilation=(1, dilation))
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return limit_norm(layer, LARGEST_NORM)
