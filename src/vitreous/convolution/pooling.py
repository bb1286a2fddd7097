"""What stands behind one cell of a pooling layer: who won, or who was averaged.

Inputs are those of one sample, (channels, *space); a cell is (channel, *position). The rules at
the borders are PyTorch's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vitreous.convolution.arithmetic import output_size
from vitreous.convolution.settings import PerAxis, per_axis
from vitreous.convolution.terms import (
    Difference,
    Terms,
    check_cell,
    grid,
    mark_nowhere,
    plain,
    read_window,
)
from vitreous.errors import RequestError

POOLING_TOLERANCE = 1e-6  # relative
POOLING_FLOOR = 1e-7  # absolute, near zero


@dataclass(frozen=True)
class MaximumTerms:
    """The window of one cell of max pooling, and the input cell that won it."""

    cell: tuple[int, ...]  # the output cell: channel, then position
    positions: np.ndarray  # int (*kernel, axes): where each window cell lies
    sources: np.ndarray  # the same, with -1 in the padding, which never wins
    window: np.ndarray  # float64 (*kernel,); -inf in the padding
    winner: tuple[int, ...] | None  # the input cell that won: channel, then position
    operation: str = "max pooling"

    @property
    def total(self) -> float:
        """The value of the cell: the largest in the window, NaN where one is NaN."""
        return float(self.window.max())

    @property
    def in_padding(self) -> np.ndarray:
        """Whether each window cell lies outside the input: bool (*kernel,)."""
        return np.asarray((self.sources < 0).any(axis=-1))

    def difference(self, computed: float) -> Difference:
        """The value that a network computed for this cell, beside `total`."""
        return Difference(float(computed), self.total, pooling_tolerance(self.total))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: nested lists in the shapes of the fields."""
        return {
            "operation": self.operation,
            "cell": list(self.cell),
            "positions": plain(self.positions),
            "sources": plain(self.sources),
            "in_padding": plain(self.in_padding),
            "window": plain(self.window),
            "winner": None if self.winner is None else list(self.winner),
            "total": plain(self.total),
        }


def pooling_tolerance(expected: float) -> float:
    """The largest difference that rounding explains in a pooled value."""
    return max(POOLING_TOLERANCE * abs(expected), POOLING_FLOOR)


def max_pooling_terms(
    inputs: ArrayLike,
    *,
    cell: Sequence[int],
    kernel: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> MaximumTerms:
    """The window behind `cell` of a max pooling, and its winner (of equals the first).

    >>> terms = max_pooling_terms([[3, 8, 1, 9]], cell=(0, 0), kernel=2)
    >>> terms.winner, terms.total
    ((0, 1), 8.0)
    """
    values, space = _one_sample(inputs)
    sizes, pads = values.shape[1:], per_axis("padding", padding, space, minimum=0)
    kernel, steps = _kernel_and_stride(kernel, stride, space)
    spread = per_axis("dilation", dilation, space)
    outputs = [
        output_size(*axis, ceil_mode)
        for axis in zip(sizes, kernel, steps, pads, spread, strict=True)
    ]
    cell = check_cell(cell, (len(values), *outputs))
    axes = [
        place * s - p + np.arange(k) * d
        for place, k, s, p, d in zip(cell[1:], kernel, steps, pads, spread, strict=True)
    ]
    positions = grid(axes)
    sources = _inside(positions, sizes)
    window = read_window(values, np.array(cell[:1]), sources)[0]
    window = np.where((sources < 0).any(axis=-1), -np.inf, window)
    winner = _first_largest(window, sources)
    return MaximumTerms(
        cell, positions, sources, window, None if winner is None else (cell[0], *winner)
    )


def _first_largest(window: np.ndarray, sources: np.ndarray) -> tuple[int, ...] | None:
    """Where the largest value (or the first NaN) comes from; None in nothing but padding."""
    known = sources[(sources >= 0).all(axis=-1)]  # (cells, axes), in the window's order
    values = window[(sources >= 0).all(axis=-1)]
    return tuple(known[np.argmax(values)].tolist()) if values.size else None


def average_pooling_terms(
    inputs: ArrayLike,
    *,
    cell: Sequence[int],
    kernel: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Terms:
    """The terms behind `cell` of an average pooling: each value times one over the divisor.

    The divisor is the number of cells under the window: with the padding, but without what
    hangs over its end in `ceil_mode`; only those of the input without `count_include_pad`; or
    `divisor`, where it is given.

    >>> average_pooling_terms([[1, 2, 3]], cell=(0, 0), kernel=3, padding=1, stride=1).total
    1.0
    """
    values, space = _one_sample(inputs)
    sizes, pads = values.shape[1:], per_axis("padding", padding, space, minimum=0)
    kernel, steps = _kernel_and_stride(kernel, stride, space)
    outputs = [
        output_size(n, k, s, p, ceil_mode=ceil_mode)
        for n, k, s, p in zip(sizes, kernel, steps, pads, strict=True)
    ]
    cell = check_cell(cell, (len(values), *outputs))
    axes = [
        np.arange(place * s - p, min(place * s - p + k, n + p))
        for place, k, s, p, n in zip(cell[1:], kernel, steps, pads, sizes, strict=True)
    ]
    positions = grid(axes)
    sources = _inside(positions, sizes)
    inside = int((sources >= 0).all(axis=-1).sum())
    counted = positions[..., 0].size if count_include_pad else inside
    return _average(values, cell, positions, sources, divisor or counted)


def adaptive_average_pooling_terms(
    inputs: ArrayLike, *, cell: Sequence[int], output_size: PerAxis
) -> Terms:
    """The terms behind `cell` of an adaptive average pooling; global pooling has output size 1.

    Output cell i of n averages the input cells floor(i * size / n) to ceil((i + 1) * size / n).

    >>> adaptive_average_pooling_terms([[1, 2, 6]], cell=(0, 0), output_size=1).total
    3.0
    """
    values, space = _one_sample(inputs)
    wanted = per_axis("output_size", output_size, space)
    cell = check_cell(cell, (len(values), *wanted))
    axes = [
        np.arange(place * n // cells, -(-(place + 1) * n // cells))
        for place, n, cells in zip(cell[1:], values.shape[1:], wanted, strict=True)
    ]
    positions = grid(axes)
    return _average(values, cell, positions, positions, positions[..., 0].size)


def _average(
    values: np.ndarray,
    cell: tuple[int, ...],
    positions: np.ndarray,
    sources: np.ndarray,
    divisor: int,
) -> Terms:
    channels = np.array(cell[:1])
    window = read_window(values, channels, sources)
    kernel = np.full(window.shape, 1 / divisor)
    return Terms("average pooling", cell, channels, positions, sources, window, kernel)


def _one_sample(inputs: ArrayLike) -> tuple[np.ndarray, int]:
    values = np.asarray(inputs, float)
    if values.ndim not in (2, 3, 4) or 0 in values.shape:
        raise RequestError(
            f"inputs {values.shape}: expected one sample, (channels, *space) "
            "with 1, 2 or 3 axes of space"
        )
    return values, values.ndim - 1


def _kernel_and_stride(
    kernel: PerAxis, stride: PerAxis | None, space: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    sizes = per_axis("kernel", kernel, space)
    return sizes, sizes if stride is None else per_axis("stride", stride, space)


def _inside(positions: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    outside = (positions < 0) | (positions >= np.array(sizes))
    return mark_nowhere(np.where(outside, -1, positions))
