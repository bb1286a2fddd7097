"""The network table of the report: what each operation is, and what it costs."""

from collections.abc import Mapping
from typing import Any

from vitreous.networks.graph import Graph, Node


def network_table(
    graph: Graph, receptive_fields: Mapping[str, tuple[int, ...]] | None = None
) -> list[dict[str, Any]]:
    """One row an operation, in order, ready for JSON.

    Keys: name, operation, output_shape (channels, *space), kernel, stride (one entry an axis;
    None where there is no window), parameters, multiply_adds (for one example), receptive_field
    (input cells an axis; None where not given). `receptive_fields` is keyed by node names, as
    `insight.receptive_fields` makes it. The preparation of weights has no rows.
    """
    fields = receptive_fields or {}
    shown = (node for node in graph.nodes[1:] if not node.constant)
    return [_row(node, fields.get(node.name)) for node in shown]


def _row(node: Node, field: tuple[int, ...] | None) -> dict[str, Any]:
    windowed = "kernel_size" in node.attributes
    return {
        "name": node.name,
        "operation": node.operation,
        "output_shape": list(node.shape[1:]),
        "kernel": list(node.attributes["kernel_size"]) if windowed else None,
        "stride": list(node.attributes["stride"]) if windowed else None,
        "parameters": node.parameter_count,
        "multiply_adds": node.multiply_adds,
        "receptive_field": None if field is None else list(field),
    }
