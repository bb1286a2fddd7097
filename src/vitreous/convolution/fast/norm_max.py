"""Batch norm, ELU and the largest of every few samples, with the largest first.

The norm is one factor and one addition a map and ELU rises everywhere, so the largest sample of a
window is the largest before them, too, as long as the factor is above zero: what is normed and bent
is a third of the samples where windows have three. Only the batch statistics need all of them, on
the way back by one multiplication and one addition each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def norm_elu_max(maps: Tensor, norm: nn.BatchNorm2d, window: int) -> Tensor:
    """ELU of the normed maps (batch, maps, 1, time), the largest of each `window` samples.

    In training mode the norm takes and follows batch statistics. Where a map's scale is not above
    zero, the layer takes the plain order.
    """
    followed = norm.running_mean is not None and norm.momentum is not None
    if not followed or not bool((norm.weight > 0).all()):
        return F.max_pool2d(F.elu(norm(maps)), (1, window))
    if not norm.training:
        return F.elu(norm(F.max_pool2d(maps, (1, window))))
    rows = maps.squeeze(2).mT.contiguous()  # (batch, time, maps)
    mean, variance = _statistics(rows, norm)
    pooled = _NormEluMax.apply(
        rows, norm.weight, norm.bias, mean, torch.rsqrt(variance + norm.eps), window
    )
    return pooled.mT.unsqueeze(2)  # type: ignore[union-attr]


@torch.no_grad()
def _statistics(rows: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each map; the norm's running statistics follow."""
    maps = rows.mT.unsqueeze(2)  # channels last
    norm.num_batches_tracked += 1  # type: ignore[operator]
    return torch.batch_norm_update_stats(
        maps, norm.running_mean, norm.running_var, norm.momentum or 0.0
    )


def _largest(rows: Tensor, window: int) -> Tensor:
    """(batch, time, maps) to (batch, time // window, maps)."""
    parts = _windows(rows, window).unbind(2)
    largest = parts[0]
    for part in parts[1:]:
        largest = torch.maximum(largest, part)
    return largest


def _windows(rows: Tensor, window: int) -> Tensor:
    batch, time, maps = rows.shape
    count = time // window
    return rows[:, : count * window].view(batch, count, window, maps)


class _NormEluMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, scale, shift, mean, root, window: int):
        largest = _largest(rows, window)
        centred = largest.to(mean.dtype) - mean
        factor = scale * root
        active = F.elu_(torch.addcmul(shift, centred, factor))
        ctx.save_for_backward(rows, largest, active, scale, mean, root)
        ctx.window = window
        return active.to(rows.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        rows, largest, active, scale, mean, root = ctx.saved_tensors
        count = rows.shape[0] * rows.shape[1]
        # of ELU from its result: exp(x) = ELU(x) + 1 where x is negative
        of_normed = torch.ops.aten.elu_backward(
            gradient.to(active.dtype), 1.0, 1.0, 1.0, True, active
        )
        centred = (largest.to(mean.dtype) - mean).mul_(root)
        for_shift = of_normed.sum((0, 1))
        for_scale = (of_normed * centred).sum((0, 1))
        factor = scale * root
        slope = -factor * root * for_scale / count
        constant = -factor * for_shift / count - slope * mean
        # the statistics meet every sample, what comes from above the largest ones alone
        kind = rows.dtype
        for_rows = torch.addcmul(constant.to(kind), rows, slope.to(kind))
        windows, into = _windows(rows, ctx.window), _windows(for_rows, ctx.window)
        from_above = (of_normed * factor).to(kind)
        left = None  # windows whose largest sample is not found yet: ties go to the first
        for place in range(ctx.window):
            here = windows[:, :, place] == largest
            if left is not None:
                here &= left
            into[:, :, place] += from_above * here
            left = ~here if left is None else left & ~here
        return for_rows, for_scale, for_shift, None, None, None
