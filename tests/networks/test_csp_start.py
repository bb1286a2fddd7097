"""Filter banks that start at common spatial patterns: bands, mixes, limits, and what is refused."""

import numpy as np
import pytest
import torch
from scipy import signal

from vitreous.errors import RequestError
from vitreous.networks import build_network
from vitreous.networks.csp_start import (
    BAND_HZ,
    band_kernels,
    class_covariances,
    pattern_filter,
    start_from_patterns,
)

RATE = 128.0


def two_sources(n=30, electrodes=6, samples=256, seed=0):
    """Noise with one 12 Hz source a class, each with a field of its own; and the fields."""
    random = np.random.default_rng(seed)
    fields = random.normal(size=(2, electrodes))
    trials = random.normal(size=(n, electrodes, samples))
    time = np.arange(samples) / RATE
    targets = np.arange(n) % 2
    for row, target in enumerate(targets):
        rhythm = np.sin(2 * np.pi * 12 * time + random.uniform(0, 6))
        trials[row] += 2 * np.outer(fields[target], rhythm)
    return trials.astype(np.float32), targets, fields


@pytest.mark.parametrize(("count", "taps"), [(8, 64), (16, 80), (40, 25)])
def test_kernels_are_band_passes_spread_over_the_band(count, taps):
    kernels = band_kernels(count, taps, RATE)
    hz, gains = signal.freqz(kernels[0], worN=4096, fs=RATE)
    gains = np.abs([signal.freqz(kernel, worN=4096, fs=RATE)[1] for kernel in kernels])
    peaks = hz[gains.argmax(axis=1)]
    step = (BAND_HZ[1] - BAND_HZ[0]) / count
    wanted = BAND_HZ[0] + step * (np.arange(count) + 0.5)
    np.testing.assert_allclose(peaks, wanted, atol=max(0.5, RATE / taps / 4))
    assert (gains[:, 0] < 1e-9 * gains.max(axis=1)).all()  # nothing constant goes through


def test_a_filter_has_the_largest_share_of_its_class_that_any_mix_has():
    trials, targets, _ = two_sources()
    kernel = band_kernels(8, 64, RATE)[1]
    covariances = class_covariances(trials, targets, np.array([0, 1]), kernel)
    for one in (0, 1):
        best = pattern_filter(covariances, one)
        assert np.isclose(np.linalg.norm(best), 1)

        def share(mix, one=one):
            return (mix @ covariances[one] @ mix) / (mix @ covariances.sum(0) @ mix)

        others = np.random.default_rng(1).normal(size=(2000, 6))
        assert share(best) > max(map(share, others))
        for step in np.eye(6):  # nor is any neighbour better
            assert share(best) >= max(share(best + 1e-3 * step), share(best - 1e-3 * step))


def test_covariances_are_those_of_the_filtered_trials():
    trials, targets, _ = two_sources(n=6)
    kernel = band_kernels(4, 32, RATE)[2]
    (first, _) = class_covariances(trials, targets, np.array([0, 1]), kernel)
    total, count = np.zeros((6, 6)), 0
    for trial in trials[targets == 0].astype(np.float64):
        filtered = np.array([np.correlate(channel, kernel, "valid") for channel in trial])
        total, count = total + filtered @ filtered.T, count + filtered.shape[1]
    expected = total / count
    expected = 0.95 * expected + 0.05 * np.trace(expected) / 6 * np.eye(6)
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize(("name", "each"), [("eegnet", 2), ("basenet", 1), ("atcnet", 2)])
def test_the_maps_of_a_started_bank_tell_the_sources_apart(name, each):
    trials, targets, _ = two_sources(samples=480)
    network = build_network(name, (1, 6, 480), 2, seed=0, sampling_rate_hz=RATE)
    bank = network.features.bank
    others = {key: value.clone() for key, value in network.state_dict().items()}
    lengths = bank.spatial.weight.detach().flatten(1).norm(dim=1)
    said = start_from_patterns(network, trials, targets, RATE)
    assert "30 training trials" in said
    assert "8 to 30 Hz" in said
    limit = getattr(bank.spatial, "largest_norm", np.inf)
    got = bank.spatial.weight.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(got, lengths.clamp(max=limit))
    with torch.no_grad():
        maps = bank.spatial(bank.temporal(bank.pad(torch.from_numpy(trials)[:, None])))
    power = maps.square().mean((2, 3)).log()
    nearest = np.abs(
        BAND_HZ[0]
        + (np.arange(bank.temporal.out_channels) + 0.5)
        * (BAND_HZ[1] - BAND_HZ[0])
        / bank.temporal.out_channels
        - 12.0
    ).argmin()
    for place in range(each):
        number = int(nearest) * each + place
        of = power[:, number]
        mine = (torch.from_numpy(targets) == number % 2).numpy()
        assert of[mine].min() > of[~mine].max()  # every trial of its class has more power
    for key, value in network.state_dict().items():  # all else is as it was
        assert torch.equal(value, others[key]) == (not key.endswith(
            ("bank.temporal.weight", "bank.spatial.weight")
        ))  # fmt: skip


def test_what_has_no_filter_bank_or_no_such_band_is_refused():
    trials, targets, _ = two_sources()
    with pytest.raises(RequestError, match="bank of spatial filters"):
        start_from_patterns(
            build_network("shallowconvnet", (1, 6, 256), 2, sampling_rate_hz=RATE),
            trials, targets, RATE,
        )  # fmt: skip
    with pytest.raises(RequestError, match="at 10 Hz do not hold"):
        band_kernels(8, 16, 10.0)
