"""What an EEG network learned: against filters of known response, and a source that was planted."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.convolution.fast.form import using_form
from vitreous.errors import RequestError
from vitreous.insight.eeg_ablation import (
    MUSCLE_BAND,
    SLOW_BAND,
    artefact_alarm,
    band_ablations,
    channel_ablations,
    channel_groups,
    without_band,
)
from vitreous.insight.eeg_filters import (
    band_covariance,
    kernel_spectra,
    power_separation,
    spatial_filters,
)
from vitreous.insight.eeg_topographies import write_topographies
from vitreous.networks import build_network
from vitreous.networks.max_norm import keep_norms_limited

RATE_HZ = 128.0
NAMES = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz")
PLACES = {  # left to right, back to front, in metres: about where the caps have them
    **{"Fp1": (-3, 9), "Fp2": (3, 9), "F7": (-7, 5), "F3": (-4, 5), "Fz": (0, 6), "F4": (4, 5)},
    **{"F8": (7, 5), "T7": (-8, 0), "C3": (-5, 0), "Cz": (0, 0), "C4": (5, 0), "T8": (8, 0)},
    **{"P7": (-7, -5), "P3": (-4, -5), "Pz": (0, -6)},
}


def positions_m():
    flat = np.array([PLACES[name] for name in NAMES]) / 100
    height = np.sqrt(np.maximum(0.095**2 - (flat**2).sum(axis=1), 0))
    return np.column_stack([flat, height])


def background(generator, count, samples=256):
    """Sources with a 1/f spectrum all over the head, mixed into all electrodes."""
    spectrum = np.fft.rfft(generator.standard_normal((count, 30, samples)))
    spectrum /= np.maximum(1, np.arange(spectrum.shape[-1])) ** 0.5
    sources = np.fft.irfft(spectrum, n=samples)
    places = np.random.default_rng(5).uniform(-0.08, 0.08, (30, 2))
    return np.einsum("es,nst->net", falloff(places), sources)


def falloff(places, reach=0.035):
    """How strongly a source at each of (n, 2) places shows at each electrode."""
    distance = np.linalg.norm(positions_m()[:, None, :2] - places, axis=-1)
    return np.exp(-((distance / reach) ** 2))


def planted(generator, count, where="C3", hz=10.0, strength=1.5):
    """Trials (n, electrodes, time), of which class 1 has a rhythm of `hz` over `where`."""
    classes = np.arange(count) % 2
    time = np.arange(256) / RATE_HZ
    phase = generator.uniform(0, 2 * np.pi, (count, 1))
    rhythm = strength * np.sin(2 * np.pi * hz * time + phase) * classes[:, None]
    place = positions_m()[NAMES.index(where), :2]
    trials = background(generator, count)
    scale = trials.std()
    trials += scale * np.einsum("e,nt->net", falloff(place[None])[:, 0], rhythm)
    return (trials / trials.std()).astype(np.float32), classes


def trained(trials, classes, steps=90):
    network = build_network("eegnet", (1, *trials.shape[1:]), 2, seed=0).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    inputs, targets = torch.from_numpy(trials)[:, None], torch.from_numpy(classes)
    for _ in range(steps):
        rows = torch.randperm(len(inputs), generator=generator)[:64]
        with using_form("fast"):
            loss = nn.functional.cross_entropy(network(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        keep_norms_limited(network)
    return network.eval()


def answer_of(network):
    def answer(trials):
        with torch.no_grad(), using_form("fast"):
            return network(torch.from_numpy(trials)[:, None]).softmax(1).double().numpy()

    return answer


@pytest.fixture(scope="module")
def decoder():
    generator = np.random.default_rng(0)
    trials, classes = planted(generator, 240)
    return trained(trials, classes), trials, classes, planted(generator, 120)


def test_the_planted_source_is_found_in_place_and_in_frequency(decoder):
    network, trials, classes, (new, truth) = decoder
    assert (answer_of(network)(new).argmax(1) == truth).mean() > 0.9
    filters = spatial_filters(network, trials)
    best = int(power_separation(filters, trials, classes).argmax())
    assert NAMES[np.abs(filters[best].pattern).argmax()] == "C3"
    expected = falloff(positions_m()[NAMES.index("C3"), :2][None])[:, 0]
    assert abs(np.corrcoef(filters[best].pattern, expected)[0, 1]) > 0.8
    spectra = kernel_spectra(network, RATE_HZ)
    assert 8 <= spectra[best // 2].peak_hz <= 12.5
    # a filter is no pattern: it is farther from where the signal shows than its pattern is
    filtered = abs(np.corrcoef(filters[best].weights, expected)[0, 1])
    assert filtered < abs(np.corrcoef(filters[best].pattern, expected)[0, 1])


def test_taking_the_band_or_the_place_away_costs_the_answers(decoder):
    network, _, _, (new, truth) = decoder
    lost = {
        a.name: a for a in band_ablations(answer_of(network), new, truth, RATE_HZ, resamples=200)
    }
    assert lost["alpha"].lost.difference.low > 0.2
    fast = lost[f"gamma and {MUSCLE_BAND}"]
    assert abs(fast.accuracy - fast.without) < 0.1
    assert fast.what == "30 to 64 Hz"
    places = channel_ablations(answer_of(network), new, truth, NAMES, resamples=200)
    central = next(each for each in places if each.name == "central")
    assert central.what == "C3, Cz, C4"
    assert central.lost.difference.low > 0.1
    alarm = artefact_alarm([*lost.values(), *places], chance=0.5)
    assert not alarm.raised, alarm.words
    assert "alpha" in str(lost["alpha"].to_json())


def test_a_decoder_of_blinks_raises_the_alarm():
    """Class 1 has slow waves at the eyes; the answer is their size, no training needed."""
    generator = np.random.default_rng(1)
    trials, classes = planted(generator, 80, where="Fp1", hz=1.5, strength=6.0)

    def answer(given):
        size = given[:, :2].std(axis=(1, 2))
        sure = 1 / (1 + np.exp(-8 * (size - np.median(trials[:, :2].std(axis=(1, 2))))))
        return np.column_stack([1 - sure, sure])

    found = channel_ablations(answer, trials, classes, NAMES, resamples=200)
    assert artefact_alarm(found, chance=0.5).raised
    found += band_ablations(answer, trials, classes, RATE_HZ, resamples=200)
    alarm = artefact_alarm(found, chance=0.5)
    assert alarm.raised
    assert "eyes (Fp1, Fp2)" in alarm.words


def test_a_decoder_of_blinks_that_no_single_band_holds_raises_the_alarm():
    """A blink of a third of a second is in drift, delta and theta: any of them can be missed."""
    generator = np.random.default_rng(2)
    trials = generator.standard_normal((80, 15, 256)).astype(np.float32)
    classes = np.arange(80) % 2
    time_s = np.arange(256) / RATE_HZ
    blink = np.exp(-0.5 * ((time_s - 1) / 0.1) ** 2)
    trials[classes == 1, :2] += 30 * blink.astype(np.float32)

    def answer(given):
        size = np.ptp(given[:, :2], axis=-1).mean(axis=1)
        return np.column_stack([12 - size, size - 12])

    lost = band_ablations(answer, trials, classes, RATE_HZ, resamples=200)
    by_name = {one.name: one for one in lost}
    assert by_name["theta"].without == by_name["delta"].without == 1
    assert by_name[SLOW_BAND].what == "0 to 8 Hz"
    assert by_name[SLOW_BAND].lost.difference.low > 0.3
    found = lost + channel_ablations(answer, trials, classes, NAMES, resamples=200)
    assert artefact_alarm(found, chance=0.5).raised
    slow_unseen = [one for one in found if one.name != SLOW_BAND]
    assert not artefact_alarm(slow_unseen, chance=0.5).raised


def test_no_alarm_where_nothing_was_learned():
    flat = np.full((40, 2), 0.5)
    truth = np.arange(40) % 2
    trials = np.random.default_rng(0).standard_normal((40, 15, 64)).astype(np.float32)
    found = channel_ablations(lambda given: flat[: len(given)], trials, truth, NAMES, resamples=50)
    assert "no better than guessing" in artefact_alarm(found, 0.5).words


def test_a_band_is_taken_out_and_the_rest_is_left():
    time = np.arange(512) / RATE_HZ
    slow, fast = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 20 * time)
    both = (slow + fast)[None, None]
    rest = without_band(both, RATE_HZ, 13, 30)[0, 0]
    assert np.abs(rest - slow)[32:-32].max() < 0.03
    untouched = without_band(both, RATE_HZ, 40, 64)[0, 0]
    assert np.abs(untouched - both[0, 0])[32:-32].max() < 0.02


def test_groups_of_channels_by_their_names():
    groups = channel_groups(["EEG Fp1-Ref", "Fc5.", "C3..", "EOG X", "T7", "Oz", "nd", "O10"])
    assert groups["eyes"] == [0, 3]
    assert groups["muscles at the edge"] == [4, 7]
    assert groups["central"] == [1, 2]
    assert groups["occipital"] == [5, 7]
    assert MUSCLE_BAND not in groups


def test_a_kernel_of_known_response():
    network = build_network("eegnet", (1, 3, 256), 2)
    taps = torch.cos(2 * torch.pi * 12 * torch.arange(64) / RATE_HZ) * torch.hann_window(64)
    with torch.no_grad():
        network.features.bank.temporal.weight[3, 0, 0] = taps
    spectrum = kernel_spectra(network, RATE_HZ)[3]
    assert spectrum.peak_hz == pytest.approx(12, abs=0.3)
    assert spectrum.shares()["alpha"] > 0.5
    assert sum(spectrum.shares().values()) < 1.0 + 1e-9
    at_zero = abs(float(taps.sum()))
    assert spectrum.gain[0] == pytest.approx(at_zero, abs=1e-5)


def test_a_pattern_is_the_covariance_with_the_output():
    """Second derivation: a regression of each electrode on the output, for two filters."""
    generator = np.random.default_rng(0)
    network = build_network("eegnet", (1, 4, 128), 2, seed=0)
    trials = generator.standard_normal((12, 4, 128)) @ np.diag(np.ones(128))
    trials = np.einsum("ij,njt->nit", generator.standard_normal((4, 4)), trials)
    filters = spatial_filters(network, trials)
    taps = filters[4].taps
    passed = np.stack([[np.correlate(row, taps, "valid") for row in trial] for trial in trials])
    centred = passed - passed.mean(axis=2, keepdims=True)
    outputs = np.stack([np.einsum("c,nct->nt", filters[n].weights, centred) for n in (4, 5)])
    flat = outputs.reshape(2, -1)
    electrodes = centred.transpose(1, 0, 2).reshape(4, -1)
    for row, number in enumerate((4, 5)):
        expected = [(electrode @ flat[row]) / (flat[row] @ flat[row]) for electrode in electrodes]
        np.testing.assert_allclose(filters[number].pattern, expected, rtol=1e-8)
    covariance = electrodes @ electrodes.T / electrodes.shape[1]
    np.testing.assert_allclose(band_covariance(trials, taps), covariance, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["shallowconvnet", "deep4"])
def test_mixed_kernels_are_one_time_course_and_one_weighting_as_far_as_they_are(name):
    network = build_network(name, (1, 4, 460), 2, seed=0)
    with torch.no_grad():  # one temporal kernel alone: then a product says all
        network.features.filters.spatial.weight[:, 1:] = 0
    filters = spatial_filters(network)
    assert filters[0].share == pytest.approx(1.0)
    whole = np.outer(filters[0].weights, filters[0].taps)
    temporal = network.features.filters.temporal.weight[0, 0, 0].detach().double()
    spatial = network.features.filters.spatial.weight[0, 0, :, 0].detach().double()
    np.testing.assert_allclose(whole, torch.outer(spatial, temporal), atol=1e-8)
    assert filters[0].pattern is None


def test_topographies_are_drawn(tmp_path, decoder):
    pytest.importorskip("mne")
    network, trials, _, _ = decoder
    filters = spatial_filters(network, trials)[:2]
    spectra = kernel_spectra(network, RATE_HZ)[:1] * 2
    path = tmp_path / "filters.png"
    write_topographies(path, filters, spectra, NAMES, positions_m())
    assert path.read_bytes()[:4] == b"\x89PNG"
    nowhere = np.full((len(NAMES), 3), np.nan)
    with pytest.raises(RequestError, match="only 0 channels have a place"):
        write_topographies(path, filters, spectra, NAMES, nowhere)


def test_other_networks_are_refused():
    with pytest.raises(RequestError, match="has no layer of temporal and spatial kernels"):
        kernel_spectra(build_network("lenet5", (1, 28, 28), 2), RATE_HZ)
