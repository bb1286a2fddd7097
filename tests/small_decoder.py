"""A small decoder of EEG for tests: a network that is the user's own, as far as Vitreous knows."""

import torch
from torch import nn


class Small(nn.Module):
    """A filter in time, then over channels, its power; answers of two classes."""

    def __init__(self, channels: int = 10, outputs: int = 2) -> None:
        super().__init__()
        self.time = nn.Conv2d(1, 6, (1, 25), padding=(0, 12), bias=False)
        self.space = nn.Conv2d(6, 8, (channels, 1), bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.answer = nn.Linear(8, outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.norm(self.space(self.time(inputs)))
        return self.answer(maps.square().mean((2, 3)).clamp_min(1e-6).log())


def small() -> Small:
    torch.manual_seed(0)
    return Small()
