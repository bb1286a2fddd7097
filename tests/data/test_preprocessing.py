"""The chain: what it keeps, what it takes, and that stretches do not touch one another."""

import numpy as np
import pytest
from scipy import signal

from vitreous.data.preprocessing import Preprocessing, preprocess, resampled
from vitreous.errors import RequestError

RATE = 200.0
TIME = np.arange(2000) / RATE


def waves(*frequencies):
    return np.stack([np.sin(2 * np.pi * hz * TIME + 0.3) for hz in frequencies])


def middle(values):
    return values[:, 400:-400]


def test_the_band_is_kept_and_the_rest_goes():
    before = waves(1.0, 10.0, 20.0, 60.0)
    after, rate = preprocess(before, RATE, list("abcd"), Preprocessing(low_hz=4, high_hz=38))
    assert rate == RATE
    power = middle(after).std(axis=1) / middle(before).std(axis=1)
    assert power[0] < 0.01
    assert power[3] < 0.01
    np.testing.assert_allclose(power[1:3], 1.0, atol=0.01)
    # forwards and backwards: nothing is delayed
    np.testing.assert_allclose(middle(after)[1], middle(before)[1], atol=0.02)


def test_the_filter_is_scipys_in_its_other_form():
    random = np.random.default_rng(0).normal(size=(2, 1500))
    after, _ = preprocess(random, RATE, ["a", "b"], Preprocessing(high_hz=30))
    numerator, denominator = signal.butter(4, 30, "lowpass", fs=RATE)
    np.testing.assert_allclose(
        after[:, 200:-200], signal.filtfilt(numerator, denominator, random)[:, 200:-200], atol=1e-8
    )


def test_a_notch_takes_mains_and_leaves_its_neighbours():
    after, _ = preprocess(waves(50, 40), RATE, ["a", "b"], Preprocessing(notch_hz=50))
    power = middle(after).std(axis=1)
    assert power[0] < 0.02
    assert power[1] == pytest.approx(np.sqrt(0.5), rel=0.02)


def test_stretches_are_filtered_apart():
    values = np.random.default_rng(1).normal(size=(2, 1000))
    chain = Preprocessing(low_hz=1, high_hz=40, resample_hz=100)
    stretches = [(0, 400), (400, 1000)]
    together, _ = preprocess(values, RATE, ["a", "b"], chain, stretches)
    apart = [preprocess(values[:, a:b], RATE, ["a", "b"], chain)[0] for a, b in stretches]
    np.testing.assert_allclose(together, np.concatenate(apart, axis=1), atol=1e-12)
    changed = values.copy()
    changed[:, 400:] = 1e6
    again, _ = preprocess(changed, RATE, ["a", "b"], chain, stretches)
    np.testing.assert_array_equal(again[:, :200], together[:, :200])


def test_what_was_given_is_not_changed():
    values = np.random.default_rng(1).normal(size=(2, 500))
    before = values.copy()
    preprocess(values, RATE, ["a", "b"], Preprocessing("average", low_hz=2, high_hz=20))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("wanted", [100.0, 128.0, 250.0])
def test_resampling_keeps_time(wanted):
    after = resampled(waves(7.0), RATE, wanted)
    time = np.arange(after.shape[1]) / wanted
    assert after.shape[1] == np.ceil(2000 * wanted / RATE)
    inside = (time > 1) & (time < 9)
    np.testing.assert_allclose(
        after[0, inside], np.sin(2 * np.pi * 7 * time + 0.3)[inside], atol=0.01
    )


def test_references():
    values = np.random.default_rng(0).normal(size=(3, 100))
    average, _ = preprocess(values, RATE, ["a", "b", "c"], Preprocessing("average"))
    np.testing.assert_allclose(average.mean(axis=0), 0, atol=1e-12)
    to_b, _ = preprocess(values, RATE, ["a", "b", "c"], Preprocessing("B"))
    np.testing.assert_allclose(to_b[0], values[0] - values[1])
    with pytest.raises(RequestError, match="unknown reference 'x'"):
        preprocess(values, RATE, ["a", "b", "c"], Preprocessing("x"))


def test_what_cannot_be_filtered_is_refused():
    short = np.zeros((1, 60))
    with pytest.raises(RequestError, match="no whole wave"):
        preprocess(short, RATE, ["a"], Preprocessing(low_hz=0.5, high_hz=40))
    with pytest.raises(RequestError, match="cannot be filtered at 200"):
        preprocess(waves(1), RATE, ["a"], Preprocessing(high_hz=120))
    with pytest.raises(RequestError, match="must be the lower"):
        Preprocessing(low_hz=30, high_hz=4)


def test_json_round_trip():
    chain = Preprocessing("average", 50.0, 0.5, 45.0, 128.0)
    assert Preprocessing.from_json(chain.to_json()) == chain
