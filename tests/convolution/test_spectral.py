"""Convolutions by the spectra of blocks beside the plain sums: values, and the choice."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.convolution.fast import fastest_way, known_convolution, spectral
from vitreous.convolution.fast.known_convolution import KnownConvolution
from vitreous.convolution.fast.spectral import (
    best_length,
    outputs_of_products,
    spectra_of_kernels,
    spectra_of_signals,
    transforms,
)

EXACT = {"rtol": 1e-10, "atol": 1e-11}


def convolved(signals, kernels, length):
    """Signals (channels, trials, time) to (out, trials, outputs), as answers have it."""
    (_, trials, time), (out, _, taps) = signals.shape, kernels.shape
    products = torch.bmm(
        spectra_of_kernels(kernels, length), spectra_of_signals(signals, taps, length)
    )
    found = outputs_of_products(products, taps, length)
    return found.view(out, trials, -1)[..., : time - taps + 1]


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("taps", "length"), [(3, 8), (3, 5), (4, 7), (1, 2), (25, 48)])
def test_three_products_a_frequency_are_a_block_of_outputs(taps, length):
    """Second derivation: the library's complex transforms, and one sum an output."""
    into, of_kernel, back = transforms(taps, length, torch.float64, torch.device("cpu"))
    assert len(into) == length + (length - 1) // 2
    block, kernel = drawn(length), drawn(taps, seed=1)
    found = back @ ((into @ block) * (of_kernel @ kernel))
    sums = [sum(kernel[k] * block[n + k] for k in range(taps)) for n in range(length - taps + 1)]
    torch.testing.assert_close(found, torch.stack(sums), **EXACT)
    spectrum = torch.fft.rfft(block) * torch.fft.rfft(kernel, n=length).conj()
    circle = torch.fft.irfft(spectrum, n=length)
    torch.testing.assert_close(found, circle[: length - taps + 1], **EXACT)


@settings(max_examples=30, deadline=None)
@given(
    taps=st.integers(1, 7),
    more=st.integers(0, 9),
    time=st.integers(7, 40),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_values_are_those_of_the_plain_convolution(taps, more, time, sizes, seed):
    channels, out, trials = sizes
    signals = drawn(trials, channels, time, seed=seed).transpose(0, 1)
    kernels = drawn(out, channels, taps, seed=seed + 1)
    expected = F.conv1d(signals.transpose(0, 1), kernels).transpose(0, 1)
    torch.testing.assert_close(convolved(signals, kernels, 2 * taps - 1 + more), expected, **EXACT)


@pytest.mark.parametrize("padding", [(0, 0), (3, 4)])
@pytest.mark.parametrize("faster", [0, 1, 2])
def test_a_known_convolution_takes_the_faster_way_to_the_same(monkeypatch, padding, faster):
    maps, kernel, bias = drawn(1, 4, 1, 41), drawn(5, 4, 7, seed=1), drawn(5, seed=2)
    wanted = F.conv1d(F.pad(maps.squeeze(2), padding), kernel, bias).unsqueeze(2)
    layer = KnownConvolution(kernel, bias, padding)
    asked = []

    def fastest(ways):
        asked.append([way() for way in ways])
        return faster

    monkeypatch.setattr(known_convolution, "best_length", lambda *_: 13)
    monkeypatch.setattr(known_convolution, "fastest_way", fastest)
    for _ in range(2):  # measured once
        torch.testing.assert_close(layer(maps), wanted, **EXACT)
    (ways,) = asked  # a product, the library's convolution, spectra
    assert len(ways) == 3
    for way in ways:
        torch.testing.assert_close(way, wanted, **EXACT)
    (chosen,) = layer.chosen.values()
    assert torch.equal(chosen(maps), ways[faster])
    many = layer(maps.expand(3, -1, -1, -1))  # by the library
    torch.testing.assert_close(many[2:], wanted, **EXACT)
    assert len(asked) == 1


def test_outputs_behind_the_last_whole_group_may_be_left_out(monkeypatch):
    maps, kernel, bias = drawn(1, 4, 1, 41), drawn(5, 4, 7, seed=1), drawn(5, seed=2)
    wanted = F.conv1d(maps.squeeze(2), kernel, bias).unsqueeze(2)  # 35 outputs
    lengths = []
    monkeypatch.setattr(
        known_convolution, "best_length", lambda *given: lengths.append(given) or 13
    )
    monkeypatch.setattr(known_convolution, "fastest_way", lambda ways: 2)
    found = KnownConvolution(kernel, bias, group=8)(maps)
    assert lengths == [(7, 4, 5, 32)]
    torch.testing.assert_close(found, wanted[..., :32], **EXACT)


def test_the_fastest_way_is_the_one_with_the_shortest_best_turn(monkeypatch):
    times = iter([0, 0, 0, 5, 5, 8, 8, 9, 9, 13])  # not counted, 5 and 3, 1 and 4
    monkeypatch.setattr(fastest_way.time, "perf_counter", lambda: next(times))
    assert fastest_way.fastest_way([lambda: 0, lambda: 0], turns=2) == 0


def test_the_second_of_two_calls_is_timed(monkeypatch):
    clock, last = [0.0], [""]

    def way(name, after_others, again):
        clock[0] += again if last[0] == name else after_others
        last[0] = name

    monkeypatch.setattr(fastest_way.time, "perf_counter", lambda: clock[0])
    ways = [lambda: way("even", 2, 2), lambda: way("fast again", 5, 1)]
    assert fastest_way.fastest_way(ways, turns=2) == 1


def test_float32_is_as_exact_as_the_librarys_own_sums():
    signals, kernels = drawn(22, 4, 1000) + 1.0, drawn(40, 22, 25, seed=1)
    exact = F.conv1d(signals.transpose(0, 1), kernels).transpose(0, 1)
    found = convolved(signals.float(), kernels.float(), 52)
    plain = F.conv1d(signals.float().transpose(0, 1), kernels.float()).transpose(0, 1)
    largest = exact.abs().max()
    ours, theirs = (float((each - exact).abs().max() / largest) for each in (found, plain))
    assert ours < 2e-6
    assert ours < 4 * theirs


def test_the_block_is_the_one_with_the_fewest_multiplications():
    """ShallowConvNet's kernels: 22 electrodes, 25 taps, 40 maps, 976 outputs."""
    taps, channels, out, outputs = 25, 22, 40, 976

    def needed(length):
        step, products = length - taps + 1, length + (length - 1) // 2
        blocks = -(-outputs // step)
        between = max(blocks, spectral.LEAST_WIDTH) * channels * out
        return spectral.CALL + products * (blocks * (length * channels + step * out) + between)

    found = best_length(taps, channels, out, outputs)
    assert found is not None
    assert needed(found) == min(needed(length) for length in range(2 * taps - 1, 6 * taps + 1))
    assert needed(found) < 0.6 * outputs * taps * channels * out


@pytest.mark.parametrize(
    ("taps", "channels", "out", "outputs"),
    [
        (1, 50, 50, 9000),  # no window
        (3, 2, 2, 100_000),  # transforms are longer than the sums
        (10, 100, 200, 21),  # too few outputs for the products between to be fast
        (16, 16, 16, 250),  # over before it is called
    ],
)
def test_the_plain_sum_is_taken_where_it_is_as_good(taps, channels, out, outputs):
    assert best_length(taps, channels, out, outputs) is None
    assert best_length(25, 22, 40, 976)  # and not always
