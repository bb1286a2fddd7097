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
    maps = maps.contiguous(memory_format=torch.channels_last)
    mean, variance = _statistics(maps, norm)
    root = torch.rsqrt(variance + norm.eps)
    return _NormEluMax.apply(maps, norm.weight, norm.bias, mean, root, window)  # type: ignore


@torch.no_grad()
def _statistics(maps: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each map; the norm's running statistics follow."""
    norm.num_batches_tracked += 1  # type: ignore[operator]
    return torch.batch_norm_update_stats(
        maps, norm.running_mean, norm.running_var, norm.momentum or 0.0
    )


def _lines(maps: Tensor) -> Tensor:
    """Maps (batch, maps, 1, time), innermost in memory, as (time, batch * maps), in that order.

    What has a number a map is met by lines of `batch` times those numbers: with 25 maps a loop over
    the maps alone is called longer than it computes.
    """
    batch, count, _, time = maps.shape
    return maps.squeeze(2).mT.reshape(time, batch * count)


def _as_maps(lines: Tensor, batch: int) -> Tensor:
    """The inverse of `_lines`: (batch, maps, 1, time)."""
    return lines.view(batch, len(lines), -1).mT.unsqueeze(2)


def _sums(lines: Tensor, batch: int) -> Tensor:
    """(maps,): the sum over all trials and samples."""
    return lines.sum(0).view(batch, -1).sum(0)


class _NormEluMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps, scale, shift, mean, root, window: int):
        pooled = torch.ops.aten.max_pool2d_with_indices(maps, [1, window], [1, window])
        largest, places = pooled[0], pooled[1]
        batch, kind = len(maps), mean.dtype
        centred = _lines(largest).to(kind) - mean.repeat(batch)
        factor = (scale * root).repeat(batch)
        active = F.elu_(torch.addcmul(shift.repeat(batch), centred, factor))
        ctx.save_for_backward(maps, places, largest, active, scale, mean, root)
        ctx.window = window
        return _as_maps(active.to(maps.dtype), batch)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        maps, places, largest, active, scale, mean, root = ctx.saved_tensors
        batch, window = len(maps), [1, ctx.window]
        # of ELU from its result: exp(x) = ELU(x) + 1 where x is negative
        of_normed = torch.ops.aten.elu_backward(
            _lines(gradient).to(active.dtype), 1.0, 1.0, 1.0, True, active
        )
        centred = _lines(largest).to(mean.dtype) - mean.repeat(batch)
        for_shift = _sums(of_normed, batch)
        for_scale = _sums(centred.mul_(of_normed), batch) * root
        factor = scale * root
        count = maps.numel() // maps.shape[1]
        slope = -factor * root * for_scale / count
        constant = -factor * for_shift / count - slope * mean
        # what comes from above meets the largest samples alone, the statistics every one
        from_above = _as_maps(of_normed.mul_(factor.repeat(batch)).to(maps.dtype), batch)
        for_maps = torch.ops.aten.max_pool2d_with_indices_backward(
            from_above, maps, window, window, [0, 0], [1, 1], False, places
        )
        into, kind = _lines(for_maps), maps.dtype
        into.addcmul_(_lines(maps), slope.to(kind).repeat(batch))
        into.add_(constant.to(kind).repeat(batch))
        return for_maps, for_scale, for_shift, None, None, None
