"""Layers that hold maps: found by running the network once, and laid over the input exactly."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError, unknown_name
from vitreous.insight.receptive_fields import Box, Centres, Field, cell_centres, receptive_fields
from vitreous.networks.graph import Graph, capture
from vitreous.networks.modes import evaluating, evaluation_mode


@dataclass(frozen=True)
class MapLayer:
    """A module whose output is a map (batch, channels, *cells), and where its cells look."""

    name: str  # the module's path, as in `network.named_modules()`
    node: str  # the graph's operation that makes its value
    channels: int
    cells: tuple[int, ...]
    centres: Centres  # input coordinates, 0 the middle of the first input cell
    field: Field

    def to_input(self, values: np.ndarray, space: Sequence[int]) -> np.ndarray:
        """Cells (*cells) laid over an input of (*space): float32.

        Each value stands at the centre of what its cell sees; between centres it is linear, beyond
        the outermost ones constant. So a value never stands where its cell does not look.
        """
        laid = np.asarray(values, np.float64)
        for axis, (centres, size) in enumerate(zip(self.centres, space, strict=True)):
            weights = interpolation(centres, size)
            laid = np.moveaxis(np.tensordot(weights, laid, axes=(1, axis)), 0, axis)
        return laid.astype(np.float32)

    def box(self, position: Sequence[int]) -> Box:
        """First and last input position an axis that the cell sees."""
        return self.field.box((0, 0, *position))

    @property
    def parts(self) -> tuple["MapLayer", ...]:
        """Itself alone; of `JoinedLayers` there are several."""
        return (self,)

    def cell_size(self, space: Sequence[int]) -> float:
        """Cells of an input of (*space) that one cell stands for: from it to its neighbours."""
        axes = zip(self.centres, space, strict=True)
        return float(np.prod([at[1] - at[0] if len(at) > 1 else size for at, size in axes]))


@dataclass(frozen=True)
class JoinedLayers:
    """Layers that a head reads side by side, as one: what all their cells speak is added up."""

    name: str
    parts: tuple[MapLayer, ...]

    def to_input(self, values: Sequence[np.ndarray], space: Sequence[int]) -> np.ndarray:
        """The cells of each part laid over an input of (*space), and added: float32.

        A cell's value is shared out over the input cells that it stands for, so that a coarse cell
        counts no more than a fine one that speaks as much.
        """
        total = np.zeros(tuple(space))
        for part, one in zip(self.parts, values, strict=True):
            total += part.to_input(np.asarray(one, np.float64) / part.cell_size(space), space)
        return total.astype(np.float32)


AtLayer = MapLayer | JoinedLayers


def interpolation(centres: np.ndarray, size: int) -> np.ndarray:
    """The matrix (size, cells) that reads values at `centres` at every whole place before `size`.

    >>> interpolation(np.array([0.5, 2.5]), 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    units = np.eye(len(centres))
    return np.stack([np.interp(np.arange(size), centres, unit) for unit in units], axis=1)


def map_layers(network: nn.Module, example: Tensor, graph: Graph | None = None) -> list[MapLayer]:
    """All modules that make maps of more than one cell, in the order they end.

    A block comes after its last part, whose maps it passes on; `distinct` leaves it out.
    `example` is (1, channels, *space); of a larger batch the first is taken. `graph` is what
    `capture` made of the two, where it is known already. Raises `RequestError` where the network
    cannot be captured, for then nobody knows where its cells look.
    """
    graph = capture(network, example) if graph is None else graph
    centres, fields = cell_centres(graph), receptive_fields(graph)
    found = []
    for name, shape in _shapes_in_order(network, example[:1]).items():
        node = _node_of(graph, name, shape)
        if node is None or node not in centres or np.prod(shape[2:]) <= 1:
            continue
        found.append(MapLayer(name, node, shape[1], shape[2:], centres[node], fields[node]))
    return found


def distinct(layers: Sequence[MapLayer]) -> list[MapLayer]:
    """One layer for each value: the module that made it, not those that pass it on."""
    first: dict[str, MapLayer] = {}
    for layer in layers:
        first.setdefault(layer.node, layer)
    return list(first.values())


def map_layer(network: nn.Module, example: Tensor, name: str | None = None) -> MapLayer:
    """The layer of that name; without one, the last that holds maps: what the head reads.

    Raises `RequestError` for an unknown layer, and for one that makes no maps.
    """
    layers = map_layers(network, example)
    if not layers:
        raise RequestError(
            f"{type(network).__name__}: no layer holds a map of more than one cell; "
            "take occlusion, which needs none"
        )
    if name is None:
        return distinct(layers)[-1]
    for layer in layers:
        if layer.name == name:
            return layer
    if name in dict(network.named_modules()):
        raise RequestError(
            f"layer '{name}': does not make a map whose cells look at places of the input; "
            f"take one that does, such as {layers[-1].name}"
        )
    raise unknown_name("layer", name, [layer.name for layer in layers])


def _shapes_in_order(network: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """What each module that gives one tensor gives, by its path; the last run counts."""
    shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str):
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                shapes.pop(name, None)
                shapes[name] = tuple(output.shape)

        return hook

    handles = [
        module.register_forward_hook(keep(name)) for name, module in network.named_modules() if name
    ]
    try:
        with evaluating(network):
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _node_of(graph: Graph, name: str, shape: tuple[int, ...]) -> str | None:
    """The last operation inside a module that has the shape of the module's output."""
    inside = [
        node.name
        for node in graph.nodes
        if (node.module == name or node.module.startswith(f"{name}."))
        and node.shape == shape
        and not node.constant
    ]
    return inside[-1] if inside else None


@contextmanager
def replaced_output(network: nn.Module, name: str, replace) -> Iterator[None]:
    """Inside, what the module `name` gives goes through `replace(Tensor) -> Tensor` first.

    Raises `RequestError` for an unknown module.
    """
    modules = dict(network.named_modules())
    if name not in modules:
        raise unknown_name("layer", name, [known for known in modules if known])

    def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise RequestError(f"layer '{name}': gives no single tensor; choose a part of it")
        return replace(output)

    handle = modules[name].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def run_from(
    network: nn.Module, inputs: Tensor, layers: Sequence[str]
) -> tuple[list[Tensor], Tensor]:
    """The layers' maps, each as the start of a history for `autograd.grad`, and the outputs.

    What comes before the first layer is run without history, so that gradients cost only what comes
    after it. A layer that runs several times counts as it was in the last. Of several layers none
    may lead to another.
    """
    kept: dict[str, Tensor] = {}

    def start_at(name: str):
        def start(output: Tensor) -> Tensor:
            torch.set_grad_enabled(True)  # the surrounding context puts it back
            kept[name] = output.detach().requires_grad_()
            return kept[name].clone()  # which the next layer may write into

        return start

    with (
        torch.inference_mode(False),
        torch.no_grad(),
        evaluation_mode(network),
        ExitStack() as stack,
    ):
        for name in layers:
            stack.enter_context(replaced_output(network, name, start_at(name)))
        outputs = network(inputs)
        for name in layers:
            if name not in kept:
                raise RequestError(f"layer '{name}': did not run for these inputs; choose another")
        return [kept[name] for name in layers], outputs
