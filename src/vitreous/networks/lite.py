"""EfficientNet-Lite files with the names of the first PyTorch port, as timm names the same layers.

The port (and the packages made from it) names layers `_conv_stem`, `_blocks.5._expand_conv`, and
so on; timm counts blocks within stages. The networks are equal: M. Tan and Q. Le, "EfficientNet",
2019, without squeeze-and-excitation and with ReLU6; asymmetric "SAME" padding as in TensorFlow;
pictures enter as (x - 127) / 128.
"""

import re
from collections.abc import Mapping

import timm
import torch
from torch import Tensor

from vitreous.data.transforms import Scaling

LITE = tuple(f"tf_efficientnet_lite{number}" for number in range(5))
SCALING = Scaling(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
SIDES = dict(zip(LITE, (224, 240, 260, 280, 300), strict=True))
"""Pixels a side that each was trained on (the table of the release notes)."""

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {  # a block that widens its maps first
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def is_lite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the port, of a network without squeeze-and-excitation."""
    return {"_conv_stem.weight", "_conv_head.weight", "_blocks.0._depthwise_conv.weight"} <= set(
        tensors
    ) and not any("_se_" in name for name in tensors)


def as_timm_names(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The name of timm's equal network, and the tensors by its names.

    Raises `KeyError` where the tensors are those of none of the five.
    """
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("_blocks.")}
    for network in LITE:
        with torch.device("meta"):
            whole = timm.create_model(network)
        places = [(s, b) for s, stage in enumerate(whole.blocks) for b in range(len(stage))]  # type: ignore
        if len(places) != len(blocks):
            continue
        renamed = {_renamed(name, tensors, places): value for name, value in tensors.items()}
        if renamed["conv_head.weight"].shape == whole.conv_head.weight.shape:  # type: ignore
            return network, renamed
    raise KeyError("the tensors are of no EfficientNet-Lite that timm has")


def _renamed(name: str, tensors: Mapping[str, Tensor], places: list[tuple[int, int]]) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        layer, _, kind = name.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{kind}"
    number, layer, kind = int(block[1]), block[2], block[3]
    table = _EXPANDED if f"_blocks.{number}._expand_conv.weight" in tensors else _PLAIN
    stage, position = places[number]
    return f"blocks.{stage}.{position}.{table[layer]}.{kind}"
