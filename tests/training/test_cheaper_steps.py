"""The first steps see pieces of pictures: which ones, how long, and what that does to plans."""

import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vitreous.data.augmentation import default_augmentation
from vitreous.training import loop, plan
from vitreous.training.cheaper_steps import (
    RESTING_STEP,
    early_piece,
    early_steps,
    full_steps,
    work_done,
)
from vitreous.training.plan import measure_pace
from vitreous.training.processes import Processes
from vitreous.training.recipe import Recipe, pocket_recipe

EARLY = Recipe(batch_size=64, learning_rate=3e-3, early_side=0.75, early_share=0.4)


def any_size_network() -> nn.Module:
    """Answers for pictures of any size."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


@given(
    height=st.integers(4, 40), width=st.integers(4, 40), step=st.integers(0, 60),
    seed=st.integers(0, 2**31), side=st.floats(0.5, 0.99),
)  # fmt: skip
def test_a_piece_lies_in_the_picture_and_depends_on_seed_and_step_alone(
    height, width, step, seed, side
):
    pixels = torch.arange(height * width).reshape(1, 1, height, width).expand(3, 2, -1, -1)
    recipe = replace(EARLY, early_side=side)
    piece = early_piece(pixels, recipe, seed=seed, step=step, planned_steps=100)
    again = early_piece(pixels[:1], recipe, seed=seed, step=step, planned_steps=100)
    assert torch.equal(piece[:1], again)
    if step >= 40:
        assert piece is pixels
        return
    assert piece.shape == (3, 2, round(side * height), round(side * width))
    top, left = divmod(int(piece[0, 0, 0, 0]), width)
    rows, columns = piece.shape[2:]
    assert torch.equal(piece, pixels[:, :, top : top + rows, left : left + columns])


def test_every_place_comes_up_and_others_with_another_seed():
    pixels = torch.arange(64).reshape(1, 1, 8, 8)

    def places(seed: int) -> list[int]:
        return [
            int(early_piece(pixels, EARLY, seed=seed, step=step, planned_steps=1000)[0, 0, 0, 0])
            for step in range(200)
        ]

    assert set(places(0)) == {8 * top + left for top in range(3) for left in range(3)}
    assert places(0) != places(1)


def test_a_recipe_without_pieces_leaves_pictures_alone():
    plain = Recipe(batch_size=64, learning_rate=3e-3)
    pixels = torch.zeros(2, 1, 8, 8)
    assert early_piece(pixels, plain, seed=0, step=0, planned_steps=10) is pixels
    assert early_steps(plain, 10) == 0
    assert work_done(plain, 1.0) == 1.0


def test_pocket_takes_cheaper_steps_where_the_last_maps_stay_as_large():
    def taken(side: int) -> tuple[float, float, str, float]:
        recipe = pocket_recipe(50_000, (side, side), default_augmentation(3, side, side))
        return recipe.early_side, recipe.early_share, recipe.resting, recipe.rests_from

    cheaper = (0.875, 0.4, "features.blocks.0.", 0.6)
    assert [taken(side) for side in (32, 64, 96)] == [cheaper] * 3
    assert taken(28) == (1.0, 0.0, "", 1.0)


def test_a_training_sees_pieces_first_and_whole_pictures_in_the_end(make_training):
    seen = []
    network = any_size_network()
    network.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].shape[2]) if module.training else None
    )
    loop.train(make_training(steps=20, network=network, recipe=EARLY))
    assert seen == [6] * 8 + [8] * 12


def test_a_probe_sees_whole_pictures_and_the_plan_counts_what_is_saved(make_training, monkeypatch):
    now = [0.0]

    def step(training, pixels, targets):
        assert training.recipe.early_share == 0
        now[0] += 1.0

    monkeypatch.setattr(plan, "train_step", step)
    monkeypatch.setattr(plan, "end_epoch", lambda probe: None)
    monkeypatch.setattr(Processes, "now", lambda self: now[0])
    training = make_training(network=any_size_network(), recipe=EARLY)
    pace = measure_pace(training, seconds=3.0)
    assert pace.seconds_per_step == pytest.approx(1 - 0.4 * (1 - 0.75**2))
    assert training.recipe == EARLY
    assert full_steps(EARLY) == Recipe(batch_size=64, learning_rate=3e-3)


def seconds_of_step(recipe: Recipe, step: int, planned_steps: int) -> float:
    """A full step takes a second."""
    piece = recipe.early_side**2 if step < recipe.early_share * planned_steps else 1.0
    return piece * (RESTING_STEP if step >= recipe.rests_from * planned_steps else 1.0)


@pytest.mark.parametrize("rests_from", [1.0, 0.6])
def test_the_work_of_a_plan_is_the_sum_over_its_steps(rests_from):
    recipe = replace(EARLY, resting="0.", rests_from=rests_from)
    for steps in (1, 399, 400, 550, 601, 1000):
        slow = sum(seconds_of_step(recipe, step, 1000) for step in range(steps))
        assert work_done(recipe, steps / 1000) * 1000 == pytest.approx(slow)


@pytest.mark.parametrize("rests_from", [1.0, 0.6])
@pytest.mark.parametrize("slowness", [1.0, 1.3])
def test_the_deadline_is_kept_though_some_steps_are_shorter(
    make_training, monkeypatch, slowness, rests_from
):
    """The machine may turn out slower than planned."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    recipe = replace(EARLY, resting="0.", rests_from=rests_from)
    deadline = 1000 * work_done(recipe, 1.0)
    training = make_training(
        steps=1000, network=any_size_network(), recipe=recipe, deadline=deadline
    )
    pacing = loop.Pacing(training)
    while training.state.step < training.state.planned_steps:
        now += slowness * seconds_of_step(recipe, training.state.step, training.state.planned_steps)
        training.state.step += 1
        pacing.shorten_plan_when_late()
    assert 0.95 * deadline <= now <= 1.03 * deadline
    assert (training.state.planned_steps == 1000) == (slowness == 1.0)
