"""What timm's networks do between their last map and their answer."""

from collections import OrderedDict
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from vitreous.networks.heads.classify import PooledHead


@dataclass(frozen=True)
class Neck:
    """Layers after the last map, by their paths in timm's network, around the mean over space."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


NECKS = {  # timm's class -> its neck; the others have none, or one that is not taken over
    "EfficientNet": Neck(before=("conv_head", "bn2")),
    "MobileNetV3": Neck(after=("conv_head", "norm_head", "act2")),  # MobileNetV4, too
    "ConvNeXt": Neck(after=("head.norm",)),
}


class NeckHead(nn.Module):
    """timm's own layers around the mean over space, dropout, and a linear layer.

    Trained weights need them: EfficientNet answers from 1,280 maps made of the last 320.
    """

    def __init__(
        self,
        before: nn.Sequential,
        after: nn.Sequential,
        channels: int,
        outputs: int,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.before = before
        self.after = after
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the last of the maps (batch, channels, height, width)."""
        pooled = self.before(maps[-1]).mean((2, 3), keepdim=True)
        return self.linear(self.dropout(torch.flatten(self.after(pooled), 1)))


def timm_head(name: str, features: nn.Module, in_channels: int, outputs: int) -> nn.Module:
    """The head of a network of timm, its layers random: with its neck where it has one."""
    channels = features.channels[-1]  # type: ignore
    whole = timm.create_model(name, pretrained=False, in_chans=in_channels)
    neck = neck_of(whole)
    if neck is None:
        return PooledHead(channels, outputs)  # type: ignore
    before, after = (_sequence(whole, paths) for paths in (neck.before, neck.after))
    width = int(whole.head_hidden_size)  # type: ignore
    return NeckHead(before, after, width, outputs)


def neck_of(whole: nn.Module) -> Neck | None:
    """The neck of a whole network of timm."""
    return NECKS.get(type(whole).__name__)


def _sequence(whole: nn.Module, paths: tuple[str, ...]) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict((path.rpartition(".")[2], whole.get_submodule(path)) for path in paths)
    )
