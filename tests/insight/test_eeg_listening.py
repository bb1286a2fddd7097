"""What decoders listen to, put together: signals as recorded, several networks, bands."""

import numpy as np
import pytest
import torch

from vitreous.evaluation.compare import compare_paired, compare_rights
from vitreous.insight.eeg_ablation import (
    DRIFT_BAND,
    MUSCLE_BAND,
    SLOW_BAND,
    Taken,
    ablation,
    artefact_alarm,
    band_ablations,
    bands_taken,
)
from vitreous.insight.eeg_filters import (
    in_recorded_signals,
    kernel_spectra,
    spatial_filters,
    with_patterns,
)
from vitreous.insight.eeg_listening import band_shares, heads_of
from vitreous.networks import build_network

RATE_HZ = 128.0


def rhythm_over_one_channel(generator, count=60, channels=6, where=2):
    """Trials in microvolts with channels of unequal size; class 1 has 10 Hz over one of them."""
    classes = np.arange(count) % 2
    trials = generator.standard_normal((count, channels, 256))
    time = np.arange(256) / RATE_HZ
    phase = generator.uniform(0, 6, (count, 1))
    trials[:, where] += 2 * classes[:, None] * np.sin(2 * np.pi * 10 * time + phase)
    sizes = np.array([3.0, 40.0, 10.0, 5.0, 20.0, 8.0])[:channels]
    return trials * sizes[:, None], classes, sizes


def listening_network(channels=6):
    """EEGNet whose first kernel passes 10 Hz and whose first map weighs one channel."""
    network = build_network("eegnet", (1, channels, 256), 2, seed=0)
    taps = torch.cos(2 * torch.pi * 10 * torch.arange(64) / RATE_HZ) * torch.hann_window(64)
    with torch.no_grad():
        bank = network.features.bank
        bank.temporal.weight[0, 0, 0] = taps
        bank.spatial.weight[0] = 0
        bank.spatial.weight[0, 0, 2] = 1.0
    return network


def test_patterns_of_signals_as_recorded_are_those_of_inputs_in_their_units():
    trials, _, sizes = rhythm_over_one_channel(np.random.default_rng(0))
    network = build_network("eegnet", (1, 6, 256), 2, seed=1)
    inputs = trials / sizes[:, None]
    scaled = spatial_filters(network, inputs)
    recorded = with_patterns(
        in_recorded_signals(spatial_filters(network), np.diag(1 / sizes)), trials
    )
    for one, other in zip(scaled, recorded, strict=True):
        np.testing.assert_allclose(other.weights, one.weights / sizes, rtol=1e-12)
        np.testing.assert_allclose(other.pattern, one.pattern * sizes, rtol=1e-8)
    # whatever makes the inputs: an alignment mixes channels
    mixing = np.random.default_rng(1).standard_normal((6, 6))
    mixed = with_patterns(in_recorded_signals(spatial_filters(network), mixing), trials)
    output = np.einsum("c,nct->nt", mixed[3].weights, trials)
    seen = np.einsum("c,nct->nt", spatial_filters(network)[3].weights,
                     np.einsum("ij,njt->nit", mixing, trials))  # fmt: skip
    np.testing.assert_allclose(output, seen, rtol=1e-9, atol=1e-9)


def test_the_map_that_tells_the_classes_apart_comes_first():
    trials, classes, sizes = rhythm_over_one_channel(np.random.default_rng(2))
    heads = heads_of(
        listening_network(), trials + 1e4, classes, np.diag(1 / sizes), RATE_HZ, most=2
    )
    assert heads[0].title == "map 0"
    assert len(heads) == 2
    assert heads[0].separation > 0.9
    assert heads[0].separation >= heads[1].separation
    assert heads[0].spectrum.peak_hz == pytest.approx(10, abs=0.3)
    assert np.abs(heads[0].filter.pattern).argmax() == 2


def test_several_networks_count_with_their_mean_and_no_interval_is_narrower_for_it():
    random = np.random.default_rng(0)
    right, without = random.random((2, 1, 80)) < np.array([0.8, 0.6])[:, None, None]
    taken = Taken("alpha", "band", "8 to 13 Hz", np.zeros((0, 1, 1)))
    one = ablation(taken, right, without, resamples=400)
    five = ablation(taken, np.repeat(right, 5, 0), np.repeat(without, 5, 0), resamples=400)
    assert one.accuracy == five.accuracy == pytest.approx(right.mean())
    assert one.lost.difference.value == pytest.approx(right.mean() - without.mean())
    assert one.lost.difference.low == pytest.approx(five.lost.difference.low)
    assert one.lost.agreement is not None
    assert five.lost.agreement is None
    whole = np.concatenate([right, ~right])
    assert ablation(taken, whole, whole, resamples=50).accuracy == 0.5


def test_rights_are_compared_as_answers_are():
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 60)
    answers = [np.eye(2)[np.where(random.random(60) < share, truth, 1 - truth)]
               for share in (0.8, 0.65)]  # fmt: skip
    groups = [str(number // 6) for number in range(60)]
    slow = compare_paired(truth, *answers, groups=groups)
    rights = [(given.argmax(1) == truth)[None] for given in answers]
    quick = compare_rights(*rights, groups=groups)
    assert quick.difference.value == pytest.approx(slow.difference.value)
    assert quick.difference.low == pytest.approx(slow.difference.low)
    assert quick.difference.high == pytest.approx(slow.difference.high)
    assert quick.agreement == slow.agreement
    assert (quick.n, quick.n_groups) == (60, 10)
    with pytest.raises(Exception, match="same samples"):
        compare_rights(rights[0], rights[1][:, :5])


def test_an_alarm_over_several_networks():
    """Four networks that all fall to chance without slow waves at the eyes."""
    right = np.ones((4, 60), bool)
    half = np.tile(np.arange(60) % 2 == 0, (4, 1))
    eyes = ablation(Taken("eyes", "channels", "Fp1, Fp2", np.zeros(0)), right, half, resamples=100)
    slow = ablation(Taken("delta", "band", "1 to 4 Hz", np.zeros(0)), right, half, resamples=100)
    assert artefact_alarm([eyes, slow], 0.5).raised
    kept = ablation(Taken("delta", "band", "1 to 4 Hz", np.zeros(0)), right, right, resamples=100)
    assert not artefact_alarm([eyes, kept], 0.5).raised


def test_where_the_interval_covers_chance_there_is_nothing_to_find():
    """Seven of twelve right is what guessing brings, whatever is lost with the eyes."""
    right = np.arange(12)[None] < 7
    eyes = ablation(Taken("eyes", "channels", "Fp1, Fp2", np.zeros(0)), right, ~right, resamples=99)
    alarm = artefact_alarm([eyes], 0.5, (0.32, 0.81))
    assert not alarm.raised
    assert "cannot be told from guessing" in alarm.words
    assert "interval 0.32 to 0.81; chance 0.5" in alarm.words
    assert "guessing" not in artefact_alarm([eyes], 0.5, (0.51, 0.81)).words


def test_what_few_subjects_lose_alike_is_found_where_their_accuracy_has_no_telling_interval():
    """Three subjects, all answers right, half of them wrong without fast activity."""
    right = np.ones((1, 90), bool)
    half = (np.arange(90) % 2 == 0)[None]
    three = [str(number // 30) for number in range(90)]
    fast = Taken(MUSCLE_BAND, "band", "30 to 64 Hz", np.zeros(0))
    lost = ablation(fast, right, half, three, resamples=100)
    alarm = artefact_alarm([lost], 0.5, (0.139, 1.0))
    assert alarm.raised
    assert MUSCLE_BAND in alarm.words
    little = ablation(fast, right, np.arange(90)[None] % 10 != 0, three, resamples=100)
    assert 0 < little.lost.difference.low < 0.1
    assert "cannot be told from guessing" in artefact_alarm([little], 0.5, (0.139, 1.0)).words


def test_shares_of_bands_beside_a_flat_kernel():
    spectra = kernel_spectra(listening_network(), RATE_HZ)
    shares = {share.band: share for share in band_shares(spectra[:1])}
    assert shares["alpha"].share > 0.5
    assert shares["alpha"].flat == pytest.approx(5 / 64)
    assert shares["gamma"].high_hz == 64
    slow = kernel_spectra(listening_network(), 50.0)[:1]
    assert band_shares([]) == []
    assert [share.band for share in band_shares(slow)][-1] == "beta"


def test_peaks_and_bands_are_told_within_what_the_data_holds():
    network = listening_network()
    fast = torch.cos(2 * torch.pi * 58 * torch.arange(64) / RATE_HZ) * torch.hann_window(64)
    with torch.no_grad():
        network.features.bank.temporal.weight[1, 0, 0] = fast
    whole = kernel_spectra(network, RATE_HZ)
    kept = kernel_spectra(network, RATE_HZ, (9.0, 45.0))
    assert whole[1].peak_hz == pytest.approx(58, abs=0.3)
    assert all(9 <= one.peak_hz <= 45 for one in kept)
    assert kept[0].peak_hz == pytest.approx(10, abs=0.3)
    shares = {share.band: share for share in band_shares(kept)}
    assert list(shares) == ["alpha", "beta", "gamma"]
    assert (shares["alpha"].low_hz, shares["gamma"].high_hz) == (9, 45)
    assert sum(share.share for share in shares.values()) == pytest.approx(1, abs=0.03)
    assert shares["beta"].flat == pytest.approx(17 / 36)


def test_bands_that_are_one_in_the_data_are_taken_once_and_still_raise_the_alarm():
    trials = np.random.default_rng(0).standard_normal((4, 2, 512)).astype(np.float32)
    taken = {one.name: one for one in bands_taken(trials, 256.0, kept_hz=(0.5, 45.0))}
    both = taken[f"gamma and {MUSCLE_BAND}"]
    assert both.what == "30 to 45 Hz"
    assert taken[DRIFT_BAND].what == "0.5 to 1 Hz"
    assert len(taken) == 7
    left = np.abs(np.fft.rfft(both.trials, axis=-1))
    assert left[..., 2 * 46 : -4].mean() < 0.05 * left[..., : 2 * 29].mean()  # beyond 45 Hz, too
    apart = [one.name for one in bands_taken(trials, 256.0)]
    assert apart[-2:] == ["gamma", MUSCLE_BAND]  # 30 to 100 and 30 to 128 Hz
    slow = [one.name for one in bands_taken(trials, 256.0, kept_hz=(4.0, 30.0))]
    assert slow == [f"{SLOW_BAND} and theta", "alpha", "beta"]
    right = np.ones((1, 60), bool)
    half = (np.arange(60) % 2 == 0)[None]
    assert artefact_alarm([ablation(both, right, half, resamples=100)], 0.5, (0.9, 1.0)).raised


def test_a_decoder_of_drifts_is_found_out():
    """Answers by the mean of a trial: no band of rhythms matters, what is below 1 Hz does."""
    random = np.random.default_rng(0)
    truth = np.arange(60) % 2
    trials = random.standard_normal((60, 4, 256)).astype(np.float32)
    trials += 2 * truth[:, None, None]

    def answer(given):
        size = given.mean(axis=(1, 2))
        return np.column_stack([1 - size, size - 1 + 1e-9])

    lost = {one.name: one for one in band_ablations(answer, trials, truth, RATE_HZ, resamples=100)}
    assert lost[DRIFT_BAND].accuracy == 1
    assert lost[DRIFT_BAND].lost.difference.low > 0.3
    assert lost[DRIFT_BAND].what == "0 to 1 Hz"
    for name in ("delta", "theta", "alpha", "beta", f"gamma and {MUSCLE_BAND}"):
        assert lost[name].without == 1
