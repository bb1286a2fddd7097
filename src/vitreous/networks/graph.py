"""A network's operations, captured once for everyone who shows or walks them.

`torch.export` runs the network on one example and notes each operation. Here its notes become
nodes with readable names, plain words and attributes, which can be run again to see every value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from vitreous.errors import RequestError
from vitreous.networks.naming import name_steps, operation_of
from vitreous.networks.operations import OPERATIONS, Shape, multiply_adds, window_attributes
from vitreous.networks.program import Program, export_program, module_path, schema_arguments

Value = Tensor | tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Node:
    """One operation of a network.

    `inputs` and `parameters` are keyed by the operation's argument ("input", "weight", ...; the
    tensors of a list as "tensors_0", ...). `constant` marks what does not depend on the network's
    input, like the preparation of a weight; its parameters count where the result is used.
    """

    name: str  # module path, with the operation where a module does several
    operation: str  # plain word; ATen's name where `understood` is False
    target: str  # ATen's full name, e.g. "aten.conv2d.default"
    module: str  # path of the module that did it; "" for the network itself
    inputs: Mapping[str, str]  # argument -> name of the node that made it
    parameters: Mapping[str, str]  # argument -> name in `Graph.tensors` (as in the state dict)
    attributes: Mapping[str, Any]  # kernel_size, stride, padding ((before, after), ...), eps, ...
    shapes: tuple[Shape, ...]  # of each output, batch in front; one but for "split"
    parameter_count: int  # trained numbers; shared ones count at their first use
    multiply_adds: int  # for one example; see `operations.multiply_adds`
    understood: bool
    constant: bool

    @property
    def shape(self) -> Shape:
        """Shape of the (first) output, batch in front."""
        return self.shapes[0]


@dataclass(frozen=True)
class Graph:
    """The operations in the order they run. The first node, named "input", is the input itself."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]  # names of the nodes that the network returns
    tensors: Mapping[str, Tensor]  # parameters and buffers: the network's own, not copies
    _program: Program = field(repr=False, compare=False)
    _values: Mapping[str, fx.Node] = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> Node:
        """The node of that name."""
        return self._by_name[name]

    @property
    def input_shape(self) -> Shape:
        """Shape of the input, batch of 1 in front."""
        return self.nodes[0].shape

    def run(
        self,
        inputs: Tensor,
        gradients: bool = False,
        replaced: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Value]:
        """Every node's value for one input (1, channels, *space), in eval mode, by node name.

        The operations are the network's own, in its order, on its present weights. With
        `gradients` the values keep their history for `backward`; what is `replaced` is taken as
        given in place of what its node computes. Raises `RequestError` where the shape is not the
        captured one.
        """
        if tuple(inputs.shape) != self.input_shape:
            raise RequestError(
                f"this graph was captured for an input of {_times(self.input_shape)}, "
                f"not {_times(inputs.shape)}; capture the network again for that size"
            )
        given = {self._values[name]: value for name, value in (replaced or {}).items()}
        with torch.set_grad_enabled(gradients):
            values = self._program.run(inputs, given)
        return {name: values[step] for name, step in self._values.items()}

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}


def capture(network: nn.Module, example: Tensor) -> Graph:
    """The operations that `network` does in eval mode on inputs of the example's shape.

    `example` is (1, channels, *space); of a larger batch the first is taken. The network may be
    any module whose way does not depend on the input's values; in-place operations and views
    become plain ones that give the same numbers. Raises `RequestError` where it cannot be
    captured.
    """
    program = export_program(network, example[:1])
    steps = program.steps
    names = name_steps(network, steps)
    describe = _Describer(program, names)
    return Graph(
        nodes=tuple(describe.node(step) for step in steps),
        outputs=tuple(names[step] for step in program.outputs),
        tensors=program.tensors,
        _program=program,
        _values={names[step]: program.value_of(step) for step in steps},
    )


class _Describer:
    """Makes nodes one after another, remembering which parameters were counted."""

    def __init__(self, program: Program, names: Mapping[fx.Node, str]):
        self.program = program
        self.names = names
        self.counted: set[str] = set()
        self.constant: dict[str, set[str]] = {}  # constant nodes, and the parameters in them

    def node(self, step: fx.Node) -> Node:
        """The node of a step; the steps come in their order."""
        if step is self.program.input:
            return _input_node(self.program.shapes(step))
        tensors, attributes = schema_arguments(step)
        stored = self.program.parameters
        inputs = {
            key: self.names[self.program.step_of(value)]
            for key, value in tensors.items()
            if value not in stored
        }
        parameters = {key: stored[value] for key, value in tensors.items() if value in stored}
        shapes = {key: tuple(value.meta["val"].shape) for key, value in _single(tensors).items()}
        operation = operation_of(step)
        constant = all(name in self.constant for name in inputs.values())
        own = self._held(inputs, parameters)
        if constant:
            self.constant[self.names[step]] = own
        outputs = self.program.shapes(step)
        return Node(
            name=self.names[step],
            operation=operation,
            target=str(step.target),
            module=module_path(step),
            inputs=inputs,
            parameters=parameters,
            attributes=window_attributes(
                operation,
                {**attributes, **self.program.part_read(step)},
                shapes.get("weight", ())[2:],
            ),
            shapes=outputs,
            parameter_count=0 if constant else self._count(own),
            multiply_adds=0 if constant else multiply_adds(operation, shapes, outputs[0]),
            understood=operation in OPERATIONS.values(),
            constant=constant,
        )

    def _held(self, inputs: Mapping[str, str], parameters: Mapping[str, str]) -> set[str]:
        """Trained tensors read here, or by the constant nodes that lead here."""
        earlier = (self.constant.get(name, set()) for name in inputs.values())
        return set(parameters.values()).intersection(self.program.trained).union(*earlier)

    def _count(self, names: set[str]) -> int:
        """Numbers in those of the tensors that no node before counted."""
        new = names - self.counted
        self.counted |= new
        return sum(self.program.tensors[name].numel() for name in new)


def _single(values: Mapping[str, fx.Node]) -> dict[str, fx.Node]:
    """The values that are one tensor, not several."""
    return {key: value for key, value in values.items() if isinstance(value.meta["val"], Tensor)}


def _input_node(shapes: tuple[Shape, ...]) -> Node:
    return Node("input", "input", "input", "", {}, {}, {}, shapes, 0, 0, True, False)


def _times(shape: Shape | torch.Size) -> str:
    return " x ".join(map(str, shape))
