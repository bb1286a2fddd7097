"""What moves the weights: the groups of a network's parameters, and the optimisers that take them.

A group says how fast its parameters go (a share of the recipe's learning rate), whether they decay,
and how long they move at all. Each parameter is in one group, and so in one optimiser.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from vitreous.training.fine_tuning import learning_rate_factors
from vitreous.training.muon import Muon
from vitreous.training.recipe import Recipe
from vitreous.training.schedule import learning_rate_factor

SGD_MOMENTUM = 0.85  # Nesterov's, of what Muon does not move


@dataclass(frozen=True)
class Group:
    """Parameters that are moved alike."""

    parameters: tuple[str, ...]  # names in the network
    weight_decay: float
    learning_rate_factor: float = 1.0  # times the recipe's learning rate
    until: float = 1.0  # share of the planned steps; then they rest: no gradient is taken


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[Group]:
    """Kernels and matrices decay; biases and the scales of norms (one dimension) do not.

    Each goes at its block's share of the learning rate (`Recipe.layer_decay`).
    What the network itself keeps fixed (`requires_grad=False`) is in no group.
    """
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    factors = learning_rate_factors(list(trained), recipe.layer_decay)
    groups = []
    for factor in dict.fromkeys(factors.values()):
        alike = {name: p for name, p in trained.items() if factors[name] == factor}
        wide = tuple(name for name, p in alike.items() if p.ndim > 1)
        narrow = tuple(name for name, p in alike.items() if p.ndim <= 1)
        groups += [Group(wide, recipe.weight_decay, factor), Group(narrow, 0.0, factor)]
    return [group for group in groups if group.parameters]


def optimizers_for(
    network: nn.Module, recipe: Recipe, dtype: torch.dtype = torch.float32
) -> list[Optimizer]:
    """The optimisers of a training. Every group of theirs has its "peak" learning rate.

    `dtype` is that of matrix products within a step, where an optimiser has any.
    """
    if recipe.optimizer == "muon":
        kernels, rest = muon_groups(network, recipe)
        return [
            Muon(torch_groups(network, recipe, kernels), dtype=dtype),
            SGD(torch_groups(network, recipe, rest), momentum=SGD_MOMENTUM, nesterov=True),
        ]
    # one pass over the memory; on a GPU torch's own choice, whose counter stays on the CPU
    fused = all(parameter.device.type == "cpu" for parameter in network.parameters()) or None
    return [AdamW(torch_groups(network, recipe, parameter_groups(network, recipe)), fused=fused)]


def muon_groups(network: nn.Module, recipe: Recipe) -> tuple[list[Group], list[Group]]:
    """Kernels for Muon; the head's matrix, which decays, and all biases for SGD."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    resting = [name for name in trained if recipe.resting and name.startswith(recipe.resting)]
    kernels, rest = [], []
    for until, names in ((1.0, set(trained) - set(resting)), (recipe.rests_from, set(resting))):
        alike = {name: p for name, p in trained.items() if name in names}
        deep = tuple(name for name, p in alike.items() if p.ndim > 2)
        matrices = tuple(name for name, p in alike.items() if p.ndim == 2)
        biases = tuple(name for name, p in alike.items() if p.ndim < 2)
        kernels.append(Group(deep, 0.0, until=until))
        rest.append(Group(matrices, recipe.weight_decay, recipe.matrix_factor, until))
        rest.append(Group(biases, 0.0, recipe.bias_factor, until))
    return [group for group in kernels if group.parameters], [g for g in rest if g.parameters]


def torch_groups(network: nn.Module, recipe: Recipe, groups: Sequence[Group]) -> list[dict]:
    """The groups as `torch.optim` takes them, with "peak" and "until" beside its own keys."""
    parameters = dict(network.named_parameters())
    return [
        {
            "params": [parameters[name] for name in group.parameters],
            "lr": recipe.learning_rate * group.learning_rate_factor,
            "peak": recipe.learning_rate * group.learning_rate_factor,
            "weight_decay": group.weight_decay,
            "until": group.until,
        }
        for group in groups
    ]


def prepare_step(
    optimizers: Sequence[Optimizer], step: int, planned_steps: int, recipe: Recipe
) -> None:
    """Set the learning rates of a step, and what rests in it.

    A group that rests in the end goes through the whole schedule before.
    """
    for group in every_group(optimizers):
        planned = round(group["until"] * planned_steps)
        factor = learning_rate_factor(step, planned, recipe.warm_up, recipe.schedule)
        group["lr"] = group["peak"] * factor
        if group["until"] < 1:  # others are left as they are: a user may have fixed some
            for parameter in group["params"]:
                parameter.requires_grad_(step < planned)


def wake(optimizers: Sequence[Optimizer]) -> None:
    """After a training everything that it trained can take gradients again."""
    for group in every_group(optimizers):
        if group["until"] < 1:
            for parameter in group["params"]:
                parameter.requires_grad_(True)


def every_group(optimizers: Sequence[Optimizer]) -> list[dict]:
    """The groups of all of them."""
    return [group for optimizer in optimizers for group in optimizer.param_groups]
