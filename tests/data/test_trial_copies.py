import numpy as np

from vitreous.data.trial_copies import equal_trials, known_again, partners, trial_sketches


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


def test_a_trial_is_known_again_by_its_sketch_also_when_rounded():
    values, later = trials(), trials(seed=1)
    step = 2e-9
    later[5] = values[8]
    later[6] = np.round(values[9] / step) * step
    later[7] = values[10] + np.random.default_rng(1).normal(size=values[10].shape) * 3e-8  # alike
    values[:2] = later[:2] = 0  # those that do not move are no copies
    rows = np.arange(40)
    sketches = trial_sketches(values, rows)
    found = known_again(trial_sketches(later, rows), sketches)
    assert np.flatnonzero(found).tolist() == [5, 6]
    assert not known_again(trial_sketches(later, rows), sketches[:0]).any()
    assert known_again(trial_sketches(later, np.array([5, 9])), sketches).tolist() == [True, False]
    short = trial_sketches(values[:, :1, :20], rows)  # of another shape: none of them
    assert not known_again(short, sketches).any()
