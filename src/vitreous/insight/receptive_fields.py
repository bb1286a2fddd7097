"""Which part of the input each cell of each layer can see, by arithmetic and by measuring.

The arithmetic walks the captured graph from the input on and keeps, for every input axis, an
interval for each cell. Branches that meet see the hull of what each sees. It is an upper bound
that is reached: `measured_field` finds the same box in a network whose weights let everything
through (tests/insight/test_receptive_fields.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.insight.axis_fields import AxisField, start_field
from vitreous.insight.field_rules import Step, everything, rule_for
from vitreous.networks.graph import Graph
from vitreous.networks.operations import Shape

Box = tuple[tuple[int, int] | None, ...]
"""First and last input position an axis, both inclusive; None where no input is seen."""


@dataclass(frozen=True)
class Field:
    """What the cells of one node see: an `AxisField` for each spatial axis of the input."""

    axes: tuple[AxisField, ...]
    exact: bool = True  # False after an operation without a rule: then an upper bound

    def box(self, index: Sequence[int]) -> Box:
        """The part of the input that the cell at `index` of the node's value can see."""
        return tuple(axis.interval(index) for axis in self.axes)


def receptive_fields(graph: Graph) -> dict[str, Field]:
    """The receptive field of every node that depends on the input, by name."""
    fields: dict[str, Field] = {"input": _input_field(graph.input_shape)}
    for node in graph.nodes[1:]:
        if node.constant:
            continue
        names = [name for name in node.inputs.values() if name in fields]
        step = Step(node, [graph[name] for name in names], [fields[name].axes for name in names])
        rule = rule_for(step)
        exact = rule is not everything and all(fields[name].exact for name in names)
        fields[node.name] = Field(rule(step), exact)
    return fields


def field_sizes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Input cells an axis that one cell of each node sees, at most the whole input.

    Borders left out: of a cell in the middle of a large enough input. For `network_table`.
    """
    space = graph.input_shape[2:]
    return {
        name: tuple(
            limit if math.isinf(axis.reach.size) else min(limit, math.ceil(axis.reach.size))
            for axis, limit in zip(field.axes, space, strict=True)
        )
        for name, field in receptive_fields(graph).items()
    }


def measured_field(graph: Graph, name: str, index: Sequence[int | slice], inputs: Tensor) -> Box:
    """The part of the input that a cell's value really depends on, at these inputs.

    The box around all input cells with a gradient of the value at `index`, or, with slices in it,
    of the sum of the values. `inputs` is (1, channels, *space).
    """
    followed = inputs.detach().clone().requires_grad_()
    value = graph.run(followed, gradients=True)[name]
    assert isinstance(value, Tensor)
    (gradient,) = torch.autograd.grad(value[tuple(index)].sum(), followed, allow_unused=True)
    if gradient is None:
        return (None,) * (inputs.ndim - 2)
    support = gradient[0].ne(0).any(0)
    return tuple(_interval(support, axis) for axis in range(support.ndim))


def _interval(support: Tensor, axis: int) -> tuple[int, int] | None:
    others = tuple(other for other in range(support.ndim) if other != axis)
    (places,) = torch.nonzero(support.any(others) if others else support, as_tuple=True)
    return (int(places[0]), int(places[-1])) if len(places) else None


def _input_field(shape: Shape) -> Field:
    return Field(tuple(start_field(2 + i, cells) for i, cells in enumerate(shape[2:])))
