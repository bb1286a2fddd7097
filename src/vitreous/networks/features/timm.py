"""Any convolutional backbone of the timm library, by its name there."""

import re
from difflib import get_close_matches

import timm
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.networks.network import run_once

FAMILIES = {
    *("byobnet", "convmixer", "convnext", "cspnet", "cspnext", "densenet", "dla", "dpn"),
    *("efficientnet", "fasternet", "fastvit", "ghostnet", "hardcorenas", "hgnet", "hrnet"),
    *("inception_next", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2"),
    *("metaformer", "mobilenetv3", "nasnet", "nfnet", "pnasnet", "rdnet", "regnet", "repghost"),
    *("repvit", "res2net", "resnest", "resnet", "resnetv2", "rexnet", "selecsls", "senet"),
    *("sknet", "starnet", "tresnet", "vgg", "vovnet", "xception", "xception_aligned"),
}
"""The modules of `timm.models` whose networks are convolutional (some members are not)."""

SELF_ATTENTION = re.compile(r"Attention|SelfAttn|NonLocal|HaloAttn|LambdaLayer")


class TimmFeatures(nn.Module):
    """A backbone of timm without its classifier: one map a stride, finest first."""

    def __init__(self, name: str, in_channels: int, size: tuple[int, int]):
        super().__init__()
        known = known_name(name)
        self.name = known
        self.backbone = timm.create_model(
            known, pretrained=False, features_only=True, in_chans=in_channels
        )
        _refuse_attention(known, self.backbone)
        maps = run_once(self.backbone, torch.zeros(1, in_channels, *size), f"timm:{known}")
        self.channels = tuple(each.shape[1] for each in maps)
        reductions = self.backbone.feature_info.reduction()  # type: ignore
        self.strides = tuple((stride, stride) for stride in reductions)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The maps of pictures (batch, channels, height, width)."""
        return list(self.backbone(inputs))


def known_name(name: str) -> str:
    """The name of a convolutional network in timm, without its tag of weights.

    Raises `RequestError` for names that timm does not have, and for networks of other kinds.
    """
    plain = name.removeprefix("timm:").split(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RequestError(
            f"unknown timm network '{plain}'; {hint}`timm.list_models()` lists the known ones"
        )
    family = timm.models.model_entrypoint(plain).__module__.split(".")[-1]
    if family not in FAMILIES:
        raise RequestError(
            f"timm:{plain} is no convolutional network (its family is {family}); "
            "take one like timm:resnet18, timm:convnext_atto or timm:mobilenetv4_conv_small"
        )
    return plain


def _refuse_attention(name: str, backbone: nn.Module) -> None:
    kinds = {type(module).__name__ for module in backbone.modules()}
    found = sorted(kind for kind in kinds if SELF_ATTENTION.search(kind))
    if found:
        raise RequestError(
            f"timm:{name} is not convolutional throughout (it has {found[0]}); "
            "take one like timm:resnet18, timm:convnext_atto or timm:mobilenetv4_conv_small"
        )
