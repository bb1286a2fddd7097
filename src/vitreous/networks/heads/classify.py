"""Heads that answer with one vector a sample: class scores, or one number for regression."""

import torch
from torch import Tensor, nn

from vitreous.networks.features.lenet import ScaledTanh, initialise_as_published


class PooledHead(nn.Module):
    """The mean of each coarsest map over space, dropout, and a linear layer.

    Maps (batch, channels, *space), finest first, to (batch, outputs): class scores before
    softmax or sigmoid; with `outputs=1` the number of a regression.
    """

    def __init__(self, channels: int, outputs: int, dropout: float = 0.1):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps."""
        coarsest = maps[-1]
        space = tuple(range(2, coarsest.ndim))
        return self.linear(self.dropout(coarsest.mean(space)))


class LeNetHead(nn.Module):
    """LeNet's layers of 120 and 84 units and the output, on the flattened coarsest maps.

    Maps larger than the 5 x 5 of LeNet-5 are averaged down to it, so that the head keeps its size
    for large pictures.
    """

    def __init__(self, channels: int, size: tuple[int, int], outputs: int):
        super().__init__()
        height, width = (min(side, 5) for side in size)
        same = (height, width) == tuple(size)
        self.pool = nn.Identity() if same else nn.AdaptiveAvgPool2d((height, width))
        self.linear1 = nn.Linear(channels * height * width, 120)
        self.relu1 = nn.ReLU()
        self.linear2 = nn.Linear(120, 84)
        self.relu2 = nn.ReLU()
        self.linear3 = nn.Linear(84, outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps."""
        flat = torch.flatten(self.pool(maps[-1]), 1)
        return self.linear3(self.relu2(self.linear2(self.relu1(self.linear1(flat)))))


class LeNet1998Head(nn.Module):
    """F6 of the published LeNet-5 (84 units, squashed), then a linear output.

    The paper's output compares F6 with a fixed 7 x 12 drawing of each character by the squared
    distance. The drawings exist for ASCII alone, so a trained linear layer stands in their place.
    Under softmax it can say the same: -|x - w|^2 = 2 w.x - |w|^2 - |x|^2, and the last term is
    common to all classes.
    """

    def __init__(self, outputs: int):
        super().__init__()
        self.f6 = nn.Linear(120, 84)
        self.squash6 = ScaledTanh()
        self.output = nn.Linear(84, outputs)
        initialise_as_published(self.f6)
        initialise_as_published(self.output)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from C5 (batch, 120, 1, 1)."""
        return self.output(self.squash6(self.f6(torch.flatten(maps[-1], 1))))


class MaximumHead(nn.Module):
    """The largest value of each coarsest map, and a linear layer whose answers are made small.

    So at first no class is preferred much. Maps (batch, channels, *space), finest first, to (batch,
    outputs). K. Jordan, arXiv 2404.00498, section 3.2.
    """

    def __init__(self, channels: int, outputs: int, scale: float = 1 / 9) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(channels, outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps."""
        coarsest = maps[-1]
        space = tuple(range(2, coarsest.ndim))
        return self.linear(coarsest.amax(space)) * self.scale
