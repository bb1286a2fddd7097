"""The field by arithmetic is the field that gradients find, cell by cell, in networks whose
weights are positive and whose activations let everything through."""

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.arithmetic import Window, receptive_cells
from vitreous.insight.receptive_fields import field_sizes, measured_fields, receptive_fields
from vitreous.networks import build_network, capture

from .fields import CHANGING, assert_fields_are_measured, letting_all_through


def assert_every_map_keeps_its_order(graph, fields):
    """A field that is given up as 'everything' too early would also agree with the measured."""
    for node in graph.nodes:
        if len(node.shape) == 4 and node.shape[2] > 1 and not node.constant:
            assert {axis.axis for axis in fields[node.name].axes} <= {1, 2, 3}, node.name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", (1, 28, 28)),
        ("lenet5", (1, 45, 33)),
        ("resnet", (2, 33, 40)),
        ("resnet", (1, 112, 128)),
        ("timm:resnet18", (1, 65, 48)),
        ("timm:mobilenetv4_conv_small_035", (1, 48, 65)),
        ("timm:convnext_atto", (1, 48, 64)),
    ],
)
def test_field_is_the_measured_one_in_whole_networks(name, shape):
    network = letting_all_through(build_network(name, shape, 3, seed=0))
    inputs = torch.rand(1, *shape) + 0.1
    few = name.startswith("timm:")  # many layers: one place each, at the border or inside
    graph, fields = assert_fields_are_measured(
        network, inputs, 1 if few else 3, at_least=15, operations=CHANGING if few else None
    )
    assert_every_map_keeps_its_order(graph, fields)
    assert all(field.exact for field in fields.values())


def test_field_of_the_published_lenet_is_the_measured_one():
    network = build_network("lenet5-1998", (1, 32, 32), 10, seed=0).double()
    for parameter in network.parameters():
        parameter.data.fill_(0.01)  # positive, and too small for tanh to saturate
    assert_fields_are_measured(network, torch.rand(1, 1, 32, 32).double(), 3, at_least=40)


class Zoo(nn.Module):
    """Operations that move, cut, join and resize maps."""

    def __init__(self):
        super().__init__()
        self.dilated = nn.Conv2d(1, 4, 3, padding="same", dilation=2)
        self.even = nn.Conv2d(4, 4, 4, padding="same")
        self.reflected = nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect")
        self.repeated = nn.Conv2d(4, 4, (3, 5), padding=(1, 2), padding_mode="replicate")
        self.round = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        self.up = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1)
        self.sparse = nn.ConvTranspose2d(4, 4, 1, stride=2)  # every other cell sees nothing
        self.pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
        self.uneven = nn.AdaptiveAvgPool2d((5, 7))
        self.mix = nn.Linear(4, 4)
        self.along_width = nn.Linear(11, 3)

    def forward(self, x):
        x = self.even(self.dilated(x))
        x = self.pool(self.reflected(x))  # (1, 4, 11, 13)
        top, bottom = x.split([4, 7], dim=2)
        x = torch.cat([bottom, top], 2)[..., 1:12]
        s = self.along_width(x)
        x = x.reshape(1, 2, 2, 11, 11).transpose(1, 2).reshape(1, 4, 11, 11)  # channel shuffle
        left, right = self.repeated(x).split([1, 3], dim=1)
        x = torch.cat([right, left], 1) + self.round(x).mean((2, 3), keepdim=True)
        x = F.pad(x, (1, -2, 0, 3))
        y = self.sparse(x)[:, :, ::3, 2:]
        z = F.interpolate(self.up(x), size=(9, 12), mode="bilinear", align_corners=False)
        w = F.interpolate(self.up(x), scale_factor=1.5, mode="nearest")
        v = F.interpolate(x, size=(9, 12), mode="bilinear", align_corners=True)
        joined = torch.cat([z, v], dim=3).transpose(2, 3)
        u = self.mix(self.uneven(joined).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return u, y, w, s, torch.stack([z, v], 1).sum(1)


def test_field_is_the_measured_one_for_operations_that_move_cut_join_and_resize():
    torch.manual_seed(0)
    network = Zoo()
    for parameter in network.parameters():
        parameter.data.fill_(0.1)
    network = network.double()
    inputs = torch.rand(1, 1, 19, 22).double()
    graph, fields = assert_fields_are_measured(network, inputs, count=4, at_least=80)
    inexact = {graph[name].target for name, field in fields.items() if not field.exact}
    assert inexact == {"aten.stack.default", "aten.sum.dim_IntList"}
    tied = {name for name, field in fields.items() if all(axis.axis for axis in field.axes)}
    apart = {name for name in fields if fields[name].exact and graph[name].shape[2] > 1} - tied
    assert apart == {"along_width"}  # which every cell of a row sees whole


def test_an_operation_without_a_rule_gives_an_upper_bound_and_says_so():
    class Rolled(nn.Module):
        def forward(self, x):
            return torch.roll(x, 1, dims=2)

    graph = capture(Rolled(), torch.rand(1, 1, 6, 6))
    field = receptive_fields(graph)[graph.outputs[0]]
    assert not field.exact
    assert field.box((0, 0, 2, 2)) == ((0, 5), (0, 5))


@pytest.mark.parametrize(("dimensions", "shape"), [(1, (23,)), (3, (9, 10, 11))])
def test_fields_in_one_and_three_dimensions(dimensions, shape):
    kinds = {1: (nn.Conv1d, nn.AvgPool1d), 3: (nn.Conv3d, nn.AvgPool3d)}
    convolution, pool = kinds[dimensions]
    network = nn.Sequential(convolution(1, 2, 3, padding=1), pool(2), convolution(2, 2, 3))
    for parameter in network.parameters():
        parameter.data.fill_(0.1)
    inputs = torch.rand(1, 1, *shape)
    graph = capture(network, inputs)
    assert all(node.understood for node in graph.nodes)
    field = receptive_fields(graph)[graph.outputs[0]]
    for place in (0, 1):
        index = (0, slice(None), *(place,) * dimensions)
        assert [field.box(index)] == measured_fields(graph, [(graph.outputs[0], index)], inputs)
        assert field.box(index)[0] == (max(0, 2 * place - 1), 2 * place + 6)


@settings(max_examples=6, deadline=None)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)),
        min_size=1,
        max_size=4,
    ),
    size=st.integers(40, 70),
)
def test_a_chain_of_convolutions_sees_what_the_arithmetic_of_chains_says(layers, size):
    windows = [Window(k, s, (min(p, k // 2),) * 2, d) for k, s, p, d in layers]
    network = nn.Sequential(
        *(nn.Conv1d(1, 1, w.kernel, w.stride, w.padding[0], w.dilation) for w in windows)
    )
    try:
        graph = capture(network, torch.zeros(1, 1, size))
    except Exception:
        return  # a window larger than what is left
    field = receptive_fields(graph)[graph.outputs[0]]
    for cell in range(graph[graph.outputs[0]].shape[2]):
        seen = receptive_cells(windows, cell, size)
        expected = (int(seen[0]), int(seen[-1])) if len(seen) else None
        assert field.box((0, 0, cell)) == (expected,)


def test_published_sizes_of_fields():
    """LeNet-5 by hand; ResNet-18's last map: 435 (Araujo, Norris & Sim 2019, table 1)."""
    sizes = field_sizes(
        capture(build_network("lenet5", (1, 32, 32), 10), torch.zeros(1, 1, 32, 32))
    )
    shown = ("features.conv1", "features.pool1", "features.conv2", "features.pool2")
    assert [sizes[name] for name in shown] == [(5, 5), (6, 6), (14, 14), (16, 16)]
    assert sizes["head.linear1"] == (32, 32)
    backbone = timm.create_model("resnet18", features_only=True)
    graph = capture(backbone, torch.zeros(1, 3, 480, 448))
    assert field_sizes(graph)[graph.outputs[-1]] == (435, 435)
    assert field_sizes(capture(backbone, torch.zeros(1, 3, 64, 480)))["layer4.1.conv2"] == (64, 435)


def test_nodes_and_fields_have_the_same_names():
    graph = capture(build_network("lenet5-1998", (1, 32, 32), 10), torch.zeros(1, 1, 32, 32))
    fields = receptive_fields(graph)
    assert set(fields) == {node.name for node in graph.nodes if not node.constant}
    assert fields["input"].box((0, 0, 3, 4)) == ((3, 3), (4, 4))
