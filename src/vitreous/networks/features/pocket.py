"""Pocket: a wide, shallow network that learns small pictures in a few epochs.

The ideas are those of the CIFAR-10 speed records (K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a
Single GPU", arXiv 2404.00498): a first layer that whitens small patches of the training pictures
and is never trained, convolutions that start as the identity (S. Zagoruyko and N. Komodakis,
"DiracNets", 2017), batch norms whose scale stays at one, and few, wide layers.
"""

import torch
from torch import Tensor, nn

from vitreous.networks.blocks import fix

WIDTHS = (64, 256, 256)
STRONGEST = 32  # directions of a patch that the whitening keeps; each gives two maps
LEVEL = 5e-4  # added to a direction's variance: what is weaker than this is noise
MOST_PATCHES = 2**21  # that the whitening is fitted on; 2**20 numbers a direction are plenty


class Pocket(nn.Module):
    """Whitening, then two or three blocks of two convolutions, each block at half the size.

    Pictures of more than 48 pixels a side are whitened in larger patches further apart, so that
    the blocks work on maps of 24 to 48 cells a side; see `patch_stride`.
    """

    minimum_side = 6

    def __init__(
        self, in_channels: int, size: tuple[int, int], widths: tuple[int, ...] = WIDTHS
    ) -> None:
        super().__init__()
        stride = patch_stride(min(size))
        self.channels = widths if min(size) // stride >= 9 else widths[:2]
        self.strides = tuple((stride * 2**i,) * 2 for i in range(1, len(self.channels) + 1))
        self.whitening = Whitening(in_channels, stride)
        self.activation = nn.GELU()
        befores = (self.whitening.out_channels, *self.channels)
        self.blocks = nn.ModuleList(
            PocketBlock(before, width)
            for before, width in zip(befores, self.channels, strict=False)
        )

    def initialise_from_data(self, inputs: Tensor) -> None:
        """Fit the whitening to scaled training pictures (n, channels, height, width)."""
        self.whitening.fit(inputs)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """One map a block, finest first, of pictures (batch, channels, height, width)."""
        maps = self.activation(self.whitening(inputs))
        collected = []
        for block in self.blocks:
            maps = block(maps)
            collected.append(maps)
        return collected


def patch_stride(side: int) -> int:
    """How far apart the whitened patches lie, by the picture's shorter side in pixels.

    >>> [patch_stride(side) for side in (8, 28, 32, 48, 64, 96, 128, 224)]
    [1, 1, 1, 1, 2, 2, 4, 8]
    """
    stride = 1
    while side / stride > 48:
        stride *= 2
    return stride


class Whitening(nn.Conv2d):
    """A fixed convolution whose answers to patches of the training pictures are uncorrelated.

    Patches are 2 x 2 for stride 1, else twice the stride a side. Each direction comes twice, with
    both signs, as the activation after it would lose one. Before `fit` the directions are random.
    """

    def __init__(self, in_channels: int, stride: int = 1) -> None:
        side = 2 * stride
        directions = min(STRONGEST, in_channels * side * side)
        super().__init__(in_channels, 2 * directions, side, stride=stride, bias=False)
        fix(self, "weight")
        nn.init.orthogonal_(self.weight[:directions])
        self.weight[directions:] = -self.weight[:directions]

    @torch.no_grad()
    def fit(self, inputs: Tensor) -> None:
        """The strongest eigenvectors of the patches' covariance over the root of eigenvalues.

        `inputs` is (n, channels, height, width), scaled; training pictures only. The same inputs
        give the same weights: float64, and of each vector the largest number is positive.
        """
        patches = patches_of(inputs, self.kernel_size[0])
        centred = patches - patches.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(patches))
        values, vectors = values.flip(0), vectors.flip(1).T  # strongest first, a row each
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        directions = vectors * largest.sign() / (values.clamp(min=0) + LEVEL).sqrt()[:, None]
        kept = directions[: self.out_channels // 2].reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([kept, -kept]))


def patches_of(inputs: Tensor, side: int) -> Tensor:
    """Patches of side x side as rows, float64 (patches, channels * side * side).

    Of many pictures an even spread is taken, so that the patches are at most about two million.
    """
    step = max(1, side // 2)
    each = ((inputs.shape[2] - side) // step + 1) * ((inputs.shape[3] - side) // step + 1)
    count = min(len(inputs), max(1, MOST_PATCHES // each))
    chosen = inputs[torch.linspace(0, len(inputs) - 1, count).round().long()].double()
    windows = chosen.unfold(2, side, step).unfold(3, side, step)  # n, c, rows, columns, side, side
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, inputs.shape[1] * side * side)


class PocketBlock(nn.Module):
    """Convolution, max-pooling by two, norm, activation; convolution, norm, activation.

    (batch, in_channels, height, width) to (batch, out_channels, height // 2, width // 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution1 = identity_convolution(in_channels, out_channels)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = unscaled_norm(out_channels)
        self.activation1 = nn.GELU()
        self.convolution2 = identity_convolution(out_channels, out_channels)
        self.norm2 = unscaled_norm(out_channels)
        self.activation2 = nn.GELU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps of half the size."""
        maps = self.activation1(self.norm1(self.pool(self.convolution1(inputs))))
        return self.activation2(self.norm2(self.convolution2(maps)))


def identity_convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3 x 3 convolution whose first maps start as copies of its inputs, the others at random."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:in_channels])
    return layer


def unscaled_norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm whose scale stays at one and whose running statistics follow fast."""
    norm = nn.BatchNorm2d(channels, momentum=0.4)
    fix(norm, "weight")
    return norm
