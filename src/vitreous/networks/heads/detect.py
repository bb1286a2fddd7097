"""A dense head without anchors: at every cell of a pyramid a score a class, and a box."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from vitreous.networks.heads.pyramid import FeaturePyramid
from vitreous.networks.network import Strides

LEVELS = (8, 16, 32)
"""Strides of the maps that boxes are answered on."""

BINS = 17
"""A side's distance from the cell is a mean over 0, 1, ... 16 strides of its level."""

PRIOR = 0.01  # of a class at a cell, before anything is learned
REACH = 3.0  # strides: what the distances fall off by, before anything is learned


class DetectHead(nn.Module):
    """A feature pyramid, and two towers of convolutions that all its levels share.

    Maps, finest first, to (batch, cells, classes + 4 * BINS): at each cell a logit a class, then
    for left, top, right and bottom each the logits of a distribution over the side's distance from
    the cell's middle. Cells come level by level, finest first, row by row, as `cell_grid` has them.

    One prediction a cell without anchors: Z. Tian et al., "FCOS: Fully Convolutional One-Stage
    Object Detection", 2019. Distances as distributions: X. Li et al., "Generalized Focal Loss",
    2020. Convolutions shared by the levels, norms not: C. Lyu et al., "RTMDet", 2022.
    """

    classifiers = ("classes",)  # what answers for the classes
    dense = True  # reads all maps, not the last alone
    new_norms = True  # they have seen no picture yet, whatever weights the features start from

    def __init__(
        self,
        channels: Sequence[int],
        strides: Strides,
        classes: int,
        *,
        width: int = 64,
        depth: int = 2,
    ):
        super().__init__()
        self.pyramid = FeaturePyramid(channels, strides, LEVELS, width)
        self.class_tower = SharedTower(width, depth, len(LEVELS))
        self.box_tower = SharedTower(width, depth, len(LEVELS))
        self.classes = nn.Conv2d(width, classes, 1)
        self.boxes = nn.Conv2d(width, 4 * BINS, 1)
        start_with_few_and_near(self.classes, self.boxes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, cells, classes + 4 * BINS) from the features' maps."""
        answers = []
        for level, each in enumerate(self.pyramid(maps)):
            scores = self.classes(self.class_tower(each, level))
            distances = self.boxes(self.box_tower(each, level))
            answers.append(torch.cat([scores, distances], 1).flatten(2))
        return torch.cat(answers, 2).transpose(1, 2)


class SharedTower(nn.Module):
    """Convolutions whose kernels all levels share, each level with its own norms, and ReLU."""

    def __init__(self, width: int, depth: int, levels: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth)) for _ in range(levels)
        )
        self.activation = nn.ReLU(inplace=True)
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")  # type: ignore

    def forward(self, maps: Tensor, level: int) -> Tensor:
        """Maps of the same shape, of the level with that number."""
        for convolution, norm in zip(self.convolutions, self.norms[level], strict=True):  # type: ignore
            maps = self.activation(norm(convolution(maps)))
        return maps


def start_with_few_and_near(classes: nn.Conv2d, boxes: nn.Conv2d) -> None:
    """Before anything is learned no class is likely, and boxes are a few cells large.

    A rare class's small prior: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", 2017,
    section 3.3.
    """
    assert classes.bias is not None
    assert boxes.bias is not None
    for layer in (classes, boxes):
        nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(classes.bias, -torch.log(torch.tensor((1 - PRIOR) / PRIOR)).item())
    with torch.no_grad():
        boxes.bias.copy_((-torch.arange(BINS) / REACH).repeat(4))


@lru_cache(maxsize=16)
def cell_grid(
    size: tuple[int, int], levels: tuple[int, ...] = LEVELS, device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """The middles (cells, 2), x and y in pixels of the input, and strides (cells,), of all cells.

    `size` is the input's (height, width). A level has as many cells as steps fit, the last one
    also where it is not whole.

    >>> middles, strides = cell_grid((16, 32), (8, 16))
    >>> middles[[0, 1, 4, 8]].tolist(), strides.tolist()[-3:]
    ([[4.0, 4.0], [12.0, 4.0], [4.0, 12.0], [8.0, 8.0]], [8.0, 16.0, 16.0])
    """
    middles, strides = [], []
    for level in levels:
        rows, columns = (-(-side // level) for side in size)
        y = (torch.arange(rows, device=device) + 0.5) * level
        x = (torch.arange(columns, device=device) + 0.5) * level
        grid = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], 2)
        middles.append(grid.reshape(-1, 2))
        strides.append(torch.full((rows * columns,), float(level), device=device))
    return torch.cat(middles), torch.cat(strides)
