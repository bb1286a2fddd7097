import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vitreous.data.augmentation import Augmentation
from vitreous.errors import DataError, VitreousError
from vitreous.training import loop
from vitreous.training.batches import batches, epoch_order
from vitreous.training.checkpoints import load_checkpoint, load_tensors, read_state
from vitreous.training.loop import train
from vitreous.training.recipe import Recipe
from vitreous.training.schedule import learning_rate_factor
from vitreous.training.validation import validate


class StopAt:
    """Breaks a training after a step, as a kill does: nothing is written any more."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, state, loss, pictures) -> None:
        if state.step == self.at:
            raise SystemError("killed")

    def epoch(self, state, row) -> None:
        pass


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_it_learns(make_training):
    training = make_training(steps=400)
    state = train(training)
    assert state.best is not None
    assert state.best.value > 0.9
    assert state.history[0]["train_loss"] > 1.5 * state.history[-1]["train_loss"]


def test_a_plain_loop_ends_with_the_same_weights(make_training, digits):
    recipe = Recipe(batch_size=100, learning_rate=2e-3, augmentation=Augmentation())
    ours = make_training(steps=8, recipe=recipe)
    plain = make_training(steps=8).network
    train(ours)

    matrices = [p for p in plain.parameters() if p.ndim > 1]
    vectors = [p for p in plain.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    )
    mean, std = digits.scaling.mean[0], digits.scaling.std[0]
    step = 0
    plain.train()
    for epoch in range(2):
        for rows in np.array_split(epoch_order(digits.train_rows, 3, epoch), 4):
            torch.manual_seed(3 * 1_000_003 + step)
            inputs = (torch.from_numpy(digits.pixels[rows]).float() / 255 - mean) / std
            loss = F.cross_entropy(plain(inputs), digits.targets[rows], label_smoothing=0.1)
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * learning_rate_factor(step, 8, 0.05)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            step += 1
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("killed_at", [3, 7, 10, 23])
def test_a_killed_training_goes_on_to_the_same_weights(
    make_training, tmp_path, killed_at, monkeypatch
):
    unbroken = make_training(steps=30, folder=tmp_path / "unbroken")
    train(unbroken)

    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1.0)  # a checkpoint after every step
    folder = tmp_path / "broken"
    with pytest.raises(SystemError):
        train(make_training(steps=30, folder=folder, watchers=(StopAt(killed_at),)))
    resumed = make_training(steps=30, folder=folder, network=make_training(1).network)
    resumed.state = load_checkpoint(folder, resumed.network, resumed.average, resumed.optimizers)
    resumed.best_tensors = load_tensors(folder / "network.safetensors")
    assert resumed.state.step == killed_at - 1
    train(resumed)

    assert same(resumed.network.state_dict(), unbroken.network.state_dict())
    assert same(resumed.best_tensors, unbroken.best_tensors)
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in
                    resumed.state.history]  # fmt: skip
    assert without_time == [
        {k: v for k, v in row.items() if k != "seconds"} for row in unbroken.state.history
    ]


def test_ctrl_c_is_heard_between_steps_and_leaves_a_checkpoint(make_training, tmp_path):
    class PressCtrlC(StopAt):
        def step(self, state, loss, pictures) -> None:
            if state.step == self.at:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(make_training(steps=30, watchers=(PressCtrlC(5),)))
    assert read_state(tmp_path).step == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_the_best_weights_are_kept_not_the_last(make_training):
    class Spoil(StopAt):
        """Ruins the network after the third epoch, so that later ones are worse."""

        def epoch(self, state, row) -> None:
            if state.epoch == 3:
                with torch.no_grad():
                    for parameter in training.network.parameters():
                        parameter.normal_()
                    for value in training.average.tensors.values():
                        if value.is_floating_point():
                            value.normal_()

    training = make_training(steps=35, watchers=(Spoil(0),))
    state = train(training)
    assert state.best is not None
    assert state.best.epoch <= 3
    training.network.load_state_dict(training.best_tensors)
    scores = validate(training.network, training.data, training.task)
    assert scores["val_accuracy"] == state.best.value > 0.3


def test_patience_ends_a_training_that_gets_no_better(make_training):
    recipe = Recipe(batch_size=64, learning_rate=1e-12, patience=2, augmentation=Augmentation())
    frozen = make_training(steps=700, recipe=recipe)
    frozen.network.requires_grad_(False)
    next(frozen.network.parameters()).requires_grad_(True)
    state = train(frozen)
    assert state.step < 700
    assert state.epochs_since_best == 2


def test_the_plan_is_shortened_to_keep_the_deadline_and_never_lengthened(
    make_training, monkeypatch
):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    training = make_training(steps=100, deadline=60.0)
    pacing = loop.Pacing(training)
    plans = []
    for step in range(1, 41):
        now += 5.0 if step <= 5 else 1.0  # the first steps are slow, and say nothing
        training.state.step = step
        pacing.shorten_plan_when_late()
        plans.append(training.state.planned_steps)
    assert plans[13] == 100  # not before a tenth of the plan was timed
    assert plans[14] == 15 + 25  # at second 35 of 60, at one step a second
    assert plans[-1] == 40
    training.deadline = 4000.0
    pacing.shorten_plan_when_late()
    assert training.state.planned_steps == 40


def test_a_loss_that_is_not_finite_is_said_in_one_line(make_training):
    training = make_training(recipe=Recipe(batch_size=64, learning_rate=1e30))
    with pytest.raises(VitreousError, match=r"loss became (nan|inf) at step \d+; use a lower"):
        train(training)


def test_equal_scores_are_settled_by_the_lower_loss(make_training):
    training = make_training()
    training.state.best = loop.Best(1, 1, "val_accuracy", 0.5)
    training.state.best_loss = 1.0
    assert loop.is_better(training, {"val_accuracy": 0.5, "val_loss": 0.9})
    assert not loop.is_better(training, {"val_accuracy": 0.5, "val_loss": 1.1})
    assert not loop.is_better(training, {"val_accuracy": 0.4, "val_loss": 0.1})
    training.higher_is_better = False
    assert loop.is_better(training, {"val_accuracy": 0.4, "val_loss": 9.0})


def test_every_sample_is_in_every_epoch_once_and_no_batch_is_small(digits):
    seen = [
        batch.targets
        for batch in batches(digits, batch_size=64, seed=1, epoch=0, augmentation=Augmentation())
    ]
    sizes = [len(targets) for targets in seen]
    assert sum(sizes) == len(digits.train_rows) == 390
    assert max(sizes) - min(sizes) <= 1
    expected = digits.targets[torch.from_numpy(digits.train_rows)].bincount()
    assert torch.equal(torch.cat(seen).bincount(), expected)


def test_batches_from_the_middle_of_an_epoch_are_those_of_the_whole(digits):
    def of(start):
        return list(
            batches(
                digits,
                batch_size=32,
                seed=1,
                epoch=4,
                augmentation=Augmentation(shift=0.2),
                start=start,
            )
        )

    whole, rest = of(0), of(5)
    assert len(rest) == len(whole) - 5
    assert all(
        torch.equal(a.pixels, b.pixels) and torch.equal(a.targets, b.targets)
        for a, b in zip(whole[5:], rest, strict=True)
    )


def test_a_checkpoint_of_another_network_is_refused_by_name(make_training, tmp_path):
    train(make_training(steps=2))
    torch.manual_seed(0)
    other = make_training(network=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(DataError, match=r"last\.safetensors: belongs to another network"):
        load_checkpoint(tmp_path, other.network, other.average, other.optimizers)


@pytest.mark.parametrize("content", [b"", b"half of it", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_broken_checkpoint_is_named(make_training, tmp_path, content):
    (tmp_path / "last.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"last\.safetensors: not a readable checkpoint"):
        read_state(tmp_path)


def test_the_recipe_survives_json():
    recipe = replace(Recipe(batch_size=7, learning_rate=0.1), augmentation=Augmentation(shift=0.5))
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_waiting_for_a_batch_is_counted_and_computing_is_not(make_training):
    state = make_training().state

    def slow():
        for number in range(3):
            time.sleep(0.02)
            yield number

    seen = []
    for number in loop.timed(slow(), state):
        time.sleep(0.1)
        seen.append(number)
    assert seen == [0, 1, 2]
    assert 0.06 <= state.seconds_waiting < 0.3
