"""One number of a network, and everything that it was made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitreous.convolution import BatchNormSteps, Difference, MaximumTerms, Terms
from vitreous.convolution.terms import NOWHERE, plain
from vitreous.errors import RequestError
from vitreous.networks.graph import Graph, Node, Value

Index = tuple[int, ...]

ELEMENT_TOLERANCE = 1e-6  # of the sizes that were combined, for float32 rounds each step to 6e-8
ELEMENT_FLOOR = 1e-7  # absolute, near zero


@dataclass(frozen=True)
class Source:
    """One earlier number that a cell was made of."""

    node: str | None  # the operation that made it; None for weights and zeros of the padding
    index: Index | None  # its place there: channel, then position; None where there is no node
    role: str  # the argument it is of the operation: input, other, ...
    value: float
    weight: float | None  # what it is multiplied by, where the cell is a sum

    @property
    def product(self) -> float | None:
        """Value times weight."""
        return None if self.weight is None else self.value * self.weight

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "node": self.node,
            "index": None if self.index is None else list(self.index),
            "role": self.role,
            "value": plain(self.value),
            "weight": plain(self.weight),
            "product": plain(self.product),
        }


@dataclass(frozen=True)
class Operand:
    """Cells of one earlier node that a value was made of, as arrays: there may be thousands.

    A row of `indices` that is -1 is a zero of the padding, which no cell stands behind. `node` is
    None for weights, and for what was made of weights alone.
    """

    node: str | None
    role: str
    indices: np.ndarray  # int (n, axes): channel, then position, in that node's value
    values: np.ndarray  # float64 (n,)
    weights: np.ndarray | None = None  # float64 (n,)

    @property
    def products(self) -> np.ndarray:
        """Float64 (n,): values times weights; the values themselves where nothing is multiplied."""
        return self.values if self.weights is None else self.values * self.weights

    def source(self, number: int) -> Source:
        """One of the cells."""
        index = tuple(int(axis) for axis in self.indices[number])
        nowhere = NOWHERE in index or self.node is None
        return Source(
            None if nowhere else self.node,
            None if nowhere else index,
            self.role,
            float(self.values[number]),
            None if self.weights is None else float(self.weights[number]),
        )


Details = Terms | MaximumTerms | BatchNormSteps | None


@dataclass(frozen=True)
class Explanation:
    """How a value follows from earlier ones, computed here in float64."""

    formula: str  # in words and signs that people read
    total: float
    tolerance: float  # absolute: what rounding in float32 explains
    operands: tuple[Operand, ...]
    bias: float | None = None
    steps: Mapping[str, float] = field(default_factory=dict)  # numbers on the way, by name
    details: Details = None  # window and kernel as they lie, for those who draw them
    winner: int | None = None  # of a choice: which cell of the (only) operand won


@dataclass(frozen=True)
class Cell:
    """One value of one operation: what the network computed, and what stands behind it."""

    node: str
    operation: str
    index: Index  # channel, then position
    computed: float  # by the network, in float32
    explanation: Explanation

    @property
    def difference(self) -> Difference:
        """The network's number beside the one computed here."""
        return Difference(self.computed, self.explanation.total, self.explanation.tolerance)

    def sources(self, most: int | None = None) -> list[Source]:
        """The numbers that it was made of, at most so many, the largest products first.

        Of a choice (a maximum) the winner alone is what the value was made of.
        """
        found = self.explanation
        if found.winner is not None:
            return [found.operands[0].source(found.winner)]
        if not found.operands:
            return []
        sizes = np.abs(np.concatenate([operand.products for operand in found.operands]))
        order = np.argsort(-sizes, kind="stable")[:most]
        ends = np.cumsum([len(operand.values) for operand in found.operands])
        parts = np.searchsorted(ends, order, side="right")
        starts = np.concatenate([[0], ends])[parts]
        pairs = zip(parts.tolist(), (order - starts).tolist(), strict=True)
        return [found.operands[part].source(number) for part, number in pairs]

    def to_json(self, most: int = 64) -> dict[str, Any]:
        """Plain values for JSON; of a long sum the `most` largest products, the rest as one."""
        found, shown = self.explanation, self.sources(most)
        count = 1 if found.winner is not None else sum(len(part.values) for part in found.operands)
        products = [source.product for source in shown if source.product is not None]
        a_sum = bool(products) and count > len(shown)  # what is normalised is no sum of products
        rest = found.total - sum(products) - (found.bias or 0.0) if a_sum else None
        return {
            "node": self.node,
            "operation": self.operation,
            "index": list(self.index),
            "formula": found.formula,
            **self.difference.to_json(),
            "bias": plain(found.bias),
            "steps": {name: plain(value) for name, value in found.steps.items()},
            "sources": [source.to_json() for source in shown],
            "rest": plain(rest),
            "rest_count": count - len(shown),
            "details": None if found.details is None else found.details.to_json(),
        }


@dataclass(frozen=True)
class Place:
    """A cell whose value is to be explained, and where its operation finds its numbers."""

    graph: Graph
    values: Mapping[str, Value]
    node: Node
    index: Index  # in the node's value, batch axis included

    @property
    def cell(self) -> Index:
        """Channel, then position: the index without the batch axis."""
        return self.index[1:]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the operation; the default where it was left out."""
        return self.node.attributes.get(name, default)

    def has(self, argument: str) -> bool:
        """Whether the operation was given a tensor for an argument."""
        return argument in self.node.inputs or argument in self.node.parameters

    def tensor(self, argument: str) -> np.ndarray:
        """The whole tensor given for an argument, as the network has it (batch in front)."""
        if argument in self.node.parameters:
            return self.graph.tensors[self.node.parameters[argument]].detach().cpu().numpy()
        value = self.values[self.node.inputs[argument]]
        if isinstance(value, tuple | list):
            raise self.refusal("reads several tensors at once")
        return value.detach().cpu().numpy()

    def optional(self, argument: str) -> np.ndarray | None:
        """The tensor of an argument that may be left out."""
        return self.tensor(argument) if self.has(argument) else None

    def fixed(self, argument: str) -> np.ndarray:
        """A weight: refused where it was itself computed from the network's input."""
        name = self.node.inputs.get(argument)
        if name is not None and not self.graph[name].constant:
            raise self.refusal(f"its {argument} is computed from the input")
        return self.tensor(argument)

    def operand(
        self,
        argument: str,
        indices: np.ndarray | Sequence[Index],
        weights: np.ndarray | None = None,
    ) -> Operand:
        """Cells of an argument by their indices (n, axes), batch axis included."""
        values = self.tensor(argument)
        places = np.asarray(indices, dtype=np.int64).reshape(-1, values.ndim)
        known = (places >= 0).all(axis=1)
        found = values[tuple(np.maximum(places, 0).T)].astype(np.float64)
        name = self.node.inputs.get(argument)
        if name is not None and self.graph[name].constant:
            name = None
        return Operand(name, argument, places[:, 1:], np.where(known, found, 0.0), weights)

    def refusal(self, why: str) -> RequestError:
        """The error for what cannot be explained: named, never guessed."""
        return RequestError(
            f"{self.node.name}: the terms of {self.node.operation} ({self.node.target}) cannot be "
            f"shown here, because {why}; open another layer"
        )


Rule = Callable[[Place], Explanation]


def element_tolerance(*sizes: float) -> float:
    """What rounding explains in an operation on numbers of these sizes."""
    return max(ELEMENT_TOLERANCE * max(abs(size) for size in sizes), ELEMENT_FLOOR)
