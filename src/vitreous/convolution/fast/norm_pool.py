"""Batch norm, ELU and average pooling of signals in one step that keeps one map for the way back.

The pooling is a product with a small matrix: within blocks where windows do not overlap, along the
whole signal where they do.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Pooling:
    """Averages of `window` samples every `stride`, of signals that are `valid` samples long.

    The signals lie in memory as whole blocks of `block` samples; what is behind the valid ones may
    be anything finite.
    """

    window: int
    stride: int
    valid: int
    block: int

    @property
    def outputs(self) -> int:
        """Averages a signal."""
        return (self.valid - self.window) // self.stride + 1

    @property
    def within_blocks(self) -> bool:
        """Whether no window crosses the border of a block."""
        return self.window == self.stride and self.block % self.window == 0

    def apply(self, maps: Tensor) -> Tensor:
        """(groups, trials, samples) to (groups, trials, outputs)."""
        groups, trials, samples = maps.shape
        matrix = self._matrix(samples, maps)
        with torch.autocast(maps.device.type, enabled=False):
            pooled = (maps.view(-1, len(matrix)) @ matrix).view(groups, trials, -1)
        return pooled[..., : self.outputs]

    def spread(self, gradient: Tensor, samples: int) -> Tensor:
        """The way back of `apply`: zero for samples that no average has."""
        groups, trials, outputs = gradient.shape
        matrix = self._matrix(samples, gradient)
        whole = matrix.shape[1] * samples // len(matrix)
        padded = F.pad(gradient, (0, whole - outputs)).reshape(-1, matrix.shape[1])
        return (padded @ matrix.mT).view(groups, trials, samples)

    def _matrix(self, samples: int, like: Tensor) -> Tensor:
        if self.within_blocks:
            length, count = self.block, self.block // self.window
        else:
            length, count = samples, self.outputs
        return averages_matrix(length, self.window, self.stride, count, like.dtype, like.device)


@lru_cache(maxsize=64)
def averages_matrix(
    length: int, window: int, stride: int, count: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(length, count): the samples of each average as a column of 1 / window, zeros elsewhere."""
    places = torch.arange(length)[:, None] - stride * torch.arange(count)
    return ((places >= 0) & (places < window)).to(device, dtype) / window


def scaled_elu_pool(maps: Tensor, scale: Tensor, shift: Tensor, pooling: Pooling) -> Tensor:
    """ELU of scale * map + shift, averaged; (groups, trials, samples), a number a group."""
    scaled = torch.addcmul(shift[:, None, None], maps, scale[:, None, None])
    return pooling.apply(F.elu(scaled))


def norm_elu_pool(
    maps: Tensor, gain: Tensor, scale: Tensor, shift: Tensor, epsilon: float, pooling: Pooling
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm of gain * maps over trials and valid samples, ELU, averages.

    `maps` (groups, trials, samples); `gain` (groups,) is what a norm before this one multiplies
    with, `scale` and `shift` (groups,) are the norm's own. Gives the averages (groups, trials,
    outputs), and the mean and (biased) variance of the maps without the gain, which carry no
    gradient. The norm subtracts the mean first, as a batch norm does, so a large one does no harm.
    """
    return _NormEluPool.apply(maps, gain, scale, shift, epsilon, pooling)  # type: ignore


class _NormEluPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps, gain, scale, shift, epsilon: float, pooling: Pooling):
        valid = pooling.valid
        count = maps.shape[1] * valid
        mean = maps[..., :valid].mean((1, 2))
        centred = maps - mean[:, None, None]
        variance = torch.linalg.vector_norm(centred[..., :valid], dim=(1, 2)).square() / count
        rest = torch.rsqrt(gain.square() * variance + epsilon)
        factor = scale * gain * rest
        # times, then plus: together they are a loop without the processor's wide registers
        active = F.elu_((centred * factor[:, None, None]).add_(shift[:, None, None]))
        ctx.save_for_backward(centred, active, gain, scale, rest)
        ctx.pooling, ctx.count, ctx.epsilon = pooling, count, epsilon
        ctx.mark_non_differentiable(mean, variance)
        return pooling.apply(active), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, pooled: Tensor, *_unused: Tensor):  # type: ignore[override]
        centred, active, gain, scale, rest = ctx.saved_tensors
        pooling, count = ctx.pooling, ctx.count
        spread = pooling.spread(pooled, centred.shape[2])
        # of ELU from its result: exp(x) = ELU(x) + 1 where x is negative; in the same memory
        of_scaled = torch.ops.aten.elu_backward.grad_input(
            spread, 1.0, 1.0, 1.0, True, active, grad_input=spread
        )
        for_shift = of_scaled.sum((1, 2))
        with_centred = torch.linalg.vecdot(of_scaled.flatten(1), centred.flatten(1))
        root = gain * rest  # what the centred maps are multiplied with, before the norm's scale
        for_root = scale * with_centred
        for_gain = for_root * ctx.epsilon * rest.pow(3)
        for_variance = -0.5 * for_root * gain.pow(3) * rest.pow(3)
        # gradients behind the valid samples: of the averages zero, of the statistics none
        for_maps = of_scaled.mul_((scale * root)[:, None, None])
        for_maps.add_((-(scale * root * for_shift) / count)[:, None, None])
        for_maps.addcmul_(centred, (2 * for_variance / count)[:, None, None])
        for_maps[..., pooling.valid :] = 0
        return for_maps, for_gain, root * with_centred, for_shift, None, None
