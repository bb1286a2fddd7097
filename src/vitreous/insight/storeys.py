"""A network's operations as the storeys of a house: a layer with its norm and activation."""

from collections.abc import Mapping
from dataclasses import dataclass

from vitreous.networks.graph import Graph, Node
from vitreous.networks.operations import ELEMENTWISE

NORMS = {"batch norm", "layer norm", "group norm", "instance norm"}
MOVES = {"reshape", "permute", "slice", "split", "part", "pad", "identity"}


@dataclass(frozen=True)
class Floor:
    """One storey: nodes of one shape in the order they run, each reading the one before."""

    nodes: tuple[str, ...]
    reads: tuple[str, ...]  # first nodes of other storeys
    minor: bool  # only moves numbers

    @property
    def name(self) -> str:
        """Its first node's."""
        return self.nodes[0]


def floors_of(graph: Graph) -> tuple[Floor, ...]:
    """The storeys from the input to the answer; the input is the first.

    A norm, an activation or another operation cell by cell joins the storey whose last value it
    alone goes on from. What has several results is no storey; those who read it read through it.
    """
    members: list[list[Node]] = []
    place: dict[str, int] = {}  # node -> storey; of what is no storey: the one that it reads
    for node in graph.nodes:
        if node.constant:
            continue
        below = _below(node, place)
        if not is_open(node):
            place[node.name] = below[0] if below else 0
            continue
        last = members[below[0]][-1] if len(below) == 1 else None
        if last is not None and _goes_on(node, last):
            members[below[0]].append(node)
            place[node.name] = below[0]
        else:
            place[node.name] = len(members)
            members.append([node])
    return tuple(_floor(nodes, members, place) for nodes in members)


def is_open(node: Node) -> bool:
    """Whether its cells can be opened: one result, with the sample in front."""
    return not node.constant and len(node.shapes) == 1 and node.shape[:1] == (1,)


def floor_by_node(floors: tuple[Floor, ...]) -> dict[str, Floor]:
    """Each node's storey."""
    return {name: floor for floor in floors for name in floor.nodes}


def _below(node: Node, place: Mapping[str, int]) -> list[int]:
    return list(dict.fromkeys(place[name] for name in node.inputs.values() if name in place))


def _goes_on(node: Node, last: Node) -> bool:
    """Whether a node only changes, cell by cell, what the last of a storey gave."""
    if last.operation == "input" or node.operation not in ELEMENTWISE | NORMS:
        return False
    return last.name in node.inputs.values() and node.shapes == last.shapes


def _floor(nodes: list[Node], members: list[list[Node]], place: Mapping[str, int]) -> Floor:
    own = place[nodes[0].name]
    read = [place[name] for node in nodes for name in node.inputs.values() if name in place]
    return Floor(
        nodes=tuple(node.name for node in nodes),
        reads=tuple(members[other][0].name for other in dict.fromkeys(read) if other != own),
        minor=nodes[0].operation in MOVES,
    )


def channel_axes(graph: Graph) -> dict[str, int]:
    """The axis of each layer's value that holds its channels; the batch axis is not counted.

    It is the first one, until a network lays them last (as ConvNeXt does for its linear layers).
    """
    found: dict[str, int] = {}
    for node in graph.nodes:
        read = (name for name in node.inputs.values() if name in found)
        same = [found[name] for name in read if len(graph[name].shape) == len(node.shape)]
        axis = same[0] if same else 0
        found[node.name] = _moved(axis, node) if node.operation == "permute" else axis
    return found


def _moved(axis: int, node: Node) -> int:
    """Where a permutation lays an axis; 0 where that is the batch's own place."""
    rank = len(node.shape)
    order = node.attributes.get("dims")
    if order is None:  # `transpose` exchanges two axes
        order = list(range(rank))
        first, second = (node.attributes.get(name, 0) % rank for name in ("dim0", "dim1"))
        order[first], order[second] = order[second], order[first]
    return max(0, [place % rank for place in order].index(axis + 1) - 1)
