import numpy as np

from vitreous.data.trial_copies import equal_trials, partners


def trials(n=40, seed=0):
    random = np.random.default_rng(seed)
    values = np.cumsum(random.normal(size=(n, 4, 80)), axis=2) * 1e-6
    return (values + random.normal(size=(1, 4, 1)) * 1e-3).astype(np.float32)  # offsets of channels


def test_copies_are_found_also_when_rounded_again_and_no_other():
    values = trials()
    values[7] = values[30]
    step = 2e-9
    values[11] = np.round(values[20] / step) * step
    found = equal_trials(values)
    assert {(pair.first, pair.second): pair.exact for pair in found} == {
        (7, 30): True, (11, 20): False,
    }  # fmt: skip
    assert partners(found)[20] == {11}


def test_alike_is_not_equal():
    values = trials()
    values[3] = values[5] + np.random.default_rng(1).normal(size=values[5].shape) * 3e-8
    assert equal_trials(values) == []


def test_trials_that_do_not_move_are_no_copies():
    values = trials()
    values[:3] = 0
    assert equal_trials(values) == []


def test_only_across():
    values = trials()
    values[1] = values[2]
    values[3] = values[4]
    sides = np.array(["train"] * 4 + ["test"] * 36)
    assert [(p.first, p.second) for p in equal_trials(values, sides)] == [(3, 4)]


def test_many_trials_go_block_by_block(monkeypatch):
    values = trials()
    values[7] = values[30]
    whole = equal_trials(values)
    monkeypatch.setattr("vitreous.data.trial_copies.ROWS_AT_ONCE", 7)
    assert equal_trials(values) == whole
