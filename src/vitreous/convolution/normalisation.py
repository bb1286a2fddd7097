"""Batch norm of one value, step by step, and folded into one multiplication and one addition.

Ioffe & Szegedy, "Batch Normalization", 2015, arXiv:1502.03167, in the form used after training,
with the running mean and variance of the channel:

    output = (value - mean) / sqrt(variance + epsilon) * scale + shift
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vitreous.convolution.terms import Difference, check_cell, plain
from vitreous.errors import RequestError

NORMALISATION_TOLERANCE = 1e-5  # relative to the sizes of what is added


@dataclass(frozen=True)
class Folded:
    """A batch norm as value * multiply + add."""

    value: float
    multiply: float
    add: float

    @property
    def total(self) -> float:
        """The value of the cell."""
        return self.value * self.multiply + self.add


@dataclass(frozen=True)
class BatchNormSteps:
    """Batch norm of one value, as it is: `value` and the five numbers of its channel."""

    cell: tuple[int, ...]  # channel, then position: the same in the input and the output
    value: float
    mean: float
    variance: float
    epsilon: float
    scale: float
    shift: float
    operation: str = "batch norm"

    @property
    def centred(self) -> float:
        """Value less mean."""
        return self.value - self.mean

    @property
    def deviation(self) -> float:
        """Standard deviation, kept from zero by epsilon."""
        return math.sqrt(self.variance + self.epsilon)

    @property
    def normalised(self) -> float:
        """Standard deviations away from the mean."""
        return self.centred / self.deviation

    @property
    def scaled(self) -> float:
        """Normalised times scale."""
        return self.normalised * self.scale

    @property
    def total(self) -> float:
        """The value of the cell."""
        return self.scaled + self.shift

    @property
    def folded(self) -> Folded:
        """The same as one multiplication and one addition."""
        multiply = self.scale / self.deviation
        return Folded(self.value, multiply, self.shift - self.mean * multiply)

    @property
    def magnitude(self) -> float:
        """Sum of the sizes of all that is added: rounding errors are in proportion to it."""
        multiply = abs(self.scale / self.deviation)
        return multiply * (abs(self.value) + abs(self.mean)) + abs(self.shift)

    def difference(self, computed: float) -> Difference:
        """The value that a network computed for this cell, beside `total`."""
        return Difference(float(computed), self.total, NORMALISATION_TOLERANCE * self.magnitude)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("value", "mean", "variance", "epsilon", "scale", "shift")
        steps = ("centred", "deviation", "normalised", "scaled", "total")
        folded = {"multiply": plain(self.folded.multiply), "add": plain(self.folded.add)}
        numbers = {name: plain(getattr(self, name)) for name in (*names, *steps)}
        return {
            "operation": self.operation,
            "cell": list(self.cell),
            **numbers,
            "folded": folded,
        }


def batch_norm_steps(
    inputs: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    scale: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    *,
    cell: tuple[int, ...],
    epsilon: float = 1e-5,
) -> BatchNormSteps:
    """The steps behind `cell` (channel, *position); the other arrays have a number a channel.

    Raises `RequestError` where shapes disagree or there is no such cell.

    >>> steps = batch_norm_steps([[7.0]], [1.0], [4.0], [0.5], [10.0], cell=(0, 0), epsilon=0.0)
    >>> steps.centred, steps.deviation, steps.normalised, steps.total
    (6.0, 2.0, 3.0, 11.5)
    """
    values = np.asarray(inputs, float)
    numbers = _per_channel(len(values), mean, variance, scale, shift)
    cell = check_cell(cell, values.shape)
    own = [float(number[cell[0]]) for number in numbers]
    return BatchNormSteps(cell, float(values[cell]), own[0], own[1], epsilon, own[2], own[3])


def fold_batch_norm(
    weights: ArrayLike,
    bias: ArrayLike | None,
    mean: ArrayLike,
    variance: ArrayLike,
    scale: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    *,
    epsilon: float = 1e-5,
    transposed: bool = False,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a convolution that answers as convolution and batch norm together.

    Each output channel's kernel is multiplied, and its bias multiplied and moved. `transposed`
    for weights (in, out / groups, *kernel); linear weights (out, in) fold the same way.
    """
    weights = np.asarray(weights, float)
    outputs = weights.shape[1] * groups if transposed else len(weights)
    mean, variance, scale, shift = _per_channel(outputs, mean, variance, scale, shift)
    biases = np.zeros(outputs) if bias is None else np.asarray(bias, float)
    multiply = scale / np.sqrt(variance + epsilon)
    return weights * _along_outputs(multiply, weights, transposed, groups), (
        (biases - mean) * multiply + shift
    )


def _along_outputs(
    multiply: np.ndarray, weights: np.ndarray, transposed: bool, groups: int
) -> np.ndarray:
    """`multiply` shaped to meet the output channels of `weights`."""
    kernel_axes = [1] * (weights.ndim - 2)
    if not transposed:
        return multiply.reshape(-1, 1, *kernel_axes)
    by_group = np.repeat(multiply.reshape(groups, -1), len(weights) // groups, axis=0)
    return by_group.reshape(len(weights), -1, *kernel_axes)


def _per_channel(
    channels: int,
    mean: ArrayLike,
    variance: ArrayLike,
    scale: ArrayLike | None,
    shift: ArrayLike | None,
) -> list[np.ndarray]:
    given = {
        "mean": mean,
        "variance": variance,
        "scale": np.ones(channels) if scale is None else scale,
        "shift": np.zeros(channels) if shift is None else shift,
    }
    numbers = {name: np.asarray(value, float) for name, value in given.items()}
    for name, value in numbers.items():
        if value.shape != (channels,):
            raise RequestError(f"{name} {value.shape}: expected one number for {channels} channels")
    return list(numbers.values())
