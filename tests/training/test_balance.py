import numpy as np
import torch

from vitreous.training.balance import (
    are_unequal,
    balanced,
    choose_balance,
    class_counts,
    class_weights,
    sampling_weights,
)
from vitreous.training.batches import epoch_order
from vitreous.training.plan import probe_of, steps_in_time


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
    steps = steps_in_time(training, seconds=2.0)
    assert steps >= 1
    assert all(torch.equal(v, before[n]) for n, v in training.network.state_dict().items())
    assert training.state.step == 0
    assert training.state.history == []


def test_a_probe_is_on_its_own(make_training):
    training = make_training()
    probe = probe_of(training)
    assert probe.network is not training.network
    assert probe.state is not training.state
    assert probe.folder is None
