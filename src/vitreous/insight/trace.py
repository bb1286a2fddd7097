"""From any number that a network computed back to the arithmetic, and on to the input.

    trace = trace_of(network, inputs)
    cell = trace.cell("features.conv2", channel=3, position=(5, 7))
    cell.computed, cell.explanation.total, cell.difference.within
    below = trace.follow(cell.sources()[0])

The values are the network's own, in float32 and evaluation mode; the terms behind a value are
computed here in float64, so that their sum is a check of the network and not a repetition of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from vitreous.convolution.terms import check_cell
from vitreous.errors import RequestError, unknown_name
from vitreous.insight import cell_moves as moves
from vitreous.insight import cell_norms as norms
from vitreous.insight import cell_sums as sums
from vitreous.insight.cell_functions import FUNCTIONS, elementwise
from vitreous.insight.cells import Cell, Explanation, Place, Rule, Source
from vitreous.networks.graph import Graph, Node, Value, capture

RULES: dict[str, Rule] = {
    **dict.fromkeys(FUNCTIONS, elementwise),
    "convolution": sums.convolution,
    "transposed convolution": sums.transposed_convolution,
    "linear": sums.linear,
    "matrix product": sums.matrix_product,
    "average pool": sums.average_pool,
    "adaptive average pool": sums.adaptive_average_pool,
    "max pool": sums.max_pool,
    "adaptive max pool": sums.adaptive_max_pool,
    **dict.fromkeys(("mean", "sum", "maximum", "minimum", "vector norm"), sums.reduced),
    **dict.fromkeys(
        ("interpolate nearest", "interpolate linear", "interpolate cubic"), sums.interpolated
    ),
    "batch norm": norms.batch_norm,
    "layer norm": norms.layer_norm,
    "group norm": norms.group_norm,
    "instance norm": norms.instance_norm,
    **dict.fromkeys(("softmax", "log softmax"), norms.softmax),
    "identity": moves.identity,
    "reshape": moves.reshape,
    "permute": moves.permute,
    "slice": moves.cut,
    "part": moves.part,
    "split": moves.only_part,
    "concatenate": moves.concatenate,
    "pad": moves.pad,
}
"""How each operation of a captured network is explained. What is not here is refused by name."""


@dataclass(frozen=True)
class Trace:
    """One sample's way through a network: every operation's value, and what each is made of."""

    graph: Graph
    values: Mapping[str, Value]

    def cell(self, layer: str, channel: int, position: Sequence[int] = ()) -> Cell:
        """One value of a layer and the terms behind it; a feature of a vector has no position.

        Raises `RequestError` for a layer or a cell that is not there, and for an operation whose
        arithmetic is not understood: it is named, never guessed.
        """
        return self.at(layer, (channel, *position))

    def at(self, layer: str, index: Sequence[int]) -> Cell:
        """`cell` by an index: the axes of the layer's value without the batch axis."""
        node = self.node(layer)
        value = self._single(node)
        place = Place(self.graph, self.values, node, (0, *check_cell(index, value.shape[1:])))
        return Cell(
            node=node.name,
            operation=node.operation,
            index=place.cell,
            computed=float(value[place.index]),
            explanation=_explain(place),
        )

    def follow(self, source: Source) -> Cell:
        """The cell that a term came from. Raises `RequestError` for weights and padding."""
        if source.node is None or source.index is None:
            raise RequestError(f"the {source.role} is a weight or padding: no cell stands behind")
        return self.at(source.node, source.index)

    def array(self, layer: str) -> np.ndarray:
        """A layer's value, float32 (channels, *space): a copy without the batch axis."""
        return self._single(self.node(layer))[0].detach().cpu().numpy().copy()

    def node(self, layer: str) -> Node:
        """The operation of that name. Raises `RequestError` naming the nearest ones."""
        if layer not in self.values:
            raise unknown_name("layer", layer, list(self.values))
        return self.graph[layer]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the operations whose cells can be opened, in the order they run."""
        return tuple(
            node.name
            for node in self.graph.nodes
            if not node.constant and len(node.shapes) == 1 and node.shape[:1] == (1,)
        )

    def _single(self, node: Node) -> Tensor:
        value = self.values[node.name]
        if node.constant:
            raise RequestError(
                f"{node.name}: is made of weights alone; the input does not reach it"
            )
        if not isinstance(value, Tensor):
            raise RequestError(f"{node.name}: has several results; open one of its parts")
        if value.ndim < 2 or len(value) != 1:
            shape = " x ".join(map(str, value.shape))
            raise RequestError(f"{node.name}: its value of {shape} has no sample in front")
        return value


def trace_of(network: nn.Module | Graph, inputs: Tensor) -> Trace:
    """Run one sample (1, channels, *space) and keep every value.

    `network` is any module that `capture` takes, or its graph, captured for inputs of this size.
    Raises `RequestError` for several samples at once, and where it cannot be captured.
    """
    if isinstance(network, Graph):
        return Trace(network, network.run(inputs))
    if len(inputs) != 1:
        raise RequestError(
            f"a trace is of one sample; give (1, channels, *space), not {tuple(inputs.shape)}"
        )
    graph = capture(network, inputs)
    return Trace(graph, graph.run(inputs))


def _explain(place: Place) -> Explanation:
    node = place.node
    if node.operation == "input":
        value = float(place.values[node.name][place.index])  # type: ignore
        return Explanation("the input", value, 0.0, ())
    if node.operation not in RULES:
        raise place.refusal("its arithmetic is not known")
    return RULES[node.operation](place)
