"""What a report carries for its walk: a small network's numbers, for a few samples.

The browser draws from them, and computes window x kernel = sum in float64 beside the value that
the network gave, without a server. A network whose numbers would make the file too large is not
carried; `vitreous serve` shows it.
"""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from torch import Tensor

from vitreous.data.listing import printable
from vitreous.errors import RequestError
from vitreous.insight.axis_fields import AxisField
from vitreous.insight.outline import network_outline
from vitreous.insight.receptive_fields import receptive_fields
from vitreous.networks.graph import Graph, Node, Value
from vitreous.report.extras import small_picture
from vitreous.report.shown import DataUri, data_uri
from vitreous.report.tables_of_run import Answer

MOST_BYTES = 4 * 2**20  # of float32 numbers; four thirds of that in the file
NOWHERE = (0, -1)  # first and last of what sees no input


class OperationShown(TypedDict):
    """One operation: what it reads of layers and of tensors, by argument, and its settings."""

    name: str
    operation: str
    inputs: dict[str, str]
    parameters: dict[str, str]
    attributes: dict[str, Any]


class TensorShown(TypedDict):
    """A tensor's shape, and where it begins among the numbers."""

    shape: list[int]
    offset: int


class AxisShown(TypedDict):
    """What cells see along one input axis: by their place on `axis`; None: all see the same."""

    axis: int | None
    first: list[int]
    last: list[int]


class SampleShown(TypedDict):
    """One sample, what was answered, and where each layer's value begins among the numbers."""

    sample_id: str
    truth: str
    predicted: str
    confidence: float | None
    wrong: bool | None
    picture: DataUri
    values: dict[str, int]


class WalkShown(TypedDict):
    """All that the walk needs; `numbers` is float32, little-endian, in base64."""

    run: dict[str, Any]
    network: dict[str, Any]
    operations: list[OperationShown]
    tensors: dict[str, TensorShown]
    fields: dict[str, list[AxisShown]]
    fields_exact: dict[str, bool]
    samples: list[SampleShown]
    numbers: str


@dataclass(frozen=True)
class WalkSample:
    """A sample to walk with: what was answered, its input (1, channels, *space), its picture."""

    answer: Answer
    inputs: Tensor
    picture: bytes  # PNG or JPEG; of a trial its traces


@dataclass
class _Numbers:
    """Arrays put one behind the other; `add` gives the place where one begins."""

    parts: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(self, values: np.ndarray) -> int:
        place = self.count
        self.parts.append(np.ascontiguousarray(values, dtype="<f4").ravel())
        self.count += values.size
        return place

    def encoded(self) -> str:
        return b64encode(b"".join(part.tobytes() for part in self.parts)).decode("ascii")


def walk_shown(
    graph: Graph,
    samples: Sequence[WalkSample],
    name: str,
    *,
    trial: Mapping[str, Any] | None = None,
    most_bytes: int = MOST_BYTES,
) -> WalkShown:
    """The walk through a network called `name`, for as many of the samples as `most_bytes` allow.

    `trial` says what the rows and columns of trials are: channels, sampling_rate_hz, window_s.
    Raises `RequestError` where not even one fits, or where there is none.
    """
    if not samples:
        raise RequestError("no sample of it was scored")
    values = graph.run(samples[0].inputs)
    operations = [_operation(graph, node) for node in graph.nodes if not node.constant]
    tensors, numbers = _tensors(graph, operations, values), _Numbers()
    needed = sum(tensor.size for tensor in tensors.values())
    each = sum(_array(values[name]).size for name in set(_layers(graph, values).values()))
    fitting = (most_bytes // 4 - needed) // each
    if fitting < 1:
        raise RequestError(
            f"its numbers for one sample take {4 * (needed + each) / 2**20:,.1f} MiB, and this "
            f"file carries at most {most_bytes / 2**20:g}"
        )
    fields = receptive_fields(graph)
    return WalkShown(
        run={
            "network": name,
            "parameters": sum(node.parameter_count for node in graph.nodes),
            "input_shape": list(graph.input_shape[1:]),
            "samples_missing": None,
            "trial": trial,
        },
        network=network_outline(graph, fields),
        operations=operations,
        tensors={
            key: TensorShown(shape=list(tensor.shape), offset=numbers.add(tensor))
            for key, tensor in tensors.items()
        },
        fields={key: [_axis(axis) for axis in one.axes] for key, one in fields.items()},
        fields_exact={key: one.exact for key, one in fields.items()},
        samples=[_sample(graph, sample, numbers, trial is None) for sample in samples[:fitting]],
        numbers=numbers.encoded(),
    )


def _operation(graph: Graph, node: Node) -> OperationShown:
    """What was made of weights alone counts as a tensor."""
    made = {key: name for key, name in node.inputs.items() if graph[name].constant}
    return OperationShown(
        name=node.name,
        operation=node.operation,
        inputs={key: name for key, name in node.inputs.items() if key not in made},
        parameters={**node.parameters, **made},
        attributes={
            key: plain for key, value in node.attributes.items() if (plain := _plain(value)) != ()
        },
    )


def _plain(value: Any) -> Any:
    """A setting as JSON has it; () for what it has not."""
    if isinstance(value, tuple | list):
        parts = [_plain(part) for part in value]
        return () if () in parts else parts
    if isinstance(value, float) and not math.isfinite(value):
        return ()  # no limit
    return value if value is None or isinstance(value, bool | int | float | str) else ()


def _tensors(
    graph: Graph, operations: Sequence[OperationShown], values: Mapping[str, Value]
) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for one in operations for name in one["parameters"].values())
    return {name: _array(graph.tensors.get(name, values.get(name))) for name in names}


def _array(value: Value | None) -> np.ndarray:
    assert isinstance(value, Tensor)  # what has several results is read by its parts
    return value.detach().float().cpu().numpy()


def _layers(graph: Graph, values: Mapping[str, Value]) -> dict[str, str]:
    """The layers whose value is one tensor, and for each the layer that holds its numbers.

    It is another one where a layer only lays the numbers of its input anew, in the same order.
    """
    held: dict[str, str] = {}
    for node in graph.nodes:
        if node.constant or not isinstance(values[node.name], Tensor):
            continue
        read = node.inputs.get("input", "")
        repeats = node.operation in {"identity", "reshape"} and read in held
        held[node.name] = held[read] if repeats else node.name
    return held


def _sample(graph: Graph, sample: WalkSample, numbers: _Numbers, is_picture: bool) -> SampleShown:
    values = graph.run(sample.inputs)
    holders = _layers(graph, values)
    places = {name: numbers.add(_array(values[name])) for name in dict.fromkeys(holders.values())}
    answer = sample.answer
    truth, predicted = (_words(answer[key]) for key in ("truth", "predicted"))
    return SampleShown(
        sample_id=printable(answer["sample_id"]),
        truth=truth,
        predicted=predicted,
        confidence=answer["confidence"],
        wrong=truth != predicted,
        picture=data_uri(*small_picture(sample.picture))
        if is_picture
        else data_uri(sample.picture),
        values={name: places[holder] for name, holder in holders.items()},
    )


def _words(label: str | float | list[str]) -> str:
    if isinstance(label, list):
        return printable(", ".join(label))
    return f"{label:.4g}" if isinstance(label, float) else printable(str(label))


def _axis(axis: AxisField) -> AxisShown:
    ends = [
        (first, last) if first <= last else NOWHERE
        for first, last in zip(axis.first.tolist(), axis.last.tolist(), strict=True)
    ]
    return AxisShown(
        axis=None if axis.axis is None else axis.axis - 1,  # without the batch
        first=[first for first, _ in ends],
        last=[last for _, last in ends],
    )
