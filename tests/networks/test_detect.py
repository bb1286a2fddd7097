"""The dense head and its pyramid: shapes, shared kernels, capture, export."""

import pytest
import torch
from torch import nn

from vitreous.errors import RequestError
from vitreous.networks import capture
from vitreous.networks.features.resnet import ResNet
from vitreous.networks.heads.detect import BINS, LEVELS, PRIOR, DetectHead, cell_grid
from vitreous.networks.heads.pyramid import FeaturePyramid, map_places

CASES = [(3, 64, 96), (1, 32, 32), (2, 70, 51)]


class Detector(nn.Module):
    def __init__(self, shape, classes=3):
        super().__init__()
        self.features = ResNet(shape[0], shape[1:])
        self.head = DetectHead(self.features.channels, self.features.strides, classes, width=16)

    def forward(self, inputs):
        return self.head(self.features(inputs))


@pytest.mark.parametrize("shape", CASES)
def test_one_answer_a_cell_of_the_grid_and_few_at_first(shape):
    torch.manual_seed(0)
    network = Detector(shape).eval()
    with torch.no_grad():
        answer = network(torch.randn(2, *shape))
    middles, strides = cell_grid(shape[1:])
    assert answer.shape == (2, len(middles), 3 + 4 * BINS)
    assert len(strides) == len(middles)
    assert abs(float(answer[..., :3].sigmoid().mean()) - PRIOR) < PRIOR


def test_cells_lie_in_the_middle_of_what_they_see():
    """An answer changes most by the pixels around its cell's middle, as far to all sides."""
    torch.manual_seed(0)
    shape = (3, 128, 128)
    network = Detector(shape).eval()
    middles, strides = cell_grid(shape[1:])
    inputs = torch.randn(1, *shape, requires_grad=True)
    answer = network(inputs)
    for level in LEVELS:
        cell = int(((middles - 64).abs().sum(1) + 1e6 * (strides != level)).argmin())
        (gradient,) = torch.autograd.grad(answer[0, cell, 0], inputs, retain_graph=True)
        weight = gradient.abs().sum((0, 1))
        x = (weight.sum(0) * (torch.arange(128) + 0.5)).sum() / weight.sum()
        y = (weight.sum(1) * (torch.arange(128) + 0.5)).sum() / weight.sum()
        assert abs(x - middles[cell, 0]) < level
        assert abs(y - middles[cell, 1]) < level


def test_kernels_are_shared_by_the_levels_and_norms_are_not():
    head = Detector((3, 64, 64)).head
    names = [name for name, _ in head.class_tower.named_parameters()]
    assert sum(name.startswith("convolutions") for name in names) == 2
    assert sum(name.endswith("weight") and name.startswith("norms") for name in names) == 6


def test_the_captured_graph_and_the_export_are_the_network():
    torch.manual_seed(1)
    shape = (3, 64, 96)
    network = Detector(shape).eval()
    inputs = torch.randn(1, *shape)
    graph = capture(network, inputs)
    with torch.no_grad():
        wanted = network(inputs)
    assert torch.equal(graph.run(inputs)[graph.outputs[0]], wanted)
    assert all(node.understood for node in graph.nodes if not node.constant)
    parameters = sum(p.numel() for p in network.parameters())
    assert sum(node.parameter_count for node in graph.nodes) == parameters
    exported = torch.export.export(network, (inputs,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(inputs), wanted)


def test_a_pyramid_carries_what_coarse_maps_know_to_the_finest():
    torch.manual_seed(0)
    pyramid = FeaturePyramid((4, 6), ((8, 8), (16, 16)), (8, 16, 32), 5).eval()
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4, requires_grad=True)]
    finest, middle, coarsest = pyramid(maps)
    assert [tuple(each.shape) for each in (finest, middle, coarsest)] == [
        (1, 5, 8, 8),
        (1, 5, 4, 4),
        (1, 5, 2, 2),
    ]
    finest.sum().backward()
    assert maps[1].grad.abs().sum() > 0


def test_features_without_the_needed_strides_are_refused_with_a_remedy():
    assert map_places(((2, 2), (4, 4), (8, 8)), (8, 16, 32)) == (2,)
    for strides in [((2, 2), (4, 4)), ((4, 4), (16, 16)), ((1, 1),)]:
        with pytest.raises(RequestError, match=r"strides 8, 16, 32.*take a network such as"):
            map_places(strides, (8, 16, 32))
