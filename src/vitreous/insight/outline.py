"""A network in outline, as it is drawn: its layers, and the storeys that they make."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vitreous.insight.receptive_fields import Field, receptive_fields
from vitreous.insight.storeys import channel_axes, floor_by_node, floors_of
from vitreous.networks.graph import Graph, Node
from vitreous.networks.table import network_table


def network_outline(graph: Graph, fields: Mapping[str, Field] | None = None) -> dict[str, Any]:
    """All layers and the storeys that they make, ready for JSON.

    Keys: `layers` (name, operation, shape without the batch, channel_axis, inputs, openable,
    kernel, stride, parameters, multiply_adds, field in input cells, jump in input cells,
    has_kernels), `storeys` (name, layers, reads, minor) and `outputs`. `fields` are those of
    `receptive_fields`, where they are known already.
    """
    known = receptive_fields(graph) if fields is None else fields
    nodes = {node.name: node for node in graph.nodes if not node.constant}
    floors = floors_of(graph)
    sizes = {name: _field_size(field, graph.input_shape) for name, field in known.items()}
    rows = {row["name"]: row for row in network_table(graph, sizes)}
    axes, openable = channel_axes(graph), floor_by_node(floors)
    return {
        "layers": [
            {
                "name": name,
                "operation": node.operation,
                "shape": list(node.shape[1:]),
                "channel_axis": axes[name],
                "inputs": [read for read in node.inputs.values() if not graph[read].constant],
                "openable": name in openable,
                "kernel": rows.get(name, {}).get("kernel"),
                "stride": rows.get(name, {}).get("stride"),
                "parameters": node.parameter_count,
                "multiply_adds": node.multiply_adds,
                "field": rows.get(name, {}).get("receptive_field"),
                "jump": _jump(known[name]),
                "has_kernels": kernel_shape(graph, node) is not None,
            }
            for name, node in nodes.items()
        ],
        "storeys": [
            {
                "name": floor.name,
                "layers": list(floor.nodes),
                "reads": list(floor.reads),
                "minor": floor.minor,
            }
            for floor in floors
        ],
        "outputs": [name for name in graph.outputs if name in nodes],
    }


def kernel_shape(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """Shape of a convolution's weight, which can be drawn; None for other operations."""
    name = node.parameters.get("weight")
    if node.operation != "convolution" or name is None:
        return None
    weight = graph.tensors[name]
    return tuple(weight.shape) if isinstance(weight, Tensor) and weight.ndim in (3, 4, 5) else None


def _field_size(field: Field, input_shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        limit if math.isinf(axis.reach.size) else min(limit, math.ceil(axis.reach.size))
        for axis, limit in zip(field.axes, input_shape[2:], strict=True)
    )


def _jump(field: Field) -> list[float] | None:
    """Input cells from one cell to the next; None where no axis of the layer decides."""
    if any(axis.axis is None or math.isinf(axis.reach.jump) for axis in field.axes):
        return None
    return [float(axis.reach.jump) for axis in field.axes]
