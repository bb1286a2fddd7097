"""Which part of the input each cell of each layer can see, by arithmetic and by measuring.

The arithmetic walks the captured graph from the input on and keeps, for every input axis, an
interval for each cell; channels are taken together. Branches that meet see the hull of what each
sees. It is an upper bound, and it is reached: `measured_fields` finds the same boxes in networks
whose weights let everything through (tests/insight/test_receptive_fields.py).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.insight.axis_fields import AxisField, start_field
from vitreous.insight.field_rules import Step, everything, rule_for
from vitreous.networks.graph import Graph
from vitreous.networks.operations import Shape

Box = tuple[tuple[int, int], ...] | None
"""First and last input position an axis, both inclusive; None where no input is seen."""

Index = Sequence[int | slice]
"""A place in a node's value, batch in front; slices stand for all the cells they take."""


@dataclass(frozen=True)
class Field:
    """What the cells of one node see: an `AxisField` for each spatial axis of the input."""

    axes: tuple[AxisField, ...]
    exact: bool = True  # False after an operation without a rule: then an upper bound

    def box(self, index: Sequence[int]) -> Box:
        """The part of the input that the cell at `index` of the node's value can see."""
        intervals = [axis.interval(index) for axis in self.axes]
        return None if None in intervals else tuple(intervals)  # type: ignore


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


def measured_fields(graph: Graph, cells: Iterable[tuple[str, Index]], inputs: Tensor) -> list[Box]:
    """The part of the input that cells really depend on, at these inputs (1, channels, *space).

    For each node name and index the box around all input cells with a gradient: of the value
    there, or, with slices in the index, of the sum of the values. A relu that is shut or a
    maximum that lies elsewhere makes it smaller than the field.
    """
    followed = inputs.detach().clone().requires_grad_()
    values = graph.run(followed, gradients=True)
    boxes = []
    for name, index in cells:
        total = values[name][tuple(index)].sum()  # type: ignore
        (gradient,) = torch.autograd.grad(total, followed, retain_graph=True, allow_unused=True)
        boxes.append(None if gradient is None else _box_around(gradient[0].ne(0).any(0)))
    return boxes


def _box_around(support: Tensor) -> Box:
    places = torch.nonzero(support)
    if not len(places):
        return None
    first, last = places.amin(0).tolist(), places.amax(0).tolist()
    return tuple(zip(first, last, strict=True))


def _input_field(shape: Shape) -> Field:
    return Field(tuple(start_field(2 + i, cells) for i, cells in enumerate(shape[2:])))
