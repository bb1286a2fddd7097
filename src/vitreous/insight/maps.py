"""Feature maps: what the layers of a network make of a picture."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from vitreous.errors import RequestError, unknown_name
from vitreous.networks.modes import evaluating


@dataclass(frozen=True)
class LayerMaps:
    """The feature maps that one layer makes of one picture.

    `maps` is float32 (channels, height, width); a cell of them stands `stride` input pixels from
    its neighbour, None where that is not known.
    """

    name: str
    maps: np.ndarray
    stride: int | None = None


def feature_maps(
    network: nn.Module, inputs: Tensor, layers: Sequence[str]
) -> dict[str, np.ndarray]:
    """What the named layers give for `inputs`, in evaluation mode and without gradients.

    `inputs` is (batch, channels, height, width), as the network takes them; `layers` are names
    out of `network.named_modules()`. Each value is float32 with the batch in front. A layer that
    runs several times in one pass is shown as it was in the last. The network is left in the
    mode it was in, without hooks.

    Raises `RequestError` for an unknown layer, for one that did not run, and for one whose output
    is not a single tensor.
    """
    modules = dict(network.named_modules())
    for layer in layers:
        if layer not in modules:
            raise unknown_name("layer", layer, (name for name in modules if name))
    outputs: dict[str, object] = {}
    with _hooks({layer: modules[layer] for layer in layers}, outputs), evaluating(network):
        network(inputs)
    return {layer: _as_array(layer, outputs.get(layer)) for layer in layers}


def chosen_maps(network: nn.Module, inputs: Tensor, count: int = 4) -> list[list[LayerMaps]]:
    """A few layers' maps of each picture, finest first: one list a picture of `inputs`.

    A network with `features` gives the maps its head reads; at most `count` of them, the finest
    and the coarsest among them. Any other network gives `count` of its convolutions, evenly
    spaced from the first to the last.
    """
    layers = _maps_of_features(network, inputs) or _maps_of_convolutions(network, inputs, count)
    return [
        [
            LayerMaps(name, layers[name][0][index], layers[name][1])
            for name in evenly(list(layers), count)
        ]
        for index in range(len(inputs))
    ]


def strongest_channels(maps: np.ndarray, count: int) -> list[int]:
    """The channels of (channels, height, width) with the largest mean size, strongest first.

    >>> strongest_channels(np.array([[[1.0]], [[-3.0]], [[2.0]]]), count=2)
    [1, 2]
    """
    sizes = np.abs(maps).mean(axis=(1, 2))
    return np.argsort(-sizes, kind="stable")[:count].tolist()


@contextmanager
def _hooks(modules: dict[str, nn.Module], outputs: dict[str, object]) -> Iterator[None]:
    def keep(layer: str):
        # Copied at once: the next layer may write into the same memory (ReLU in place).
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            outputs[layer] = output.clone() if isinstance(output, Tensor) else output

        return hook

    handles = [module.register_forward_hook(keep(layer)) for layer, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _as_array(layer: str, output: object) -> np.ndarray:
    if output is None:
        raise RequestError(f"layer '{layer}': did not run for these inputs; choose another")
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise RequestError(f"layer '{layer}': gives a {kind}, not one tensor; choose a part of it")
    return output.float().cpu().numpy()


Layers = dict[str, tuple[np.ndarray, int | None]]  # name -> maps with the batch, stride


def _maps_of_features(network: nn.Module, inputs: Tensor) -> Layers:
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Module):
        return {}
    try:
        with evaluating(network):
            maps = features(inputs)
    except (NotImplementedError, TypeError):  # a container of parts is no features to run
        return {}
    if not isinstance(maps, list | tuple):
        return {}
    strides = getattr(features, "strides", None) or [(None,)] * len(maps)
    named = (
        (f"features, map {i + 1}", *pair) for i, pair in enumerate(zip(maps, strides, strict=True))
    )
    return {name: (_as_array(name, one), stride[0]) for name, one, stride in named if one.ndim == 4}


def _maps_of_convolutions(network: nn.Module, inputs: Tensor, count: int) -> Layers:
    convolutions = [n for n, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    maps = feature_maps(network, inputs, evenly(convolutions, count))
    return {name: (values, None) for name, values in maps.items()}


def evenly(items: list[str], count: int) -> list[str]:
    """At most `count` of the items, evenly spaced, the first and the last among them.

    >>> evenly(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    if len(items) <= count:
        return items
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]
