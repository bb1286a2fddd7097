"""A head that answers with a class for each cell of the input, from a feature pyramid."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.networks.blocks import ConvolutionBlock
from vitreous.networks.heads.pyramid import FeaturePyramid
from vitreous.networks.heads.segment import LINEAR, cut, enlarged
from vitreous.networks.network import Strides

WIDTH = 64  # maps of every level
FINEST = 4  # stride of the finest level, where the features have such a map


class PyramidSegmentHead(nn.Module):
    """A feature pyramid whose levels are enlarged to the finest one and added.

    Maps (batch, channels[i], *space / strides[i]), finest first, to logits (batch, outputs,
    *space), where space is that of the finest level times its stride: up to a stride larger than
    the input. Each level goes through a convolution and is enlarged to twice its size, until it has
    that of the finest one (A. Kirillov et al., "Panoptic Feature Pyramid Networks", 2019, section
    3.1; here with batch norms). Lighter than a U-Net's decoder, and a little coarser: it answers at
    every fourth pixel. Raises `RequestError` where the features lack a map that it needs.
    """

    dense = True
    new_norms = True  # they have seen no picture yet, whatever weights the features start from
    classifiers = ("classify",)  # what answers for the classes

    def __init__(self, channels: Sequence[int], strides: Strides, outputs: int, width: int = WIDTH):
        super().__init__()
        levels = pyramid_levels(strides)
        self.stride = (levels[0],) * 2
        self.pyramid = FeaturePyramid(channels, strides, levels, width)
        self.ways = nn.ModuleList(
            nn.ModuleList(ConvolutionBlock(2, width, width) for _ in range(max(1, place)))
            for place in range(len(levels))
        )
        self.classify = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (batch, outputs, *space)."""
        levels = self.pyramid(maps)
        finest, *others = self.ways
        total = finest[0](levels[0])  # type: ignore[index]
        for place, way in enumerate(others, start=1):
            value = levels[place]
            for finer, block in zip(reversed(levels[:place]), way, strict=True):  # type: ignore
                value = cut(enlarged(block(value), (2, 2), LINEAR[2]), finer.shape[2:])
            total = total + value
        return enlarged(self.classify(total).float(), self.stride, LINEAR[2])


def pyramid_levels(strides: Strides) -> tuple[int, ...]:
    """The strides from `FINEST` on, each twice the one before; of coarser features all they have.

    >>> pyramid_levels(((2, 2), (4, 4), (8, 8))), pyramid_levels(((8, 8), (16, 16)))
    ((4, 8), (8, 16))
    """
    levels = sorted({stride[0] for stride in strides if len(stride) == 2 and stride[0] >= FINEST})
    even = all(stride[0] == stride[-1] for stride in strides)
    doubling = all(b == 2 * a for a, b in pairwise(levels))
    if not levels or not even or not doubling:
        had = ", ".join(" x ".join(map(str, stride)) for stride in strides)
        raise RequestError(
            f"a pyramid needs maps of pictures at strides that double, from {FINEST} on, and the "
            f"features have {had}; take unet:NAME, or fpn:timm:resnet18"
        )
    return tuple(levels)
