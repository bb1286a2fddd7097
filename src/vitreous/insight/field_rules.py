"""How receptive fields go through each operation of a captured network."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.convolution.arithmetic import TransposedWindow, Window
from vitreous.insight.axis_fields import (
    AxisField,
    hull,
    joined,
    padding_reads,
    pooling_reads,
    resize_reads,
    through_selection,
    through_window,
)
from vitreous.networks.graph import Node
from vitreous.networks.operations import ELEMENTWISE, REDUCTIONS, WINDOWED, Shape, per_axis

Axes = tuple[AxisField, ...]
"""What the cells of one tensor see: one entry for each spatial axis of the network's input."""


@dataclass(frozen=True)
class Step:
    """An operation, the nodes it reads that depend on the input, and what their cells see."""

    node: Node
    sources: Sequence[Node]
    fields: Sequence[Axes]

    @property
    def axes(self) -> Axes:
        """What the cells of the first source see."""
        return self.fields[0]

    @property
    def shape(self) -> Shape:
        """Shape of the first source, batch in front."""
        return self.sources[0].shape

    @property
    def output(self) -> Shape:
        """Shape of the result, batch in front."""
        return self.node.shape

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the operation; the default where it was left out."""
        return self.node.attributes.get(name, default)

    def dimension(self) -> int:
        """The axis in `dim`, counted from the front."""
        return self.attribute("dim", 0) % len(self.shape)

    def dimensions(self) -> set[int]:
        """The axes in `dim`, counted from the front; all where none is named."""
        given, rank = self.attribute("dim"), len(self.shape)
        if given is None or given == ():
            return set(range(rank))
        return {dim % rank for dim in ((given,) if isinstance(given, int) else given)}


Rule = Callable[[Step], Axes]


def rule_for(step: Step) -> Rule:
    """The rule of an operation; `everything` where there is none."""
    operation = step.node.operation
    if operation in ELEMENTWISE:
        return cell_by_cell
    if operation == "concatenate":
        return concatenated
    if len(step.sources) > 1:  # e.g. a kernel that was computed from the input
        return everything
    if operation in WINDOWED:
        return windowed
    if operation in REDUCTIONS:
        return reduced
    return RULES.get(operation, everything)


def everything(step: Step) -> Axes:
    """Every cell may see whatever any cell of any source saw."""
    collapsed = [tuple(field.collapsed() for field in axes) for axes in step.fields]
    return tuple(hull(branches) for branches in zip(*collapsed, strict=True))


def cell_by_cell(step: Step) -> Axes:
    """Each cell sees what the same cell of any source saw, after broadcasting."""
    spread = [
        tuple(_broadcast(field, source.shape, step.output) for field in axes)
        for source, axes in zip(step.sources, step.fields, strict=True)
    ]
    return tuple(hull(branches) for branches in zip(*spread, strict=True))


def _broadcast(field: AxisField, shape: Shape, output: Shape) -> AxisField:
    if field.axis is None:
        return field
    axis = field.axis + len(output) - len(shape)  # aligned from the last axis on
    return field.along(None if shape[field.axis] == 1 < output[axis] else axis)


def windowed(step: Step) -> Axes:
    """Convolution, transposed convolution, pooling: along each spatial axis by its window."""
    layers = _windows(step.node)
    first = len(step.output) - len(layers)

    def follow(field: AxisField, axis: int) -> AxisField:
        return field.collapsed() if axis < first else through_window(field, layers[axis - first])

    return _each_tied(step.axes, follow)


def _windows(node: Node) -> Sequence[Window | TransposedWindow]:
    numbers = node.attributes
    names = ("kernel_size", "stride", "padding", "dilation")
    if node.operation == "transposed convolution":
        axes = zip(*(numbers[name] for name in (*names, "output_padding")), strict=True)
        return [TransposedWindow(*axis) for axis in axes]
    axes = zip(*(numbers[name] for name in names), strict=True)
    return [Window(*axis, ceil_mode=numbers.get("ceil_mode", False)) for axis in axes]


def _each_tied(axes: Axes, follow: Callable[[AxisField, int], AxisField]) -> Axes:
    """`follow` where an axis of the tensor decides; the others stay as they are."""
    return tuple(field if field.axis is None else follow(field, field.axis) for field in axes)


def _collapse(axes: Axes, these: set[int]) -> Axes:
    """Along these axes of the tensor, every cell sees what any of them saw."""
    return _each_tied(axes, lambda field, axis: field.collapsed() if axis in these else field)


def reduced(step: Step) -> Axes:
    """Mean, sum, maximum along some axes, which stay with one cell or go."""
    gone, rank = step.dimensions(), len(step.shape)
    axes = _collapse(step.axes, gone)
    if len(step.output) == rank:
        return axes
    kept = [axis for axis in range(rank) if axis not in gone]
    return _each_tied(axes, lambda field, axis: field.along(kept.index(axis)))


def _softmax(step: Step) -> Axes:
    return _collapse(step.axes, step.dimensions())


def _linear(step: Step) -> Axes:
    return _collapse(step.axes, {len(step.shape) - 1})


def _layer_norm(step: Step) -> Axes:
    rank = len(step.shape)
    return _collapse(step.axes, set(range(rank - len(step.attribute("normalized_shape")), rank)))


def _group_norm(step: Step) -> Axes:
    return _collapse(step.axes, set(range(len(step.shape))))


def _adaptive_pool(step: Step) -> Axes:
    def follow(field: AxisField, axis: int) -> AxisField:
        cells, outputs = step.shape[axis], step.output[axis]
        if outputs == 1:
            return field.collapsed()
        return through_selection(field, pooling_reads(cells, outputs))

    return _each_tied(step.axes, follow)


TAPS = {"interpolate nearest": 1, "interpolate linear": 2, "interpolate cubic": 4}


def _interpolate(step: Step) -> Axes:
    factors = step.attribute("scale_factors")
    space = len(step.output) - 2
    scales = per_axis(factors, space) if factors else (None,) * space

    def follow(field: AxisField, axis: int) -> AxisField:
        reads = resize_reads(
            step.shape[axis],
            step.output[axis],
            TAPS[step.node.operation],
            step.attribute("align_corners", False),
            scales[axis - 2],
        )
        return through_selection(field, reads)

    return _each_tied(step.axes, follow)


def _pad(step: Step) -> Axes:
    amounts, mode = step.attribute("pad"), step.attribute("mode", "constant")

    def follow(field: AxisField, axis: int) -> AxisField:
        place = 2 * (len(step.shape) - 1 - axis)  # the last axis comes first
        before, after = amounts[place : place + 2] or (0, 0)
        reads = padding_reads(step.shape[axis], before, after, mode)
        return field.reading(reads, Window(1, padding=(before, after)).follow)

    return _each_tied(step.axes, follow)


def _reshape(step: Step) -> Axes:
    """An axis that survives whole keeps its field; one that is merged or cut loses its order."""

    def follow(field: AxisField, axis: int) -> AxisField:
        cells, ahead = step.shape[axis], math.prod(step.shape[:axis])
        if cells == 1:
            return field.along(None)
        for place, size in enumerate(step.output):
            if size == cells and math.prod(step.output[:place]) == ahead:
                return field.along(place)
        return field.collapsed()

    return _each_tied(step.axes, follow)


def _permute(step: Step) -> Axes:
    rank = len(step.shape)
    order = list(range(rank))
    if "dims" in step.node.attributes:
        order = [dim % rank for dim in step.attribute("dims")]
    else:  # transpose, and `t` of a matrix
        one, other = step.attribute("dim0", 0) % rank, step.attribute("dim1", 1) % rank
        order[one], order[other] = order[other], order[one]
    return _each_tied(step.axes, lambda field, axis: field.along(order.index(axis)))


def concatenated(step: Step) -> Axes:
    """The hull where maps are stacked; one field behind the other where their space is joined."""
    along = step.dimension()

    def together(branches: tuple[AxisField, ...]) -> AxisField:
        if all(field.axis == along for field in branches):
            return joined(branches)
        if any(field.axis == along for field in branches):
            return hull(field.collapsed() for field in branches)
        return hull(branches)

    return tuple(together(branches) for branches in zip(*step.fields, strict=True))


def _slice(step: Step) -> Axes:
    chosen = slice(step.attribute("start"), step.attribute("end"), step.attribute("step", 1))
    return _chosen(step.axes, step.dimension(), chosen)


def _split(step: Step) -> Axes:
    return step.axes  # its parts cut it


def _part(step: Step) -> Axes:
    split = step.sources[0]
    if split.operation != "split":
        return everything(step)
    along = split.attributes.get("dim", 0) % len(split.shape)
    start = sum(shape[along] for shape in split.shapes[: step.attribute("index")])
    return _chosen(step.axes, along, slice(start, start + step.output[along]))


def _chosen(axes: Axes, along: int, chosen: slice) -> Axes:
    def follow(field: AxisField, axis: int) -> AxisField:
        if axis != along:
            return field
        places = np.arange(len(field.first))[chosen]
        cut = Window(1, stride=chosen.step or 1, padding=(-int(places[0]), 0))
        return field.reading(tuple(places[:, None]), cut.follow)

    return _each_tied(axes, follow)


RULES: Mapping[str, Rule] = {
    "linear": _linear,
    "layer norm": _layer_norm,
    "group norm": _group_norm,
    "instance norm": _group_norm,
    "softmax": _softmax,
    "log softmax": _softmax,
    "adaptive average pool": _adaptive_pool,
    "adaptive max pool": _adaptive_pool,
    "interpolate nearest": _interpolate,
    "interpolate linear": _interpolate,
    "interpolate cubic": _interpolate,
    "pad": _pad,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "split": _split,
    "part": _part,
}
"""The rules of operations with one source that are no window and no reduction."""
