"""Networks as if they had been trained, and random paths from a cell of them down to the input."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.insight.trace import Trace
from vitreous.networks import build_network
from vitreous.networks.features.unet import UNetPlan


def with_statistics(norm: nn.Module) -> nn.Module:
    norm.running_mean.normal_()  # type: ignore
    norm.running_var.uniform_(0.5, 2)  # type: ignore
    return scaled(norm)


def scaled(norm: nn.Module) -> nn.Module:
    nn.init.uniform_(norm.weight, 0.5, 2)  # type: ignore
    nn.init.normal_(norm.bias)  # type: ignore
    return norm


def real_network(name: str, shape: tuple[int, ...], plan: UNetPlan | None = None) -> nn.Module:
    """Built by name, its norms as if it had been trained."""
    network = build_network(name, shape, 5, seed=0, plan=plan)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            with_statistics(module)
        elif isinstance(module, nn.modules.instancenorm._InstanceNorm):
            scaled(module)
    return network.eval()


def walk(trace: Trace, layer: str, chosen: random.Random) -> int:
    """From a random cell of the layer along random terms down to the input; how many cells."""
    index = tuple(chosen.randrange(size) for size in trace.array(layer).shape)
    cell, count = trace.at(layer, index), 1
    while cell.node != "input":
        assert cell.difference.within, (cell.node, cell.index, cell.difference)
        operands = [part for part in cell.explanation.operands if part.node is not None]
        if not operands:
            return 0  # the border of a pad
        operand = chosen.choice(operands)
        inside = np.flatnonzero((operand.indices >= 0).all(axis=1))
        if not len(inside):
            return 0  # nothing but padding
        source = operand.source(int(chosen.choice(inside)))
        if cell.explanation.winner is not None:
            (source,) = cell.sources()
        cell, count = trace.follow(source), count + 1
        assert cell.computed == pytest.approx(source.value, rel=1e-6)
    return count


def paths_from_every_layer(trace: Trace, paths: int, seed: int = 0) -> list[int]:
    """The cells of each path that reached the input, of `paths` tried from every layer.

    At least one of every layer's gets there.
    """
    chosen, lengths = random.Random(seed), []
    for layer in trace.layers:
        found = [length for _ in range(paths) if (length := walk(trace, layer, chosen))]
        assert found, layer
        lengths += found
    return lengths


def inputs_for(shape: tuple[int, ...]) -> torch.Tensor:
    """Random numbers, always the same."""
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
