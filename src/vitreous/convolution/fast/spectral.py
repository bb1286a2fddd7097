"""Temporal convolution of many maps by the spectra of blocks, with matrix products as transforms.

A signal is cut into blocks of N samples, a block every m = N - k + 1 of them, and the m outputs of
a block are read off a convolution around a circle of N. There it is a product a frequency of the
real Fourier transform, in three real multiplications where the frequency is complex (Gauss'): about
1.5 N in place of m k for each pair of maps. With 25 taps and blocks of 48 these are 71 in place of
600. The transforms are linear, so they are products with small matrices, at the pace of matrix
products, and nothing but such products is left.

Sums of products as a library's convolution has them, to a few units in the last place: a Fourier
transform is orthogonal, and no number grows on its way (it would in Winograd's algorithm). For
answers: in training the library's convolutions in bfloat16 are as fast (decision 0036).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

LARGEST_SHARE = 0.75  # of the multiplications of the plain sum: with more, it is not worth its way
CALL = 2_500_000  # multiplications that take as long as calling everything here once
LEAST_WIDTH = 32  # products with fewer columns take as long as with so many
MOST_TAPS = 64  # longer kernels are given to real fast transforms, by libraries


@lru_cache(maxsize=64)
def transforms(
    taps: int, length: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of blocks (M, N) and of kernels (M, k) to their spectra, and back (m, M).

    outputs = back @ ((of_block @ block) * (of_kernel @ kernel)), output n of which is the sum over
    taps of kernel[k] times block[n + k], for n up to N - k. M is 1.5 N - 1, half more where N is
    odd.
    """
    step = length - taps + 1
    places = torch.arange(length, dtype=torch.float64)
    frequencies = torch.arange(1, (length + 1) // 2, dtype=torch.float64)
    angles = 2 * math.pi / length * frequencies[:, None] * places  # (frequencies, length)
    cosine, sine = angles.cos(), angles.sin()
    # block: a + ib; kernel turned round: c + id; c (a + b), a (d - c) and b (c + d) make the
    # product: its real part is the first less the third, its imaginary part the first and second
    of_block = [torch.ones(1, length).double(), cosine - sine, cosine, -sine]
    of_kernel = [torch.ones(1, length).double(), cosine, sine - cosine, cosine + sine]
    back = [torch.ones(1, length).double(), 2 * (cosine - sine), -2 * sine, -2 * cosine]
    if length % 2 == 0:
        half = (1 - 2 * (places % 2))[None]  # the highest frequency: +1, -1, +1, ...
        for rows in (of_block, of_kernel, back):
            rows.append(half)
    made = (
        torch.cat(of_block),
        torch.cat(of_kernel)[:, :taps],
        (torch.cat(back)[:, :step] / length).mT,
    )
    into, kernels, out = (each.to(device, dtype).contiguous() for each in made)
    return into, kernels, out


@lru_cache(maxsize=256)
def best_length(taps: int, channels: int, out: int, outputs: int) -> int | None:
    """Samples a block that need the fewest multiplications; None where the plain sum is as good.

    For kernels (out, channels, taps) and one signal of so many outputs.
    """
    if not 1 < taps <= MOST_TAPS:
        return None
    pairs = channels * out
    plain = outputs * taps * pairs
    found, least = None, LARGEST_SHARE * plain
    for length in range(2 * taps - 1, 6 * taps + 1):  # blocks reach into the next one alone
        step = length - taps + 1
        products = length + (length - 1) // 2
        blocks = -(-outputs // step)
        transformed = blocks * products * (length * channels + step * out)
        needed = CALL + transformed + max(blocks, LEAST_WIDTH) * products * pairs
        if needed < least:
            found, least = length, needed
    return found


def spectra_of_kernels(kernels: Tensor, length: int) -> Tensor:
    """(out, channels, taps) to (M, out, channels)."""
    out, channels, taps = kernels.shape
    _, of_kernel, _ = transforms(taps, length, kernels.dtype, kernels.device)
    rows = kernels.permute(2, 0, 1).reshape(taps, out * channels)
    return (of_kernel @ rows).view(-1, out, channels)


def spectra_of_signals(signals: Tensor, taps: int, length: int) -> Tensor:
    """(channels, trials, time) to (M, channels, trials * blocks); behind the end are zeros."""
    channels, trials, time = signals.shape
    step = length - taps + 1
    blocks = -(-(time - taps + 1) // step)
    samples = blocks * step + taps - 1
    if samples > time:
        given, signals = signals, signals.new_zeros(channels, trials, samples)
        signals[..., :time] = given
    between, apart, innermost = signals.stride()
    windows = signals.as_strided(
        (channels, trials, blocks, length), (between, apart, step * innermost, innermost)
    ).reshape(-1, length)
    into, _, _ = transforms(taps, length, signals.dtype, signals.device)
    return torch.mm(into, windows.mT).view(len(into), channels, trials * blocks)


def outputs_of_products(products: Tensor, taps: int, length: int) -> Tensor:
    """(M, out, trials * blocks) to (out, trials * blocks, m): the blocks' outputs, in a row."""
    _, _, back = transforms(taps, length, products.dtype, products.device)
    return torch.mm(products.flatten(1).mT, back.mT).view(*products.shape[1:], -1)
