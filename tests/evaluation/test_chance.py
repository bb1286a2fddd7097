"""Kappa beside scikit-learn's, permutation tests beside counting every arrangement."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from vitreous.evaluation.chance import KAPPA, kappa_score, permutation_test
from vitreous.evaluation.resampling import grouping


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_kappa_is_scikit_learns(classes):
    random = np.random.default_rng(classes)
    truth = random.integers(classes, size=200)
    answers = np.where(random.random(200) < 0.6, truth, random.integers(classes, size=200))
    given = np.eye(classes)[answers]
    assert KAPPA.value(truth, given) == pytest.approx(cohen_kappa_score(truth, answers), abs=1e-12)
    score = kappa_score(truth, given, grouping(None, 200))
    assert score.low < score.value < score.high
    wide = kappa_score(truth, given, grouping([str(k // 40) for k in range(200)], 200))
    assert wide.high - wide.low > 0


def test_kappa_without_a_choice_is_undefined():
    truth = np.zeros(5, int)
    assert kappa_score(truth, np.eye(2)[truth], grouping(None, 5)).value is None


def test_labels_of_units_are_exchanged_in_every_way():
    """8 subjects of 5 trials: all 70 arrangements, as a loop over 8! orders counts them."""
    random = np.random.default_rng(0)
    label = np.array([0, 0, 1, 1, 0, 1, 0, 1])
    units = np.repeat(np.arange(8), 5)
    truth = label[units]
    answers = np.where(random.random((2, 40)) < 0.7, truth, 1 - truth)
    found = permutation_test(
        truth, answers, strata=["x"] * 40, units=[f"s{unit}" for unit in units]
    )
    share = np.stack([(answers == k).mean(axis=0) for k in range(2)], axis=1)
    every = {tuple(order) for order in permutations(label.tolist())}
    scores = [share[np.arange(40), np.array(order)[units]].mean() for order in every]
    observed = share[np.arange(40), truth].mean()
    assert found.exact
    assert found.arrangements == len(every) == 70
    assert found.p == pytest.approx(np.mean(np.array(scores) >= observed - 1e-12))
    assert found.chance == pytest.approx(np.mean(scores))
    assert found.accuracy == pytest.approx(observed)


def test_the_difference_between_sessions_proves_nothing():
    """Answers that only know the session are at chance: labels change places within it."""
    sessions = np.repeat([0, 1], 50)
    random = np.random.default_rng(3)
    truth = (random.random(100) < np.where(sessions == 0, 0.9, 0.1)).astype(int)
    answers = 1 - sessions
    assert (answers == truth).mean() > 0.8
    fair = permutation_test(truth, answers, strata=[str(s) for s in sessions], permutations=500)
    assert fair.p == 1.0
    naive = permutation_test(truth, answers, strata=["all"] * 100, permutations=500)
    assert naive.p < 0.01


def test_without_an_effect_p_is_even():
    random = np.random.default_rng(0)
    found = [
        permutation_test(
            random.integers(2, size=30), random.integers(2, size=30), strata=["x"] * 30,
            permutations=99, seed=k,
        ).p
        for k in range(200)
    ]  # fmt: skip
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1
    assert np.mean(found) > 0.45
