"""Recombined and cropped trials, alignment, and moving standardisation, each a second way."""

import itertools

import numpy as np
import pytest

from vitreous.data.alignment import fit_alignment
from vitreous.data.augmentation import random_table
from vitreous.data.moving import exponential_moving_standardise
from vitreous.data.preprocessing import Preprocessing, preprocess
from vitreous.data.trial_augmentation import crop_starts, random_crops, recombined
from vitreous.errors import RequestError


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_recombined_trials_are_pieces_of_training_trials_of_their_class_at_their_time(generator):
    trials = generator.standard_normal((20, 1, 3, 50)).astype(np.float32)
    classes = generator.integers(0, 3, 20)
    train_rows, rows = np.arange(0, 20, 2), np.array([0, 6, 4, 12, 18, 2])
    random = random_table(1, 2, 20, 4).numpy()
    made = recombined(trials, classes, train_rows, rows, random)
    assert made.shape == (6, 1, 3, 50)
    borders = [0, 12, 25, 38, 50]
    used = set()
    for number, row in enumerate(rows):
        of_class = [r for r in train_rows if classes[r] == classes[row]]
        for first, last in itertools.pairwise(borders):
            piece = made[number, ..., first:last]
            sources = [r for r in of_class if np.array_equal(trials[r, ..., first:last], piece)]
            assert len(sources) == 1
            used.add((number, sources[0]))
    assert len(used) > len(rows)  # from several trials, not each from one
    again = recombined(trials, classes, train_rows, rows[:2], random)
    assert np.array_equal(again, made[:2])  # whatever batch they are in
    other = recombined(trials, classes, train_rows, rows, random_table(1, 3, 20, 4).numpy())
    assert not np.array_equal(other, made)


def test_crops_are_pieces_and_reach_both_ends():
    trials = np.arange(2000.0).reshape(2, 1, 1, 1000)
    random = np.array([0.0, 0.9999999])
    crops = random_crops(trials, 900, random)
    assert crops[0, 0, 0].tolist() == list(range(900))
    assert crops[1, 0, 0].tolist() == list(range(1100, 2000))
    assert crop_starts(1125, 1000, 125) == [0, 125]


def test_aligned_trials_have_a_mean_covariance_of_one(generator):
    trials = generator.standard_normal((40, 4, 100)) * np.array([1.0, 5, 0.1, 2])[:, None]
    trials[20:] = generator.standard_normal((4, 4)) @ trials[20:]
    groups = ["a"] * 20 + ["b"] * 20
    alignment = fit_alignment(trials, groups, np.arange(40))
    aligned = alignment.apply(trials, groups).astype(np.float64)
    for group in (slice(0, 20), slice(20, 40)):
        mean = np.mean([trial @ trial.T / 100 for trial in aligned[group]], axis=0)
        np.testing.assert_allclose(mean, np.eye(4), atol=1e-5)
    assert not alignment.transductive
    assert "training trials only" in alignment.words


def test_alignment_says_whether_it_saw_test_trials(generator):
    trials = generator.standard_normal((30, 3, 80))
    groups = np.repeat(["a", "b", "c"], 10)
    train, test = np.arange(20), np.arange(20, 30)
    plain = fit_alignment(trials, groups, train)
    changed = trials.copy()
    changed[20:] *= 100
    unmoved = fit_alignment(changed, groups, train)
    assert all(np.array_equal(plain.matrices[g], unmoved.matrices[g]) for g in "ab")
    np.testing.assert_array_equal(plain.elsewhere, unmoved.elsewhere)
    assert "c" not in plain.matrices
    seeing = plain.with_unlabelled(trials[test], groups[test])
    assert seeing.saw_test == ("c",)
    assert "transductive: that of c" in seeing.words
    aligned = seeing.apply(trials[test], groups[test]).astype(np.float64)
    mean = np.mean([trial @ trial.T / 80 for trial in aligned], axis=0)
    np.testing.assert_allclose(mean, np.eye(3), atol=1e-5)
    assert not plain.with_unlabelled(trials[train], groups[train]).transductive
    elsewhere = plain.apply(trials[test], groups[test])
    np.testing.assert_allclose(elsewhere, plain.elsewhere @ trials[test], rtol=1e-4, atol=1e-6)
    with pytest.raises(RequestError, match="no training trials"):
        fit_alignment(trials, groups, np.array([], int))


def test_directions_that_a_reference_took_away_stay_away(generator):
    trials = generator.standard_normal((10, 5, 60))
    trials -= trials.mean(axis=1, keepdims=True)
    aligned = fit_alignment(trials, ["a"] * 10, np.arange(10)).apply(trials, ["a"] * 10)
    assert np.isfinite(aligned).all()
    assert np.abs(aligned.sum(axis=1)).max() < 1e-4


def test_moving_standardisation_by_its_recursion(generator):
    signals = np.cumsum(generator.standard_normal((2, 300)), axis=1) + 50
    got = exponential_moving_standardise(signals, newest=0.02, first_samples=40)
    for channel, values in enumerate(signals):
        mean, variance = values[:40].mean(), values[:40].var()
        for t, value in enumerate(values):
            mean = 0.02 * value + 0.98 * mean
            variance = 0.02 * (value - mean) ** 2 + 0.98 * variance
            assert got[channel, t] == pytest.approx((value - mean) / np.sqrt(variance))


def test_the_chain_standardises_each_stretch_by_its_own_past_whatever_the_rate(generator):
    chain = Preprocessing(resample_hz=125, moving_standardisation=True)
    signals = np.cumsum(generator.standard_normal((2, 4000)), axis=1)
    got, rate = preprocess(signals, 250.0, ["a", "b"], chain, [(0, 1500), (1500, 4000)])
    assert rate == 125
    plain, _ = preprocess(signals, 250.0, ["a", "b"], Preprocessing(resample_hz=125),
                          [(0, 1500), (1500, 4000)])  # fmt: skip
    for start, stop in ((0, 750), (750, 2000)):
        alone = exponential_moving_standardise(plain[:, start:stop], 0.002, 500)
        np.testing.assert_allclose(got[:, start:stop], alone, atol=1e-9)
    assert chain.words.endswith("exponential moving standardisation")
    assert Preprocessing.from_json(chain.to_json()) == chain
    with pytest.raises(RequestError, match="remembers 4 s"):
        preprocess(signals[:, :900], 250.0, ["a", "b"], chain)


def test_a_dead_channel_is_zero():
    assert not exponential_moving_standardise(np.full((1, 2000), 3.0)).any()
