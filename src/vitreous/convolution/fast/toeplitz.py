"""Temporal convolution as two matrix products a block: no windows are laid out in memory.

A signal is cut into blocks of L samples, L not smaller than the kernel less one. The L outputs that
start in a block read that block and the next one alone, so they are

    outputs = block @ near + next block @ far

with two L x L matrices that hold the kernel along their diagonals (a Toeplitz matrix of L x 2L, cut
in two). That is 2L / k times the multiplications of the sum itself, at the pace of a matrix
product.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

FEW_BLOCKS = 64  # as of one trial: a product a group in place is called longer than it computes
LEAST_BLOCK = 32  # shorter ones leave matrix products too small to be fast


def block_length(kernel: int, pool: int = 1) -> int:
    """Samples a block, for a kernel of so many taps and a pooling by `pool` behind it.

    >>> block_length(64, 4), block_length(80, 5), block_length(16, 8)
    (64, 80, 32)
    """
    return pool * -(-max(LEAST_BLOCK, kernel) // pool)


def blocks_of(outputs: int, length: int) -> int:
    """Blocks a signal, of which the last only follows the one before it: it starts no output.

    >>> blocks_of(1001, 64)
    17
    """
    return -(-outputs // length) + 1


def skewed(matrices: Tensor) -> Tensor:
    """Diagonals of (..., n, 2n) as columns: (..., n, 2n + 1) whose [i, l] is [i, i + l].

    Right for l up to n + 1; beyond, columns hold what lies left of the diagonal.
    """
    *front, n, width = matrices.shape
    flat = F.pad(matrices.reshape(*front, n * width), (0, n))
    return flat.view(*front, n, width + 1)


def unskewed(diagonals: Tensor) -> Tensor:
    """The inverse of `skewed`: (..., n, 2n + 1), whose row i starts at column i of the result.

    What a row has from entry n + 2 on must be zero: it comes out left of the diagonal of the next.
    """
    *front, n, width = diagonals.shape
    flat = diagonals.reshape(*front, n * width)[..., : n * (width - 1)]
    return flat.view(*front, n, width - 1)


def toeplitz(kernels: Tensor, length: int) -> Tensor:
    """(groups, length, 2 * length) from kernels (groups, k): row n has the kernel from n on."""
    groups, taps = kernels.shape
    row = F.pad(kernels, (0, 2 * length + 1 - taps))
    return unskewed(row[:, None].expand(groups, length, 2 * length + 1))


def convolve_blocks(blocks: Tensor, kernels: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Cross-correlation of signals (groups, rows, L), each group with its kernel (groups, k).

    The rows are blocks in their order; output n of row r is the sum of kernel[k] times sample
    n + k from the start of row r on, which runs on into row r + 1 (zeros behind the last row).
    `dtype` is the number format of the products; sums come out as the kernels are. k <= L + 1.
    """
    return _BlockConvolution.apply(blocks, kernels, dtype)  # type: ignore


class _BlockConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blocks: Tensor, kernels: Tensor, dtype: torch.dtype | None) -> Tensor:
        length, given = blocks.shape[-1], blocks.dtype
        if dtype is not None:
            blocks = blocks.to(dtype)
        matrices = toeplitz(kernels.to(blocks.dtype), length)
        near, far = matrices[..., :length].mT, matrices[..., length:].mT
        with torch.autocast(blocks.device.type, enabled=False):
            outputs = torch.bmm(blocks, near)
            if blocks.shape[1] <= FEW_BLOCKS:
                outputs[:, :-1] += torch.bmm(blocks[:, 1:], far)
            else:
                outputs[:, :-1].baddbmm_(blocks[:, 1:], far)
        ctx.save_for_backward(blocks, matrices)
        ctx.taps, ctx.formats = kernels.shape[1], (given, kernels.dtype)
        return outputs.to(kernels.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        blocks, matrices = ctx.saved_tensors
        length = blocks.shape[-1]
        gradient = gradient.to(blocks.dtype)
        near, far = matrices[..., :length], matrices[..., length:]
        wanted, weighted = ctx.needs_input_grad[:2]
        for_blocks = for_kernels = None
        with torch.autocast(blocks.device.type, enabled=False):
            if wanted:
                for_blocks = torch.bmm(gradient, near)
                for_blocks[:, 1:].baddbmm_(gradient[:, :-1], far)
                for_blocks = for_blocks.to(ctx.formats[0])
            if weighted:
                products = torch.cat(
                    [
                        torch.bmm(gradient.mT, blocks),
                        torch.bmm(gradient[:, :-1].mT, blocks[:, 1:]),
                    ],
                    dim=2,
                )
                sums = skewed(products.to(ctx.formats[1])).sum(-2)
                for_kernels = sums[:, : ctx.taps]
        return for_blocks, for_kernels, None
