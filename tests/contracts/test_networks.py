"""One suite for every network in the table: what others rely on, whatever the network."""

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from vitreous.insight.receptive_fields import receptive_fields
from vitreous.networks import NETWORKS, NetworkCard, build_network, capture, rebuild_network

SHAPES = {
    "lenet5": [(1, 28, 28), (3, 32, 32), (2, 12, 40), (1, 65, 50)],
    "lenet5-1998": [(1, 32, 32)],
    "pocket": [(3, 32, 32), (1, 28, 28), (4, 6, 9), (3, 128, 96), (2, 49, 64)],
    "resnet": [(3, 32, 32), (1, 28, 28), (4, 8, 8), (3, 128, 96), (1, 224, 230)],
    "unet": [(3, 32, 48), (1, 33, 50), (2, 17, 8)],
    "eegnet": [(1, 5, 128), (1, 3, 50), (1, 2, 333)],
    "shallowconvnet": [(1, 5, 160), (1, 2, 100)],
    "deep4": [(1, 5, 460), (1, 2, 441)],
    "basenet": [(1, 5, 190), (1, 2, 310)],
    "atcnet": [(1, 5, 340), (1, 2, 560)],
}
TIMM = {
    "timm:resnet18": [(2, 64, 48)],
    "unet:timm:tf_efficientnet_lite0": [(3, 64, 96), (1, 49, 64)],
    "unet:resnet": [(3, 40, 64)],
}

CASES = [(name, shape) for name, shapes in {**SHAPES, **TIMM}.items() for shape in shapes]
FIRST = [(name, shapes[0]) for name, shapes in {**SHAPES, **TIMM}.items()]


def answer_shape(network, shape):
    return (7, *shape[1:]) if network.dense else (7,)


def batch_of(shape, size=3, seed=0):
    return torch.randn(size, *shape, generator=torch.Generator().manual_seed(seed))


def test_every_network_of_the_table_is_here():
    assert set(SHAPES) == set(NETWORKS)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_answer_and_maps_have_the_declared_shapes(name, shape):
    network = build_network(name, shape, 7).eval()
    inputs = batch_of(shape, 2)
    with torch.no_grad():
        maps, answer = network.features(inputs), network(inputs)
    assert answer.shape == (2, *answer_shape(network, shape))
    assert [each.shape[1] for each in maps] == list(network.features.channels)
    assert list(network.features.strides) == sorted(network.features.strides)
    assert len(maps) == len(network.features.strides)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_declared_strides_are_those_of_the_receptive_fields(name, shape):
    features = build_network(name, shape, 7).features
    graph = capture(features, batch_of(shape))
    fields = receptive_fields(graph)
    jumps = [tuple(int(axis.reach.jump) for axis in fields[o].axes) for o in graph.outputs]
    assert jumps == list(features.strides)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradient_reaches_every_parameter(name, shape):
    """After one step, as some scales start at zero and hold the gradient back until then."""
    network = build_network(name, shape, 7, seed=0)
    inputs = batch_of(shape, 8)
    space = answer_shape(network, shape)[1:]
    targets = torch.arange(8 * math.prod(space)).reshape(8, *space) % 7
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    without = [
        key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert without == []


@pytest.mark.parametrize(("name", "shape"), FIRST)
def test_in_eval_mode_samples_do_not_touch_each_other_and_answers_repeat(name, shape):
    network = build_network(name, shape, 7).eval()
    inputs = batch_of(shape, 4)
    with torch.no_grad():
        together, again = network(inputs), network(inputs)
        alone = torch.cat([network(each[None]) for each in inputs])
    assert torch.equal(together, again)
    # deep decoders make large numbers
    atol = 1e-5 * max(1.0, float(together.abs().max())) if network.dense else 1e-5
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=atol)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize(("name", "shape"), FIRST)
def test_card_and_weights_bring_the_network_back(name, shape):
    network = build_network(name, shape, 7).eval()
    network(batch_of(shape))
    card = NetworkCard.from_json(network.card.to_json())
    assert card == network.card
    assert card.parameters == sum(p.numel() for p in network.parameters())
    other = rebuild_network(card).eval()
    inputs = batch_of(shape)
    assert not torch.allclose(other(inputs), network(inputs))
    other.load_state_dict(load(save(network.state_dict())))
    assert torch.equal(other(inputs), network(inputs))


@pytest.mark.parametrize(("name", "shape"), FIRST)
def test_same_seed_same_weights_and_nothing_else_is_touched(name, shape):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = (build_network(name, shape, 7, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.rand(1), expected)
    third = build_network(name, shape, 7, seed=4).state_dict()
    assert any(not torch.equal(one[key], third[key]) for key in one)


@pytest.mark.parametrize(("name", "shape"), FIRST)
def test_captured_graph_is_the_network(name, shape):
    network = build_network(name, shape, 7).train()
    graph = capture(network, batch_of(shape, 1))
    assert network.training
    network.eval()
    for seed in (1, 2):
        inputs = batch_of(shape, 1, seed)
        values = graph.run(inputs)
        with torch.no_grad():
            torch.testing.assert_close(values[graph.outputs[0]], network(inputs), rtol=0, atol=0)
            for each in network.features(inputs):
                assert any(torch.equal(each, value) for value in values.values())
    assert sum(node.parameter_count for node in graph.nodes) == network.card.parameters
    assert all(node.understood for node in graph.nodes if not node.constant)
    assert all(tuple(values[node.name].shape) == node.shape for node in graph.nodes)
