"""What stands behind a cell that is a sum: convolutions, matrix products, averages, resizing."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np

from vitreous.convolution import (
    MaximumTerms,
    Terms,
    adaptive_average_pooling_terms,
    average_pooling_terms,
    convolution_terms,
    linear_terms,
    max_pooling_terms,
    transposed_convolution_terms,
)
from vitreous.convolution.terms import NOWHERE, sum_tolerance
from vitreous.insight.cells import Explanation, Index, Operand, Place

CUBIC = -0.75  # the free number of cubic convolution (Keys 1981) as PyTorch has it


def convolution(place: Place) -> Explanation:
    """Window times kernel, summed over the channels of the group, and the bias."""
    terms = convolution_terms(
        *_layer(place),
        cell=place.cell,
        stride=place.attribute("stride"),
        padding=place.attribute("padding"),
        dilation=place.attribute("dilation"),
        groups=place.attribute("groups", 1),
    )
    return _of_terms(place, terms, "sum of window × kernel")


def transposed_convolution(place: Place) -> Explanation:
    """Input cells times the kernel cells that they write here with, and the bias."""
    terms = transposed_convolution_terms(
        *_layer(place),
        cell=place.cell,
        stride=place.attribute("stride"),
        padding=place.attribute("padding"),
        output_padding=place.attribute("output_padding"),
        dilation=place.attribute("dilation"),
        groups=place.attribute("groups", 1),
    )
    return _of_terms(place, terms, "sum of input × kernel")


def _layer(place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The sample that a convolution reads, its weights and its bias."""
    return place.tensor("input")[0], place.fixed("weight"), place.optional("bias")


def linear(place: Place) -> Explanation:
    """Features times weights, and the bias; of a map with channels last, at one position."""
    inputs = place.tensor("input")
    front, output = place.index[:-1], place.index[-1]
    bias = place.optional("bias")
    terms = linear_terms(inputs[front], place.fixed("weight"), bias, cell=output)
    indices = [(*front, feature) for feature in range(inputs.shape[-1])]
    operand = place.operand("input", indices, terms.kernel.ravel())
    return Explanation(
        "sum of features × weights" + _and_bias(terms),
        terms.total,
        terms.difference(0.0).tolerance,
        (operand,),
        terms.bias,
        details=terms,
    )


def matrix_product(place: Place) -> Explanation:
    """A row times a column."""
    first, second = ("mat1", "mat2") if place.has("mat1") else ("input", _second(place))
    left, right = place.tensor(first), place.tensor(second)
    if left.ndim < 2 or right.ndim < 2:
        raise place.refusal("one of its factors is a vector")
    *front, row, column = place.index
    steps = range(left.shape[-1])
    rows = [(*_broadcast(front, left.shape[:-2]), row, k) for k in steps]
    columns = [(*_broadcast(front, right.shape[:-2]), k, column) for k in steps]
    one, other = place.operand(first, rows), place.operand(second, columns)
    products = one.values * other.values
    bias = _added_matrix(place) if first == "mat1" else 0.0
    # each product once: by the row, or by the column where the row is a weight
    followed, weights = (one, other.values) if one.node is not None else (other, one.values)
    return Explanation(
        "sum of row × column" + (" + bias" if bias else ""),
        float(products.sum()) + bias,
        sum_tolerance(float(np.abs(products).sum()) + abs(bias), len(products)),
        (replace(followed, weights=weights),),
        bias or None,
    )


def _second(place: Place) -> str:
    return "other" if place.has("other") else "mat2"


def _added_matrix(place: Place) -> float:
    added = place.tensor("input")
    where = _broadcast(place.index, added.shape)
    return float(place.attribute("beta", 1)) * float(added[tuple(where)])


def _broadcast(index: Sequence[int], shape: Sequence[int]) -> list[int]:
    """The place in a tensor of `shape` that is read for `index` of the result."""
    last = index[len(index) - len(shape) :]
    return [0 if size == 1 else at for at, size in zip(last, shape, strict=True)]


def average_pool(place: Place) -> Explanation:
    """The average of the window."""
    terms = average_pooling_terms(
        place.tensor("input")[0],
        cell=place.cell,
        kernel=place.attribute("kernel_size"),
        stride=place.attribute("stride"),
        padding=[before for before, _ in place.attribute("padding")],
        ceil_mode=place.attribute("ceil_mode", False),
        count_include_pad=place.attribute("count_include_pad", True),
        divisor=place.attribute("divisor_override"),
    )
    return _of_terms(place, terms, "average of the window")


def adaptive_average_pool(place: Place) -> Explanation:
    """The average of the part of the map that belongs to the cell."""
    size = place.attribute("output_size")
    whole = place.node.shape[2:]
    wanted = [whole[axis] if cells is None else cells for axis, cells in enumerate(size)]
    terms = adaptive_average_pooling_terms(
        place.tensor("input")[0], cell=place.cell, output_size=wanted
    )
    return _of_terms(place, terms, "average of the window")


def max_pool(place: Place) -> Explanation:
    """The largest of the window."""
    terms = max_pooling_terms(
        place.tensor("input")[0],
        cell=place.cell,
        kernel=place.attribute("kernel_size"),
        stride=place.attribute("stride"),
        padding=[before for before, _ in place.attribute("padding")],
        dilation=place.attribute("dilation"),
        ceil_mode=place.attribute("ceil_mode", False),
    )
    sources = terms.sources.reshape(-1, terms.sources.shape[-1])
    indices = [
        (NOWHERE,) * (2 + len(at)) if NOWHERE in at else (0, place.cell[0], *at)
        for at in sources.tolist()
    ]
    return _choice(place, indices, terms, "largest of the window")


def adaptive_max_pool(place: Place) -> Explanation:
    """The largest of the part of the map that belongs to the cell."""
    sizes, outputs = place.tensor("input").shape[2:], place.node.shape[2:]
    spans = [
        range(at * size // cells, -(-(at + 1) * size // cells))
        for at, size, cells in zip(place.cell[1:], sizes, outputs, strict=True)
    ]
    return _choice(place, [(0, place.cell[0], *at) for at in product(*spans)], None,
                   "largest of the window")  # fmt: skip


def reduced(place: Place) -> Explanation:
    """Mean, sum, largest, smallest or length along some axes."""
    shape = place.tensor("input").shape
    given = place.attribute("dim")
    axes = range(len(shape)) if given in (None, ()) else (
        {given % len(shape)} if isinstance(given, int) else {axis % len(shape) for axis in given}
    )  # fmt: skip
    kept = iter(place.index)
    spans = []
    for axis, size in enumerate(shape):
        if axis not in axes:
            spans.append((next(kept),))
            continue
        if place.attribute("keepdim", False):
            next(kept)
        spans.append(range(size))
    indices = list(product(*spans))
    operation = place.node.operation
    if operation in {"maximum", "minimum"}:
        word = "largest" if operation == "maximum" else "smallest"
        return _choice(place, indices, None, f"{word} of {len(indices):,}")
    if operation == "vector norm":
        return _length(place, indices)
    weight = 1 / len(indices) if operation == "mean" else 1.0
    operand = place.operand("input", indices, np.full(len(indices), weight))
    formula = f"{operation} of {len(indices):,}"
    return _of_operand(operand, formula)


def _length(place: Place, indices: list[Index]) -> Explanation:
    if place.attribute("ord", 2) != 2:
        raise place.refusal(f"a norm of order {place.attribute('ord')} is not known")
    operand = place.operand("input", indices)
    squares = float((operand.values**2).sum())
    total = math.sqrt(squares)
    tolerance = sum_tolerance(total, len(indices))
    return Explanation("root of the sum of squares", total, tolerance, (operand,),
                       steps={"sum of squares": squares})  # fmt: skip


def interpolated(place: Place) -> Explanation:
    """Resizing: the nearest cells, weighed by how near they are."""
    sizes, outputs = place.tensor("input").shape[2:], place.node.shape[2:]
    scales = _scales(place, len(sizes))
    align = bool(place.attribute("align_corners", False))
    taps = {"interpolate nearest": 1, "interpolate linear": 2, "interpolate cubic": 4}
    axes = [
        _taps(at, size, cells, taps[place.node.operation], align, scale)
        for at, size, cells, scale in zip(place.cell[1:], sizes, outputs, scales, strict=True)
    ]
    indices = [(0, place.cell[0], *(cell for cell, _ in at)) for at in product(*axes)]
    weights = np.array([math.prod(weight for _, weight in at) for at in product(*axes)])
    return _of_operand(place.operand("input", indices, weights), "nearest cells × nearness")


def _scales(place: Place, axes: int) -> list[float | None]:
    """The factor asked for along each axis; None where only the size was."""
    given = place.attribute("scale_factors")
    if given:
        return list(given)
    names = ("scales",) if axes == 1 else ("scales_d", "scales_h", "scales_w")[-axes:]
    return [place.attribute(name) for name in names]


def _taps(
    at: int, size: int, outputs: int, taps: int, align: bool, scale: float | None
) -> list[tuple[int, float]]:
    """Input cells along an axis that output cell `at` reads, with their weights."""
    ratio = Fraction(size, outputs) if scale is None else 1 / Fraction(scale)
    if align and taps > 1:
        ratio = Fraction(size - 1, max(1, outputs - 1))
    if taps == 1:
        return [(min(int(at * ratio), size - 1), 1.0)]
    where = at * ratio if align else (at + Fraction(1, 2)) * ratio - Fraction(1, 2)
    if taps == 2:
        where = max(where, Fraction(0))
    below = math.floor(where)
    part = float(where - below)
    if taps == 2:
        near = [(below, 1 - part), (below + 1, part)]
    else:
        near = [(below + step, _cubic(abs(step - part))) for step in (-1, 0, 1, 2)]
    return [(min(max(cell, 0), size - 1), weight) for cell, weight in near]


def _cubic(away: float) -> float:
    """Weight of a cell so far away (Keys 1981, equations 4 and 5)."""
    if away <= 1:
        return ((CUBIC + 2) * away - (CUBIC + 3)) * away * away + 1
    return ((away - 5) * away + 8) * away * CUBIC - 4 * CUBIC


def _choice(
    place: Place, indices: list[Index], details: MaximumTerms | None, formula: str
) -> Explanation:
    operand = place.operand("input", indices)
    smallest = place.node.operation == "minimum"
    known = (operand.indices >= 0).all(axis=1)
    candidates = np.where(known, operand.values, np.inf if smallest else -np.inf)
    winner = int(candidates.argmin() if smallest else candidates.argmax())
    total = float(candidates[winner])
    return Explanation(formula, total, 0.0, (operand,), details=details, winner=winner)


def _of_operand(operand: Operand, formula: str) -> Explanation:
    products = operand.products
    tolerance = sum_tolerance(float(np.abs(products).sum()), len(products))
    return Explanation(formula, float(products.sum()), tolerance, (operand,))


def _of_terms(place: Place, terms: Terms, formula: str) -> Explanation:
    """The terms of a window, with the place of each value in the node that was read."""
    space = terms.sources.shape[-1]
    sources = terms.sources.reshape(-1, space)
    cells, channels = len(sources), len(terms.channels)
    indices = np.zeros((channels, cells, 2 + space), dtype=np.int64)
    indices[:, :, 1] = terms.channels[:, None]
    indices[:, :, 2:] = sources[None]
    indices[:, (sources < 0).any(axis=1)] = NOWHERE
    operand = place.operand("input", indices.reshape(-1, 2 + space), terms.kernel.ravel())
    return Explanation(
        formula + _and_bias(terms),
        terms.total,
        terms.difference(0.0).tolerance,
        (operand,),
        terms.bias,
        details=terms,
    )


def _and_bias(terms: Terms) -> str:
    return "" if terms.bias is None else " + bias"
