"""What the cells of one tensor axis see along one axis of the network's input."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from vitreous.convolution.arithmetic import WHOLE, Reach, TransposedWindow, Window, merge
from vitreous.errors import RequestError

Reads = tuple[np.ndarray, ...]
"""For each output cell of an operation, the input cells it reads: sorted int (n,)."""


@dataclass(frozen=True)
class AxisField:
    """Intervals on one input axis, one for each cell of the tensor's `axis`.

    `first` and `last` are int (cells,), both inclusive and inside the input; a cell that sees
    nothing but padding has first > last. Where `axis` is None, no axis of the tensor decides:
    all its cells see the same and the arrays have one entry. `reach` is the closed form for an
    input without borders.
    """

    axis: int | None
    first: np.ndarray
    last: np.ndarray
    reach: Reach

    def interval(self, index: Sequence[int]) -> tuple[int, int] | None:
        """First and last input position that the cell at `index` of the tensor sees."""
        place = 0 if self.axis is None else index[self.axis]
        first, last = int(self.first[place]), int(self.last[place])
        return (first, last) if first <= last else None

    def along(self, axis: int | None) -> "AxisField":
        """The same intervals along another axis of a tensor, or, for one cell, along none."""
        return replace(self, axis=axis)

    def collapsed(self) -> "AxisField":
        """Every cell sees what any cell saw."""
        first, last = self.first.min(keepdims=True), self.last.max(keepdims=True)
        return AxisField(None, first, last, WHOLE)

    def reading(self, reads: Reads, follow: Callable[[Reach], Reach]) -> "AxisField":
        """The field after an operation whose output cells read the cells `reads`."""
        nothing = (np.iinfo(np.int64).max, -1)
        ends = [
            (self.first[cells].min(), self.last[cells].max()) if cells.size else nothing
            for cells in reads
        ]
        first, last = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        return AxisField(self.axis, first, last, follow(self.reach))


def start_field(axis: int, cells: int) -> AxisField:
    """The input's own: each cell sees itself."""
    return AxisField(axis, np.arange(cells), np.arange(cells), Reach())


def hull(fields: Iterable[AxisField]) -> AxisField:
    """What several branches that meet see together, cell by cell."""
    parts = list(fields)
    axes = {part.axis for part in parts if part.axis is not None}
    if len(axes) > 1:  # different axes decide: any cell may see all
        parts = [part.collapsed() for part in parts]
    first = np.minimum.reduce(np.broadcast_arrays(*(part.first for part in parts)))
    last = np.maximum.reduce(np.broadcast_arrays(*(part.last for part in parts)))
    axis = axes.pop() if len(axes) == 1 else None
    return AxisField(axis, first, last, _merged(part.reach for part in parts))


def joined(fields: Sequence[AxisField]) -> AxisField:
    """The field of tensors laid behind one another along the axis that decides."""
    first = np.concatenate([field.first for field in fields])
    last = np.concatenate([field.last for field in fields])
    return AxisField(fields[0].axis, first, last, _merged(field.reach for field in fields))


def through_window(field: AxisField, layer: Window | TransposedWindow) -> AxisField:
    """The field after a convolution, a pooling or a transposed convolution along the axis."""
    return field.reading(_layer_reads(layer, len(field.first)), layer.follow)


def through_selection(field: AxisField, reads: Reads) -> AxisField:
    """The field after resizing, slicing or uneven pooling, where the windows are not all alike.

    The closed form becomes the narrowest one that holds all windows: output cell i of n reads
    between i * ratio + low and i * ratio + high, with ratio = input cells / n.
    """
    ratio = Fraction(len(field.first), max(1, len(reads)))
    seen = [(i, cells) for i, cells in enumerate(reads) if cells.size]
    low = min((int(cells[0]) - i * ratio for i, cells in seen), default=Fraction(0))
    high = max((int(cells[-1]) - i * ratio for i, cells in seen), default=Fraction(0))
    return field.reading(
        reads,
        lambda reach: Reach(
            size=reach.size + (high - low) * reach.jump,
            jump=reach.jump * ratio,
            start=reach.start + low * reach.jump,
        ),
    )


def padding_reads(cells: int, before: int, after: int, mode: str) -> Reads:
    """What each cell of a padded axis reads; negative padding cuts away."""
    places = np.arange(-before, cells + after)
    match mode:
        case "reflect":
            period = max(1, 2 * (cells - 1))
            folded = np.abs(places) % period
            places = np.where(folded >= cells, period - folded, folded)
        case "replicate":
            places = places.clip(0, cells - 1)
        case "circular":
            places = places % cells
    return tuple(np.array([p]) if 0 <= p < cells else np.empty(0, int) for p in places)


def pooling_reads(cells: int, outputs: int) -> Reads:
    """The windows of adaptive pooling: from floor(i n / m) to ceil((i + 1) n / m)."""
    return tuple(
        np.arange(i * cells // outputs, -(-(i + 1) * cells // outputs)) for i in range(outputs)
    )


def resize_reads(
    cells: int, outputs: int, taps: int, align_corners: bool, scale: float | None = None
) -> Reads:
    """What each cell of an interpolated axis reads: 1 tap (nearest), 2 (linear), 4 (cubic).

    `scale` is the factor that was asked for, where there was one. Taps of weight zero do not
    count.
    """
    ratio = Fraction(cells, outputs) if scale is None else 1 / Fraction(scale)
    if align_corners:
        ratio = Fraction(cells - 1, max(1, outputs - 1))
    return tuple(_taps(i, cells, taps, ratio, align_corners) for i in range(outputs))


def _taps(i: int, cells: int, taps: int, ratio: Fraction, align_corners: bool) -> np.ndarray:
    if taps == 1:
        return np.array([min(int(i * ratio), cells - 1)])
    place = i * ratio if align_corners else (i + Fraction(1, 2)) * ratio - Fraction(1, 2)
    if taps == 2:
        place = max(place, Fraction(0))
    below = place.__floor__()
    exact = place == below
    wanted = [below] if exact else range(below - taps // 2 + 1, below + taps // 2 + 1)
    return np.unique(np.clip(np.array(list(wanted)), 0, cells - 1))


@lru_cache(maxsize=512)
def _layer_reads(layer: Window | TransposedWindow, cells: int) -> Reads:
    outputs = layer.output_size(cells)
    return tuple(layer.reads(np.array([i]), cells) for i in range(outputs))


def _merged(reaches: Iterable[Reach]) -> Reach:
    try:
        return merge(reaches)
    except RequestError:  # maps of different stride were made to fit: no one closed form
        return WHOLE
