"""ATCNet's windows computed together: each operation once for all windows, not once a window.

The windows have weights of their own but equal shapes; a window's work is so small that calling the
operations takes longer than doing them. The same sums as in `heads.eeg`, windows in front:
(windows, batch * time, channels).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def answers_together(windows: Sequence[Any], last: Tensor) -> Tensor:
    """The mean answer (batch, outputs) of `AttentionWindow`s to (batch, channels, 1, time)."""
    count = len(windows)
    length = last.shape[3] - count + 1
    rows = last.squeeze(2).mT
    seen = torch.stack([rows[:, start : start + length] for start in range(count)])
    seen = seen + _attention([window.attention for window in windows], seen)
    for place in range(len(windows[0].blocks)):
        seen = _causal_block([window.blocks[place] for window in windows], seen)
    answers = _linear([window.linear for window in windows], seen[:, :, -1])
    return answers.mean(0)


def _stacked(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values))


def _linear(layers: Sequence[nn.Linear], rows: Tensor) -> Tensor:
    """(windows, rows, in) to (windows, rows, out)."""
    weight = _stacked([layer.weight for layer in layers])
    bias = _stacked([layer.bias for layer in layers])
    return torch.baddbmm(bias[:, None], rows, weight.mT)


def _attention(layers: Sequence[Any], seen: Tensor) -> Tensor:
    """What attention adds to (windows, batch, time, channels)."""
    count, batch, time, channels = seen.shape
    one = layers[0]
    norms = [layer.norm for layer in layers]
    normed = F.layer_norm(seen, (channels,), eps=one.norm.eps)
    scale, shift = (_stacked([getattr(n, key) for n in norms]) for key in ("weight", "bias"))
    normed = torch.addcmul(shift[:, None, None], normed, scale[:, None, None])
    weight = _stacked([torch.cat([a.query.weight, a.key.weight, a.value.weight]) for a in layers])
    bias = _stacked([torch.cat([a.query.bias, a.key.bias, a.value.bias]) for a in layers])
    mixed = torch.baddbmm(bias[:, None], normed.view(count, -1, channels), weight.mT)
    parts = mixed.view(count, batch, time, 3, one.heads, one.width).permute(3, 0, 1, 4, 2, 5)
    query, key, value = parts.contiguous().view(3, -1, time, one.width)
    weights = torch.softmax(torch.bmm(query, key.mT) / math.sqrt(one.width), dim=2)
    heard = torch.bmm(one.weights_dropout(weights), value)
    heard = heard.view(count, batch, one.heads, time, one.width).transpose(2, 3)
    outputs = _linear([layer.output for layer in layers], heard.reshape(count, batch * time, -1))
    return one.dropout(outputs).view(count, batch, time, channels)


def _causal_block(blocks: Sequence[Any], seen: Tensor) -> Tensor:
    one = blocks[0]
    inner = seen
    for place in ("1", "2"):
        layers = [getattr(block, f"convolution{place}") for block in blocks]
        inner = _causal(layers, inner)
        inner = F.elu(_norm([getattr(block, f"norm{place}") for block in blocks], inner))
        inner = getattr(one, f"dropout{place}")(inner)
    return F.elu(seen + inner)


def _causal(layers: Sequence[nn.Conv2d], seen: Tensor) -> Tensor:
    """A causal convolution as one product with the samples that its taps meet."""
    count, batch, time, channels = seen.shape
    taps, step = layers[0].kernel_size[1], layers[0].dilation[1]
    padded = F.pad(seen, (0, 0, (taps - 1) * step, 0))
    met = torch.cat([padded[:, :, tap * step : tap * step + time] for tap in range(taps)], dim=3)
    weight = _stacked([layer.weight for layer in layers]).squeeze(3)  # windows, out, in, taps
    weight = weight.permute(0, 3, 2, 1).reshape(count, taps * channels, -1)
    bias = _stacked([layer.bias for layer in layers])  # type: ignore[misc]
    outputs = torch.baddbmm(bias[:, None], met.view(count, -1, taps * channels), weight)
    return outputs.view(count, batch, time, -1)


def _norm(norms: Sequence[nn.BatchNorm2d], seen: Tensor) -> Tensor:
    """Each window by its own norm: one norm of windows * channels features."""
    count, batch, time, channels = seen.shape
    features = seen.view(count, batch * time, channels).transpose(0, 1).reshape(batch * time, -1)
    mean, variance, scale, shift = (
        torch.cat([getattr(norm, key) for norm in norms])
        for key in ("running_mean", "running_var", "weight", "bias")
    )
    one = norms[0]
    normed = F.batch_norm(
        features, mean, variance, scale, shift, one.training, one.momentum or 0.0, one.eps
    )
    if one.training:
        with torch.no_grad():
            for number, norm in enumerate(norms):
                own = slice(number * channels, (number + 1) * channels)
                norm.running_mean.copy_(mean[own])  # type: ignore[union-attr]
                norm.running_var.copy_(variance[own])  # type: ignore[union-attr]
                norm.num_batches_tracked += 1  # type: ignore[operator]
    return normed.view(batch * time, count, channels).transpose(0, 1).reshape(seen.shape)
