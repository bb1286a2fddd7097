"""Batch normalisation over the whole batch, when several processes have a share of it each.

Inside `shared_statistics(processes)` every `F.batch_norm` in training mode takes mean and variance
over the batches of all processes, and its gradient goes through them: that of `nn.BatchNorm1d` to
`3d`, of layers made from them (timm's, torchvision's) and of a user's own. No module is exchanged,
so names, weights and what looks at a network stay as they are.

Ioffe and Szegedy 2015 for the operation; the statistics of the shares are combined as in Chan,
Golub and LeVeque 1983 (equations 2.1), which stays exact where a mean is large beside its spread.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitreous.training.processes import Processes


@contextmanager
def shared_statistics(processes: Processes) -> Iterator[None]:
    """Around the forward pass of a training step; every process must run the same layers."""
    if not processes.several:
        yield
        return
    with _SharedBatchNorm(processes):
        yield


class _SharedBatchNorm(TorchFunctionMode):
    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        del types
        if func is F.batch_norm:
            return batch_norm(self.processes, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def batch_norm(
    processes: Processes,
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of inputs (batch, channels, ...), over the batches of all processes.

    Running statistics become those of one process with the whole batch. Raises `ValueError` when
    all batches together have one value a channel, as `F.batch_norm` does.
    """
    if not training:
        return F.batch_norm(inputs, running_mean, running_var, weight, bias, False, momentum, eps)
    count, mean, square = statistics_of_all(processes, inputs.detach())
    if count <= 1:
        raise ValueError("Expected more than 1 value per channel when training")
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((square / (count - 1)).to(running_var.dtype), momentum)
    variance = square / count
    return _Normalise.apply(inputs, weight, bias, mean, variance, count, eps, processes)  # type: ignore[return-value]


def statistics_of_all(processes: Processes, inputs: Tensor) -> tuple[float, Tensor, Tensor]:
    """Values a channel, their mean, and the sum of squared distances from it, (channels,) each."""
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    precise = inputs if inputs.dtype == torch.float64 else inputs.float()
    count = inputs.numel() // inputs.shape[1]
    variance, mean = torch.var_mean(precise, dim=axes, correction=0)
    of_one = torch.cat([mean.new_tensor([count]), mean, variance * count])
    found = processes.gathered(of_one).double()
    counts, means, squares = found[:, :1], found[:, 1 : 1 + len(mean)], found[:, 1 + len(mean) :]
    total = counts.sum()
    mean_of_all = (counts * means).sum(0) / total
    square_of_all = squares.sum(0) + (counts * (means - mean_of_all) ** 2).sum(0)
    return float(total), mean_of_all.to(mean.dtype), square_of_all.to(mean.dtype)


class _Normalise(torch.autograd.Function):
    """The normalisation with given statistics, whose gradient goes through the statistics.

    With y' the gradient of the output, n values a channel, x^ the normalised input and s the
    standard deviation: x' = weight / s (y' - sum(y') / n - x^ sum(y' x^) / n), sums over all
    processes; weight' and bias' are the process's own sums, added up with all other gradients.
    """

    @staticmethod
    def forward(ctx, inputs, weight, bias, mean, variance, count, eps, processes):
        ctx.save_for_backward(inputs, weight, mean, variance)
        ctx.count, ctx.eps, ctx.processes = count, eps, processes
        return F.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        inputs, weight, mean, variance = ctx.saved_tensors
        # the gradient as if the statistics were constants, and the sums y' x^ and y'
        plain, sum_product, sum_gradient = torch.ops.aten.native_batch_norm_backward(
            gradient, inputs, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        sums = torch.stack([sum_gradient, sum_product]).to(mean.dtype)
        of_all = ctx.processes.summed(sums.clone()) / ctx.count
        scale = (variance + ctx.eps).rsqrt()
        slope = -of_all[1] * scale**2  # of the input's distance from the mean
        step = -of_all[0] * scale
        if weight is not None:
            slope, step = slope * weight, step * weight
        shape = [1, -1] + [1] * (inputs.ndim - 2)
        distance = inputs.to(mean.dtype) - mean.view(shape)
        whole = plain.to(mean.dtype).addcmul_(distance, slope.view(shape)).add_(step.view(shape))
        of_weight = sums[1] if ctx.needs_input_grad[1] else None
        of_bias = sums[0] if ctx.needs_input_grad[2] else None
        return whole.to(plain.dtype), of_weight, of_bias, *[None] * 5
