"""Fine-tuning: the head fitted first, rates that fall towards the picture, norms that rest."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from vitreous.data.augmentation import Augmentation
from vitreous.tasks import Classify, Regress
from vitreous.training import loop
from vitreous.training.checkpoints import load_checkpoint, load_tensors
from vitreous.training.fine_tuning import fine_tuning_recipe, learning_rate_factors
from vitreous.training.head_first import features_of, fit_head, last_linear, solve, start_as_best
from vitreous.training.loop import set_training_mode, train
from vitreous.training.optimisers import parameter_groups
from vitreous.training.recipe import Recipe
from vitreous.training.validation import validate

from .conftest import SHIFTED
from .test_loop import StopAt, same

LITE = [
    "features.backbone.conv_stem.weight", "features.backbone.bn1.weight",
    "features.backbone.blocks.0.0.conv_dw.weight", "features.backbone.blocks.0.0.bn1.weight",
    "features.backbone.blocks.1.0.conv_pw.weight", "features.backbone.blocks.1.1.conv_pw.weight",
    "head.before.conv_head.weight", "head.linear.weight", "head.linear.bias",
]  # fmt: skip


def test_each_block_goes_slower_than_the_one_after_it():
    factors = learning_rate_factors(LITE, 0.5)
    # stem, three blocks, neck, classifier: written out by hand
    depths = [5, 5, 4, 4, 3, 2, 1, 0, 0]
    assert [factors[name] for name in LITE] == [0.5**depth for depth in depths]
    assert set(learning_rate_factors(LITE, 1.0).values()) == {1.0}


def test_groups_have_the_rates_and_every_parameter_is_in_one():
    from vitreous.networks import build_network

    network = build_network("timm:resnet10t", (3, 32, 32), 4)
    groups = parameter_groups(network, Recipe(32, 1e-3, layer_decay=0.5))
    names = [name for group in groups for name in group.parameters]
    assert sorted(names) == sorted(name for name, _ in network.named_parameters())
    rate = {name: g.learning_rate_factor for g in groups for name in g.parameters}
    decay = {name: g.weight_decay for g in groups for name in g.parameters}
    assert rate["head.linear.weight"] == rate["head.linear.bias"] == 1
    order = ["conv1.0.weight", "layer1.0.conv1.weight", "layer2.0.conv1.weight",
             "layer3.0.conv1.weight", "layer4.0.conv1.weight"]  # fmt: skip
    rates = [rate[f"features.backbone.{name}"] for name in order]
    assert rates == sorted(rates)
    assert len(set(rates)) == len(rates)
    assert decay["features.backbone.layer1.0.bn1.weight"] == 0
    assert decay["features.backbone.layer1.0.conv1.weight"] > 0


def test_the_solver_finds_what_scikit_learn_finds():
    random = np.random.default_rng(0)
    inputs, truth = random.normal(size=(60, 5)), random.integers(0, 3, 60)
    penalty = 0.05
    trusted = LogisticRegression(C=1 / (60 * penalty), tol=1e-8, max_iter=1000).fit(inputs, truth)
    start = torch.zeros(3, 5).double(), torch.zeros(3).double()
    weight, _ = solve(
        Classify(tuple("abc")), torch.from_numpy(inputs), torch.from_numpy(truth), penalty, start
    )
    np.testing.assert_allclose(weight.numpy(), trusted.coef_, atol=1e-4)


def test_the_head_alone_is_fitted_and_answers_well(make_training):
    training = make_training(steps=1)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    fit = fit_head(training)
    layer = last_linear(training.network)
    for name, value in training.network.state_dict().items():
        same = torch.equal(value, before[name])
        assert same == (value is not layer.weight and not name.startswith("5.")), name
    scores = validate(training.network, training.data, training.task)
    assert scores["val_loss"] == pytest.approx(min(fit.losses.values()), rel=1e-4)
    assert scores["val_accuracy"] > 0.8
    assert "penalty" in fit.sentence


def test_mirrored_features_are_those_of_mirrored_pictures(make_training, digits):
    training = make_training(steps=1)
    layer, rows = last_linear(training.network), digits.train_rows[:7]
    both = features_of(training, layer, rows, mirrored=True)
    digits.pixels[rows] = digits.pixels[rows][..., ::-1]
    torch.testing.assert_close(both[7:], features_of(training, layer, rows, mirrored=False))


def test_numbers_are_fitted_too(make_training, digits):
    from dataclasses import replace

    numbers = (digits.targets.float() - 4.5)[:, None] / 3
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    training = make_training(
        steps=1, network=network, task=Regress(center=4.5, scale=3.0), metric="val_mae",
        higher_is_better=False, data=replace(digits, targets=numbers),
    )  # fmt: skip
    before = validate(network, training.data, training.task)["val_mae"]
    fit_head(training)
    assert validate(network, training.data, training.task)["val_mae"] < 0.8 * before


def test_norms_that_rest_keep_their_statistics(make_training):
    recipe = Recipe(64, 1e-3, frozen_norms=True, augmentation=SHIFTED)
    training = make_training(steps=6, recipe=recipe)
    norm = training.network[1]
    mean, scale = norm.running_mean.clone(), norm.weight.clone()
    train(training)
    assert torch.equal(norm.running_mean, mean)
    assert not torch.equal(norm.weight, scale)  # scale and bias are trained
    set_training_mode(training.network, frozen_norms=False)
    assert norm.training


def test_the_rates_of_torchvisions_detectors_fall_towards_the_picture_as_well():
    from vitreous.networks import build_network

    groups = {}
    for name in ("detect:timm:resnet10t", "torchvision:retinanet:timm:resnet10t"):
        network = build_network(name, (3, 64, 64), 2)
        for group in parameter_groups(network, Recipe(8, 1e-3, layer_decay=0.5)):
            for parameter in group.parameters:
                within = parameter.removeprefix("head.model.backbone.")
                groups.setdefault(within, []).append(group.learning_rate_factor)
    shared = {name: each for name, each in groups.items() if name.startswith("features.")}
    assert len(shared) == len(list(network.head.model.backbone.features.parameters()))
    # ours has parts of its head in steps of their own, so shares differ by one factor throughout
    shares = {one / other for one, other in shared.values()}
    assert len(shares) == 1
    assert groups["head.model.head.classification_head.cls_logits.weight"] == [1.0]


def test_training_that_does_not_improve_leaves_the_fitted_head(make_training):
    training = make_training(steps=6, recipe=Recipe(64, 1e-12, augmentation=SHIFTED))
    fit_head(training)
    training.average = type(training.average)(training.network, 1.0)
    training.best_tensors = training.average.snapshot()
    start_as_best(training)
    kept = {name: value.clone() for name, value in training.best_tensors.items()}
    with torch.no_grad():
        training.network[0].weight.zero_()  # whatever is trained now is worse
    state = train(training)
    assert state.best.epoch == 0
    assert all(torch.equal(value, kept[name]) for name, value in training.best_tensors.items())


def test_the_recipe_goes_by_the_size_of_the_set():
    few, many = (fine_tuning_recipe(count, 3, (224, 224)) for count in (200, 20_000))
    assert few.frozen_norms
    assert not many.frozen_norms
    assert few.batch_size < many.batch_size
    assert few.augmentation.trivial
    assert not fine_tuning_recipe(200, 1, (224, 224)).augmentation.trivial
    assert Recipe.from_json(few.to_json()) == few


def test_a_killed_fine_tuning_goes_on_to_the_same_weights(make_training, tmp_path, monkeypatch):
    recipe = Recipe(
        64, 1e-3, layer_decay=0.8, frozen_norms=True, augmentation=Augmentation(trivial=True)
    )
    unbroken = make_training(steps=10, folder=tmp_path / "unbroken", recipe=recipe)
    train(unbroken)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1.0)
    folder = tmp_path / "broken"
    with pytest.raises(SystemError):
        train(make_training(steps=10, folder=folder, recipe=recipe, watchers=(StopAt(6),)))
    resumed = make_training(steps=10, folder=folder, recipe=recipe)
    resumed.state = load_checkpoint(folder, resumed.network, resumed.average, resumed.optimizers)
    resumed.best_tensors = load_tensors(folder / "network.safetensors")
    assert resumed.state.step == 5
    train(resumed)
    assert same(resumed.network.state_dict(), unbroken.network.state_dict())


def test_the_penalty_is_cross_validated_where_folds_are_given(make_training, digits):
    """Against scikit-learn: the same loss on the pictures left out, at every penalty."""
    training = make_training(steps=1)
    rows = digits.train_rows
    folds = np.full(len(digits.pixels), -1)
    folds[rows] = np.arange(len(rows)) % 3
    fit = fit_head(training, folds)
    inputs = features_of(training, last_linear(training.network), rows, mirrored=False).numpy()
    truth, held_out = digits.targets[torch.from_numpy(rows)].numpy(), folds[rows]
    for penalty in (1.0, 0.1):
        losses = []
        for fold in range(3):
            rest, part = held_out != fold, held_out == fold
            middle = inputs[rest].mean(0)
            spread = np.sqrt(np.square(inputs[rest] - middle).mean())
            trusted = LogisticRegression(C=1 / (rest.sum() * penalty), tol=1e-8, max_iter=2000)
            trusted.fit((inputs[rest] - middle) / spread, truth[rest])
            answers = trusted.predict_log_proba((inputs[part] - middle) / spread)
            losses += list(-answers[np.arange(part.sum()), truth[part]])
        assert fit.losses[penalty] == pytest.approx(np.mean(losses), rel=1e-3)
    assert "cross-validated loss" in fit.sentence


def test_folds_and_the_whole_are_fitted_with_the_same_penalties(make_training, digits, monkeypatch):
    """Also where the whole is much work and a fold of it is not."""
    training = make_training(steps=1)
    rows, layer = digits.train_rows, last_linear(training.network)
    work = len(rows) * layer.in_features * layer.out_features
    monkeypatch.setattr("vitreous.training.head_first.MOST_WORK", 0.9 * work)
    fit = fit_head(training, np.arange(len(digits.pixels)) % 3)
    assert list(fit.losses) == [fit.penalty] == [0.01]
