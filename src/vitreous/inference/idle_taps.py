"""Convolutions whose kernel has taps that meet nothing but padding, kept out of bfloat16.

On small maps some taps of a kernel never meet the input: of 3 x 3 taps that stand on the one cell
of a 1 x 1 map only the middle one does. The others' gradients are zero. In torch 2.11 the
processor's bfloat16 convolutions leave unwritten memory there instead, often not even numbers:
3 x 3 with stride 2 on maps one cell wide, 5 x 5 on maps one cell high. float32 has them right.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitreous.inference.outside_autocast import in_float32

CONVOLUTIONS: tuple[Callable, ...] = (torch.conv1d, torch.conv2d, torch.conv3d)


class IdleTapsInFloat32(TorchFunctionMode):
    """Inside of a bfloat16 autocast: such convolutions are computed in float32, and rounded."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call `func`; a convolution with idle taps outside of the autocast."""
        kwargs = kwargs or {}
        if func in CONVOLUTIONS and _has_idle_taps(*args, **kwargs):
            return in_float32(func, args, kwargs)
        return func(*args, **kwargs)


def _has_idle_taps(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> bool:
    """Whether any tap meets padding alone; parameters as `torch.conv2d` has them."""
    del bias, groups
    axes = weight.ndim - 2
    strides, dilations = _each(stride, axes), _each(dilation, axes)
    for axis in range(axes):
        size, kernel = input.shape[2 + axis], weight.shape[2 + axis]
        span = dilations[axis] * (kernel - 1)
        if padding == "valid":
            before = after = 0
        elif padding == "same":  # the odd one lies behind
            before, after = span // 2, span - span // 2
        else:
            before = after = _each(padding, axes)[axis]  # type: ignore[arg-type]
        if before or after:
            met = taps_met(size, kernel, strides[axis], before, after, dilations[axis])
            if not all(met):
                return True
    return False


def taps_met(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> list[bool]:
    """For each tap along an axis, whether any window puts it on the input.

    `before` and `after` are the cells of padding at the ends of an axis of `size` cells.

    >>> taps_met(size=1, kernel=3, stride=2, before=1, after=1, dilation=1)
    [False, True, False]
    """
    windows = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    met = []
    for tap in range(kernel):
        first = dilation * tap - before  # where the first window puts this tap
        skipped = max(0, -(first // stride))  # windows whose tap lies before the input
        met.append(skipped < windows and first + skipped * stride < size)
    return met


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value) * (axes // len(value))
