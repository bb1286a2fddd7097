"""What stands behind the server's answers: a run, its graph, and the traces of its samples."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from threading import RLock

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.listing import printable
from vitreous.data.transforms import to_network_input
from vitreous.insight.attribution import MapLayer, distinct, map_layers
from vitreous.insight.receptive_fields import Field, receptive_fields
from vitreous.insight.storeys import Floor, channel_axes, floor_by_node, floors_of
from vitreous.insight.trace import Trace, trace_of
from vitreous.networks.graph import Graph, Node, capture
from vitreous.runs.predict import Prediction, answer_for
from vitreous.runs.run import Run
from vitreous.runs.scan_pieces import piece_size
from vitreous.server.samples import NotFoundError, SampleBook
from vitreous.training.devices import serving_compute

TRACES_BYTES = 400 * 2**20  # kept; a ResNet-18 at 224 pixels makes some 40 MiB a sample


class Explorer:
    """One run, opened for looking: everything is computed on the processor, in float32.

    The network is used by one request at a time; what is found is kept. `others` are runs whose
    answers can be compared with this one's, by name.
    """

    def __init__(
        self, run: Run, others: Sequence[Run] = (), traces_bytes: int = TRACES_BYTES
    ) -> None:
        self.run = run
        self.others = {name: Explorer(other) for name, other in _named(others).items()}
        self.samples = SampleBook(run)
        self._most_bytes = traces_bytes
        self._traces: OrderedDict[str, tuple[int, Trace]] = OrderedDict()
        self._answers: OrderedDict[str, Prediction] = OrderedDict()
        self._lock = RLock()

    def warm_up(self) -> None:
        """Do what every first request would wait for: load, capture, find the data."""
        _ = self.fields, self.floor_of, self.samples.source, self._answering, self.map_layers
        self.graph.run(torch.zeros(self.graph.input_shape))

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """What is looked at of a sample, (channels, *space): of scans with masks a piece."""
        if self.run.of_scans:
            return (self.run.input_shape[0], *piece_size(self.run))
        return self.run.input_shape

    @cached_property
    def graph(self) -> Graph:
        """The network's operations, captured for the size that it was trained on."""
        with self._lock:
            return capture(self.run.network, torch.zeros(1, *self.input_shape))

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Receptive fields by layer."""
        return receptive_fields(self.graph)

    @cached_property
    def floors(self) -> tuple[Floor, ...]:
        """The storeys, the input first."""
        return floors_of(self.graph)

    @cached_property
    def floor_of(self) -> dict[str, Floor]:
        """Each layer's storey."""
        return floor_by_node(self.floors)

    @cached_property
    def channel_axes(self) -> dict[str, int]:
        """Which axis of each layer's value holds the channels."""
        return channel_axes(self.graph)

    @cached_property
    def map_layers(self) -> list[MapLayer]:
        """Layers that hold maps, each value once."""
        with self._lock:
            example = torch.zeros(self.graph.input_shape)
            return distinct(map_layers(self.run.network, example, self.graph))

    def node(self, layer: str) -> Node:
        """A layer whose values can be shown. Raises `NotFoundError`."""
        if layer not in self.floor_of:
            raise NotFoundError(f"there is no layer '{layer}' to open in this network")
        return self.graph[layer]

    def trace(self, sample_id: str) -> Trace:
        """A sample's way through the network. Raises as `SampleBook.pixels` does."""
        with self._lock:
            if sample_id not in self._traces:
                found = trace_of(self.graph, self.inputs(sample_id))
                self._traces[sample_id] = (_bytes_of(found), found)
                self._drop_old_traces()
            self._traces.move_to_end(sample_id)
            return self._traces[sample_id][1]

    def values(self, sample_id: str, layer: str) -> np.ndarray:
        """A layer's value, float32 (channels, *space)."""
        self.node(layer)
        return self.trace(sample_id).array(layer)

    def answer(self, sample_id: str) -> Prediction:
        """What the run answers: all its views, in the number format that it was timed for."""
        with self._lock:
            if sample_id not in self._answers:
                pixels = self.samples.pixels(sample_id)
                self._answers[sample_id] = answer_for(
                    self.run, self._answering, self.compute, sample_id, pixels
                )
                while len(self._answers) > 1000:
                    self._answers.popitem(last=False)
            return self._answers[sample_id]

    def plain_answer(self, sample_id: str) -> np.ndarray:
        """Probabilities (classes,), or the number (1,), of the one plain pass that is shown."""
        value = self.trace(sample_id).values[self.graph.outputs[0]]
        assert isinstance(value, Tensor)  # a classifier's or a regression's outputs
        return self.run.task.answers(value, self.run.temperature).double().numpy()[0]

    @cached_property
    def compute(self):
        """The compute path of the answers."""
        return serving_compute(self.run.record.compute, "cpu")

    @cached_property
    def _answering(self) -> nn.Module:
        """A copy of the network, laid out as answers are computed; the one traced stays plain."""
        return self.compute.place(deepcopy(self.run.network))

    def inputs(self, sample_id: str) -> Tensor:
        """A sample as the network takes it: float32 (1, channels, *space).

        Raises as `SampleBook.pixels` does.
        """
        pixels = self.samples.seen(sample_id)
        return to_network_input(torch.from_numpy(pixels[None].copy()), self.run.scaling)

    def _drop_old_traces(self) -> None:
        while len(self._traces) > 1 and sum(size for size, _ in self._traces.values()) > (
            self._most_bytes
        ):
            self._traces.popitem(last=False)


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by their folders' names, told apart by a number where two are alike."""
    found: dict[str, Run] = {}
    for run in runs:
        name = printable(run.folder.resolve().name)
        alike = sum(each == name or each.startswith(f"{name} (") for each in found)
        found[f"{name} ({alike + 1})" if alike else name] = run
    return found


def _bytes_of(trace: Trace) -> int:
    """Memory of all values, those that share it counted once."""
    seen = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for value in trace.values.values()
        if isinstance(value, Tensor)
    }
    return sum(seen.values())
