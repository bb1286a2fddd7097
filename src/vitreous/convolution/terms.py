"""What stands behind one output cell: the window, the kernel, their products and the sum.

A `Terms` belongs to one cell of a layer whose cells are sums of products. It keeps, for every
product, the input cell that its value came from, so that one can go on from there. The functions
here make it for a convolution, a transposed convolution and a linear layer; `pooling` makes it
for average pooling, and holds what max pooling and `normalisation` what batch norm have instead.

Inputs are those of one sample, without a batch axis: (channels, *space). Sums are in float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vitreous.convolution.arithmetic import output_size, transposed_output_size
from vitreous.convolution.notebook import terms_html
from vitreous.convolution.reference import (
    check_bias,
    check_channels,
    check_dimensions,
    check_output_padding,
    check_transposed_channels,
)
from vitreous.convolution.settings import (
    Padding,
    PaddingMode,
    PerAxis,
    check_padding_mode,
    explicit_pads,
    pads_per_axis,
    per_axis,
    source_cell,
)
from vitreous.errors import RequestError

SUM_TOLERANCE = 1e-6  # of the sum of |products|, for short sums
ROUNDING = 2.0**-24  # of each step in float32
LARGEST_DRIFT = 8.0  # of the errors of n steps, in units of sqrt(n): seen up to 5 on flat maps
NOWHERE = -1


@dataclass(frozen=True)
class Difference:
    """A value that a network computed beside the one computed here in float64."""

    computed: float
    expected: float
    tolerance: float  # absolute: the largest difference that rounding explains

    @property
    def difference(self) -> float:
        """Computed less expected."""
        return self.computed - self.expected

    @property
    def within(self) -> bool:
        """Whether rounding explains the difference. Never true for NaN."""
        near = self.computed == self.expected or abs(self.difference) <= self.tolerance
        return bool(near)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "computed": plain(self.computed),
            "expected": plain(self.expected),
            "difference": plain(self.difference),
            "tolerance": plain(self.tolerance),
            "within": self.within,
        }


@dataclass(frozen=True)
class Term:
    """One product of a sum, and the input cell its value came from."""

    channel: int  # of the input
    source: tuple[int, ...] | None  # position of that input cell; None for a zero of the padding
    value: float
    weight: float

    @property
    def product(self) -> float:
        """Value times weight."""
        return self.value * self.weight

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "channel": self.channel,
            "source": None if self.source is None else list(self.source),
            "value": plain(self.value),
            "weight": plain(self.weight),
            "product": plain(self.product),
        }


@dataclass(frozen=True)
class Summary:
    """A long sum made short: its largest products one by one, all others as one number."""

    largest: tuple[Term, ...]  # by size, whatever the sign
    rest: float  # sum of the other products
    rest_count: int
    bias: float | None
    total: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "largest": [term.to_json() for term in self.largest],
            "rest": plain(self.rest),
            "rest_count": self.rest_count,
            "bias": plain(self.bias),
            "total": plain(self.total),
        }


@dataclass(frozen=True)
class Terms:
    """The sum behind one output cell: bias + sum of window * kernel.

    The window spans some input channels (all, or those of the cell's group) and the kernel's
    cells; a linear layer has as many channels as features, and a kernel without axes.
    """

    operation: str  # "convolution", "transposed convolution", "linear", "average pooling"
    cell: tuple[int, ...]  # the output cell: channel, then position
    channels: np.ndarray  # int (channels,): the input channels under the window
    positions: np.ndarray  # int (*kernel, axes): where each kernel cell lies; outside: padding
    sources: np.ndarray  # int (*kernel, axes): the input cell read there; -1 for none, a zero
    window: np.ndarray  # float64 (channels, *kernel)
    kernel: np.ndarray  # float64 (channels, *kernel)
    bias: float | None = None

    @property
    def products(self) -> np.ndarray:
        """Window times kernel: float64 (channels, *kernel)."""
        return self.window * self.kernel

    @property
    def channel_sums(self) -> np.ndarray:
        """The sum of the products of each input channel: float64 (channels,)."""
        return self.products.reshape(len(self.channels), -1).sum(axis=1)

    @property
    def total(self) -> float:
        """The value of the cell."""
        return float(self.channel_sums.sum()) + (self.bias or 0.0)

    @property
    def magnitude(self) -> float:
        """Sum of the sizes of all that is added: rounding errors are in proportion to it."""
        return float(np.abs(self.products).sum()) + abs(self.bias or 0.0)

    @property
    def has_source(self) -> np.ndarray:
        """Whether an input cell stands behind each kernel cell: bool (*kernel,)."""
        return np.asarray((self.sources >= 0).all(axis=-1))

    @property
    def in_padding(self) -> np.ndarray:
        """Whether each kernel cell lies outside the input: bool (*kernel,)."""
        return (self.positions != self.sources).any(axis=-1) | ~self.has_source

    def difference(self, computed: float) -> Difference:
        """The value that a network computed for this cell, beside `total`."""
        tolerance = sum_tolerance(self.magnitude, self.window.size)
        return Difference(float(computed), self.total, tolerance)

    def _repr_html_(self) -> str:
        return terms_html(self)

    def largest(self, count: int) -> Summary:
        """The `count` largest products, the others as one number, and the bias."""
        products = self.products.ravel()
        order = np.argsort(-np.abs(products), kind="stable")
        shown, others = order[:count], order[count:]
        terms = tuple(self._term(int(index)) for index in shown)
        rest = float(products[others].sum())
        return Summary(terms, rest, len(others), self.bias, self.total)

    def _term(self, index: int) -> Term:
        place = np.unravel_index(index, self.window.shape)
        channel, tap = place[0], tuple(place[1:])
        source = tuple(int(axis) for axis in self.sources[tap]) if self.has_source[tap] else None
        return Term(
            int(self.channels[channel]),
            source,
            float(self.window[place]),
            float(self.kernel[place]),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON: nested lists in the shapes of the fields."""
        return {
            "operation": self.operation,
            "cell": list(self.cell),
            "channels": plain(self.channels),
            "positions": plain(self.positions),
            "sources": plain(self.sources),
            "in_padding": plain(self.in_padding),
            "window": plain(self.window),
            "kernel": plain(self.kernel),
            "products": plain(self.products),
            "channel_sums": plain(self.channel_sums),
            "bias": plain(self.bias),
            "total": plain(self.total),
        }


def sum_tolerance(magnitude: float, count: int) -> float:
    """The largest difference that rounding in float32 explains in a sum of `count` products.

    `magnitude` is the sum of their sizes. The errors of n steps add up like sqrt(n), not like n
    (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis"); equal
    products, as on a flat map, let them drift a few times further.

    >>> [round(sum_tolerance(1.0, count), 7) for count in (1, 9, 576)]
    [1e-06, 1.4e-06, 1.14e-05]
    """
    return max(SUM_TOLERANCE, LARGEST_DRIFT * ROUNDING * count**0.5) * magnitude


def convolution_terms(
    inputs: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    cell: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> Terms:
    """The terms behind `cell` (output channel, *position) of a convolution of one sample.

    Shapes and settings are those of `reference.cross_correlate`. Raises `RequestError` where
    they do not fit, and where the output has no such cell.

    >>> terms = convolution_terms([[1, 2, 4]], [[[3, 5, 7]]], [0.5], cell=(0, 0), padding=1)
    >>> terms.window.tolist(), terms.products.tolist(), terms.total
    ([[0.0, 1.0, 2.0]], [[0.0, 5.0, 14.0]], 19.5)
    >>> terms.in_padding.tolist()
    [True, False, False]
    """
    inputs, weights = np.asarray(inputs, float), np.asarray(weights, float)
    space = _one_sample(inputs, weights)
    check_channels(len(inputs), weights, groups)
    biases = check_bias(bias, len(weights))
    kernel, sizes = weights.shape[2:], inputs.shape[1:]
    steps, spread = per_axis("stride", stride, space), per_axis("dilation", dilation, space)
    pads = pads_per_axis(padding, sizes, kernel, steps, spread)
    check_padding_mode(padding_mode, pads, sizes)
    outputs = [output_size(*axis) for axis in zip(sizes, kernel, steps, pads, spread, strict=True)]
    cell = check_cell(cell, (len(weights), *outputs))

    axes = [
        np.arange(k) * d + place * s - before
        for place, k, s, d, (before, _) in zip(cell[1:], kernel, steps, spread, pads, strict=True)
    ]
    read = [
        _read_at(axis, lambda at, n=n: source_cell(at, n, padding_mode))
        for axis, n in zip(axes, sizes, strict=True)
    ]
    channels = _group_of(cell[0], len(inputs), len(weights), groups)
    sources = mark_nowhere(grid(read))
    return Terms(
        operation="convolution",
        cell=cell,
        channels=channels,
        positions=grid(axes),
        sources=sources,
        window=read_window(inputs, channels, sources),
        kernel=weights[cell[0]],
        bias=None if bias is None else float(biases[cell[0]]),
    )


def transposed_convolution_terms(
    inputs: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    cell: Sequence[int],
    stride: PerAxis = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Terms:
    """The terms behind `cell` (output channel, *position) of a transposed convolution.

    Only some cells of the kernel meet an input cell: those with a stride between them. The
    others have no position (-1) and a zero in the window.

    >>> terms = transposed_convolution_terms([[1, 2]], [[[1, 10, 100]]], cell=(0, 2), stride=2)
    >>> terms.sources[:, 0].tolist(), terms.products.tolist()
    ([1, -1, 0], [[2.0, 0.0, 100.0]])
    """
    inputs, weights = np.asarray(inputs, float), np.asarray(weights, float)
    space = _one_sample(inputs, weights)
    channels_out = check_transposed_channels(len(inputs), weights, groups)
    biases = check_bias(bias, channels_out)
    kernel, sizes = weights.shape[2:], inputs.shape[1:]
    steps, spread = per_axis("stride", stride, space), per_axis("dilation", dilation, space)
    extra = per_axis("output_padding", output_padding, space, minimum=0)
    check_output_padding(extra, steps, spread)
    pads = explicit_pads(padding, space)
    settings = zip(sizes, kernel, steps, pads, extra, spread, strict=True)
    outputs = [transposed_output_size(*axis) for axis in settings]
    cell = check_cell(cell, (channels_out, *outputs))

    read = [
        _read_at(place + before - np.arange(k) * d, lambda at, s=s, n=n: _sender(at, s, n))
        for place, k, s, d, (before, _), n in zip(
            cell[1:], kernel, steps, spread, pads, sizes, strict=True
        )
    ]
    channels = _group_of(cell[0], len(inputs), channels_out, groups)
    sources = mark_nowhere(grid(read))
    return Terms(
        operation="transposed convolution",
        cell=cell,
        channels=channels,
        positions=sources,
        sources=sources,
        window=read_window(inputs, channels, sources),
        kernel=weights[channels, cell[0] % weights.shape[1]],
        bias=None if bias is None else float(biases[cell[0]]),
    )


def linear_terms(
    inputs: ArrayLike, weights: ArrayLike, bias: ArrayLike | None = None, *, cell: int
) -> Terms:
    """The terms behind output `cell` of a linear layer: inputs (features,), weights (out, in).

    >>> linear_terms([1, 2], [[3, 4]], [0.5], cell=0).total
    11.5
    """
    inputs, weights = np.asarray(inputs, float), np.asarray(weights, float)
    if inputs.ndim != 1 or weights.ndim != 2 or weights.shape[1] != len(inputs):
        raise RequestError(
            f"inputs {inputs.shape} do not fit weights {weights.shape}: expected (features,) "
            "and (outputs, features)"
        )
    biases = check_bias(bias, len(weights))
    (row,) = check_cell((cell,), (len(weights),))
    nowhere = np.zeros((0,), int)  # a feature has a channel, and no position
    return Terms(
        operation="linear",
        cell=(row,),
        channels=np.arange(len(inputs)),
        positions=nowhere,
        sources=nowhere,
        window=inputs,
        kernel=weights[row],
        bias=None if bias is None else float(biases[row]),
    )


def check_cell(cell: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """`cell` as plain numbers. Raises `RequestError` where an output of `shape` has none such."""
    numbers = tuple(int(axis) for axis in cell)
    if len(numbers) != len(shape) or any(
        not 0 <= place < size for place, size in zip(numbers, shape, strict=True)
    ):
        size = " x ".join(map(str, shape))
        raise RequestError(
            f"cell {numbers} is not in an output of {size}; it has cells "
            f"{(0,) * len(shape)} to {tuple(n - 1 for n in shape)}"
        )
    return numbers


def grid(axes: Sequence[np.ndarray]) -> np.ndarray:
    """All combinations of the positions along each axis: int (*lengths, axes)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def mark_nowhere(sources: np.ndarray) -> np.ndarray:
    """Sources with -1 on all axes where one axis has no input cell."""
    return np.where((sources < 0).any(axis=-1, keepdims=True), NOWHERE, sources)


def read_window(inputs: np.ndarray, channels: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The values at `sources` in each channel, zero where there is none: (channels, *kernel)."""
    known = (sources >= 0).all(axis=-1)
    places = tuple(np.moveaxis(np.maximum(sources, 0), -1, 0))
    values = inputs[(slice(None), *places)][channels]
    return np.where(known, values, 0.0)


def plain(value: Any) -> Any:
    """Numbers and arrays as JSON knows them; NaN and infinities, which it lacks, as text."""
    if isinstance(value, np.ndarray):
        return [plain(part) for part in value] if value.ndim else plain(value.item())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def _one_sample(inputs: np.ndarray, weights: np.ndarray) -> int:
    space = check_dimensions(inputs, weights)
    if inputs.ndim != space + 1:
        raise RequestError(
            f"inputs {inputs.shape}: terms are of one sample; give (channels, *space)"
        )
    return space


def _group_of(channel: int, inputs: int, outputs: int, groups: int) -> np.ndarray:
    """The input channels of the group that an output channel belongs to."""
    per_group = inputs // groups
    group = channel // (outputs // groups)
    return np.arange(group * per_group, (group + 1) * per_group)


def _read_at(positions: np.ndarray, source: Callable[[int], int | None]) -> np.ndarray:
    found = [source(int(position)) for position in positions]
    return np.array([NOWHERE if cell is None else cell for cell in found])


def _sender(position: int, stride: int, size: int) -> int | None:
    """The input cell whose kernel starts at `position` of the output, where there is one."""
    cell, between = divmod(position, stride)
    return cell if not between and 0 <= cell < size else None
