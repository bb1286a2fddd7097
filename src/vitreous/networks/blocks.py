"""Building blocks of networks, in one, two or three dimensions by one number."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORM = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}

Norm = Literal["batch", "instance"]
Width = int | tuple[int, ...]
"""Of a kernel or a step: the same along all axes, or a number an axis."""


class ConvolutionBlock(nn.Sequential):
    """Convolution, norm, ReLU: (batch, channels, *space) to (batch, out_channels, *space').

    An odd kernel is padded so that stride 1 keeps the size. The convolution has no bias, as the
    norm after it has one. `activation=False` leaves the ReLU out.
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Width = 3,
        stride: Width = 1,
        activation: bool = True,
        norm: Norm = "batch",
    ):
        super().__init__()
        sides = (kernel_size,) * dimensions if isinstance(kernel_size, int) else kernel_size
        padding = per_axis([side // 2 for side in sides])
        self.convolution = CONVOLUTION[dimensions](
            in_channels, out_channels, kernel_size, stride, padding=padding, bias=False
        )
        if norm == "batch":
            self.norm = BATCH_NORM[dimensions](out_channels)
        else:
            self.norm = INSTANCE_NORM[dimensions](out_channels, affine=True)
        if activation:
            self.activation = nn.ReLU(inplace=True)
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input (He et al. 2015, figure 2).

    (batch, in_channels, *space) to (batch, out_channels, *space / stride). Where stride or channel
    number change, a 1-wide convolution takes the input along. The scale of the last norm starts
    at zero, so that each block starts as the identity (Goyal et al. 2017, section 5.1).
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        out_channels: int,
        stride: Width = 1,
        *,
        kernel_size: Width = 3,
        norm: Norm = "batch",
    ):
        super().__init__()
        self.first = ConvolutionBlock(
            dimensions, in_channels, out_channels, kernel_size, stride, norm=norm
        )
        self.second = ConvolutionBlock(
            dimensions, out_channels, out_channels, kernel_size, activation=False, norm=norm
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = ConvolutionBlock(
                dimensions,
                in_channels,
                out_channels,
                kernel_size=1,
                stride=stride,
                activation=False,
                norm=norm,
            )
        self.activation = nn.ReLU(inplace=True)
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps of shape (batch, out_channels, *space / stride)."""
        return self.activation(self.second(self.first(inputs)) + self.shortcut(inputs))


def per_axis(numbers: Sequence[int] | int) -> Width:
    """One number where all axes have the same, else a tuple.

    >>> per_axis([3, 3]), per_axis((1, 3)), per_axis(5)
    (3, (1, 3), 5)
    """
    if isinstance(numbers, int):
        return numbers
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def fix(module: nn.Module, name: str) -> None:
    """Make a parameter a buffer: it stays in the state dict, and no training moves it."""
    value = getattr(module, name)
    delattr(module, name)
    module.register_buffer(name, value.detach())
