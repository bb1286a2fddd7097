"""One of the many answers of a network that says what is where: that of a pixel, or of a cell."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution.layers import JoinedLayers, MapLayer
from vitreous.insight.receptive_fields import cell_centres, receptive_fields
from vitreous.networks.graph import capture

READ = "features"  # what the layer of all maps that the head reads is called


@dataclass(frozen=True)
class PixelOf:
    """A pixel or voxel of answers (batch, outputs, *space): its place along each axis of space."""

    position: tuple[int, ...]

    def read(self, answers: Tensor) -> Tensor:
        """(batch, outputs)."""
        for axis, place in enumerate(self.position, start=2):
            answers = answers.narrow(axis, place, 1)
        return answers.flatten(1)


@dataclass(frozen=True)
class CellOf:
    """The classes at a cell of a detector's answers (batch, cells, classes and box)."""

    cell: int
    classes: int

    def read(self, answers: Tensor) -> Tensor:
        """(batch, classes)."""
        return answers.narrow(1, self.cell, 1).narrow(2, 0, self.classes).flatten(1)


class OnePlace(nn.Module):
    """A network of features and head that answers for one place alone: (batch, outputs).

    Its features and its head are the network's own and keep their names, so that whatever explains
    a classifier explains this one. `read` are the maps that the head reads, each as it is.
    """

    def __init__(self, network: nn.Module, place: PixelOf | CellOf):
        """Raises `RequestError` for a network that has not these two halves."""
        super().__init__()
        features, head = getattr(network, "features", None), getattr(network, "head", None)
        if not isinstance(features, nn.Module) or not isinstance(head, nn.Module):
            raise RequestError(
                f"{type(network).__name__}: has no features and head, which explaining one place "
                "needs; make it with vitreous.Network.of"
            )
        self.features, self.head = features, head
        self.read = nn.ModuleList(nn.Identity() for _ in features.strides)  # type: ignore
        self.place = place

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, outputs) of inputs (batch, channels, *space)."""
        maps = [read(each) for read, each in zip(self.read, self.features(inputs), strict=True)]
        return self.place.read(self.head(maps))


_known: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], JoinedLayers]] = WeakKeyDictionary()


def read_layers(network: OnePlace, example: Tensor) -> JoinedLayers:
    """All maps that the head reads, for inputs of the example's size (1, channels, *space).

    Nothing passes by them, so that together they hold all that speaks for the answer. They follow
    from the features' layers and the size alone, not from weights, and are found once for both.
    Raises `RequestError` where the features cannot be captured.
    """
    known = _known.setdefault(network.features, {})
    if (size := tuple(example.shape[1:])) not in known:
        known[size] = _found_layers(network, example)
    return known[size]


def _found_layers(network: OnePlace, example: Tensor) -> JoinedLayers:
    graph = capture(network.features, example)
    centres, fields = cell_centres(graph), receptive_fields(graph)
    parts = [
        MapLayer(f"read.{number}", name, shape[1], shape[2:], centres[name], fields[name])
        for number, name in enumerate(graph.outputs)
        if name in centres and (shape := graph[name].shape)
    ]
    return JoinedLayers(READ, tuple(parts))
