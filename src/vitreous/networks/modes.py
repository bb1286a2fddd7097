"""A network that answers: evaluation mode, and afterwards as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode, gradients as they are; afterwards each part is in the mode it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode without gradients.

    Not inference mode: a lazy layer that is first run in it could never be trained.
    """
    with evaluation_mode(network), torch.no_grad():
        yield network
