"""Causes: switch a part of the network off, and see the answer move.

A map says what goes with an answer; this asks the network what happens without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution.layers import replaced_output
from vitreous.insight.attribution.target import Target, largest, scores, target_weights
from vitreous.insight.cells import Cell, Source
from vitreous.networks.modes import evaluating

BATCH = 32


@dataclass(frozen=True)
class Effect:
    """What the outputs were, and what they are without a part."""

    what: str  # what was done, in words
    target: Target
    before: tuple[float, ...]  # outputs before softmax
    after: tuple[float, ...]

    @property
    def change(self) -> float:
        """What the explained number gained (above 0) or lost by it."""
        return self._number(self.after) - self._number(self.before)

    @property
    def other_answer(self) -> int | None:
        """The largest output now, where it is another one than before."""
        now = int(np.argmax(self.after))
        return None if now == int(np.argmax(self.before)) else now

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "what": self.what,
            "target": self.target.to_json(),
            "before": list(self.before),
            "after": list(self.after),
            "change": self.change,
            "other_answer": self.other_answer,
        }

    def _number(self, outputs: tuple[float, ...]) -> float:
        outputs_row = torch.tensor([outputs], dtype=torch.float64)
        return float(scores(outputs_row, target_weights([self.target], outputs_row))[0])


@dataclass(frozen=True)
class ChannelEffects:
    """What the explained number loses without each channel of a layer, alone."""

    layer: str
    target: Target
    losses: np.ndarray  # float32 (channels,), in units of the output; below 0: it gains
    forward_passes: int

    def strongest(self, count: int) -> list[int]:
        """The channels whose loss is largest, either way, first."""
        return np.argsort(-np.abs(self.losses), kind="stable")[:count].tolist()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layer": self.layer,
            "target": self.target.to_json(),
            "losses": self.losses.tolist(),
            "forward_passes": self.forward_passes,
        }


def without_channels(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    channels: Sequence[int],
    target: Target | None = None,
    value: float = 0.0,
) -> Effect:
    """The answer to one input (1, channels, *space) with some channels of a layer off.

    Off means `value` everywhere: zero says that nothing was found. Raises `RequestError` for a
    layer or a channel that is not there.
    """

    def off(maps: Tensor) -> Tensor:
        _check_channels(layer, channels, maps)
        changed = maps.clone()
        changed[:, list(channels)] = value
        return changed

    named = ", ".join(map(str, channels))
    return _effect(network, inputs, layer, off, f"channel {named} of {layer} off", target)


def with_cell(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    channel: int,
    position: Sequence[int],
    value: float,
    target: Target | None = None,
) -> Effect:
    """The answer to one input with one cell of a layer at another value."""

    def changed(maps: Tensor) -> Tensor:
        index = (0, channel, *position)
        inside = len(index) == maps.ndim and all(
            0 <= place < size for place, size in zip(index, maps.shape, strict=True)
        )
        if not inside:
            shape = " x ".join(map(str, maps.shape[1:]))
            raise RequestError(f"layer '{layer}': no cell {index[1:]}; its value is {shape}")
        other = maps.clone()
        other[index] = value
        return other

    words = f"cell {(channel, *position)} of {layer} at {value:.4g}"
    return _effect(network, inputs, layer, changed, words, target)


def without_term(
    network: nn.Module, inputs: Tensor, cell: Cell, source: Source, target: Target | None = None
) -> Effect:
    """The answer to one input with one product left out of the sum of a traced cell.

    `cell` and `source` are those of a trace of the same input: `source in cell.sources()`. Raises
    `RequestError` where the cell is no sum, or no module's own output.
    """
    if source.product is None:
        raise RequestError(
            f"{cell.node}: is no sum of products; switch the cell itself (with_cell)"
        )
    if cell.node not in dict(network.named_modules()):
        raise RequestError(
            f"{cell.node}: is no module's own output and cannot be changed; take a term of a "
            "convolution or a linear layer"
        )
    channel, *position = cell.index
    value = cell.computed - source.product
    changed = with_cell(network, inputs, cell.node, channel, position, value, target)
    words = f"{source.role} {source.node} {source.index} left out of {cell.node} {cell.index}"
    return Effect(words, changed.target, changed.before, changed.after)


def without_patch(
    network: nn.Module,
    inputs: Tensor,
    patch: Sequence[tuple[int, int]],
    fill: Tensor,
    target: Target | None = None,
) -> Effect:
    """The answer to one input with a box of it filled.

    `patch` has the first and last place an axis, both inclusive (as receptive fields have them);
    `fill` is of the shape of the input, as `insight.fills` makes it. Raises `RequestError` for a
    box outside the input.
    """
    space = tuple(inputs.shape[2:])
    inside = len(patch) == len(space) and all(
        0 <= first <= last < size for (first, last), size in zip(patch, space, strict=True)
    )
    if not inside:
        raise RequestError(f"patch {tuple(patch)}: not inside the input of {space}")
    box = (slice(None), slice(None), *(slice(first, last + 1) for first, last in patch))
    covered = inputs.clone()
    covered[box] = fill[box]
    with evaluating(network):
        before, after = network(inputs), network(covered)
    words = "patch " + " x ".join(f"{first}-{last}" for first, last in patch) + " filled"
    return _as_effect(words, target, before, after)


def channel_effects(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    target: Target | None = None,
    value: float = 0.0,
) -> ChannelEffects:
    """What the answer to one input loses without each channel of a layer, one at a time.

    As many forward passes as the layer has channels, and one.
    """
    with evaluating(network):
        outputs = network(inputs)
    chosen = target or largest(outputs)[0]
    weights = target_weights([chosen], outputs)
    whole = scores(outputs, weights)
    counted: list[int] = []

    def off(maps: Tensor) -> Tensor:
        counted[:] = [maps.shape[1]]
        start = done[0]
        changed = maps.clone()
        for row in range(len(maps)):
            changed[row, min(start + row, maps.shape[1] - 1)] = value
        return changed

    done, losses = [0], []
    with evaluating(network), replaced_output(network, layer, off):
        while not counted or done[0] < counted[0]:
            count = BATCH if not counted else min(BATCH, counted[0] - done[0])
            answers = network(inputs.repeat(count, *(1,) * (inputs.ndim - 1)))
            losses.append(whole - scores(answers, weights))
            done[0] += count
            if not counted:
                raise RequestError(f"layer '{layer}': did not run for this input; choose another")
    found = torch.cat(losses)[: counted[0]].float().cpu().numpy()
    return ChannelEffects(layer, chosen, found, 1 + counted[0])


def _effect(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    change: Callable[[Tensor], Tensor],
    words: str,
    target: Target | None,
) -> Effect:
    with evaluating(network):
        before = network(inputs)
        with replaced_output(network, layer, change):
            after = network(inputs)
    return _as_effect(words, target, before, after)


def _as_effect(words: str, target: Target | None, before: Tensor, after: Tensor) -> Effect:
    if len(before) != 1:
        raise RequestError(f"causes are of one input, not of {len(before)}; give them one by one")
    chosen = target or largest(before)[0]
    return Effect(words, chosen, tuple(before[0].tolist()), tuple(after[0].tolist()))


def _check_channels(layer: str, channels: Sequence[int], maps: Tensor) -> None:
    for channel in channels:
        if not 0 <= channel < maps.shape[1]:
            raise RequestError(
                f"layer '{layer}': no channel {channel}; it has {maps.shape[1]}, from 0"
            )
