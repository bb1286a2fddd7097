"""The classical decoders: they find what is planted, and only through training trials."""

import numpy as np
import pytest

from vitreous.evaluation.eeg_baselines import (
    CSP,
    RIDGE_POWER,
    TANGENT,
    eeg_baselines,
    log_band_power,
)

pytest.importorskip("pyriemann", reason="the extra `eeg` is not installed")
RATE = 100.0


def planted(n=60, strength=3.0, seed=0):
    """Class 1 has a 10 Hz rhythm on the second of five channels."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    values = random.normal(size=(n, 5, 200))
    time = np.arange(200) / RATE
    phases = random.uniform(0, 6, n)[:, None]
    values[:, 1] += strength * truth[:, None] * np.sin(2 * np.pi * 10 * time + phases)
    return (values * 1e-5).astype(np.float32), truth


def answered(trials, truth, train, test, classes=2):
    found = eeg_baselines(trials, RATE, train, truth[train], test, classes)
    return {baseline.name: baseline.answers for baseline in found}


def test_they_find_a_rhythm_and_know_nothing_of_test_labels():
    trials, truth = planted()
    train, test = np.arange(40), np.arange(40, 60)
    found = answered(trials, truth, train, test)
    for name in (CSP, TANGENT, RIDGE_POWER):
        assert (found[name].argmax(axis=1) == truth[test]).mean() >= 0.95, name
        np.testing.assert_allclose(found[name].sum(axis=1), 1)
    shuffled = truth.copy()
    shuffled[test] = 1 - shuffled[test]
    again = answered(trials, shuffled, train, test)
    for name, answers in found.items():
        np.testing.assert_array_equal(answers, again[name])


def test_without_a_rhythm_they_are_at_chance():
    trials, truth = planted(n=200, strength=0.0)
    found = answered(trials, truth, np.arange(100), np.arange(100, 200))
    for name in (CSP, TANGENT, RIDGE_POWER):
        assert 0.3 < (found[name].argmax(axis=1) == truth[100:]).mean() < 0.7


def test_dead_channels_and_classes_that_training_lacks():
    trials, truth = planted()
    trials[3, 0] = 0.0
    trials[50, :2] = 0.0
    found = answered(trials, truth, np.arange(40), np.arange(40, 60), classes=3)
    for answers in found.values():
        assert np.isfinite(answers).all()
        assert (answers[:, 2] == 0).all()


def test_band_power_is_that_of_the_wave():
    time = np.arange(400) / RATE
    trials = np.stack([np.sin(2 * np.pi * hz * time) for hz in (2, 6, 10, 20, 35)])[None] * 1e-6
    trials = (trials + 1e-9 * np.random.default_rng(0).normal(size=trials.shape)).astype(np.float32)
    power = log_band_power(trials, np.array([0]), RATE).reshape(5, 5)  # bands, channels
    assert power.argmax(axis=0).tolist() == [0, 1, 2, 3, 4]


def test_band_power_of_noise_scatters_less_than_one_spectrum_does():
    noise = np.random.default_rng(0).normal(size=(300, 2, 100)).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(100), axis=2)[..., 8:13]) ** 2
    one = np.log(spectrum.mean(axis=2)).std()
    power = log_band_power(noise, np.arange(300), RATE).reshape(300, 5, 2)
    assert power[:, 2].std() < 0.93 * one
