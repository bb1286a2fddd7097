"""U-Nets in one, two and three dimensions, decoders on other features, and weights in them."""

import json
import math

import pytest
import timm
import torch
from torch.nn import functional as F

from vitreous.data.transforms import Scaling
from vitreous.errors import RequestError
from vitreous.insight.receptive_fields import field_sizes
from vitreous.networks import NetworkCard, build_network, capture, rebuild_network
from vitreous.networks.features.unet import UNetEncoder, UNetPlan, plan_for, total_strides
from vitreous.networks.heads.segment import SegmentHead
from vitreous.networks.heads.segment_pyramid import PyramidSegmentHead, pyramid_levels
from vitreous.networks.weights import Weights, features_name, find_weights

SHAPE = (3, 64, 64)


@pytest.mark.parametrize(("dimensions", "space"), [(1, (37,)), (2, (24, 41)), (3, (12, 17, 9))])
def test_one_code_in_one_two_and_three_dimensions(dimensions, space):
    plan = UNetPlan.halving(dimensions, (4, 8, 16), norm="instance", deep_supervision=1)
    features = UNetEncoder(2, plan)
    head = SegmentHead(plan.widths, features.strides, 5, plan.widths[:-1], norm=plan.norm,
                       deep_supervision=1)  # fmt: skip
    inputs = torch.randn(2, 2, *space)
    finest, coarser = head(features(inputs))
    assert finest.shape == (2, 5, *space)
    assert coarser.shape == (2, 5, *(math.ceil(side / 2) for side in space))
    answer = head.eval()(features.eval()(inputs))
    assert answer.shape == (2, 5, *space)


def test_volumes_are_answered_cell_by_cell_and_built_again_from_their_card():
    plan = UNetPlan(3, (4, 8, 8), ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
                    ((1, 3, 3), (3, 3, 3), (3, 3, 3)), norm="instance",
                    deep_supervision=2)  # fmt: skip
    network = build_network("unet", (1, 8, 16, 20), 3, plan=plan, seed=0)
    assert network.features.strides == ((1, 1, 1), (1, 2, 2), (2, 4, 4))
    inputs = torch.randn(1, 1, 8, 16, 20)
    shapes = [tuple(each.shape[2:]) for each in network(inputs)]
    assert shapes == [(8, 16, 20), (8, 8, 10)]
    network.eval()
    assert network(inputs).shape == (1, 3, 8, 16, 20)
    card = NetworkCard.from_json(json.loads(json.dumps(network.card.to_json())))
    assert card == network.card
    assert card.input_shape == (1, 8, 16, 20)
    again = rebuild_network(card).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(inputs), network(inputs))


@pytest.mark.parametrize("strides", [[(1, 1), (2, 2)], [(2, 1), (2, 3), (1, 2)]])
def test_strides_multiply(strides):
    found = total_strides(strides)
    assert found[-1] == tuple(math.prod(step[axis] for step in strides) for axis in (0, 1))


def test_the_plan_has_as_many_stages_as_the_input_has_cells_for():
    assert plan_for((256, 256)).widths == (16, 32, 64, 128, 256)
    assert plan_for((15, 300)).widths == (16,)
    assert plan_for((16, 300)).widths == (16, 32)
    assert plan_for((64, 64, 64)).dimensions == 3


def test_the_answer_of_a_pixel_depends_on_no_pixel_outside_its_field():
    network = build_network("unet", (1, 48, 48), 2, plan=UNetPlan.halving(2, (4, 8)), seed=0).eval()
    graph = capture(network, torch.zeros(1, 1, 48, 48))
    reach = field_sizes(graph)[graph.outputs[0]][0] // 2
    assert reach < 20
    inputs = torch.randn(1, 1, 48, 48)
    with torch.no_grad():
        before = network(inputs)
        inputs[..., 24, 24] += 5
        changed = (network(inputs) - before).abs().amax((0, 1)) > 0
    rows, columns = torch.nonzero(changed).T
    assert int((rows - 24).abs().max()) <= reach
    assert int((columns - 24).abs().max()) <= reach
    assert changed[24, 24]


def weights_of(name: str) -> Weights:
    torch.manual_seed(1)
    whole = timm.create_model(name)
    return Weights(name=name, network=f"timm:{name}", tensors=whole.state_dict(), own_names=False,
                   scaling=Scaling((0.5,) * 3, (0.25,) * 3), licence="mit",
                   seen="nothing")  # fmt: skip


@pytest.mark.parametrize("kind", ["unet", "fpn"])
def test_a_decoder_starts_from_the_weights_of_its_features_alone(kind):
    weights = weights_of("resnet10t")
    network = build_network(f"{kind}:timm:resnet10t", SHAPE, 4, weights=weights, seed=0)
    plain = build_network("timm:resnet10t", SHAPE, 4, weights=weights, seed=0)
    fresh = build_network(f"{kind}:timm:resnet10t", SHAPE, 4, seed=0)
    for key, value in network.state_dict().items():
        if key.startswith("features."):
            assert torch.equal(value, plain.state_dict()[key])
        else:
            assert torch.equal(value, fresh.state_dict()[key])
    assert network.card.weights == "resnet10t"
    assert network.card.scaling["mean"] == [0.5] * 3


def test_a_decoder_goes_on_from_one_of_its_kind_but_for_other_classes():
    first = build_network("unet:resnet", SHAPE, 4, seed=0)
    weights = Weights(name="a run", network="unet:resnet", tensors=first.state_dict(),
                      own_names=True, scaling=None, licence=None, seen=None)  # fmt: skip
    same = build_network("unet:resnet", SHAPE, 4, weights=weights, keep_classifier=True, seed=1)
    other = build_network("unet:resnet", SHAPE, 6, weights=weights, seed=1)
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in first.state_dict().items())
    for key, value in first.state_dict().items():
        if not key.startswith("head.classify."):
            assert torch.equal(value, other.state_dict()[key])


def test_weights_are_asked_for_by_the_features_name(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "resnet10t.pth")
    found = find_weights(str(tmp_path / "resnet10t.pth"), "unet:timm:resnet10t", True)
    assert found.network == "timm:resnet10t"
    assert features_name("unet") == "unet"


PYRAMIDS = ("fpn:resnet", "fpn:timm:resnet10t")


@pytest.mark.parametrize(("name", "size"), list(zip(PYRAMIDS, [(70, 99), (64, 96)], strict=True)))
def test_a_pyramids_decoder_answers_each_pixel_and_is_built_again(name, size):
    network = build_network(name, (3, *size), 4, seed=0).eval()
    inputs = torch.randn(2, 3, *size)
    answer = network(inputs)
    assert answer.shape == (2, 4, *size)
    card = NetworkCard.from_json(json.loads(json.dumps(network.card.to_json())))
    again = rebuild_network(card).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(inputs), answer)
    graph = capture(network, inputs[:1])
    torch.testing.assert_close(graph.run(inputs[:1])[graph.outputs[0]], answer[:1],
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    assert all(node.understood for node in graph.nodes if not node.constant)


def test_a_pyramids_levels_are_added_at_the_size_of_the_finest():
    """The same sums, written out level by level."""
    torch.manual_seed(0)
    channels, strides = (4, 5, 6), ((4, 4), (8, 8), (16, 16))
    head = PyramidSegmentHead(channels, strides, 3, width=8).eval()
    maps = [
        torch.randn(1, c, 64 // s, 96 // s) for c, (s, _) in zip(channels, strides, strict=True)
    ]
    fine, middle, coarse = head.pyramid(maps)

    def twice(value):
        return F.interpolate(value, scale_factor=2.0, mode="bilinear")

    (one,), (two,), (three, four) = head.ways
    total = one(fine) + twice(two(middle)) + twice(four(twice(three(coarse))))
    wanted = F.interpolate(head.classify(total), scale_factor=4.0, mode="bilinear")
    torch.testing.assert_close(head(maps), wanted)
    assert wanted.shape == (1, 3, 64, 96)


@pytest.mark.parametrize("name", [*PYRAMIDS, "unet:resnet"])
def test_gradient_reaches_every_parameter_of_a_decoder(name):
    network = build_network(name, SHAPE, 2, seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):  # some scales start at zero and hold the gradient back until then
        optimizer.zero_grad()
        (network(torch.randn(3, *SHAPE)) ** 2).mean().backward()
        optimizer.step()
    assert [key for key, p in network.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_a_pyramid_needs_maps_whose_strides_double():
    for strides in [((1, 1), (2, 2)), ((4, 4), (16, 16)), ((4, 2), (8, 4)), ((4,), (8,))]:
        with pytest.raises(RequestError, match="take unet:NAME"):
            pyramid_levels(strides)
    with pytest.raises(RequestError, match="for whole scans"):
        build_network("fpn:resnet", (1, 32, 32, 32), 2)


@pytest.mark.parametrize("name", ["unet:unet", "unet:eegnet", "unet:lenet5-1998", "fpn:unet"])
def test_decoders_need_features_of_pictures(name):
    with pytest.raises(RequestError, match="a decoder needs the features of a network for"):
        build_network(name, SHAPE, 2)


def test_only_a_unet_has_a_plan():
    with pytest.raises(RequestError, match="only unet is built from a plan"):
        build_network("resnet", SHAPE, 2, plan=plan_for((64, 64)))


def test_deep_supervision_is_for_training_alone():
    plan = UNetPlan.halving(2, (4, 8, 8), deep_supervision=1)
    network = build_network("unet", SHAPE, 2, plan=plan)
    inputs = torch.randn(2, *SHAPE)
    assert isinstance(network(inputs), list)
    assert isinstance(network.eval()(inputs), torch.Tensor)


@pytest.mark.parametrize("size", [(16, 24, 32), (64, 72, 64)])
def test_the_residual_network_takes_volumes_and_is_built_again_from_its_card(size):
    network = build_network("resnet", (2, *size), 3, seed=0).eval()
    inputs = torch.randn(1, 2, *size)
    maps = network.features(inputs)
    for each, stride in zip(maps, network.features.strides, strict=True):
        sides = [math.ceil(side / step) for side, step in zip(size, stride, strict=True)]
        assert list(each.shape[2:]) == sides
    assert network(inputs).shape == (1, 3)
    card = NetworkCard.from_json(json.loads(json.dumps(network.card.to_json())))
    again = rebuild_network(card).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(inputs), network(inputs))


@pytest.mark.parametrize("name", ["lenet5", "pocket", "timm:resnet18"])
def test_networks_for_pictures_refuse_volumes(name):
    with pytest.raises(RequestError, match="for whole scans take resnet"):
        build_network(name, (1, 32, 32, 32), 2)
