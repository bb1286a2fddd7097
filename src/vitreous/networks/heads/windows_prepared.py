"""ATCNet's windows for answers alone: all windows in one operation each, norms in the kernels.

As `windows_together`, with what does not depend on the trial computed once. Windows in front:
(windows, batch, time, channels).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.convolution.fast.filter_bank import known_norm


class PreparedWindows:
    """The mean answer of `AttentionWindow`s to the last map (batch, time, channels)."""

    def __init__(self, windows: Sequence[Any]) -> None:
        self.count = len(windows)
        self.attention = PreparedAttention([window.attention for window in windows])
        self.blocks = [
            PreparedBlock([window.blocks[place] for window in windows])
            for place in range(len(windows[0].blocks))
        ]
        # the mean of linear answers is one linear answer to all windows' vectors
        weight = torch.stack([window.linear.weight for window in windows], dim=1)
        self.weight = (weight / self.count).flatten(1)  # (outputs, windows * channels)
        self.bias = torch.stack([window.linear.bias for window in windows]).mean(0)

    def __call__(self, maps: Tensor) -> Tensor:
        """(batch, outputs)."""
        maps = maps.contiguous()
        batch, time, channels = maps.shape
        length = time - self.count + 1
        seen = maps.as_strided(
            (self.count, batch, length, channels), (channels, time * channels, channels, 1)
        )
        seen = seen + self.attention(seen)
        for block in self.blocks:
            seen = block(seen)
        last = seen[:, :, -1].transpose(0, 1)
        return F.linear(last.flatten(1), self.weight, self.bias)


class PreparedAttention:
    """What the windows' attention adds; the norm's scale and 1 / sqrt(width) are in the weights."""

    def __init__(self, layers: Sequence[Any]) -> None:
        one = layers[0]
        self.heads, self.width, self.epsilon = one.heads, one.width, one.norm.eps
        weights, biases = [], []
        for layer in layers:
            for part, factor in (
                (layer.query, 1 / math.sqrt(one.width)),
                (layer.key, 1.0),
                (layer.value, 1.0),
            ):
                weights.append(part.weight * layer.norm.weight * factor)
                biases.append((part.bias + part.weight @ layer.norm.bias) * factor)
        count = len(layers)
        self.weight = torch.cat(weights).view(count, -1, one.norm.weight.numel()).mT.contiguous()
        self.bias = torch.cat(biases).view(count, 1, -1)
        self.output = torch.stack([layer.output.weight for layer in layers]).mT.contiguous()
        self.added = torch.stack([layer.output.bias for layer in layers])[:, None]

    def __call__(self, seen: Tensor) -> Tensor:
        """As large as it came."""
        count, batch, time, channels = seen.shape
        normed = F.layer_norm(seen, (channels,), eps=self.epsilon)
        mixed = torch.baddbmm(self.bias, normed.view(count, -1, channels), self.weight)
        parts = mixed.view(count, batch, time, 3, self.heads, self.width)
        parts = parts.permute(3, 0, 1, 4, 2, 5).contiguous()
        query, key, value = parts.view(3, -1, time, self.width)
        heard = torch.bmm(torch.softmax(torch.bmm(query, key.mT), dim=2), value)
        heard = heard.view(count, batch, self.heads, time, self.width).transpose(2, 3)
        rows = heard.reshape(count, batch * time, -1)
        return torch.baddbmm(self.added, rows, self.output).view(seen.shape)


class PreparedBlock:
    """The windows' residual blocks of two causal convolutions, norms in their kernels."""

    def __init__(self, blocks: Sequence[Any]) -> None:
        self.layers = [
            PreparedCausal(
                [getattr(block, f"convolution{place}") for block in blocks],
                [getattr(block, f"norm{place}") for block in blocks],
            )
            for place in (1, 2)
        ]

    def __call__(self, seen: Tensor) -> Tensor:
        """As large as it came."""
        inner = seen
        for layer in self.layers:
            inner = F.elu_(layer(inner))
        return F.elu_(inner.add_(seen))


class PreparedCausal:
    """The windows' causal convolutions, each one product with the samples that its taps meet."""

    def __init__(self, layers: Sequence[nn.Conv2d], norms: Sequence[nn.BatchNorm2d]) -> None:
        self.taps, self.step = layers[0].kernel_size[1], layers[0].dilation[1]
        weights, biases = [], []
        for layer, norm in zip(layers, norms, strict=True):
            factor, shift = known_norm(norm)
            kernel = layer.weight.squeeze(2) * factor[:, None, None]  # (out, in, taps)
            weights.append(kernel.permute(2, 1, 0).flatten(0, 1))
            biases.append(shift + factor * layer.bias)  # type: ignore[operator]
        self.weight, self.bias = torch.stack(weights), torch.stack(biases)[:, None]

    def __call__(self, seen: Tensor) -> Tensor:
        """As large as it came."""
        count, batch, time, channels = seen.shape
        before = (self.taps - 1) * self.step
        padded = F.pad(seen, (0, 0, before, 0))
        a_trial = (before + time) * channels
        met = padded.as_strided(
            (count, batch, time, self.taps, channels),
            (batch * a_trial, a_trial, channels, self.step * channels, 1),
        ).reshape(count, batch * time, -1)
        return torch.baddbmm(self.bias, met, self.weight).view(seen.shape)
