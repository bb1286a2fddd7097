from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from vitreous.data.augmentation import Augmentation
from vitreous.networks import build_network
from vitreous.training import loop
from vitreous.training.checkpoints import load_checkpoint
from vitreous.training.loop import train
from vitreous.training.optimisers import Group, parameter_groups, prepare_step, torch_groups
from vitreous.training.recipe import Recipe, pocket_recipe

RECIPE = Recipe(batch_size=64, learning_rate=2e-3)


def test_every_trained_parameter_is_in_one_group_and_fixed_ones_in_none(make_training):
    network = make_training().network
    network[0].weight.requires_grad_(False)
    names = [name for group in parameter_groups(network, RECIPE) for name in group.parameters]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters() if name[0] != "0")


def test_a_group_has_its_own_learning_rate_decay_and_end(make_training, monkeypatch):
    """Against plain AdamW on each part by itself; the convolution rests after its first step."""
    parts = [
        Group(("0.weight",), weight_decay=0.3, learning_rate_factor=0.5, until=0.25),
        Group(("1.weight", "1.bias", "5.weight", "5.bias"), weight_decay=0.0),
    ]
    monkeypatch.setattr(
        loop,
        "optimizers_for",
        lambda network, recipe, dtype: [
            AdamW(torch_groups(network, recipe, [part])) for part in parts
        ],
    )
    training = make_training(steps=4)
    before = {name: value.clone() for name, value in training.network.named_parameters()}
    gradients = []

    class Look:
        def step(self, state, loss, pictures):
            kernel = training.network.get_parameter("0.weight")
            gradients.append(None if kernel.grad is None else kernel.grad.clone())

        def epoch(self, state, row): ...

    training.watchers = (Look(),)
    train(training)
    assert [gradient is None for gradient in gradients] == [False, True, True, True]
    assert all(p.requires_grad for p in training.network.parameters())  # awake again
    kernel = training.network.get_parameter("0.weight")
    state = training.optimizers[0].state[kernel]
    assert state["step"] == 1  # Adam's first step is the sign, whatever the gradient
    lr = 0.5 * training.recipe.learning_rate  # of the one step before it rests
    expected = before["0.weight"] * (1 - lr * 0.3) - lr * gradients[0].sign()
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-4, atol=lr * 1e-2)
    moved = [not torch.equal(p, before[n]) for n, p in training.network.named_parameters()]
    assert all(moved)


def test_prepare_step_leaves_what_a_user_has_fixed_alone():
    layer = nn.Linear(2, 2)
    adam = AdamW(torch_groups(layer, RECIPE, parameter_groups(layer, RECIPE)))
    layer.weight.requires_grad_(False)
    prepare_step([adam], 75, 100, replace(RECIPE, schedule="linear", warm_up=0.0))
    assert not layer.weight.requires_grad
    assert [group["lr"] for group in adam.param_groups] == [5e-4, 5e-4]


def test_the_first_block_of_pocket_ends_its_schedule_early_and_rests(make_training):
    training = pocket_training(make_training, cheaper=True, steps=20)
    rates, weights = [], []
    block = training.network.features.blocks[0]

    class Look:
        def step(self, state, loss, pictures):
            whole, resting = training.optimizers[0].param_groups
            rates.append((whole["lr"] / whole["peak"], resting["lr"] / resting["peak"]))
            weights.append(block.convolution1.weight.detach().clone())

        def epoch(self, state, row): ...

    training.watchers = (Look(),)
    train(training)
    assert rates[6] == pytest.approx((1 - 6 / 20, 1 - 6 / 12))
    assert [resting for _, resting in rates[12:]] == [0.0] * 8
    assert all(torch.equal(one, weights[11]) for one in weights[12:])
    assert not torch.equal(weights[10], weights[11])
    names = {id(p): name for name, p in training.network.named_parameters()}
    found = [
        {names[id(p)] for group in o.param_groups if group["until"] < 1 for p in group["params"]}
        for o in training.optimizers
    ]
    assert found[0] | found[1] == {n for n in names.values() if n.startswith("features.blocks.0.")}


MIRRORED = Augmentation(shift=0.15, flip_horizontal=True)


def pocket_training(make_training, cheaper: bool = False, **changes):
    side = 32 if cheaper else 8  # by which the recipe is chosen; these pictures have 8
    recipe = replace(pocket_recipe(390, (side, side), MIRRORED), batch_size=64)
    network = build_network("pocket", (1, 8, 8), 10, seed=0)
    return make_training(recipe=recipe, network=network, **changes)


def test_muon_moves_the_kernels_and_sgd_the_rest(make_training):
    training = pocket_training(make_training)
    muon, sgd = training.optimizers
    kernels = {id(p) for p in training.network.parameters() if p.ndim == 4}
    assert {id(p) for group in muon.param_groups for p in group["params"]} == kernels
    rest = {id(p) for group in sgd.param_groups for p in group["params"]}
    assert rest == {id(p) for p in training.network.parameters()} - kernels
    head, biases = sgd.param_groups
    assert head["params"] == [training.network.head.linear.weight]
    kernels = muon.param_groups[0]["peak"]
    assert kernels == training.recipe.learning_rate
    assert (head["peak"], biases["peak"]) == (7.0 * kernels, 440.0 * kernels)
    assert (head["weight_decay"], biases["weight_decay"]) == (0.0024, 0.0)


@pytest.mark.parametrize("killed_at", [2, 10])  # before the first block rests, and while
def test_a_killed_training_with_muon_goes_on_to_the_same_weights(
    make_training, tmp_path, killed_at, monkeypatch
):
    unbroken = pocket_training(make_training, True, steps=12, folder=tmp_path / "unbroken")
    train(unbroken)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1.0)
    folder = tmp_path / "broken"

    class Kill:
        def step(self, state, loss, pictures):
            if state.step == killed_at:
                raise SystemError("killed")

        def epoch(self, state, row): ...

    with pytest.raises(SystemError):
        train(pocket_training(make_training, True, steps=12, folder=folder, watchers=(Kill(),)))
    resumed = pocket_training(make_training, True, steps=12, folder=folder)
    resumed.state = load_checkpoint(folder, resumed.network, resumed.average, resumed.optimizers)
    assert resumed.state.step == killed_at - 1
    train(resumed)
    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name
    for name, value in unbroken.average.tensors.items():
        assert torch.equal(resumed.average.tensors[name], value), name


def test_pocket_learns_digits_in_a_few_epochs(make_training):
    state = train(pocket_training(make_training, steps=70))
    assert state.best is not None
    assert state.best.value > 0.93
