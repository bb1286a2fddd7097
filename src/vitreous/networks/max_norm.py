"""Kernels that are kept short: Keras' max-norm constraint, with which EEGNet was published.

N. Srivastava et al., "Dropout", JMLR 15, 2014, section 5.1: after each step of the optimiser a
kernel whose L2 norm is above the limit is scaled back to it. A kernel is all that leads to one
output map (or unit). Within the limit nothing changes, and gradients are those of the plain layer.
"""

from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.Linear)


def limit_norm(layer: Layer, largest: float) -> Layer:
    """Mark a layer, whose kernels `keep_norms_limited` keeps within an L2 norm of `largest`."""
    layer.largest_norm = largest  # type: ignore
    return layer


@torch.no_grad()
def keep_norms_limited(network: nn.Module) -> None:
    """Scale back the kernels of marked layers that have grown beyond their limit."""
    for module in network.modules():
        largest = getattr(module, "largest_norm", None)
        if largest is not None:
            module.weight.copy_(torch.renorm(module.weight, 2, 0, largest))  # type: ignore
