"""LeNet-5 as it was published, and as it is usually written today.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86 (11), 1998, section II.B.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

C3_CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""Table I of the paper: which of the six maps of S2 each of the sixteen maps of C3 sees."""


class LeNet(nn.Module):
    """The modern reading: full connections, ReLU and max-pooling; any channel number.

    Maps for an input of 32 x 32: (6, 14, 14) and (16, 5, 5). Pictures with a side under 32 are
    padded by two in the first convolution, as is usual for those of 28 x 28.
    """

    strides = ((2, 2), (4, 4))
    channels = (6, 16)
    minimum_side = 12

    def __init__(self, in_channels: int, size: tuple[int, int]):
        super().__init__()
        padding = 2 if min(size) < 32 else 0
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=padding)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Maps of strides 2 and 4 of pictures (batch, channels, height, width)."""
        fine = self.pool1(self.relu1(self.conv1(inputs)))
        coarse = self.pool2(self.relu2(self.conv2(fine)))
        return [fine, coarse]


class LeNet1998(nn.Module):
    """The published layers C1, S2, C3, S4 and C5, for one channel of 32 x 32.

    Squashing is 1.7159 tanh(2/3 a) after each layer. Sub-sampling adds four cells, multiplies by
    a trained coefficient and adds a trained bias. Weights start uniform within 2.4 / fan-in
    (appendix A of the paper).
    """

    strides = ((2, 2), (4, 4), (4, 4))
    channels = (6, 16, 120)
    input_shape = (1, 32, 32)

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.squash1 = ScaledTanh()
        self.s2 = Subsampling(6)
        self.squash2 = ScaledTanh()
        self.c3 = PartialConvolution(6, C3_CONNECTIONS, 5)
        self.squash3 = ScaledTanh()
        self.s4 = Subsampling(16)
        self.squash4 = ScaledTanh()
        self.c5 = nn.Conv2d(16, 120, 5)
        self.squash5 = ScaledTanh()
        initialise_as_published(self.c1)
        initialise_as_published(self.c5)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """S2 (batch, 6, 14, 14), S4 (batch, 16, 5, 5) and C5 (batch, 120, 1, 1)."""
        s2 = self.squash2(self.s2(self.squash1(self.c1(inputs))))
        s4 = self.squash4(self.s4(self.squash3(self.c3(s2))))
        return [s2, s4, self.squash5(self.c5(s4))]


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 a): goes through (1, 1) and (-1, -1) (appendix A of the paper)."""

    def forward(self, activity: Tensor) -> Tensor:
        """The squashed activity, of the same shape."""
        return 1.7159 * torch.tanh(activity * (2 / 3))


class Subsampling(nn.Module):
    """The sum of each 2 x 2 window, times one trained coefficient a map, plus one trained bias."""

    def __init__(self, channels: int):
        super().__init__()
        bound = 2.4 / 4
        self.coefficient = nn.Parameter(torch.empty(channels, 1, 1).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, 1, 1).uniform_(-bound, bound))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of half the height and width."""
        return F.avg_pool2d(maps, 2, divisor_override=1) * self.coefficient + self.bias


class PartialConvolution(nn.Module):
    """A convolution where each output map sees some of the input maps only.

    `weight` (connections, kernel, kernel) holds the kernels that exist, and no others, so that
    the number of parameters is the paper's.
    """

    positions: Tensor

    def __init__(
        self, in_channels: int, connections: tuple[tuple[int, ...], ...], kernel_size: int
    ):
        super().__init__()
        pairs = [
            output * in_channels + source
            for output, sources in enumerate(connections)
            for source in sources
        ]
        self.dense_shape = (len(connections), in_channels, kernel_size, kernel_size)
        self.register_buffer("positions", torch.tensor(pairs), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(len(connections)))
        self._initialise(connections)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of (height - kernel + 1, width - kernel + 1)."""
        return F.conv2d(maps, self.dense_weight(), self.bias)

    def dense_weight(self) -> Tensor:
        """(output maps, input maps, kernel, kernel), zero where there is no connection."""
        outputs, inputs, *kernel = self.dense_shape
        empty = self.weight.new_zeros(outputs * inputs, *kernel)
        return empty.index_copy(0, self.positions, self.weight).reshape(self.dense_shape)

    def _initialise(self, connections: tuple[tuple[int, ...], ...]) -> None:
        area = math.prod(self.dense_shape[2:])
        bounds = torch.tensor([2.4 / (len(sources) * area) for sources in connections])
        sizes = torch.tensor([len(sources) for sources in connections])
        with torch.no_grad():
            spread = bounds.repeat_interleave(sizes)[:, None, None]
            self.weight.uniform_(-1, 1).mul_(spread)
            self.bias.uniform_(-1, 1).mul_(bounds)


def initialise_as_published(layer: nn.Conv2d | nn.Linear) -> None:
    """Weights and bias uniform within 2.4 / fan-in (appendix A of the paper)."""
    bound = 2.4 / layer.weight[0].numel()
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -bound, bound)
