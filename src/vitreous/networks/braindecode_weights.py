"""Trained weights of braindecode's EEGNet, ShallowFBCSPNet, Deep4Net, ATCNet and BaseNet, as ours.

The networks are the same; braindecode has time in the third axis, its last layer as a convolution
over the whole map, and its max-norm constraints as parametrisations, whose result is what computes.
Weights come from a state dict alone; braindecode itself is not needed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitreous.errors import RequestError

ORIGINAL = ".parametrizations.weight.original"

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class To:
    """A tensor's name here, how its weight is laid out, and what a constraint makes of it."""

    name: str
    laid_out: Change | None = None
    constrained: Change | None = None  # where braindecode keeps it as a parametrisation


def load_braindecode(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the state dict of a braindecode model into the network of ours that is the same.

    Raises `RequestError` where the model is of none of the five kinds, or of other sizes.
    """
    renamed = as_our_names(tensors)
    ours = network.state_dict()
    misfits = [
        f"{name} {tuple(value.shape)}"
        for name, value in renamed.items()
        if name not in ours or ours[name].shape != value.shape
    ]
    missing = [name for name in ours if name not in renamed]
    if misfits or missing:
        examples = ", ".join((misfits + missing)[:3])
        raise RequestError(
            f"these weights of braindecode do not fit this network ({len(misfits)} tensors of "
            f"another place or shape, {len(missing)} missing: {examples}); build it with the "
            "electrodes, samples and lengths that the model had"
        )
    network.load_state_dict(renamed)


def as_our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of our network. Raises `RequestError` for models of other kinds."""
    for known, table in KINDS.values():
        if known in tensors or known.replace(".weight", ORIGINAL) in tensors:
            return {
                name: value
                for key, tensor in tensors.items()
                for name, value in [_renamed(key, tensor, table)]
            }
    raise RequestError(
        f"these tensors are of no model of braindecode that is known here ({', '.join(KINDS)})"
    )


def _renamed(key: str, tensor: Tensor, table: Mapping[str, To]) -> tuple[str, Tensor]:
    plain = key.replace(ORIGINAL, ".weight")
    for pattern, to in table.items():
        match = re.fullmatch(pattern, plain)
        if match:
            if to.constrained is not None and ORIGINAL in key:
                tensor = to.constrained(tensor)
            if to.laid_out is not None and plain.endswith("weight"):
                tensor = to.laid_out(tensor)
            return match.expand(to.name), tensor
    raise RequestError(f"'{key}' is in no model of braindecode that is known here")


def _time_last(kernel: Tensor) -> Tensor:
    """(out, in, time, electrodes) with its two last axes exchanged."""
    return kernel.transpose(2, 3).contiguous()


def _with_height(kernel: Tensor) -> Tensor:
    return kernel.unsqueeze(2)


def _flat(kernel: Tensor) -> Tensor:
    """A convolution over the whole of a map as a linear layer."""
    return kernel.flatten(1)


def _within(largest: float) -> Change:
    """Rows kept short."""
    return lambda weight: torch.renorm(weight, 2, 0, largest)


def _within_columns(weight: Tensor, largest: float = 0.25, epsilon: float = 1e-5) -> Tensor:
    """ATCNet's last layers there: columns, not rows, are kept short, by a rule of their own."""
    norms = weight.norm(2, dim=0, keepdim=True).clamp(min=largest / 2)
    return weight * (norms.clamp(max=largest) / (norms + epsilon))


NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
BOTH = r"(weight|bias)"

SHORT = _within(0.6)

_CONVNET: dict[str, To] = {
    rf"conv_time_spat\.conv_time\.{BOTH}": To(r"features.filters.temporal.\1", _time_last),
    r"conv_time_spat\.conv_spat\.weight": To("features.filters.spatial.weight", _time_last),
    rf"bnorm\.{NORM}": To(r"features.norm.\1"),
    rf"final_layer\.conv_classifier\.{BOTH}": To(r"head.linear.\1", _flat),
}

KINDS: dict[str, tuple[str, dict[str, To]]] = {
    "EEGNet": (
        "conv_separable_depth.weight",
        {
            r"conv_temporal\.weight": To("features.bank.temporal.weight"),
            rf"bnorm_temporal\.{NORM}": To(r"features.bank.temporal_norm.\1"),
            r"conv_spatial\.weight": To("features.bank.spatial.weight", constrained=_within(1.0)),
            rf"bnorm_1\.{NORM}": To(r"features.bank.spatial_norm.\1"),
            r"conv_separable_(depth|point)\.weight": To(r"features.separable.\1.weight"),
            rf"bnorm_2\.{NORM}": To(r"features.norm.\1"),
            rf"final_layer\.conv_classifier\.{BOTH}": To(r"head.linear.\1", _flat),
            rf"final_layer\.linearconstraint\.{BOTH}": To(
                r"head.linear.\1", constrained=_within(0.25)
            ),
        },
    ),
    "Deep4Net": (
        "conv_4.weight",
        {
            **_CONVNET,
            r"conv_2\.weight": To("features.blocks.0.convolution.weight", _time_last),
            r"conv_3\.weight": To("features.blocks.1.convolution.weight", _time_last),
            r"conv_4\.weight": To("features.blocks.2.convolution.weight", _time_last),
            rf"bnorm_2\.{NORM}": To(r"features.blocks.0.norm.\1"),
            rf"bnorm_3\.{NORM}": To(r"features.blocks.1.norm.\1"),
            rf"bnorm_4\.{NORM}": To(r"features.blocks.2.norm.\1"),
        },
    ),
    "ShallowFBCSPNet": ("conv_time_spat.conv_time.weight", _CONVNET),
    "ATCNet": (
        "conv_block.conv1.weight",
        {
            r"conv_block\.conv1\.weight": To("features.bank.temporal.weight", _time_last, SHORT),
            rf"conv_block\.bn1\.{NORM}": To(r"features.bank.temporal_norm.\1"),
            r"conv_block\.conv2\.weight": To("features.bank.spatial.weight", _time_last, SHORT),
            rf"conv_block\.bn2\.{NORM}": To(r"features.bank.spatial_norm.\1"),
            r"conv_block\.conv3\.weight": To("features.convolution.weight", _time_last, SHORT),
            rf"conv_block\.bn3\.{NORM}": To(r"features.norm.\1"),
            rf"attention_blocks\.(\d+)\.ln\.{BOTH}": To(r"head.windows.\1.attention.norm.\2"),
            rf"attention_blocks\.(\d+)\.mha\.fc_q\.{BOTH}": To(
                r"head.windows.\1.attention.query.\2"
            ),
            rf"attention_blocks\.(\d+)\.mha\.fc_k\.{BOTH}": To(r"head.windows.\1.attention.key.\2"),
            rf"attention_blocks\.(\d+)\.mha\.fc_v\.{BOTH}": To(
                r"head.windows.\1.attention.value.\2"
            ),
            rf"attention_blocks\.(\d+)\.mha\.fc_o\.{BOTH}": To(
                r"head.windows.\1.attention.output.\2"
            ),
            rf"temporal_conv_nets\.(\d+)\.(\d+)\.conv([12])\.{BOTH}": To(
                r"head.windows.\1.blocks.\2.convolution\3.\4", _with_height, SHORT
            ),
            rf"temporal_conv_nets\.(\d+)\.(\d+)\.bn([12])\.{NORM}": To(
                r"head.windows.\1.blocks.\2.norm\3.\4"
            ),
            rf"final_layer\.(\d+)\.{BOTH}": To(
                r"head.windows.\1.linear.\2", constrained=_within_columns
            ),
        },
    ),
    "AttentionBaseNet": (
        "input_block.temporal_conv.weight",
        {
            r"input_block\.temporal_conv\.weight": To("features.bank.temporal.weight"),
            rf"input_block\.intermediate_bn\.{NORM}": To(r"features.bank.temporal_norm.\1"),
            r"input_block\.spatial_conv\.weight": To("features.bank.spatial.weight"),
            rf"input_block\.bn\.{NORM}": To(r"features.bank.spatial_norm.\1"),
            r"channel_expansion\.0\.weight": To("features.mix.weight"),
            rf"channel_expansion\.1\.{NORM}": To(r"features.mix_norm.\1"),
            r"channel_attention_block\.conv\.0\.weight": To("features.separable.depth.weight"),
            r"channel_attention_block\.conv\.1\.weight": To("features.separable.point.weight"),
            rf"channel_attention_block\.conv\.2\.{NORM}": To(r"features.norm.\1"),
            rf"final_layer\.1\.{BOTH}": To(r"head.linear.\1"),
        },
    ),
}
"""Each kind by a tensor that only it has (of those before it), and what its tensors are called."""
