"""Which part of the input each cell of each layer can see, by arithmetic and by measuring.

The arithmetic walks the captured graph from the input on and keeps, for every input axis, an
interval for each cell; channels are taken together. Branches that meet see the hull of what each
sees. It is an upper bound, and it is reached: `measured_fields` finds the same boxes in networks
whose weights let everything through (tests/insight/test_receptive_fields.py).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitreous.insight.axis_fields import AxisField, start_field
from vitreous.insight.field_rules import Axes, Step, cell_by_cell, everything, rule_for
from vitreous.networks.graph import Graph
from vitreous.networks.operations import ELEMENTWISE, Shape

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


Centres = tuple[np.ndarray, ...]
"""For each spatial axis of the input, where the cells along it look: float64 (cells,)."""

KEEPING_PLACES = {"layer norm", "group norm", "instance norm", "softmax", "log softmax"}
"""Operations that read many cells, but give each cell its own value back, changed."""


def cell_centres(graph: Graph) -> dict[str, Centres]:
    """Where the cells of each map look: the middle of what a cell sees, an array an input axis.

    Coordinates are input cells, 0 being the middle of the first one; borders are left out, so that
    neighbours are equally far apart. What reads the whole map only to scale a cell by it (a
    squeeze-and-excite gate, a norm over space) moves no cell. Nodes that are no map, axis for axis
    (batch, channels, *space), have no entry.
    """
    axes: dict[str, Axes] = {"input": _input_field(graph.input_shape).axes}
    for node in graph.nodes[1:]:
        if node.constant:
            continue
        names = [name for name in node.inputs.values() if name in axes]
        if node.operation in ELEMENTWISE:
            names = [name for name in names if _is_a_map(axes[name])] or names
        step = Step(node, [graph[name] for name in names], [axes[name] for name in names])
        rule = cell_by_cell if node.operation in KEEPING_PLACES else rule_for(step)
        axes[node.name] = rule(step)
    return {
        name: tuple(_centres(axis, graph[name].shape) for axis in of_node)
        for name, of_node in axes.items()
        if _is_a_map(of_node)
        and not any(math.isinf(axis.reach.size) for axis in of_node)
        and len(graph[name].shape) == len(graph.input_shape)
    }


def _is_a_map(axes: Axes) -> bool:
    return all(axis.axis == 2 + place for place, axis in enumerate(axes))


def _centres(axis: AxisField, shape: Shape) -> np.ndarray:
    cells = shape[axis.axis or 0]
    return float(axis.reach.centre) + float(axis.reach.jump) * np.arange(cells)


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


def sensitivity(graph: Graph, layer: str, index: Index, inputs: Tensor) -> np.ndarray:
    """How strongly each place of the input moves one cell, at these inputs (1, channels, *space).

    The sizes of the gradient summed over the input's channels, float32 (*space): what Luo et al.
    (2016, arXiv 1701.04128) call the effective receptive field, of one sample. `index` has the
    batch axis in front, as `measured_fields` has it; 0 everywhere where nothing moves the cell.
    """
    followed = inputs.detach().clone().requires_grad_()
    values = graph.run(followed, gradients=True)
    value = values[layer][tuple(index)]  # type: ignore
    if not value.requires_grad:
        return np.zeros(tuple(inputs.shape[2:]), np.float32)
    (gradient,) = torch.autograd.grad(value, followed, allow_unused=True)
    if gradient is None:
        return np.zeros(tuple(inputs.shape[2:]), np.float32)
    return gradient[0].abs().sum(0).numpy()


def _box_around(support: Tensor) -> Box:
    places = torch.nonzero(support)
    if not len(places):
        return None
    first, last = places.amin(0).tolist(), places.amax(0).tolist()
    return tuple(zip(first, last, strict=True))


def _input_field(shape: Shape) -> Field:
    return Field(tuple(start_field(2 + i, cells) for i, cells in enumerate(shape[2:])))
