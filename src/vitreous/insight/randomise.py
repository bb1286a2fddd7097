"""A network that has forgotten what it learned, for asking whether a map depends on it.

J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018, arXiv 1810.03292. A map that stays the
same does not explain what was learned. The reverse does not hold: that a map changes says little
(Binder et al. 2023, arXiv 2211.12486), so this is an alarm and no score.
"""

from copy import deepcopy

import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose weights are shuffled, each tensor in itself, so that their sizes stay.

    Shuffled are all parameters, and fixed kernels among the buffers; a norm's running statistics
    stay, so that numbers neither vanish nor overflow.
    """
    copy = deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    kernels = [buffer for buffer in copy.buffers() if buffer.ndim > 1]
    with torch.no_grad():
        for tensor in [*copy.parameters(), *kernels]:
            if not tensor.is_floating_point():
                continue
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))
    return copy.eval()
