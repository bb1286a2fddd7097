"""A feature pyramid: what is known of coarse maps carried down to the finer ones."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from vitreous.errors import RequestError
from vitreous.networks.blocks import ConvolutionBlock
from vitreous.networks.network import Strides


class FeaturePyramid(nn.Module):
    """Maps of `levels` strides, all `width` channels wide, each of its own map and all coarser.

    T.-Y. Lin et al., "Feature Pyramid Networks for Object Detection", 2017: a 1 x 1 convolution of
    each map, the coarser result enlarged and added, a 3 x 3 convolution of the sum; here each
    convolution has a batch norm. Levels coarser than the features' coarsest map are made from it by
    convolutions of stride 2. Raises `RequestError` where the features have no map of the finest
    level, or leave one out.
    """

    def __init__(
        self, channels: Sequence[int], strides: Strides, levels: Sequence[int], width: int
    ):
        super().__init__()
        self.places = map_places(strides, levels)
        self.lateral = nn.ModuleList(
            ConvolutionBlock(2, channels[place], width, kernel_size=1, activation=False)
            for place in self.places
        )
        self.coarser = nn.ModuleList(
            ConvolutionBlock(2, channels[self.places[-1]] if first else width, width, stride=2)
            for first in [True, *[False] * len(levels)][: len(levels) - len(self.places)]
        )
        self.merged = nn.ModuleList(ConvolutionBlock(2, width, width) for _ in levels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (batch, width, height / level, width / level), finest first."""
        taken = [maps[place] for place in self.places]
        coarser = taken[-1]
        sums = [lateral(each) for lateral, each in zip(self.lateral, taken, strict=True)]
        for step in self.coarser:
            coarser = step(coarser)
            sums.append(coarser)
        for level in range(len(sums) - 2, -1, -1):
            larger = F.interpolate(sums[level + 1], size=sums[level].shape[2:], mode="nearest")
            sums[level] = sums[level] + larger
        return [merge(each) for merge, each in zip(self.merged, sums, strict=True)]


def map_places(strides: Strides, levels: Sequence[int]) -> tuple[int, ...]:
    """Which of the features' maps each level is made of; levels coarser than all have none.

    >>> map_places(((4, 4), (8, 8), (16, 16)), (8, 16, 32))
    (1, 2)
    """
    last = {stride: place for place, stride in enumerate(strides)}  # of equal ones the deepest
    wanted = [(level, level) for level in levels if (level, level) <= max(strides)]
    if not wanted or any(stride not in last for stride in wanted):
        had = ", ".join(str(stride[0]) for stride in strides)
        needed = ", ".join(str(level) for level in levels)
        raise RequestError(
            f"a pyramid of strides {needed} cannot be made of maps of strides {had}; take a "
            "network such as resnet, timm:resnet18 or timm:tf_efficientnet_lite0"
        )
    return tuple(last[stride] for stride in wanted)
