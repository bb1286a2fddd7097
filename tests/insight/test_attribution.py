"""Attribution: parity with Captum, slow derivations, where a value stands, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import (
    METHODS,
    Target,
    attribute,
    map_layer,
    map_layers,
    predicted_targets,
)
from vitreous.insight.attribution.occlusion import patches_of
from vitreous.insight.fills import Background, blur_fill, mean_fill
from vitreous.networks import build_network
from vitreous.networks.network import Network

captum = pytest.importorskip("captum.attr")

PIXELS = ("integrated-gradients", "expected-gradients", "deeplift")


def network_of(name: str, side: int = 32, channels: int = 3) -> nn.Module:
    """Built by name, its norms as if it had been trained."""
    network = build_network(name, (channels, side, side), 4, seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3, generator=generator)  # type: ignore
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore
            if isinstance(module.weight, nn.Parameter):
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def inputs_of(side: int = 32, channels: int = 3, count: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.manual_seed(2))


BACKGROUND = Background(torch.randn(8, 3, 32, 32, generator=torch.manual_seed(3)))


@pytest.mark.parametrize("name", ["lenet5", "resnet", "pocket", "timm:mobilenetv4_conv_small_035"])
def test_hirescam_is_captums_gradient_times_activation(name):
    network, inputs = network_of(name), inputs_of()
    targets = predicted_targets(network, inputs)
    layer = map_layer(network, inputs)
    maps = attribute(network, inputs, targets, layer=layer)
    module = dict(network.named_modules())[layer.name]
    theirs = captum.LayerGradientXActivation(network, module).attribute(
        inputs, target=[target.output for target in targets]
    )
    for ours, one in zip(maps, theirs.sum(1).detach().numpy(), strict=True):
        np.testing.assert_allclose(ours.cells, one, rtol=1e-4, atol=1e-6)


def test_with_one_linear_head_hirescam_is_grad_cam_and_sums_to_the_output_less_its_bias():
    network, inputs = network_of("resnet"), inputs_of()
    targets = [Target(0), Target(3), Target(1)]
    layer = map_layer(network, inputs)
    maps = attribute(network, inputs, targets, layer=layer)
    module = dict(network.named_modules())[layer.name]
    theirs = captum.LayerGradCam(network, module).attribute(inputs, target=[0, 3, 1])
    with torch.no_grad():
        outputs = network(inputs)
    bias = network.head.linear.bias.detach()
    for row, (one, target) in enumerate(zip(maps, targets, strict=True)):
        np.testing.assert_allclose(one.cells, theirs[row, 0].detach(), rtol=1e-4, atol=1e-6)
        assert one.score == pytest.approx(float(outputs[row, target.output]), abs=1e-5)
        assert one.cells.sum() == pytest.approx(one.score - float(bias[target.output]), abs=1e-4)


def test_layercam_by_loops():
    network, inputs = network_of("lenet5"), inputs_of(count=1)
    (one,) = attribute(network, inputs, [Target(2)], "layercam", layer="features.pool1")
    kept = []
    network.features.pool1.register_forward_hook(lambda m, i, out: kept.append(out))
    output = network(inputs)[0, 2]
    (gradient,) = torch.autograd.grad(output, kept[0])
    expected = np.zeros(kept[0].shape[2:])
    for channel in range(kept[0].shape[1]):
        for row in range(expected.shape[0]):
            for column in range(expected.shape[1]):
                weight = float(gradient[0, channel, row, column])
                if weight > 0:
                    expected[row, column] += weight * float(
                        kept[0][0, channel, row, column].detach()
                    )
    np.testing.assert_allclose(one.cells, expected, rtol=1e-4, atol=1e-6)


def test_finer_cam_is_the_difference_of_two_maps():
    network, inputs = network_of("resnet"), inputs_of(count=1)
    layer = map_layer(network, inputs)
    first, second = (attribute(network, inputs, [Target(c)], layer=layer)[0] for c in (1, 2))
    target = Target(1, versus=2, versus_weight=0.6)
    (one,) = attribute(network, inputs, [target], "finer-cam", layer=layer)
    np.testing.assert_allclose(one.values, first.values - 0.6 * second.values, atol=1e-5)
    (asked,) = attribute(network, inputs, method="finer-cam", layer=layer)
    assert asked.target == predicted_targets(network, inputs, versus=True)[0]
    with pytest.raises(RequestError, match="versus"):
        attribute(network, inputs, [Target(1)], "finer-cam", layer=layer)


def test_integrated_gradients_by_a_sum_over_midpoints():
    network, inputs = network_of("lenet5"), inputs_of(count=1)
    (one,) = attribute(network, inputs, [Target(1)], "integrated-gradients", background=BACKGROUND)
    total, starts = torch.zeros_like(inputs), []
    for baseline in (mean_fill(inputs, BACKGROUND), blur_fill(inputs)):
        places = (torch.arange(400) + 0.5).reshape(-1, 1, 1, 1) / 400
        path = (baseline + places * (inputs - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(network(path)[:, 1].sum(), path)
        total += (inputs - baseline) * gradient.mean(0) / 2
        starts.append(float(network(baseline)[0, 1].detach()))
    expected = total.sum(1)[0].numpy()
    assert np.abs(one.values - expected).max() < 0.05 * np.abs(expected).max()
    assert one.claimed == pytest.approx(one.score - np.mean(starts), abs=1e-4)
    assert one.gap == pytest.approx(one.values.sum(dtype=float) - one.claimed, abs=1e-6)
    assert one.relative_gap is not None


def test_paths_through_a_linear_network_are_exact():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    inputs, target = torch.randn(2, 3, 8, 8), Target(1)
    weight = network[1].weight[1].detach().reshape(3, 8, 8)
    single = Background(torch.randn(1, 3, 8, 8))
    baselines = {
        "expected-gradients": single.samples,
        "deeplift": mean_fill(inputs, single),
        "integrated-gradients": (mean_fill(inputs, single) + blur_fill(inputs)) / 2,
    }
    for method, baseline in baselines.items():
        maps = attribute(network, inputs, [target] * 2, method, background=single)
        expected = (weight * (inputs - baseline)).sum(1).numpy()
        for one, values in zip(maps, expected, strict=True):
            np.testing.assert_allclose(one.values, values, rtol=1e-3, atol=1e-5)
            assert abs(one.gap) < 1e-4


def test_deeplift_of_rectifiers_without_biases_is_gradient_times_input():
    """Also where they write into what they read."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3, bias=False),
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 16, 3, bias=False),
    )  # fmt: skip
    inputs = torch.randn(2, 3, 8, 8)
    maps = attribute(network, inputs, [Target(0), Target(2)], "deeplift")
    followed = inputs.clone().requires_grad_()
    outputs = network(followed)
    (gradient,) = torch.autograd.grad(outputs[0, 0] + outputs[1, 2], followed)
    for row, one in enumerate(maps):
        expected = (inputs[row] * gradient[row]).sum(0)
        np.testing.assert_allclose(one.values, expected.numpy(), rtol=1e-4, atol=1e-6)
        assert abs(one.gap) < 1e-5


def test_deeplift_names_an_activation_that_is_used_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 2, 3)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.second(self.relu(self.first(x)))).mean((2, 3))

    with pytest.raises(RequestError, match=r"relu is used 2 times"):
        attribute(Twice(), inputs_of(8), method="deeplift")


def test_occlusion_of_a_linear_network_by_loops():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 2))
    inputs = torch.randn(1, 3, 16, 12)
    (one,) = attribute(network, inputs, [Target(1)], "occlusion")
    weight = network[1].weight[1].detach().reshape(3, 16, 12)
    parts = (weight * inputs[0]).sum(0).numpy()
    total, count = np.zeros((16, 12)), np.zeros((16, 12))
    for patch in patches_of((16, 12)):
        total[patch] += parts[patch].sum()
        count[patch] += 1
    assert count.min() >= 1
    np.testing.assert_allclose(one.values, total / count, rtol=1e-3, atol=1e-5)
    assert one.gap is None


@pytest.mark.parametrize("name", ["lenet5", "resnet", "pocket", "timm:convnext_atto"])
def test_a_cells_value_stands_in_the_middle_of_what_it_sees(name):
    side = 96
    network, inputs = network_of(name, side), inputs_of(side, count=1)
    for layer in map_layers(network, inputs)[::5]:
        inside = [
            [cell for cell, (first, last) in enumerate(zip(axis.first, axis.last, strict=True))
             if first > 0 and last < side - 1]
            for axis in layer.field.axes
        ]  # fmt: skip
        if not all(inside):
            continue  # every field meets the border
        place = tuple(cells[len(cells) // 2] for cells in inside)
        cells = np.zeros(layer.cells)
        cells[place] = 1.0
        laid = layer.to_input(cells, (side, side))
        shares = laid / laid.sum()
        found = [float((shares.sum(1 - axis) * np.arange(side)).sum()) for axis in (0, 1)]
        middle = [(first + last) / 2 for first, last in layer.box(place)]
        np.testing.assert_allclose(found, middle, atol=0.51)  # fields of even size: half a pixel


class Gated(nn.Module):
    """A convolution whose maps are scaled by a gate that sees the whole map."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, stride=2)
        self.gate = nn.Conv2d(6, 6, 1)
        self.norm = nn.GroupNorm(2, 6)
        self.activation = nn.ReLU()
        self.linear = nn.Linear(6, 2)

    def forward(self, x):
        maps = self.convolution(x)
        maps = maps * torch.sigmoid(self.gate(maps.mean((2, 3), keepdim=True)))
        return self.linear(self.activation(self.norm(maps)).mean((2, 3)))


def test_a_gate_and_a_norm_over_space_move_no_cell():
    network = Gated()
    layers = {layer.name: layer for layer in map_layers(network, inputs_of(17))}
    assert set(layers) == {"convolution", "norm", "activation"}
    for layer in layers.values():
        for centres in layer.centres:
            np.testing.assert_allclose(centres, 1 + 2 * np.arange(8))
    assert layers["activation"].box((3, 3)) == ((0, 16), (0, 16))  # it does see everything


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_in_every_dimension_it_knows(dimensions, method):
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    torch.manual_seed(0)
    network = nn.Sequential(
        convolution(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(2),
    )  # fmt: skip
    network = nn.Sequential(*network[:2], MeanOverSpace(), nn.Linear(4, 3))
    inputs = torch.randn(2, 2, *(12,) * dimensions)
    background = Background(torch.randn(4, 2, *(12,) * dimensions))
    maps = attribute(network, inputs, method=method, background=background)
    for one in maps:
        assert one.values.shape == (12,) * dimensions
        assert one.values.dtype == np.float32
        assert one.seconds > 0
        assert set(one.to_json()) >= {"method", "layer", "baseline", "gap", "remarks"}


class MeanOverSpace(nn.Module):
    def forward(self, maps):
        return maps.flatten(2).mean(2)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "expected-gradients"])
def test_a_batch_is_its_samples_and_the_network_is_left_as_it_was(method):
    network, inputs = network_of("resnet"), inputs_of()
    network.train()
    network.head.eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    targets = predicted_targets(network, inputs, versus=METHODS[method].needs_versus)
    at = map_layer(network, inputs) if METHODS[method].works_at == "layer" else None
    together = attribute(network, inputs, targets, method, layer=at, background=BACKGROUND)
    for row, one in enumerate(together):
        (alone,) = attribute(
            network, inputs[row : row + 1], [targets[row]], method, layer=at, background=BACKGROUND
        )
        assert np.abs(alone.values - one.values).max() <= 1e-3 * np.abs(one.values).max() + 1e-6
    assert modes == [module.training for module in network.modules()]
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.is_grad_enabled()


def test_expected_gradients_is_the_same_again_and_leaves_chance_as_it_was():
    network, inputs = network_of("lenet5"), inputs_of(count=2)
    np.random.seed(5)
    first = attribute(network, inputs, method="expected-gradients", background=BACKGROUND)
    drawn = np.random.random()
    np.random.seed(5)
    assert drawn == np.random.random()
    second = attribute(network, inputs, method="expected-gradients", background=BACKGROUND)
    np.testing.assert_array_equal(first[1].values, second[1].values)
    assert first[0].gap == pytest.approx(first[0].values.sum(dtype=float) - first[0].claimed)


def test_a_map_of_nothing_says_so():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), MeanOverSpace(), nn.Linear(2, 2))
    nn.init.constant_(network[0].bias, -100.0)  # no relu ever opens
    (one,) = attribute(network, inputs_of(8, count=1))
    assert not one.values.any()
    assert "zero everywhere" in one.remarks[0]
    nn.init.constant_(network[0].bias, 1e38)
    network[3].weight.data.fill_(1e38)
    with pytest.raises(RequestError, match="not finite"):
        attribute(network, inputs_of(8, count=1))


def test_what_is_not_there_is_named(monkeypatch):
    network, inputs = network_of("lenet5"), inputs_of()
    with pytest.raises(RequestError, match="did you mean 'hirescam'"):
        attribute(network, inputs, method="hires-cam")
    with pytest.raises(RequestError, match=r"did you mean 'features\.pool1'"):
        attribute(network, inputs, layer="features.pool_1")
    with pytest.raises(RequestError, match="does not make a map"):
        attribute(network, inputs, layer="head.linear1")
    with pytest.raises(RequestError, match="leave the layer out"):
        attribute(network, inputs, method="occlusion", layer="features.pool1")
    with pytest.raises(RequestError, match="output 9 is not there"):
        attribute(network, inputs, [Target(9)] * 3)
    with pytest.raises(RequestError, match="2 targets for 3"):
        attribute(network, inputs, [Target(0)] * 2)
    with pytest.raises(RequestError, match="training samples"):
        attribute(network, inputs, method="expected-gradients")
    monkeypatch.setattr("vitreous.insight.attribution.pixels.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"vitreous\[insight\]"):
        attribute(network, inputs, method="deeplift")


def test_a_network_of_a_users_own_with_functions_instead_of_modules():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

        def forward(self, x):
            return self.linear(torch.relu(self.convolution(x)).mean((2, 3)))

    torch.manual_seed(0)
    network, inputs = Own(), inputs_of(16, count=1)
    (one,) = attribute(network, inputs, [Target(1)])
    assert one.layer == "convolution"
    expected = one.score - float(network.linear.bias[1].detach())
    assert one.cells.sum() == pytest.approx(expected, abs=1e-5)


def test_maps_of_a_network_made_of_two_modules():
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    network = Network.of(features, head, (3, 32, 32))
    layer = map_layer(network, inputs_of())
    assert layer.name == "features.module.1"
    assert layer.cells == (16, 16)
