"""A cell as it is shown: the sum and its window, then what norms and activations make of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitreous.convolution import MaximumTerms, Terms
from vitreous.convolution.terms import plain
from vitreous.errors import RequestError
from vitreous.insight import cells as insight
from vitreous.insight.trace import Trace
from vitreous.server.explorer import Explorer
from vitreous.server.schemas import (
    Cell,
    CellStep,
    Plane,
    Read,
    RefusedStep,
    SourceTerm,
    Window,
)

MOST_SOURCES = 24
MOST_PLANES = 6
LARGEST_WINDOW = 400  # cells a channel; larger windows are shown by their largest terms alone


def cell_of(
    explorer: Explorer, sample_id: str, layer: str, index: Sequence[int], plane: int | None = None
) -> Cell:
    """The cell at `index` (channel, then position) of a layer's storey, for one sample.

    `plane` is an input channel whose window and kernel are wanted, beside the largest.
    Raises `RequestError` for a cell that is not there.
    """
    node = explorer.node(layer)
    floor = explorer.floor_of[layer]
    trace = explorer.trace(sample_id)
    _check(trace, layer, index)
    box = explorer.fields[layer].box((0, *index))
    return Cell(
        layer=layer,
        index=list(index),
        shape=list(node.shape[1:]),
        storey=floor.name,
        steps=[_step(trace, name, index, plane) for name in floor.nodes],
        field=None if box is None else [list(ends) for ends in box],
        field_exact=explorer.fields[layer].exact,
    )


def _check(trace: Trace, layer: str, index: Sequence[int]) -> None:
    """Raise for a cell that is not there, before an operation refuses for another reason."""
    shape = trace.node(layer).shape[1:]
    outside = len(index) != len(shape) or any(
        not 0 <= at < size for at, size in zip(index, shape, strict=True)
    )
    if outside:
        size = " x ".join(map(str, shape))
        raise RequestError(f"{layer} is {size}: it has no cell {tuple(index)}")


def _step(
    trace: Trace, layer: str, index: Sequence[int], plane: int | None
) -> CellStep | RefusedStep:
    try:
        cell = trace.at(layer, index)
    except RequestError as error:
        operation = trace.node(layer).operation
        return RefusedStep(node=layer, operation=operation, refused=str(error))
    found = cell.explanation
    shown = cell.sources(MOST_SOURCES)
    products = [term.product for term in shown if term.product is not None]
    total = sum(len(operand.values) for operand in found.operands)
    count = 1 if found.winner is not None else total
    a_sum = bool(products) and count > len(shown)
    rest = found.total - sum(products) - (found.bias or 0.0) if a_sum else None
    return CellStep(
        node=cell.node,
        operation=cell.operation,
        formula=found.formula,
        **cell.difference.to_json(),
        bias=plain(found.bias),
        numbers={name: plain(value) for name, value in found.steps.items()},
        sources=[SourceTerm(**term.to_json()) for term in shown],
        rest=plain(rest),
        rest_count=count - len(shown),
        reads=[read for operand in found.operands if (read := _read(operand)) is not None],
        window=_window(found, plane),
    )


def _read(operand: insight.Operand) -> Read | None:
    """The box around the cells that are read of an earlier layer."""
    real = operand.indices[(operand.indices >= 0).all(axis=1)]
    if operand.node is None or not len(real):
        return None
    first, last = real.min(axis=0).tolist(), real.max(axis=0).tolist()
    return Read(node=operand.node, box=[list(ends) for ends in zip(first, last, strict=True)])


def _window(found: insight.Explanation, plane: int | None) -> Window | None:
    details = found.details
    if not isinstance(details, Terms | MaximumTerms):
        return None
    cells = details.sources.shape[:-1]
    if not cells or int(np.prod(cells)) > LARGEST_WINDOW:
        return None
    node = next((operand.node for operand in found.operands), None)
    shared: dict[str, Any] = {
        "node": node,
        "space": [int(size) for size in cells],
        "positions": _rows(details.positions),
        "sources": _rows(details.sources),
    }
    if isinstance(details, MaximumTerms):
        values = plain(details.window.ravel())
        only = Plane(channel=details.cell[0], window=values, kernel=[], products=[])
        return Window(
            kind="maximum", channels=[details.cell[0]], channel_sums=[], planes=[only],
            winner=None if details.winner is None else list(details.winner), **shared,
        )  # fmt: skip
    return Window(
        kind="sum",
        channels=details.channels.tolist(),
        channel_sums=plain(details.channel_sums),
        planes=_planes(details, plane),
        winner=None,
        **shared,
    )


def _planes(terms: Terms, wanted: int | None) -> list[Plane]:
    """The channels with the largest sums, largest first, and the one that was asked for."""
    order = np.argsort(-np.abs(terms.channel_sums), kind="stable")[:MOST_PLANES].tolist()
    channels = terms.channels.tolist()
    if wanted in channels and channels.index(wanted) not in order:
        order.append(channels.index(wanted))
    products = terms.products
    return [
        Plane(
            channel=channels[number],
            window=plain(terms.window[number].ravel()),
            kernel=plain(terms.kernel[number].ravel()),
            products=plain(products[number].ravel()),
        )
        for number in order
    ]


def _rows(places: np.ndarray) -> list[list[int]]:
    return places.reshape(-1, places.shape[-1]).tolist()
