"""The network's layers and storeys, their maps and kernels, as they are shown."""

import math
from collections.abc import Sequence

import numpy as np

from vitreous.errors import RequestError
from vitreous.insight.filters import (
    Filters,
    beside_each_other,
    colour_pictures,
    strongest_planes,
)
from vitreous.insight.outline import kernel_shape, network_outline
from vitreous.report.shown import smaller
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.pack import Pack
from vitreous.server.samples import NotFoundError

CHANNELS_A_STOREY = 6
STOREY_SIDE = 56  # pixels; larger maps are averaged down where many are shown
MOST_CELLS = 4_000_000  # of maps in one answer


def network_of(explorer: Explorer) -> schemas.Network:
    """All layers and the storeys that they make."""
    return schemas.Network(**network_outline(explorer.graph, explorer.fields))


def maps_of(
    explorer: Explorer,
    sample_id: str,
    layer: str,
    *,
    channels: Sequence[int] = (),
    first: int = 0,
    count: int = 64,
    side: int = 64,
    plane: int | None = None,
) -> Pack:
    """A layer's maps to look at: the channels named, or `count` of them, the most active first.

    All of them are on one scale. Maps larger than `side` are averaged down; 0 leaves them. Of three
    axes one slice is shown, `plane` or the middle one, on the scale of all.
    """
    values, limit = _maps(explorer, sample_id, layer, plane)
    activity = np.abs(values).mean(axis=(1, 2))
    chosen = _check_channels(channels, len(values), layer) or _by_activity(activity, first, count)
    shown = smaller(values[chosen], side) if side else values[chosen]
    if shown.size > MOST_CELLS:
        raise RequestError(f"{layer}: {shown.size:,} cells at once; ask for fewer channels")
    pack = Pack(activity=[_finite(value) for value in activity])
    pack.add_signed("maps", shown, chosen, limit=limit)
    return pack


def numbers_of(
    explorer: Explorer,
    sample_id: str,
    layer: str,
    channel: int | None = None,
    plane: int | None = None,
) -> Pack:
    """One channel of a layer, exactly: (height, width); of a vector all of it, in one row.

    Of three axes one slice, `plane` or the middle one. Raises `RequestError` where a layer of maps
    is asked for without a channel.
    """
    found = explorer.values(sample_id, layer)
    pack = Pack()
    if found.ndim == 1:
        pack.add_numbers("numbers", found[None])
        return pack
    values, _ = _maps(explorer, sample_id, layer, plane)
    if channel is None:
        raise RequestError(f"{layer}: has {len(values)} maps; say which channel")
    chosen = _check_channels([channel], len(values), layer)
    pack.add_numbers("numbers", values[chosen[0]], chosen)
    return pack


def storeys_of(explorer: Explorer, sample_id: str) -> Pack:
    """The most active maps of each storey, each on its own scale, blocks named by the storeys."""
    pack = Pack()
    rank = {node.name: len(node.shape) - 1 for node in explorer.graph.nodes}
    for floor in explorer.floors:
        if floor.minor or rank[floor.name] > 4:  # what has no one picture is left out here
            continue
        values, _ = _maps(explorer, sample_id, floor.nodes[-1])
        if values.shape[1:] == (1, 1):  # a vector: all of it, in one row
            pack.add_signed(floor.name, values.reshape(1, 1, -1))
            continue
        activity = np.abs(values).mean(axis=(1, 2))
        chosen = _by_activity(activity, 0, CHANNELS_A_STOREY)
        shown = smaller(values[chosen], STOREY_SIDE)
        pack.add_signed(floor.name, shown, chosen)
    return pack


def kernels_of(explorer: Explorer, layer: str) -> Pack:
    """A convolution's kernels: colours over three channels, else the strongest plane of each.

    Of three axes their slices lie side by side.
    """
    node = explorer.node(layer)
    if kernel_shape(explorer.graph, node) is None:
        raise NotFoundError(f"{layer}: has no kernels to show")
    weights = explorer.graph.tensors[node.parameters["weight"]].detach().numpy()
    in_space = weights.ndim == 5
    if weights.ndim == 3:
        weights = weights[:, :, None]
    elif in_space:
        weights = beside_each_other(weights)
    filters = Filters(layer, weights)
    pack = Pack()
    if weights.shape[1] == 3 and not in_space:
        pack.add_colour("kernels", colour_pictures(filters), filters.limit)
        return pack
    planes = strongest_planes(weights)
    shown = weights[np.arange(len(planes)), planes]
    pack.add_signed("kernels", shown, planes.tolist(), limit=filters.limit)
    return pack


def _maps(
    explorer: Explorer, sample_id: str, layer: str, plane: int | None = None
) -> tuple[np.ndarray, float]:
    """A layer's value as (channels, height, width), and its largest size in all slices.

    A vector has one cell a channel; of three axes one slice is taken, `plane` or the middle one.
    Raises `RequestError` for a slice that is not there, and for more axes.
    """
    values = explorer.values(sample_id, layer)
    if values.ndim > 4:
        raise RequestError(f"{layer}: has {values.ndim - 1} axes; maps of three at most are drawn")
    values = np.moveaxis(values, explorer.channel_axes[layer], 0)
    limit = _limit(values)
    if values.ndim == 4:
        depth = values.shape[1]
        place = depth // 2 if plane is None else plane
        if not 0 <= place < depth:
            raise RequestError(f"{layer}: has slices 0 to {depth - 1}, not {place}")
        values = values[:, place]
    return values.reshape(len(values), *(1,) * (3 - values.ndim), *values.shape[1:]), limit


def _by_activity(activity: np.ndarray, first: int, count: int) -> list[int]:
    return np.argsort(-activity, kind="stable")[first : first + count].tolist()


def _check_channels(channels: Sequence[int], size: int, layer: str) -> list[int]:
    for channel in channels:
        if not 0 <= channel < size:
            raise RequestError(f"{layer}: has channels 0 to {size - 1}, not {channel}")
    return list(channels)


def _limit(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
