"""Captured graphs: names, words, attributes, values, and the costs against a known counter."""

import sys
from collections import OrderedDict

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitreous.errors import RequestError
from vitreous.networks import build_network, capture, network_table


def assert_runs_as(network, graph, inputs):
    network.eval()
    with torch.no_grad():
        expected = network(inputs)
    expected = [expected] if isinstance(expected, torch.Tensor) else list(expected)
    values = graph.run(inputs)
    assert len(graph.outputs) == len(expected)
    for name, wanted in zip(graph.outputs, expected, strict=True):
        torch.testing.assert_close(values[name], wanted, rtol=0, atol=0)


class Odd(nn.Module):
    """In place, through views, shared, several outputs, buffers, parts."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding="same")
        self.relu = nn.ReLU(inplace=True)
        self.reflected = nn.Conv2d(4, 4, (2, 5), padding="same", padding_mode="reflect")
        self.up = nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 2.0, 1.0]).view(1, 4, 1, 1))
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.convolution(x)
        x.view(1, -1).add_(1.0)  # changes x through a view of it
        x = self.relu(x)
        y = self.relu(self.reflected(x))
        y += self.reflected(self.relu(-x))
        left, right = torch.chunk(self.pool(self.norm(self.up(y))), 2, 1)
        z = self.drop(torch.cat([right, left], 1) * self.mask)
        return F.softmax(z.flatten(1), -1), z.amax((2, 3)), y


def test_in_place_views_sharing_and_several_outputs_give_the_networks_numbers():
    network = Odd()
    inputs = torch.randn(1, 3, 9, 11)
    graph = capture(network, inputs)
    assert_runs_as(network, graph, inputs)
    assert_runs_as(network, graph, torch.randn(1, 3, 9, 11))
    assert all(node.understood for node in graph.nodes)
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    assert {"relu", "relu_2", "relu_3", "reflected", "reflected_2", "reflected.pad"} <= set(names)
    counts = {node.name: node.parameter_count for node in graph.nodes}
    assert counts["reflected"] == 4 * 4 * 10 + 4
    assert counts["reflected_2"] == 0  # the same weights, counted once
    assert graph["up"].attributes["output_padding"] == (1, 1)
    assert graph["convolution"].attributes["padding"] == ((1, 1), (1, 1))
    assert graph["pool"].attributes["ceil_mode"] is True
    assert graph["norm"].parameters == {"weight": "norm.weight", "bias": "norm.bias"}
    assert dict(graph["concatenate"].inputs) == {"tensors_0": "part_2", "tensors_1": "part"}


def test_a_kernel_of_even_size_is_padded_more_at_the_end():
    graph = capture(nn.Conv1d(1, 1, 4, padding="same"), torch.zeros(1, 1, 9))
    (node,) = graph.nodes[1:]
    assert node.attributes["padding"] == ((1, 2),)
    assert node.shape == (1, 1, 9)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: torchvision.models.resnet18(), (3, 64, 64)),
        (lambda: timm.create_model("cs3darknet_focus_s"), (3, 64, 64)),
        (lambda: timm.create_model("tf_efficientnet_b0", features_only=True), (3, 50, 64)),
        (lambda: timm.create_model("convnext_atto"), (3, 64, 64)),
        (
            lambda: nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.MaxPool3d(2)),
            (1, 8, 9, 8),
        ),
        (lambda: nn.Sequential(nn.Conv1d(2, 4, 7, 2), nn.ELU(), nn.AvgPool1d(3)), (2, 50)),
    ],
    ids=["resnet18", "cs3darknet", "efficientnet with TF padding", "convnext", "3-D", "1-D"],
)
def test_whole_networks_run_as_they_are_and_cost_what_the_counter_says(make, shape):
    torch.manual_seed(0)
    network = make().eval()
    for module in network.modules():  # norms that do something
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    inputs = torch.randn(1, *shape)
    graph = capture(network, inputs)
    assert_runs_as(network, graph, inputs)
    assert all(node.understood for node in graph.nodes)
    assert sum(n.parameter_count for n in graph.nodes) == sum(
        p.numel() for p in network.parameters()
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    assert sum(node.multiply_adds for node in graph.nodes) * 2 == counter.get_total_flops() > 0


def test_tf_padding_is_a_node_of_its_own():
    network = nn.Sequential(OrderedDict(conv_stem=timm.layers.Conv2dSame(3, 4, 3, stride=2)))
    graph = capture(network, torch.zeros(1, 3, 64, 64))
    assert [node.name for node in graph.nodes] == ["input", "conv_stem.pad", "conv_stem"]
    assert graph["conv_stem"].inputs["input"] == "conv_stem.pad"
    assert graph["conv_stem.pad"].attributes["pad"] == (0, 1, 0, 1)
    assert graph["conv_stem"].attributes["padding"] == ((0, 0), (0, 0))


def test_costs_of_transposed_convolutions_and_matrix_products():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(4, 6, 3, 2, groups=2)

        def forward(self, x):
            maps = self.up(x)[0]
            return torch.matmul(maps, maps.transpose(1, 2))

    network, inputs = Both(), torch.randn(1, 4, 5, 7)
    graph = capture(network, inputs)
    assert_runs_as(network, graph, inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    assert sum(node.multiply_adds for node in graph.nodes) * 2 == counter.get_total_flops() > 0


def test_the_graph_runs_on_the_present_weights_and_gives_gradients():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
    inputs = torch.randn(1, 1, 6, 6)
    graph = capture(network, inputs)
    with torch.no_grad():
        network[0].weight.mul_(-2)
        network[1].running_mean.add_(0.3)
    assert_runs_as(network, graph, inputs)
    assert not graph.run(inputs)["3"].requires_grad
    followed = inputs.clone().requires_grad_()
    graph.run(followed, gradients=True)["3"].sum().backward()
    again = inputs.clone().requires_grad_()
    network(again).sum().backward()
    torch.testing.assert_close(followed.grad, again.grad, rtol=0, atol=0)


def test_prepared_weights_are_constant_nodes_and_count_where_they_are_used():
    network = build_network("lenet5-1998", (1, 32, 32), 10)
    graph = capture(network, torch.zeros(1, 1, 32, 32))
    c3 = graph["features.c3"]
    assert c3.parameter_count == 1516
    prepared = graph[c3.inputs["weight"]]
    assert prepared.constant
    assert prepared.shape == (16, 6, 5, 5)
    rows = network_table(graph)
    assert prepared.name not in [row["name"] for row in rows]
    assert sum(row["parameters"] for row in rows) == network.card.parameters


def test_table_of_the_modern_lenet():
    graph = capture(build_network("lenet5", (1, 28, 28), 10), torch.zeros(1, 1, 28, 28))
    rows = {row["name"]: row for row in network_table(graph, {"features.conv1": (5, 5)})}
    assert rows["features.conv1"] == {
        "name": "features.conv1",
        "operation": "convolution",
        "output_shape": [6, 28, 28],
        "kernel": [5, 5],
        "stride": [1, 1],
        "parameters": 156,
        "multiply_adds": 28 * 28 * 6 * 25,
        "receptive_field": [5, 5],
    }
    assert rows["head.linear1"]["multiply_adds"] == 400 * 120
    assert rows["head.linear1"]["kernel"] is None
    assert rows["features.pool2"]["stride"] == [2, 2]
    assert rows["features.relu1"]["receptive_field"] is None


def test_what_cannot_be_captured_is_refused_and_the_mode_comes_back(capsys):
    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            print(None, file=sys.stderr)
            return self.layer(x) if x.sum() > 0 else x

    network = Choosing().train()
    with pytest.raises(RequestError, match=r"Choosing cannot be captured.*must not depend"):
        capture(network, torch.ones(1, 4))
    assert capsys.readouterr().err == "None\n"  # and not the graph as far as it was noted
    assert network.training
    assert network.layer.training


def test_what_a_network_says_while_it_is_captured_is_kept(capsys):
    class Talking(nn.Module):
        def forward(self, x):
            print(None, file=sys.stderr)
            return 2 * x

    capture(Talking(), torch.ones(1, 4))
    assert "None\n" in capsys.readouterr().err


def test_an_unknown_operation_keeps_its_name_and_says_so():
    class Rolled(nn.Module):
        def forward(self, x):
            return torch.roll(x, 1)

    graph = capture(Rolled(), torch.ones(1, 4))
    assert (graph.nodes[1].operation, graph.nodes[1].understood) == ("aten.roll.default", False)
    assert graph.nodes[1].name == "roll"


def test_another_size_is_refused():
    graph = capture(nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8))
    with pytest.raises(RequestError, match="captured for an input of 1 x 1 x 8 x 8"):
        graph.run(torch.zeros(1, 1, 9, 8))
