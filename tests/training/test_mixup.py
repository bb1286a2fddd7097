from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vitreous.data.augmentation import Augmentation
from vitreous.tasks import Classify
from vitreous.training.batches import batches
from vitreous.training.fine_tuning import MANY, fine_tuning_recipe
from vitreous.training.loop import train
from vitreous.training.mixup import Mixup
from vitreous.training.processes import Processes

MIXUP = Mixup(0.2, classes=10)


def test_a_mixture_by_hand():
    first = torch.tensor([[[[0, 100]]]], dtype=torch.uint8)
    second = torch.tensor([[[[200, 101]]]], dtype=torch.uint8)
    assert MIXUP.pixels(first, second, 0.75).tolist() == [[[[50, 100]]]]
    targets = Mixup(0.2, classes=3).targets(torch.tensor([2]), torch.tensor([0]), 0.75)
    assert targets.tolist() == [[0.25, 0.0, 0.75]]
    numbers = Mixup(0.2).targets(torch.tensor([[1.0]]), torch.tensor([[3.0]]), 0.75)
    assert numbers.tolist() == [[1.5]]


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses():
    """As the paper writes it: cross-entropy is linear in the target."""
    random = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 10, generator=random)
    a, b = (torch.randint(10, (6,), generator=random) for _ in range(2))
    found = Classify(tuple("0123456789")).loss(
        outputs, MIXUP.targets(a, b, 0.7), label_smoothing=0.1
    )
    losses = [F.cross_entropy(outputs, each, label_smoothing=0.1) for each in (a, b)]
    torch.testing.assert_close(found, 0.7 * losses[0] + 0.3 * losses[1])


def test_shares_follow_the_beta_distribution_and_the_seed_and_epoch_alone():
    shares = MIXUP.shares(1, 2, 20_000)
    assert shares.min() >= 0.5
    assert shares.max() <= 1
    # of Beta(a, a): mean square distance from a half is 1 / (4 (2 a + 1))
    assert ((shares - 0.5) ** 2).mean() == pytest.approx(1 / (4 * 1.4), rel=0.02)
    np.testing.assert_array_equal(MIXUP.shares(1, 2, 20_000), shares)
    assert not np.array_equal(MIXUP.shares(1, 3, 20_000), shares)


def drawn(digits, **changes):
    settings = {"batch_size": 64, "seed": 3, "epoch": 1, "augmentation": Augmentation(shift=0.15)}
    return list(batches(digits, **settings, **changes))


def test_a_batch_is_mixed_with_itself_one_place_on(digits):
    plain, mixed = drawn(digits), drawn(digits, mixup=MIXUP)
    shares = MIXUP.shares(3, 1, len(plain))
    for before, after, share in zip(plain, mixed, shares, strict=True):
        pixels, targets = before.pixels.double(), F.one_hot(before.targets, 10).double()
        expected = share * pixels + (1 - share) * pixels.roll(1, 0)
        assert (after.pixels.double() - expected).abs().max() <= 0.5 + 1e-4
        torch.testing.assert_close(
            after.targets.double(), share * targets + (1 - share) * targets.roll(1, 0)
        )


def test_mixtures_do_not_depend_on_the_number_of_processes_nor_on_where_one_begins(digits):
    whole = drawn(digits, mixup=MIXUP)
    parts = [drawn(digits, mixup=MIXUP, processes=Processes(rank, 3)) for rank in range(3)]
    for batch, *shared in zip(whole, *parts, strict=True):
        assert torch.equal(batch.pixels, torch.cat([part.pixels for part in shared]))
        assert torch.equal(batch.targets, torch.cat([part.targets for part in shared]))
    later = drawn(digits, mixup=MIXUP, start=4)
    assert all(
        torch.equal(one.pixels, other.pixels) for one, other in zip(whole[4:], later, strict=True)
    )


def test_a_training_with_mixtures_learns(make_training):
    training = make_training(steps=60)
    training.recipe = replace(training.recipe, mixup=0.2)
    state = train(training)
    assert state.best.value > 0.8


def test_only_large_sets_are_mixed_when_fine_tuning():
    assert fine_tuning_recipe(MANY - 1, 3, (224, 224)).mixup == 0
    assert fine_tuning_recipe(MANY, 3, (224, 224)).mixup == 0.2
