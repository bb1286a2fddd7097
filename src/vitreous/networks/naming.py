"""Readable names for a network's operations: the path of the module that does them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from torch import fx, nn

from vitreous.networks.operations import LAYERS, OPERATIONS
from vitreous.networks.program import aten_name, module_path


def operation_of(step: fx.Node) -> str:
    """The plain word for a step's operation; ATen's full name where there is none."""
    return OPERATIONS.get(aten_name(step), str(step.target))


def name_steps(network: nn.Module, steps: Sequence[fx.Node]) -> dict[fx.Node, str]:
    """A unique name for each step.

    A module that does one thing, and a layer's main operation, go by the module's path:
    "features.conv1". Whatever else is done has the operation behind it: "features.add". Names
    that come again get a number: "features.add_2". The first step is the input.
    """
    kinds = _kinds_by_module(steps)
    parents = {path for path, module in network.named_modules() if list(module.children())}
    names: dict[fx.Node, str] = {}
    taken: set[str] = set()
    for step in steps:
        base = "input" if step.op == "placeholder" else _base_name(step, kinds, parents)
        names[step] = next(name for name in _numbered(base) if name not in taken)
        taken.add(names[step])
    return names


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}_{number}" for number in count(2))


def _base_name(step: fx.Node, kinds: Mapping[str, set[str]], parents: set[str]) -> str:
    path, operation = module_path(step), operation_of(step)
    alone = path not in parents and len(kinds[path]) == 1
    layers = kinds[path] & LAYERS
    if path and (alone or layers == {operation}):
        return path
    word = aten_name(step) if operation == str(step.target) else operation
    return f"{path}.{word}".lstrip(".").replace(" ", "_")


def _kinds_by_module(steps: Sequence[fx.Node]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for step in steps[1:]:
        kinds[module_path(step)].add(operation_of(step))
    return kinds
