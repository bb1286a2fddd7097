"""Averages of long, overlapping windows along time as one matrix product.

A window of 75 samples every 15 reads each sample five times; as a product with the matrix that says
which samples an average has, it is done at the pace of matrix products, forwards and backwards.
"""

import torch
from torch import Tensor

from vitreous.convolution.fast.norm_pool import averages_matrix


def average_along_time(maps: Tensor, window: int, stride: int) -> Tensor:
    """(batch, maps, 1, time) with maps innermost in memory, to (batch, maps, 1, averages)."""
    time = maps.shape[3]
    count = (time - window) // stride + 1
    wide = torch.promote_types(maps.dtype, torch.float32)
    rows = maps.squeeze(2).mT.to(wide)  # (batch, time, maps)
    matrix = averages_matrix(time, window, stride, count, rows.dtype, rows.device)
    with torch.autocast(maps.device.type, enabled=False):
        return torch.matmul(matrix.mT, rows).mT.unsqueeze(2)
