"""Networks that let everything through, in which gradients find the receptive fields."""

import itertools

import numpy as np
from torch import nn

from vitreous.insight.receptive_fields import measured_fields, receptive_fields
from vitreous.networks import capture
from vitreous.networks.heads.classify import MaximumHead, PooledHead
from vitreous.networks.operations import REDUCTIONS, WINDOWED

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh, nn.Sigmoid, nn.ELU),
    nn.Dropout,
)
OF_THE_SAMPLE = (nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (*OF_THE_SAMPLE, nn.BatchNorm2d, nn.BatchNorm1d, nn.BatchNorm3d)
POOLS = {nn.MaxPool1d: nn.AvgPool1d, nn.MaxPool2d: nn.AvgPool2d, nn.MaxPool3d: nn.AvgPool3d}


def letting_all_through(network: nn.Module) -> nn.Module:
    """Positive constant weights, identities for activations and norms, means for maxima."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ACTIVATIONS):
                setattr(module, name, nn.Identity())
            elif type(child) in POOLS:
                sizes = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, POOLS[type(child)](*sizes))
            elif isinstance(child, MaximumHead):
                setattr(module, name, PooledHead(*child.linear.weight.shape[::-1]))
            elif isinstance(child, NORMS):
                make_affine(module, name, child)
    fixed = [buffer for buffer in network.buffers() if buffer.ndim > 1]  # kernels all the same
    for weights in [*network.parameters(), *fixed]:
        weights.data.fill_(1.0 / max(1, weights[0].numel()))
    return network.eval().requires_grad_(False)


def make_affine(parent: nn.Module, name: str, norm: nn.Module) -> None:
    if isinstance(norm, OF_THE_SAMPLE):  # their value does not change with the sum: no gradient
        setattr(parent, name, nn.Identity())
    elif hasattr(norm, "act"):  # timm's norm with its activation inside
        norm.act = nn.Identity()


CHANGING = {
    *WINDOWED, *REDUCTIONS, "add", "linear", "concatenate", "pad", "slice", "part",
    "interpolate nearest", "interpolate linear",
}  # fmt: skip


def places_of(graph, fields, count, operations):
    """Node names and indices: some places along the axes that decide, all along the others."""
    shares = itertools.cycle(np.linspace(1, 0.3, max(2, count)))
    for node in graph.nodes:
        if node.constant or len(node.shapes) > 1:
            continue
        if operations and node.operation not in operations:
            continue
        tied = {axis.axis for axis in fields[node.name].axes} - {None}
        for share in itertools.islice(shares, count if tied else 1):
            index = [round(share * (size - 1)) for size in node.shape]
            yield (
                node.name,
                [i if a in tied or a == 0 else slice(None) for a, i in enumerate(index)],
            )


def assert_fields_are_measured(network, inputs, count, at_least, operations=None):
    graph = capture(network, inputs)
    fields = receptive_fields(graph)
    places = list(places_of(graph, fields, count, operations))
    boxes = measured_fields(graph, places, inputs)
    for (name, index), measured in zip(places, boxes, strict=True):
        assert fields[name].box(index) == measured, (name, index)
    assert len(boxes) >= at_least
    return graph, fields
