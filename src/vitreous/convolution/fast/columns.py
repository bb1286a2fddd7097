"""A temporal convolution of one trial over all its maps as one matrix product.

For a batch a library's convolution is fast; for a single trial it spends more time on laying out
its kernel than on sums. Here the samples that each tap meets are laid below each other, once a map,
and the kernel is taken as it lies in memory:

    outputs (out, time - k + 1) = kernel (out, maps * k) @ columns (maps * k, time - k + 1)
"""

import torch
from torch import Tensor


def one_trial_without_gradient(maps: Tensor) -> bool:
    """Whether maps (batch, ...) are those of a single trial that is only answered for."""
    return len(maps) == 1 and not torch.is_grad_enabled() and maps.device.type == "cpu"


def convolve_columns(signals: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Signals (maps, time) with kernels (out, maps, taps): (1, out, 1, time - taps + 1)."""
    maps, time = signals.shape
    taps = kernel.shape[-1]
    outputs = time - taps + 1
    signals = signals.contiguous()
    columns = signals.as_strided((maps, taps, outputs), (time, 1, 1)).reshape(maps * taps, outputs)
    rows = kernel.reshape(len(kernel), -1)
    found = rows @ columns if bias is None else torch.addmm(bias[:, None], rows, columns)
    return found[None, :, None]
