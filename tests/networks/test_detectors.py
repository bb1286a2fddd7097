"""Detectors by name: built, kept on cards, started from weights of their features."""

import pytest
import torch
from safetensors.torch import load, save

from vitreous.data.transforms import Scaling
from vitreous.errors import RequestError
from vitreous.networks import NetworkCard, Weights, build_network, capture, rebuild_network
from vitreous.networks.heads.detect import BINS, cell_grid
from vitreous.networks.torchvision_models import BOX_NUMBERS, OwnLosses
from vitreous.networks.transfer import start_from
from vitreous.networks.weights import find_weights

SHAPE = (3, 64, 96)
OURS = ("detect:resnet", "detect:timm:resnet10t")
THEIRS = ("torchvision:fcos:resnet18", "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn")


def pictures(size=2, shape=SHAPE, seed=0):
    return torch.randn(size, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OURS)
def test_card_and_weights_bring_a_detector_back(name):
    network = build_network(name, SHAPE, 2, seed=0).eval()
    with torch.no_grad():
        answer = network(pictures())
    assert answer.shape == (2, len(cell_grid(SHAPE[1:])[0]), 2 + 4 * BINS)
    other = rebuild_network(NetworkCard.from_json(network.card.to_json())).eval()
    other.load_state_dict(load(save(network.state_dict())))
    with torch.no_grad():
        assert torch.equal(other(pictures()), answer)
        alone = torch.cat([network(each[None]) for each in pictures()])
    torch.testing.assert_close(answer, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_captured_graph_of_a_detector_is_the_detector(name):
    network = build_network(name, SHAPE, 2, seed=0).eval()
    graph = capture(network, pictures(1))
    with torch.no_grad():
        wanted = network(pictures(1))
    assert torch.equal(graph.run(pictures(1))[graph.outputs[0]], wanted)
    assert all(node.understood for node in graph.nodes if not node.constant)
    assert sum(node.parameter_count for node in graph.nodes) == network.card.parameters


@pytest.mark.parametrize("name", OURS)
def test_gradient_reaches_every_parameter_of_a_detector(name):
    network = build_network(name, SHAPE, 2, seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):  # some scales start at zero and hold the gradient back until then
        optimizer.zero_grad()
        (network(pictures(4)) ** 2).mean().backward()
        optimizer.step()
    without = [key for key, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize("name", THEIRS)
def test_a_detector_of_torchvision_answers_boxes_and_trains_by_its_own_losses(name):
    network = build_network(name, SHAPE, 2, seed=0)
    assert isinstance(network(pictures()), OwnLosses)
    with torch.no_grad():
        assert network.eval()(pictures()).shape[2] == BOX_NUMBERS
    other = rebuild_network(NetworkCard.from_json(network.card.to_json()))
    other.load_state_dict(load(save(network.state_dict())))


def weights_of(network, own_names=True, name=None):
    tensors = {key: value + 1 for key, value in network.state_dict().items()}
    card_name = name or network.card.name
    return Weights(
        "kept", card_name, tensors, own_names, Scaling((0.5,) * 3, (0.2,) * 3), None, "x"
    )


def test_a_classifiers_weights_start_a_detectors_features_and_nothing_else():
    classifier = build_network("resnet", SHAPE, 5, seed=1)
    network = build_network("detect:resnet", SHAPE, 2, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    start_from(network, weights_of(classifier))
    for key, value in network.state_dict().items():
        if key.startswith("features."):
            assert torch.equal(value, classifier.state_dict()[key] + 1), key
        else:
            assert torch.equal(value, before[key]), key
    assert network.card.scaling["mean"] == [0.5] * 3


def test_a_detectors_weights_start_all_but_the_layer_of_the_classes():
    first = build_network("detect:resnet", SHAPE, 5, seed=1)
    network = build_network("detect:resnet", SHAPE, 2, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    start_from(network, weights_of(first))
    new = [key for key, value in network.state_dict().items() if torch.equal(value, before[key])]
    assert new == ["head.classes.weight", "head.classes.bias"]


@pytest.mark.parametrize("name", ["detect:timm:resnet10t", "torchvision:fcos:timm:resnet18"])
def test_timms_weights_go_to_the_features_wherever_they_are(name, tmp_path):
    import timm

    plain = name.rpartition(":")[2]
    whole = timm.create_model(plain)
    with torch.no_grad():
        for value in whole.state_dict().values():
            value.add_(1)
    path = tmp_path / f"{plain}.pth"
    torch.save(whole.state_dict(), path)
    network = build_network(name, SHAPE, 2, seed=0)
    start_from(network, find_weights(str(path), name, accept_licence=True))
    state = network.state_dict()
    first = next(key for key in state if key.endswith("backbone.layer1.0.conv1.weight"))
    assert torch.equal(state[first], whole.state_dict()["layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("detect:eegnet", "features of a network for pictures"),
        ("detect:detect:resnet", "features of a network for pictures"),
        ("detect:lenet5", "strides 8, 16, 32"),
        ("torchvision:yolo", "fcos_resnet50_fpn"),
        ("torchvision:fcos", "name the features"),
        ("detect:nosuch", "unknown network"),
    ],
)
def test_what_cannot_be_a_detector_is_refused_with_the_way_out(name, said):
    with pytest.raises(RequestError, match=said):
        build_network(name, SHAPE, 2)
