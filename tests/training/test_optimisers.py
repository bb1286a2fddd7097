import pytest
import torch
from torch import nn
from torch.optim import AdamW

from vitreous.training import optimisers
from vitreous.training.loop import train
from vitreous.training.optimisers import Group, parameter_groups, prepare_step, torch_groups
from vitreous.training.recipe import Recipe

RECIPE = Recipe(batch_size=64, learning_rate=2e-3)


def test_every_trained_parameter_is_in_one_group_and_fixed_ones_in_none(make_training):
    network = make_training().network
    network[0].weight.requires_grad_(False)
    names = [name for group in parameter_groups(network, RECIPE) for name in group.parameters]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters() if name[0] != "0")


def test_a_group_has_its_own_learning_rate_decay_and_first_step(make_training, monkeypatch):
    """Against plain AdamW on each part by itself; the convolution rests for four steps."""
    parts = [
        Group(("0.weight",), weight_decay=0.3, learning_rate_factor=0.5, first_step=4),
        Group(("1.weight", "1.bias", "5.weight", "5.bias"), weight_decay=0.0),
    ]
    monkeypatch.setattr(
        optimisers,
        "optimizers_for",
        lambda network, recipe: [AdamW(torch_groups(network, recipe, [part])) for part in parts],
    )
    monkeypatch.setattr("vitreous.training.loop.optimizers_for", optimisers.optimizers_for)
    training = make_training(steps=4)
    before = {name: value.clone() for name, value in training.network.named_parameters()}
    train(training)
    moved = {
        name: not torch.equal(value, before[name])
        for name, value in training.network.named_parameters()
    }
    assert moved == {name: name != "0.weight" for name in before}

    training = make_training(steps=5)
    train(training)
    kernel = training.network.get_parameter("0.weight")
    state = training.optimizers[0].state[kernel]
    assert state["step"] == 1  # Adam's first step is the sign, whatever the gradient
    lr = training.optimizers[0].param_groups[0]["lr"]
    assert lr == pytest.approx(0.5 * training.optimizers[1].param_groups[0]["lr"])
    expected = before["0.weight"] * (1 - lr * 0.3) - lr * kernel.grad.sign()
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-4, atol=lr * 1e-2)


def test_prepare_step_leaves_what_a_user_has_fixed_alone():
    layer = nn.Linear(2, 2)
    adam = AdamW(torch_groups(layer, RECIPE, parameter_groups(layer, RECIPE)))
    layer.weight.requires_grad_(False)
    prepare_step([adam], step=3, factor=0.25)
    assert not layer.weight.requires_grad
    assert [group["lr"] for group in adam.param_groups] == [5e-4, 5e-4]
