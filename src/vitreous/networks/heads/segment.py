"""Heads that answer with a class for each cell of the input: the decoder of a U-Net."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitreous.networks.blocks import CONVOLUTION, ConvolutionBlock, Norm, Width, per_axis

WIDTH, WIDEST = 16, 128  # maps of the decoder's finest and coarsest steps, on any features

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class SegmentHead(nn.Module):
    """From the coarsest map back to the finest: enlarged, put beside the next map, and mixed.

    Maps (batch, channels[i], *space / strides[i]), finest first, to logits (batch, outputs,
    *space), where space is that of the finest map times its stride: up to a stride larger than the
    input. With `deep_supervision` coarser answers are given while training, each at its own scale.
    O. Ronneberger et al. 2015; that the answer is made at the finest map's scale and enlarged saves
    half of the work where features begin at a stride of two (as in T.-Y. Lin et al., "Feature
    Pyramid Networks", 2017).
    """

    dense = True
    new_norms = True  # they have seen no picture yet, whatever weights the features start from
    classifiers = ("classify",)  # what answers for the classes

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        outputs: int,
        widths: Sequence[int],
        *,
        kernel_sizes: Sequence[Width] | None = None,
        norm: Norm = "batch",
        deep_supervision: int = 0,
    ):
        """`widths` has the decoder's maps at each scale but the coarsest, the finest first."""
        super().__init__()
        dimensions = len(strides[0])
        kernels = kernel_sizes or [3] * len(channels)
        self.dimensions = dimensions
        self.stride = strides[0]
        scales = range(len(channels) - 1)
        below = [*widths[1:], channels[-1]]
        self.steps = nn.ModuleList(
            DecoderStep(
                dimensions,
                below[place],
                channels[place],
                widths[place],
                tuple(b // a for a, b in zip(strides[place], strides[place + 1], strict=True)),
                kernels[place],
                norm,
            )
            for place in reversed(scales)
        )
        answers = widths[: 1 + deep_supervision] or channels[:1]
        self.classify = nn.ModuleList(
            CONVOLUTION[dimensions](width, outputs, 1) for width in answers
        )

    def forward(self, maps: list[Tensor]) -> Tensor | list[Tensor]:
        """Logits; while training with deep supervision a list of them, the finest first."""
        decoded = [maps[-1]]
        for step, finer in zip(self.steps, reversed(maps[:-1]), strict=True):
            decoded.append(step(decoded[-1], finer))
        finest_first = decoded[::-1]
        finest = enlarged(
            self.classify[0](finest_first[0]).float(), self.stride, LINEAR[self.dimensions]
        )
        if not self.training or len(self.classify) == 1:
            return finest
        others = zip(self.classify[1:], finest_first[1:], strict=False)
        return [finest, *(classifier(each).float() for classifier, each in others)]


class DecoderStep(nn.Module):
    """The coarser maps enlarged, beside the encoder's, through two convolutions."""

    def __init__(
        self,
        dimensions: int,
        coarse_channels: int,
        fine_channels: int,
        width: int,
        step: tuple[int, ...],
        kernel_size: Width,
        norm: Norm,
    ):
        super().__init__()
        self.step = step
        kernel = per_axis(kernel_size)
        both = coarse_channels + fine_channels
        self.first = ConvolutionBlock(dimensions, both, width, kernel, norm=norm)
        self.second = ConvolutionBlock(dimensions, width, width, kernel, norm=norm)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Maps (batch, width, *space of `fine`)."""
        larger = cut(enlarged(coarse, self.step, "nearest"), fine.shape[2:])
        return self.second(self.first(torch.cat([larger, fine], dim=1)))


def enlarged(maps: Tensor, factors: Sequence[int], mode: str) -> Tensor:
    """Each axis as many times as long; nothing happens where all factors are one."""
    if all(factor == 1 for factor in factors):
        return maps
    scale = [float(factor) for factor in factors]
    return F.interpolate(maps, scale_factor=scale, mode=mode)


def cut(maps: Tensor, space: Sequence[int]) -> Tensor:
    """The first cells along each axis, as many as `space` has."""
    for axis, size in enumerate(space, start=2):
        if maps.shape[axis] > size:
            maps = maps.narrow(axis, 0, size)
    return maps


def decoder_widths(channels: Sequence[int]) -> tuple[int, ...]:
    """The decoder's maps on any features, by the number of their scales, the finest first.

    >>> decoder_widths((16, 24, 40, 112, 320))
    (16, 32, 64, 128)
    """
    return tuple(min(WIDEST, WIDTH * 2**place) for place in range(len(channels) - 1))
