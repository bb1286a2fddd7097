import numpy as np
import pytest
import torch

from vitreous.training import plan
from vitreous.training.balance import (
    are_unequal,
    balanced,
    choose_balance,
    class_counts,
    class_weights,
    sampling_weights,
)
from vitreous.training.batches import epoch_order
from vitreous.training.plan import (
    Pace,
    affordable_watch,
    measure_pace,
    probe_of,
    steps_in_time,
    watching,
)
from vitreous.training.processes import Processes


def few_of_one_class(digits):
    """Only three training samples of the digit 8."""
    eights = [row for row in digits.train_rows if digits.targets[row] == 8]
    keep = [row for row in digits.train_rows if row not in set(eights[3:])]
    return np.array(keep)


def test_unequal_means_more_than_twice():
    assert not are_unequal(np.array([10, 20]))
    assert are_unequal(np.array([10, 21]))
    assert not are_unequal(np.array([5]))


def test_balanced_weights_make_every_class_weigh_the_same():
    counts = np.array([90, 9, 1])
    weights = class_weights(counts).numpy()
    np.testing.assert_allclose(weights * counts, np.full(3, 100 / 3), rtol=1e-6)


def test_sampling_draws_every_class_equally_often(digits):
    rows = few_of_one_class(digits)
    counts = class_counts(digits.targets, rows, 10)
    assert counts[8] == 3
    weights = sampling_weights(digits.targets, rows, counts)
    drawn = np.concatenate([epoch_order(rows, 0, epoch, weights) for epoch in range(40)])
    share = np.bincount(digits.targets[torch.from_numpy(drawn)].numpy(), minlength=10) / len(drawn)
    np.testing.assert_allclose(share, np.full(10, 0.1), atol=0.02)


def test_each_way_is_tried_and_the_best_one_kept(make_training, digits):
    from dataclasses import replace

    training = make_training(steps=300, data=replace(digits, train_rows=few_of_one_class(digits)))
    counts = class_counts(digits.targets, training.data.train_rows, 10)
    choice = choose_balance(training, counts)
    assert set(choice.scores) == {"none", "loss", "sampling"}
    assert choice.scores[choice.balance] == max(choice.scores.values())
    assert "3 to" in choice.why
    chosen = balanced(training, "loss", counts)
    assert chosen.class_weights is not None
    assert chosen.recipe.balance == "loss"


def test_measuring_the_pace_leaves_the_training_as_it_was(make_training):
    training = make_training()
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    pace = measure_pace(training, seconds=0.2)
    assert pace.seconds_per_step > 0
    assert pace.seconds_per_validated > 0
    assert all(torch.equal(v, before[n]) for n, v in training.network.state_dict().items())
    assert training.state.step == 0
    assert training.state.history == []


@pytest.mark.parametrize(("step_s", "steps"), [(0.1, 30), (1.4, 3), (10.0, 3)])
def test_slow_steps_are_timed_no_more_often_than_needed(make_training, monkeypatch, step_s, steps):
    """The first step takes three times as long as the others, and is left out."""
    now, taken = [0.0], []

    def step(training, pixels, targets):
        now[0] += step_s * (1 if taken else 3)
        taken.append(len(pixels))

    monkeypatch.setattr(plan, "train_step", step)
    monkeypatch.setattr(plan, "end_epoch", lambda probe: None)
    monkeypatch.setattr(Processes, "now", lambda self: now[0])
    pace = measure_pace(make_training(), seconds=3.0)
    assert pace.seconds_per_step == pytest.approx(step_s)
    assert len(taken) <= steps


def test_a_probe_is_on_its_own(make_training):
    training = make_training()
    probe = probe_of(training)
    assert probe.network is not training.network
    assert probe.state is not training.state
    assert probe.folder is None


def test_the_steps_and_their_validations_fill_the_time_and_no_more():
    for wanted in (3.0, 50.0, 51.0, 777.0):
        pace = Pace(seconds_per_step=0.5, seconds_per_validated=0.02)
        steps = steps_in_time(pace, wanted, steps_an_epoch=20, watched=100)
        epochs = -(-steps // 20)
        used = 0.5 * steps + epochs * 2.0
        assert used <= 0.96 * wanted or steps == 1
        assert used > 0.96 * wanted - 4.0


def test_few_validation_samples_are_watched_only_where_all_would_take_too_long(digits):
    pace = Pace(seconds_per_step=1.0, seconds_per_validated=0.01)
    assert affordable_watch(pace, seconds=400.0, val_samples=10_000) is None
    assert affordable_watch(pace, seconds=40.0, val_samples=10_000) == 1000
    assert affordable_watch(pace, seconds=1.0, val_samples=10_000) == 256
    some = watching(digits, 30, seed=1)
    assert len(set(some.val_rows)) == 30
    assert set(some.val_rows) <= set(digits.val_rows)
    assert np.array_equal(some.val_rows, watching(digits, 30, seed=1).val_rows)
    assert watching(digits, None, seed=1) is digits
