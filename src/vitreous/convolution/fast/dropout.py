"""Dropout whose random numbers are shared by four values each.

On a processor libraries draw one random number a value, which takes longer than what is done with
it. Here a value takes 16 of the 64 bits of one.
"""

import torch
from torch import Tensor

LEVELS = 2**16


def dropped(maps: Tensor, share: float) -> Tensor:
    """The maps with each value zero with probability `share`, the others divided by 1 - share.

    The probability is rounded to a multiple of 2^-16, and what is divided by goes with it. By
    torch's own generator, in the order in which the values lie in memory.
    """
    below = round(share * LEVELS)
    if below == 0:
        return maps
    if below == LEVELS:
        return maps * 0
    strides = maps.stride() if _dense(maps) else maps.contiguous().stride()
    numbers = torch.empty(-(-maps.numel() // 4), dtype=torch.int64, device=maps.device)
    bits = numbers.random_(torch.iinfo(torch.int64).min, None).view(torch.int16)
    kept = bits.as_strided(maps.shape, strides) >= below - LEVELS // 2
    return maps * kept.to(maps.dtype).mul_(LEVELS / (LEVELS - below))


def _dense(maps: Tensor) -> bool:
    """Whether the values lie in memory without gap or overlap, in whatever order."""
    order = sorted(range(maps.ndim), key=lambda axis: maps.stride(axis))
    wanted = 1
    for axis in order:
        if maps.shape[axis] != 1:
            if maps.stride(axis) != wanted:
                return False
            wanted *= maps.shape[axis]
    return True
