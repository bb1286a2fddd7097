"""Norms that rest within the convolutions before them, and early layers that keep their numbers."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.data.boxes.boxes import Boxes, box_areas
from vitreous.data.transforms import Scaling
from vitreous.inference import Compute
from vitreous.networks import build_network
from vitreous.networks.cards import NetworkCard
from vitreous.networks.detectors import trained_features
from vitreous.networks.network import Network
from vitreous.runs.set_up import new_training
from vitreous.tasks import Detect
from vitreous.training.batches import TrainingData
from vitreous.training.box_batches import BoxBatches
from vitreous.training.box_recipe import box_recipe
from vitreous.training.loop import batches_of_epoch, set_training_mode, train_step
from vitreous.training.recipe import Recipe
from vitreous.training.resting import FoldedNorms, folded_norms, rest_early_features, resting_norms


def as_after_a_training(network):
    """Norms with statistics, factors and shifts of their own; some begin with a factor of zero."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)


def values_and_gradients(network, inputs, context):
    network.zero_grad()
    with context:
        answer = network(inputs)
    answers = answer if isinstance(answer, list) else [answer]
    loss = sum((each * torch.linspace(-1, 1, each.numel()).reshape(each.shape).to(each)).sum()
               for each in answers)  # fmt: skip
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()
                 if p.grad is not None}  # fmt: skip
    return [each.detach() for each in answers], gradients


@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:tf_efficientnet_lite0",
                                  "detect:timm:tf_efficientnet_lite0", "unet:timm:resnet10t",
                                  "timm:regnetx_002", "resnet"])  # fmt: skip
def test_folded_norms_give_the_same_values_and_gradients(name):
    torch.manual_seed(0)
    network = build_network(name, (3, 64, 64), 3, seed=0).double()
    as_after_a_training(network)
    set_training_mode(network, frozen_norms=True)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    folded = folded_norms(network)
    assert isinstance(folded, FoldedNorms)
    # each norm in the features has a convolution before it
    within = {id(n.running_mean) for n in resting_norms(trained_features(network))}
    assert folded.means >= within
    inputs = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    plain_values, plain = values_and_gradients(network, inputs, nullcontext())
    values, gradients = values_and_gradients(network, inputs, folded)
    for one, other in zip(plain_values, values, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)
    assert plain.keys() == gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in plain.values())
    for parameter, gradient in plain.items():  # some are zero but for rounding
        torch.testing.assert_close(gradients[parameter], gradient, rtol=1e-7, atol=1e-11 * largest)


def test_a_convolution_that_something_else_reads_too_is_left_alone():
    class Twice(nn.Module):
        strides = ((1, 1),)
        channels = (4,)

        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, inputs):
            maps = self.convolution(inputs)
            return [self.norm(maps) + maps]

    features = Twice()
    as_after_a_training(features)
    card = NetworkCard("own", "Twice", "Identity", {"channels": 3, "height": 16, "width": 16}, 4, 1,
                       None)  # fmt: skip
    network = Network(features, nn.Identity(), card)
    assert isinstance(folded_norms(network), nullcontext)


def test_norms_of_a_new_head_go_on_learning():
    network = build_network("detect:timm:resnet10t", (3, 64, 64), 2, seed=0)
    set_training_mode(network, frozen_norms=True)
    before = {name: value.clone() for name, value in network.named_buffers()}
    with folded_norms(network):
        network(torch.randn(2, 3, 64, 64))
    for name, value in network.named_buffers():
        changed = not torch.equal(value, before[name])
        assert changed == name.startswith("head."), name


def test_a_step_in_bfloat16_is_near_the_one_in_float32():
    """Both modes at once: idle taps in float32, and norms in their convolutions."""
    network = build_network("timm:tf_efficientnet_lite0", (3, 64, 64), 3, seed=0)
    as_after_a_training(network)
    set_training_mode(network, frozen_norms=True)
    inputs = torch.randn(2, 3, 64, 64)
    answers = []
    for dtype in ("float32", "bfloat16"):
        forward = Compute(dtype=dtype).forward_of(network.eval())
        with folded_norms(network):
            answers.append(forward(inputs).detach())
    exact, rounded = answers
    assert 0 < float((rounded - exact).abs().max()) < 0.1 * float(exact.abs().max())


@pytest.mark.parametrize("name", ["detect:timm:resnet10t", "torchvision:fcos:timm:resnet10t"])
@pytest.mark.parametrize("stride", [0, 2, 4, 8])
def test_layers_that_rest_are_those_that_the_fine_maps_depend_on(name, stride):
    """The slow form: each tensor is changed by itself, and the fine maps looked at."""
    network = build_network(name, (3, 64, 64), 2, seed=0)
    features = trained_features(network).eval()
    inputs = torch.randn(1, 3, 64, 64)
    as_after_a_training(features)
    with torch.no_grad():
        fine = [max(each) <= stride for each in features.strides]
        before = features(inputs)
        depended_on = set()
        for parameter in features.parameters():
            kept = parameter.clone()
            parameter.add_(torch.randn_like(parameter))
            after = features(inputs)
            parameter.copy_(kept)
            if any(is_fine and not torch.equal(one, other)
                   for is_fine, one, other in zip(fine, before, after, strict=True)):  # fmt: skip
                depended_on.add(id(parameter))
    names = rest_early_features(network, stride)
    assert {id(p) for p in network.parameters() if not p.requires_grad} == depended_on
    assert len(names) == len(depended_on)
    assert bool(depended_on) == any(fine)
    assert len(depended_on) < len(list(features.parameters()))


@pytest.mark.parametrize("network", ["detect:timm:resnet10t", "torchvision:fcos:timm:resnet10t"])
def test_a_detectors_first_layers_keep_the_numbers_of_the_weights(network):
    random = np.random.default_rng(0)
    size, nothing = (64, 64), np.zeros(1, bool)
    pixels = random.integers(0, 255, (8, 3, *size), np.uint8)
    corners = np.array([[8.0, 8, 40, 40]])
    labels = [Boxes(corners, np.zeros(1, np.int64), nothing, nothing, box_areas(corners))] * 8
    task = Detect(("a",), size)
    rows = np.arange(8)
    data = TrainingData(pixels, torch.zeros(8, 0), rows, rows, Scaling((0.5,) * 3, (0.25,) * 3),
                        places=BoxBatches(pixels, labels, rows, task))  # fmt: skip
    recipe = box_recipe(8, 3, size, trained=True, torchvision=network.startswith("torchvision"))
    assert recipe.resting_stride == 4
    built = build_network(network, (3, *size), 1, seed=0)
    training = new_training(task, data, built, recipe, Compute(), 0, 4)
    features = trained_features(built)
    before = {name: value.clone() for name, value in features.named_parameters()}
    for step in batches_of_epoch(training):
        train_step(training, step.pixels, step.targets)
        training.state.step += 1
    changed = {name for name, value in features.named_parameters()
               if not torch.equal(value, before[name])}  # fmt: skip
    first = {name for name in before if name.split(".")[1] in {"conv1", "bn1", "layer1"}}
    assert first
    assert not changed & first
    assert {name for name in before if ".layer3." in f".{name}" and "weight" in name} & changed
    again = new_training(task, data, copy.deepcopy(built), replace(recipe, resting_stride=0),
                         Compute(), 0, 4)  # fmt: skip
    assert isinstance(again.folded, FoldedNorms)


def test_detectors_rest_in_small_sets_that_start_from_weights():
    small = box_recipe(200, 3, (240, 320), trained=True)
    assert (small.resting_stride, small.frozen_norms) == (4, True)
    for other in (box_recipe(200, 3, (240, 320), trained=False),
                  box_recipe(5000, 3, (240, 320), trained=True)):  # fmt: skip
        assert (other.resting_stride, other.frozen_norms) == (0, False)
    theirs = box_recipe(200, 3, (240, 320), trained=True, torchvision=True)
    assert theirs.learning_rate < small.learning_rate
    assert Recipe.from_json(small.to_json()) == small
