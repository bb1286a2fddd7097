"""The encoder of a U-Net: residual stages from fine to coarse, in one, two or three dimensions.

O. Ronneberger, P. Fischer, T. Brox, "U-Net", 2015, with residual blocks in the encoder as in
F. Isensee et al., "nnU-Net Revisited", 2024. Its decoder is `heads.segment`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from vitreous.networks.blocks import ConvolutionBlock, Norm, ResidualBlock, per_axis

WIDTH = 16  # maps of the first stage
WIDEST = {1: 256, 2: 256, 3: 320}  # by dimensions
FEWEST_CELLS = 8  # a side of the coarsest maps, where the plan is made from the input's size
MOST_STAGES = 5


@dataclass(frozen=True)
class UNetPlan:
    """All that says how a U-Net is built; `to_json` and `from_json` are each other's inverse.

    Each stage has its number of maps, its kernel and its step from the stage before, one entry an
    axis, the finest first; the first stage's step is from the input.
    """

    dimensions: int
    widths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    blocks: int = 1  # residual ones, of two convolutions each, a stage
    norm: Norm = "batch"  # of batches of few large volumes better "instance"
    deep_supervision: int = 0  # coarser answers that are trained as well

    @staticmethod
    def halving(
        dimensions: int,
        widths: Sequence[int],
        *,
        norm: Norm = "batch",
        deep_supervision: int = 0,
        blocks: int = 1,
    ) -> "UNetPlan":
        """Kernels of 3 and half the size from stage to stage along every axis."""
        steps = [(1,) * dimensions, *[(2,) * dimensions] * (len(widths) - 1)]
        kernels = ((3,) * dimensions,) * len(widths)
        return UNetPlan(dimensions, tuple(widths), tuple(steps), kernels, blocks, norm,
                        deep_supervision)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return json.loads(json.dumps(asdict(self)))

    @staticmethod
    def from_json(value: dict[str, Any]) -> "UNetPlan":
        """The plan that `to_json` wrote."""
        lists = {
            name: tuple(tuple(each) if isinstance(each, list) else each for each in value[name])
            for name in ("widths", "strides", "kernel_sizes")
        }
        return UNetPlan(**{**value, **lists})


def plan_for(size: Sequence[int], width: int = WIDTH) -> UNetPlan:
    """The plan for inputs of a size, a number an axis: halved while eight cells a side are left.

    >>> plan_for((256, 256)).widths, plan_for((40, 48, 32)).widths
    ((16, 32, 64, 128, 256), (16, 32, 64))
    """
    dimensions, stages = len(size), 1
    while stages < MOST_STAGES and min(size) >= FEWEST_CELLS * 2**stages:
        stages += 1
    widths = [min(WIDEST[dimensions], width * 2**stage) for stage in range(stages)]
    return UNetPlan.halving(dimensions, widths)


class UNetEncoder(nn.Module):
    """Stages of residual blocks, one map each, the finest first.

    (batch, in_channels, *space) to maps (batch, widths[i], *space / strides[i]).
    """

    def __init__(self, in_channels: int, plan: UNetPlan):
        super().__init__()
        self.plan = plan
        self.channels = plan.widths
        self.strides = total_strides(plan.strides)
        befores = (in_channels, *plan.widths)
        self.stages = nn.ModuleList(
            _stage(plan, place, befores[place]) for place in range(len(plan.widths))
        )

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """One map a stage."""
        maps, collected = inputs, []
        for stage in self.stages:
            maps = stage(maps)
            collected.append(maps)
        return collected


def total_strides(steps: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Input cells per map cell from the steps between stages.

    >>> total_strides([(1, 1), (2, 1), (2, 2)])
    ((1, 1), (2, 1), (4, 2))
    """
    found = []
    total = (1,) * len(steps[0])
    for step in steps:
        total = tuple(a * b for a, b in zip(total, step, strict=True))
        found.append(total)
    return tuple(found)


def _stage(plan: UNetPlan, place: int, in_channels: int) -> nn.Sequential:
    """The first stage begins with a plain convolution: a shortcut of raw pixels carries little."""
    width, kernel = plan.widths[place], per_axis(plan.kernel_sizes[place])
    step = per_axis(plan.strides[place])
    dimensions = plan.dimensions
    layers: list[nn.Module] = []
    if place == 0:
        layers.append(
            ConvolutionBlock(dimensions, in_channels, width, kernel, step, norm=plan.norm)
        )
        in_channels, step = width, 1
    for _ in range(plan.blocks):
        layers.append(
            ResidualBlock(dimensions, in_channels, width, step, kernel_size=kernel, norm=plan.norm)
        )
        in_channels, step = width, 1
    return nn.Sequential(*layers)
