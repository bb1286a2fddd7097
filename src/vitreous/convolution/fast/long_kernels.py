"""Temporal convolutions with long kernels, whose way back to the kernel libraries are slow at.

On processors the library's loop for a kernel's gradient keeps rows of up to 14 taps in registers;
with more it takes four times as long a tap (measured: 25 taps 24 ms, 14 taps 5 ms, 64 trials of 22
electrodes and 1,000 samples, bfloat16, two cores of Zen 4). The same sum with fewer taps: m samples
that follow each other are laid side by side as m times the channels, and the taps are m samples
apart,

    kernel[o, c, m j + i] = wide[o, (i, c), j],

so that ceil(k / m) taps are left.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from vitreous.convolution.fast.form import low_precision

LONGEST = 14  # taps that the library's loop is fast with


def long_convolution(inputs: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """`conv2d` of (batch, channels, 1, time), channels innermost, with (out, channels, 1, k).

    In the number format of an autocast that is on. On other devices than processors, and with few
    taps, it is the library's own.
    """
    if kernel.shape[3] <= LONGEST or inputs.device.type != "cpu":
        return F.conv2d(inputs, kernel, bias)
    dtype = low_precision(inputs.device)
    return _LongConvolution.apply(inputs, kernel, bias, dtype)  # type: ignore


class _LongConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, kernel: Tensor, bias: Tensor | None, dtype) -> Tensor:
        ctx.formats = inputs.dtype, kernel.dtype
        if dtype is not None:
            inputs, kernel = inputs.to(dtype), kernel.to(dtype)
        with torch.autocast(inputs.device.type, enabled=False):
            outputs = F.conv2d(inputs, kernel, None if bias is None else bias.to(kernel.dtype))
        ctx.save_for_backward(inputs, kernel)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        inputs, kernel = ctx.saved_tensors
        given, weights = ctx.formats
        for_inputs = for_kernel = for_bias = None
        if ctx.needs_input_grad[0]:
            for_inputs = _back(gradient, inputs, kernel, step=1, wanted=0).to(given)
        if ctx.needs_input_grad[1]:
            for_kernel = kernel_gradient(gradient, inputs, kernel.shape[3]).to(weights)
        if ctx.needs_input_grad[2]:
            for_bias = gradient.sum((0, 2, 3), dtype=weights)
        return for_inputs, for_kernel, for_bias, None


def kernel_gradient(gradient: Tensor, inputs: Tensor, taps: int) -> Tensor:
    """(out, channels, 1, taps) from the outputs' gradient (batch, out, 1, time - taps + 1)."""
    batch, channels, _, time = inputs.shape
    out = gradient.shape[1]
    beside = -(-taps // LONGEST)  # samples that are laid side by side
    left = -(-taps // beside)
    rows = inputs.squeeze(2).mT  # (batch, time, channels)
    wide_rows = gradient.shape[3] + beside * (left - 1)
    missing = wide_rows + beside - 1 - time  # behind the end: read by taps that are not there
    rows = F.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows.contiguous()
    wide = rows.as_strided(
        (batch, wide_rows, beside * channels), (rows.shape[1] * channels, channels, 1)
    ).contiguous()
    like = wide.new_empty(out, left, beside * channels).mT.unsqueeze(2)
    found = _back(gradient, wide.mT.unsqueeze(2), like, step=beside, wanted=1)
    each = found.view(out, beside, channels, left).permute(0, 2, 3, 1)
    return each.reshape(out, channels, 1, left * beside)[..., :taps]


def _back(gradient: Tensor, inputs: Tensor, kernel: Tensor, step: int, wanted: int) -> Tensor:
    """The library's gradient of a convolution for its inputs (0) or its kernel (1)."""
    mask = [wanted == 0, wanted == 1, False]
    return torch.ops.aten.convolution_backward(
        gradient, inputs, kernel, None, [1, 1], [0, 0], [1, step], False, [0, 0], 1, mask
    )[wanted]
