"""Storeys: nothing is lost, each has one shape, and residual branches stay apart."""

import pytest
import torch
from torch import nn

from vitreous.insight.storeys import channel_axes, floors_of, is_open
from vitreous.networks import build_network
from vitreous.networks.graph import capture

INPUT = (3, 32, 32)


@pytest.mark.parametrize("name", ["lenet5", "pocket", "resnet18", "timm:mobilenetv4_conv_small"])
def test_every_open_layer_is_in_one_storey_of_its_shape(name):
    network = build_network(name, INPUT, 10).eval()
    graph = capture(network, torch.zeros(1, *INPUT))
    floors = floors_of(graph)
    members = [node for floor in floors for node in floor.nodes]
    assert sorted(members) == sorted(node.name for node in graph.nodes if is_open(node))
    names = {floor.name for floor in floors}
    for floor in floors:
        assert len({graph[node].shapes for node in floor.nodes}) == 1
        assert set(floor.reads) <= names - {floor.name}
        for before, after in zip(floor.nodes, floor.nodes[1:], strict=False):
            assert before in graph[after].inputs.values()
    assert floors[0].name == "input"
    assert floors[0].reads == ()
    assert all(floor.reads for floor in floors[1:])


def test_a_residual_block_is_three_storeys():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            y = torch.relu(self.first(x))
            return torch.relu(self.norm(self.second(y)) + x)

    floors = floors_of(capture(Block().eval(), torch.zeros(1, 3, 5, 5)))
    assert [floor.nodes for floor in floors] == [
        ("input",), ("first", "relu"), ("second", "norm"), ("add", "relu_2"),
    ]  # fmt: skip
    assert [floor.reads for floor in floors] == [
        (), ("input",), ("first",), ("second", "input"),
    ]  # fmt: skip


def test_who_reads_a_part_of_several_results_reads_through_it():
    class Halves(nn.Module):
        def forward(self, x):
            first, second = x.chunk(2, dim=1)
            return first * second

    floors = floors_of(capture(Halves().eval(), torch.zeros(1, 4, 5, 5)))
    assert floors[-1].nodes[0] == "multiply"
    assert {name for floor in floors for name in floor.reads} <= {floor.name for floor in floors}


def test_channels_that_are_laid_last_are_known():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.mix = nn.Conv2d(3, 6, 3), nn.Linear(6, 7)

        def forward(self, x):
            y = torch.relu(self.mix(self.first(x).permute(0, 2, 3, 1)))
            return y.transpose(1, 3) + 1

    graph = capture(Last().eval(), torch.zeros(1, 3, 12, 13))
    axes = channel_axes(graph)
    for node in graph.nodes:
        if node.name != "input":
            assert node.shape[1:][axes[node.name]] in (6, 7), node.name
    assert axes["mix"] == 2
    assert axes["first"] == 0
