"""A plain residual network for small and medium pictures.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", 2015. Like the
CIFAR networks of its section 4.2, with fewer blocks and more maps, which two processor cores do
faster for the same number of multiply-adds. For volumes the same with one more dimension.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from vitreous.networks.blocks import MAX_POOL, ConvolutionBlock, ResidualBlock

WIDTHS = (32, 64, 128, 256)


class ResNet(nn.Module):
    """Stem, then three or four stages of residual blocks, each of half the size of the one before.

    The stem's stride is chosen from the size of the picture so that the first stage works on maps
    of 14 to 32 cells a side (56 for a side of 224), because work goes with their square; see
    `stem_stride` and `stage_count`.
    """

    minimum_side = 8

    def __init__(self, in_channels: int, size: Sequence[int], blocks: int = 1):
        super().__init__()
        dimensions = len(size)
        stride = stem_stride(min(size))
        self.channels = WIDTHS[: stage_count(min(size))]
        self.strides = tuple((stride * 2**i,) * dimensions for i in range(len(self.channels)))
        self.stem = make_stem(in_channels, self.channels[0], stride, dimensions)
        widths = (self.channels[0], *self.channels)
        self.stages = nn.ModuleList(
            make_stage(widths[i], widths[i + 1], 1 if i == 0 else 2, blocks, dimensions)
            for i in range(len(self.channels))
        )

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """One map a stage, finest first, of pictures (batch, channels, height, width).

        Or of volumes (batch, channels, depth, height, width).
        """
        maps = self.stem(inputs)
        collected = []
        for stage in self.stages:
            maps = stage(maps)
            collected.append(maps)
        return collected


def stem_stride(side: int) -> int:
    """How far the stem steps, by the picture's shorter side in pixels.

    >>> [stem_stride(side) for side in (28, 32, 64, 96, 128, 224)]
    [2, 2, 4, 4, 4, 4]
    """
    return 2 if side < 64 else 4


def stage_count(side: int) -> int:
    """Three stages, or four where three would leave the last maps larger than 12 cells.

    >>> [stage_count(side) for side in (28, 32, 64, 96, 128, 224)]
    [3, 3, 3, 3, 3, 4]
    """
    return 3 if side / (4 * stem_stride(side)) <= 12 else 4


def make_stem(
    in_channels: int, out_channels: int, stride: int, dimensions: int = 2
) -> nn.Sequential:
    """A convolution and max-pooling by two; for stride 4 the convolution steps by two as well."""
    if stride == 2:
        first = ConvolutionBlock(dimensions, in_channels, out_channels)
    else:
        first = ConvolutionBlock(dimensions, in_channels, out_channels, kernel_size=5, stride=2)
    return nn.Sequential(first, MAX_POOL[dimensions](3, stride=2, padding=1))


def make_stage(
    in_channels: int, out_channels: int, stride: int, blocks: int, dimensions: int = 2
) -> nn.Sequential:
    """The first block changes stride and channels, the others keep them."""
    first = ResidualBlock(dimensions, in_channels, out_channels, stride)
    rest = [ResidualBlock(dimensions, out_channels, out_channels) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
