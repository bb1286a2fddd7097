"""Convolution straight from the formula, in float64: slow, obvious, and the judge of the rest.

What networks call convolution is a cross-correlation: a window slides over the input, and at
each place the values under it are multiplied with the kernel and added. With C input channels,
kernel cells k, stride s, dilation d and padding p before the input:

    output[o, i] = bias[o] + sum over c and k of  weights[o, c, k] * padded[c, i * s + k * d]

where `padded` is the input with p cells before it. The true convolution of signal processing
turns the kernel around along each axis first. The transposed convolution sends values the other
way: each input cell adds its value times the kernel to the output cells around i * s. See
Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, arXiv:1603.07285.

Shapes are those of PyTorch, with 1, 2 or 3 axes of space: inputs (batch, channels, *space) or
(channels, *space); weights (output channels, input channels / groups, *kernel), or for the
transposed form (input channels, output channels / groups, *kernel); bias (output channels,).
Everything raises `RequestError` where shapes or settings do not fit each other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vitreous.convolution.arithmetic import output_size, transposed_output_size
from vitreous.convolution.settings import (
    Padding,
    PaddingMode,
    Pads,
    PerAxis,
    check_padding_mode,
    explicit_pads,
    pads_per_axis,
    per_axis,
    window_span,
)
from vitreous.errors import RequestError

NUMPY_PAD_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def cross_correlate(
    inputs: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> np.ndarray:
    """What a convolutional layer computes: float64, shaped as PyTorch shapes it.

    >>> cross_correlate([[1, 2, 4, 8]], [[[-1, 1]]])
    array([[1., 2., 4.]])
    """
    inputs, weights = np.asarray(inputs, float), np.asarray(weights, float)
    space = check_dimensions(inputs, weights)
    check_channels(inputs.shape[-space - 1], weights, groups)
    bias = check_bias(bias, len(weights))
    kernel, sizes = weights.shape[2:], inputs.shape[-space:]
    stride, dilation = per_axis("stride", stride, space), per_axis("dilation", dilation, space)
    pads = pads_per_axis(padding, sizes, kernel, stride, dilation)

    padded = pad(with_batch(inputs, space), pads, padding_mode)
    cells = [output_size(*axis) for axis in zip(sizes, kernel, stride, pads, dilation, strict=True)]
    output = np.zeros((len(padded), len(weights), *cells))
    for cell in np.ndindex(*cells):
        window = padded[:, :, *_window(cell, kernel, stride, dilation)]
        for inside, outside in group_slices(inputs.shape[-space - 1], len(weights), groups):
            products = window[:, None, inside] * weights[None, outside]  # (batch, out, in, *kernel)
            output[:, outside, *cell] = products.sum(axis=tuple(range(2, products.ndim)))
    output += bias.reshape(-1, *[1] * space)
    return output if inputs.ndim == space + 2 else output[0]


def convolve(
    inputs: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
) -> np.ndarray:
    """The true convolution: `cross_correlate` with the kernel turned around along each axis.

    >>> convolve([[1, 2, 4, 8]], [[[-1, 1]]])
    array([[-1., -2., -4.]])
    """
    weights = np.asarray(weights, float)
    turned = np.flip(weights, axis=tuple(range(2, weights.ndim)))
    return cross_correlate(
        inputs,
        turned,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )


def transposed_convolve(
    inputs: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> np.ndarray:
    """The transposed convolution: every input cell spreads the kernel over the output.

    `padding` cuts cells off the sides of the output; `output_padding` gives cells back at the
    end of each axis, and must be smaller than the stride or the dilation.

    >>> transposed_convolve([[1, 2]], [[[1, 10, 100]]], stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """
    inputs, weights = np.asarray(inputs, float), np.asarray(weights, float)
    space = check_dimensions(inputs, weights)
    outputs = check_transposed_channels(inputs.shape[-space - 1], weights, groups)
    bias = check_bias(bias, outputs)
    kernel, sizes = weights.shape[2:], inputs.shape[-space:]
    stride, dilation = per_axis("stride", stride, space), per_axis("dilation", dilation, space)
    extra = per_axis("output_padding", output_padding, space, minimum=0)
    check_output_padding(extra, stride, dilation)
    pads = explicit_pads(padding, space)

    batch = with_batch(inputs, space)
    cells = [
        transposed_output_size(*axis)
        for axis in zip(sizes, kernel, stride, pads, extra, dilation, strict=True)
    ]
    whole = np.zeros(
        (len(batch), outputs, *(n + sum(cut) for n, cut in zip(cells, pads, strict=True)))
    )
    for cell in np.ndindex(*sizes):
        place = _window(cell, kernel, stride, dilation)
        for inside, outside in group_slices(inputs.shape[-space - 1], outputs, groups):
            values = batch[:, inside, *cell]  # (batch, input channels)
            whole[:, outside, *place] += np.tensordot(values, weights[inside], axes=(1, 0))
    kept = [slice(cut[0], cut[0] + n) for n, cut in zip(cells, pads, strict=True)]
    output = whole[:, :, *kept] + bias.reshape(-1, *[1] * space)
    return output if inputs.ndim == space + 2 else output[0]


def pad(inputs: np.ndarray, pads: Pads, mode: str) -> np.ndarray:
    """(batch, channels, *space) with `pads` cells around the space, filled by `mode`."""
    check_padding_mode(mode, pads, inputs.shape[2:])
    return np.pad(inputs, ((0, 0), (0, 0), *pads), mode=NUMPY_PAD_MODES[mode])  # type: ignore


def with_batch(inputs: np.ndarray, space: int) -> np.ndarray:
    """The inputs with a batch axis in front."""
    return inputs if inputs.ndim == space + 2 else inputs[None]


def group_slices(inputs: int, outputs: int, groups: int) -> list[tuple[slice, slice]]:
    """The input and output channels of each group."""
    ins, outs = inputs // groups, outputs // groups
    return [(slice(g * ins, (g + 1) * ins), slice(g * outs, (g + 1) * outs)) for g in range(groups)]


def check_dimensions(inputs: np.ndarray, weights: np.ndarray) -> int:
    """The number of axes of space, 1 to 3."""
    space = weights.ndim - 2
    if space not in (1, 2, 3):
        raise RequestError(
            f"weights {weights.shape}: expected (output channels, input channels / groups, "
            "*kernel) with 1, 2 or 3 kernel axes"
        )
    if inputs.ndim not in (space + 1, space + 2):
        raise RequestError(
            f"inputs {inputs.shape} do not fit weights {weights.shape}: expected "
            f"(channels, *space) or (batch, channels, *space) with {space} axes of space"
        )
    if 0 in inputs.shape or 0 in weights.shape:
        raise RequestError(f"inputs {inputs.shape}, weights {weights.shape}: an axis is empty")
    return space


def check_channels(channels: int, weights: np.ndarray, groups: int) -> None:
    """Raise where channels, weights and groups of a convolution disagree."""
    _check_groups(groups, channels, len(weights))
    if weights.shape[1] * groups != channels:
        raise RequestError(
            f"weights {weights.shape} with groups={groups} read {weights.shape[1] * groups} "
            f"channels, the inputs have {channels}"
        )


def check_transposed_channels(channels: int, weights: np.ndarray, groups: int) -> int:
    """The number of output channels of a transposed convolution whose shapes agree."""
    _check_groups(groups, channels, weights.shape[1] * groups)
    if len(weights) != channels:
        raise RequestError(
            f"transposed weights {weights.shape} read {len(weights)} channels, "
            f"the inputs have {channels}"
        )
    return weights.shape[1] * groups


def check_bias(bias: ArrayLike | None, outputs: int) -> np.ndarray:
    """The bias of each output channel; zeros for None."""
    if bias is None:
        return np.zeros(outputs)
    bias = np.asarray(bias, float)
    if bias.shape != (outputs,):
        raise RequestError(f"bias {bias.shape}: expected one number for {outputs} output channels")
    return bias


def check_output_padding(
    extra: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> None:
    """Raise where output padding is not smaller than stride or dilation."""
    for cells, step, spread in zip(extra, stride, dilation, strict=True):
        if cells >= max(step, spread):
            raise RequestError(
                f"output_padding {cells} must be smaller than the stride ({step}) "
                f"or the dilation ({spread})"
            )


def _check_groups(groups: int, inputs: int, outputs: int) -> None:
    if groups < 1 or inputs % groups or outputs % groups:
        raise RequestError(
            f"groups={groups} does not divide {inputs} input and {outputs} output channels"
        )


def _window(
    cell: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[slice, ...]:
    """Where the kernel lies for one cell: a slice an axis."""
    axes = zip(cell, kernel, stride, dilation, strict=True)
    return tuple(slice(i * s, i * s + window_span(k, d), d) for i, k, s, d in axes)
