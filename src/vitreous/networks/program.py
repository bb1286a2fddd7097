"""A network as `torch.export` notes it: steps that can be read and run again."""

import io
import operator
import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from vitreous.errors import RequestError
from vitreous.networks.modes import evaluation_mode

Shape = tuple[int, ...]

STORED = {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}


CAPTURING = RLock()
"""Held while a network is captured. Torch then puts stand-ins in the place of parameters and of
what modules do when they are called, in all threads: who runs networks in a thread of its own
holds this meanwhile."""

WITHOUT_MEANING = {"cudnn_enable", "cudnn_enabled", "pin_memory", "implicit"}
"""Arguments that say how an operation is done, not what it does."""


@dataclass(frozen=True)
class Program:
    """The steps of a network on one input, and the tensors it holds.

    A step with several results of which only the first is read (a batch norm, a maximum with its
    place) counts as one: `value_of` leads from it to that result, `step_of` leads back.
    """

    graph: fx.Graph
    input: fx.Node
    parameters: Mapping[fx.Node, str]  # placeholder -> name in `tensors`
    tensors: Mapping[str, Tensor]
    trained: frozenset[str]  # names of the tensors that are trained
    _only_part: Mapping[fx.Node, fx.Node] = field(default_factory=dict)  # step -> its result

    @property
    def steps(self) -> list[fx.Node]:
        """The input, then what is computed, in order; parts that belong to their step left out."""
        parts = set(self._only_part.values())
        calls = [node for node in self.graph.nodes if node.op == "call_function"]
        return [self.input, *(node for node in calls if node not in parts and _has_value(node))]

    @property
    def outputs(self) -> list[fx.Node]:
        """The steps whose values the network returns."""
        returned = self.graph.output_node().args[0]
        values = returned if isinstance(returned, (tuple, list)) else (returned,)
        return [self.step_of(value) for value in values if isinstance(value, fx.Node)]

    def value_of(self, step: fx.Node) -> fx.Node:
        """Where the step's value is found among those that `run` returns."""
        return self._only_part.get(step, step)

    def part_read(self, step: fx.Node) -> dict[str, int]:
        """Of a step of which one result alone is read: {"part": its number}; else nothing."""
        only = self._only_part.get(step)
        return {} if only is None else {"part": only.args[1]}  # type: ignore

    def step_of(self, value: fx.Node) -> fx.Node:
        """The step that a value belongs to."""
        source = value.args[0] if value.target is operator.getitem else None
        return source if self._only_part.get(source) is not None else value  # type: ignore

    def shapes(self, step: fx.Node) -> tuple[Shape, ...]:
        """Shape of each result."""
        value = self.value_of(step).meta["val"]
        values = value if isinstance(value, (tuple, list)) else (value,)
        return tuple(tuple(each.shape) for each in values)

    def run(
        self, inputs: Tensor, replaced: Mapping[fx.Node, Tensor] | None = None
    ) -> dict[fx.Node, Any]:
        """All values, computed step by step; those `replaced` are taken as they are given."""
        given = replaced or {}
        values: dict[fx.Node, Any] = {self.input: given.get(self.input, inputs)}
        values.update((place, self.tensors[name]) for place, name in self.parameters.items())
        for node in self.graph.nodes:
            if node.op == "call_function":
                if node in given:
                    values[node] = given[node]
                    continue
                args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
                values[node] = node.target(*args, **kwargs)  # type: ignore
        return values


def export_program(network: nn.Module, example: Tensor) -> Program:
    """Capture what `network` does in eval mode. Raises `RequestError` where it cannot be."""
    exported = _export(network, example)
    graph = exported.graph
    _rewrite_batch_norms(graph)
    _refuse_what_cannot_run(graph)
    signature = exported.graph_signature
    places = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    stored = {
        places[spec.arg.name]: str(spec.target)
        for spec in signature.input_specs
        if spec.kind in STORED
    }
    (read,) = [spec.arg.name for spec in signature.input_specs if spec.kind == InputKind.USER_INPUT]
    held = {**exported.state_dict, **exported.constants}
    return Program(
        graph=graph,
        input=places[read],
        parameters=stored,
        tensors={name: held[name] for name in stored.values()},
        trained=frozenset(signature.parameters),
        _only_part=_only_parts(graph),
    )


def module_path(step: fx.Node) -> str:
    """Path of the innermost module that did the step; "" for the network itself."""
    stack = step.meta.get("nn_module_stack") or {"": ("", None)}
    return list(stack.values())[-1][0].split("@")[0]


def aten_name(step: fx.Node) -> str:
    """ATen's name of the step's operation, without namespace and overload."""
    schema = getattr(step.target, "_schema", None)
    return schema.name.split("::")[-1] if schema else "getitem"


def schema_arguments(step: fx.Node) -> tuple[dict[str, fx.Node], dict[str, Any]]:
    """A step's arguments by the names of its schema: those that are values, and plain ones.

    ATen's "self" is called "input" as elsewhere; the tensors of a list are numbered.
    """
    if step.target is operator.getitem:
        return {"input": step.args[0]}, {"index": step.args[1]}  # type: ignore
    values: dict[str, fx.Node] = {}
    plain: dict[str, Any] = {}
    for place, argument in enumerate(step.target._schema.arguments):  # type: ignore
        given = step.kwargs.get(argument.name, argument.default_value)
        value = step.args[place] if place < len(step.args) else given
        name = "input" if argument.name == "self" else argument.name
        if isinstance(value, fx.Node):
            values[name] = value
        elif isinstance(value, (list, tuple)) and any(isinstance(v, fx.Node) for v in value):
            named = ((f"{name}_{i}", each) for i, each in enumerate(value))
            values.update((key, each) for key, each in named if isinstance(each, fx.Node))
        elif _is_plain(value) and name not in WITHOUT_MEANING:
            plain[name] = tuple(value) if isinstance(value, (list, tuple)) else value
    return values, plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return isinstance(value, (bool, int, float, str))


def _has_value(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (
        isinstance(value, (tuple, list)) and all(isinstance(each, Tensor) for each in value)
    )


def _export(network: nn.Module, example: Tensor) -> ExportedProgram:
    said, noted = io.StringIO(), ""
    try:
        with (
            CAPTURING,
            evaluation_mode(network),
            warnings.catch_warnings(),
            redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")  # torch.export warns of its own deprecated parts
            exported = torch.export.export(network, (example,), strict=False)
            return exported.run_decompositions({})  # in-place operations and views become plain
    except Exception as error:
        graph = getattr(error, "partial_fx_graph", None)
        if graph is not None:  # torch prints it: thousands of lines
            noted = f"{graph}\n"
        first = str(error).strip().split("\n")[0]
        raise RequestError(
            f"{type(network).__name__} cannot be captured for an input of "
            f"{' x '.join(map(str, example.shape))}: {first}; its way through the layers must not "
            "depend on the values of the input"
        ) from error
    finally:
        sys.stderr.write(said.getvalue().replace(noted, "") if noted else said.getvalue())


def _rewrite_batch_norms(graph: fx.Graph) -> None:
    """Put `aten.batch_norm` back, which has one result, is differentiable and what was run."""
    lowered = torch.ops.aten._native_batch_norm_legit_no_training.default
    for node in graph.find_nodes(op="call_function", target=lowered):
        inputs, weight, bias, mean, variance, momentum, eps = node.args
        arguments = (inputs, weight, bias, mean, variance, False, momentum, eps, False)
        with graph.inserting_before(node):
            plain = graph.call_function(torch.ops.aten.batch_norm.default, arguments)
        plain.meta = dict(node.meta, val=node.meta["val"][0])
        for part in list(node.users):
            part.replace_all_uses_with(plain)
            graph.erase_node(part)
        graph.erase_node(node)


def _refuse_what_cannot_run(graph: fx.Graph) -> None:
    for node in graph.nodes:
        plain = node.op in ("placeholder", "output") or node.target is operator.getitem
        if not plain and not isinstance(node.target, torch._ops.OpOverload):
            raise RequestError(
                f"{module_path(node) or 'the network'} uses {node.target}, which cannot be "
                "captured as one operation; take it out of `forward`"
            )


def _only_parts(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    found = {}
    for node in graph.nodes:
        parts = list(node.users)
        several = isinstance(node.meta.get("val"), (tuple, list))
        if several and len(parts) == 1 and parts[0].target is operator.getitem:
            found[node] = parts[0]
    return found
