"""Depthwise convolutions kept out of bfloat16, where a processor carries them back slowly.

In a depthwise convolution each map has a kernel of its own: there is little to multiply, and the
time goes into moving numbers. On processors torch 2.11 has fast float32 code for it in the
channels-last layout; in bfloat16 the way back took four times as long for 5 x 5 kernels and for
strides of 2 (EfficientNet-Lite0's, two cores of Zen 4; decision 0035).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitreous.inference.outside_autocast import in_float32


class DepthwiseInFloat32(TorchFunctionMode):
    """Inside of a bfloat16 autocast: such convolutions are computed in float32, and rounded."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call `func`; a depthwise convolution that is slow in bfloat16 outside of the autocast."""
        kwargs = kwargs or {}
        if func is torch.conv2d and _is_slow(*args, **kwargs):
            return in_float32(func, args, kwargs)
        return func(*args, **kwargs)


def _is_slow(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> bool:
    """Whether float32 is faster; parameters as `torch.conv2d` has them."""
    del bias, padding, dilation
    if groups == 1 or weight.shape[1] != 1 or input.ndim != 4:
        return False
    strided = stride not in (1, (1, 1), [1, 1])
    large = min(weight.shape[2:]) >= 5 or (strided and min(weight.shape[2:]) >= 3)
    return large and input.is_contiguous(memory_format=torch.channels_last)
