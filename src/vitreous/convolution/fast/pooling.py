"""Averages of long, overlapping windows along time: short averages first, each used several times.

A window of 75 samples every 15 reads each sample five times. Averages of 15 samples, which no
border of a window cuts, read it once; what is left is a product with a small matrix that says which
of them a window has.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.convolution.fast.norm_pool import averages_matrix


def average_along_time(maps: Tensor, window: int, stride: int) -> Tensor:
    """(batch, maps, 1, time) to (batch, maps, 1, averages).

    The short averages are of the maps' format, what comes out is float32 or wider.
    """
    time = maps.shape[3]
    count = (time - window) // stride + 1
    common = math.gcd(window, stride)
    blocks, kind = time // common, torch.promote_types(maps.dtype, torch.float32)
    matrix = averages_matrix(blocks, window // common, stride // common, count, kind, maps.device)
    with torch.autocast(maps.device.type, enabled=False):
        if maps.stride(3) == 1:  # time lies innermost: a loop over so few numbers is no fast one
            column = averages_matrix(common, common, 1, 1, maps.dtype, maps.device)[:, 0]
            samples = maps[..., : blocks * common].reshape(-1, common)
            short = torch.mv(samples, column).view(-1, blocks).to(kind)
            return torch.mm(short, matrix).view(*maps.shape[:3], count)
        short = F.avg_pool2d(maps, (1, common)).squeeze(2).mT.to(kind)  # (batch, blocks, maps)
        return torch.matmul(matrix.mT, short).mT.unsqueeze(2)
