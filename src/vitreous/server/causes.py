"""Causes: what each map of a layer speaks for an answer, and the answer without one of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitreous.data.listing import printable
from vitreous.errors import RequestError
from vitreous.insight.receptive_fields import sensitivity
from vitreous.runs.explain_places import shares_of as calibrated
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.pack import Pack
from vitreous.server.placed import Placed, is_placed, placed_at


def map_shares(
    explorer: Explorer, sample_id: str, layer: str, place: str = ""
) -> schemas.MapShares:
    """For each map of a layer the sum of its values times their gradients: HiResCAM's, by map.

    At the last maps before averaging and a linear layer they sum to the answer less its bias.
    Raises `RequestError` for a layer that the answer does not depend on.
    """
    explorer.node(layer)
    at = _Answered(explorer, sample_id, place)
    values = explorer.graph.run(explorer.inputs(sample_id).requires_grad_(), gradients=True)
    value, outputs = values[layer], at.read(values[explorer.graph.outputs[0]])  # type: ignore
    own = at.output(outputs)
    (gradient,) = torch.autograd.grad(outputs[0, own], [value], allow_unused=True)  # type: ignore
    if gradient is None:
        raise RequestError(f"{layer}: the answer does not depend on it")
    parts = np.moveaxis((value * gradient)[0].detach().numpy(), explorer.channel_axes[layer], 0)  # type: ignore
    return schemas.MapShares(
        layer=layer,
        explained=at.name(own),
        place=at.words,
        score=float(outputs[0, own].detach()),
        shares=[float(part) for part in parts.reshape(len(parts), -1).sum(1)],
    )


def without_map(
    explorer: Explorer, sample_id: str, layer: str, channel: int, place: str = ""
) -> schemas.WithoutMap:
    """The answer with a map of a layer at zero. Raises `RequestError` where it is not there."""
    explorer.node(layer)
    at, trace = _Answered(explorer, sample_id, place), explorer.trace(sample_id)
    value, axis = trace.values[layer], explorer.channel_axes[layer] + 1
    assert isinstance(value, Tensor)  # a layer that can be opened
    if not 0 <= channel < value.shape[axis]:
        raise RequestError(f"{layer}: has channels 0 to {value.shape[axis] - 1}, not {channel}")
    off = value.clone()
    off.select(axis, channel).zero_()
    output = explorer.graph.outputs[0]
    again = explorer.graph.run(explorer.inputs(sample_id), replaced={layer: off})
    before, after = at.read(trace.values[output]), at.read(again[output])  # type: ignore[arg-type]
    own = at.output(before)
    return schemas.WithoutMap(
        layer=layer,
        channel=channel,
        explained=at.name(own),
        place=at.words,
        before=at.shown(before, own),
        after=at.shown(after, own),
    )


def felt(explorer: Explorer, sample_id: str, layer: str, index: list[int]) -> Pack:
    """How strongly each place of the input moves a cell: block "felt", float32 (*space)."""
    explorer.trace(sample_id).at(layer, index)  # raises for a cell that is not there
    pack = Pack()
    found = sensitivity(explorer.graph, layer, (0, *index), explorer.inputs(sample_id))
    pack.add_numbers("felt", found)
    return pack


@dataclass(frozen=True)
class _Answered:
    """Which number of a run's outputs is its answer, of many that of a place."""

    explorer: Explorer
    sample_id: str
    asked: str

    @property
    def place(self) -> Placed | None:
        if not is_placed(self.explorer.run):
            return None
        return placed_at(self.explorer, self.sample_id, self.asked)

    @property
    def words(self) -> str | None:
        return None if self.place is None else self.place.words

    def read(self, outputs: Tensor) -> Tensor:
        """(1, outputs)."""
        return outputs if self.place is None else self.place.place.read(outputs)

    def output(self, outputs: Tensor) -> int:
        own = None if self.place is None else self.place.target
        return int(outputs[0].argmax()) if own is None else own

    def name(self, output: int) -> str:
        classes = self.explorer.run.record.classes
        return printable(classes[output]) if classes else "the number"

    def shown(self, outputs: Tensor, output: int) -> schemas.OneAnswer:
        run = self.explorer.run
        one_of_many = run.record.task in ("classify", "segment")
        return schemas.OneAnswer(
            score=float(outputs[0, output]),
            share=float(calibrated(run)(outputs)[0, output])
            if run.record.task != "regress"
            else None,
            answer=self.name(int(outputs[0].argmax())) if one_of_many else None,
        )
