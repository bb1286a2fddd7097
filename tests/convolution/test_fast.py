"""The fast forms of EEG convolutions beside the plain ones: values, gradients, statistics."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.fast.combined import combined_convolution
from vitreous.convolution.fast.dropout import dropped
from vitreous.convolution.fast.filter_bank import filter_bank
from vitreous.convolution.fast.form import in_fast_form, using_form
from vitreous.convolution.fast.lagged import lagged_products
from vitreous.convolution.fast.long_kernels import LONGEST, kernel_gradient, long_convolution
from vitreous.convolution.fast.norm_max import norm_elu_max
from vitreous.convolution.fast.norm_pool import Pooling, norm_elu_pool, scaled_elu_pool
from vitreous.convolution.fast.pooling import average_along_time
from vitreous.convolution.fast.separable import separable
from vitreous.convolution.fast.toeplitz import (
    block_length,
    blocks_of,
    convolve_blocks,
    skewed,
    toeplitz,
    unskewed,
)

EXACT = {"rtol": 1e-10, "atol": 1e-11}


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_diagonals_become_columns_and_go_back():
    matrix = torch.arange(8.0).reshape(2, 4)
    columns = skewed(matrix)
    assert columns[:, :3].tolist() == [[0, 1, 2], [5, 6, 7]]
    rows = F.pad(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (0, 3))
    assert unskewed(rows).tolist() == [[1, 2, 0, 0], [0, 3, 4, 0]]


def test_a_toeplitz_matrix_has_the_kernel_along_its_diagonals():
    assert toeplitz(torch.tensor([[1.0, 2.0, 3.0]]), 3)[0].tolist() == [
        [1, 2, 3, 0, 0, 0],
        [0, 1, 2, 3, 0, 0],
        [0, 0, 1, 2, 3, 0],
    ]


@settings(max_examples=30, deadline=None)
@given(
    taps=st.integers(1, 9),
    spare=st.integers(-1, 5),
    rows=st.integers(1, 4),
    groups=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_blocks_convolve_as_the_definition_says(taps, spare, rows, groups, seed):
    """Second derivation: one sum an output, in a loop."""
    length = max(1, taps + spare)
    blocks = drawn(groups, rows, length, seed=seed)
    kernels = drawn(groups, taps, seed=seed + 1)
    signal = F.pad(blocks.reshape(groups, -1), (0, length))
    expected = torch.stack(
        [
            torch.stack(
                [(signal[g, n : n + taps] * kernels[g]).sum() for n in range(rows * length)]
            )
            for g in range(groups)
        ]
    )
    got = convolve_blocks(blocks, kernels)
    torch.testing.assert_close(got.reshape(groups, -1), expected, **EXACT)


def test_blocks_have_the_gradients_of_finite_differences():
    blocks, kernels = drawn(2, 3, 4).requires_grad_(), drawn(2, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda b, k: convolve_blocks(b, k), (blocks, kernels))


@pytest.mark.parametrize(("time", "taps"), [(100, 16), (64, 33), (31, 7), (90, 1)])
def test_lagged_products_give_the_statistics_of_the_convolution(time, taps):
    channels, trials, before = 3, 4, taps // 2
    inputs = drawn(channels, trials, time) + 3.0
    outputs = time + 2 * before - taps + 1
    length = block_length(taps)
    signals = torch.zeros(channels, trials, length * blocks_of(outputs, length)).double()
    signals[..., before : before + time] = inputs
    kernels = drawn(5, taps, seed=1)
    convolved = F.conv1d(inputs.reshape(-1, 1, time), kernels[:, None], padding=before)
    known = lagged_products(signals, taps, outputs)
    mean, variance = known.statistics(kernels)
    assert known.count == convolved[:, 0].numel()
    torch.testing.assert_close(mean, convolved.mean((0, 2)), **EXACT)
    torch.testing.assert_close(variance, convolved.var((0, 2), unbiased=False), **EXACT)


POOLINGS = [Pooling(4, 4, 42, 16), Pooling(8, 8, 33, 16), Pooling(15, 3, 41, 16)]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_norm_elu_and_pool_are_the_three_layers(pooling):
    """Of maps that were multiplied by a gain, with rubbish behind the valid samples."""
    maps = (drawn(3, 5, 48) + 2).requires_grad_()
    gain, scale, shift = (drawn(3, seed=seed).requires_grad_() for seed in (1, 2, 3))
    gradient = drawn(3, 5, pooling.outputs, seed=4)
    pooled, mean, variance = norm_elu_pool(maps, gain, scale, shift, 1e-3, pooling)
    pooled.backward(gradient)
    got = [each.grad.clone() for each in (maps, gain, scale, shift)]
    for each in (maps, gain, scale, shift):
        each.grad = None
    valid = maps[..., : pooling.valid].transpose(0, 1)  # batch, channels, time
    normed = F.batch_norm(valid * gain[:, None], None, None, scale, shift, True, eps=1e-3)
    plain = F.avg_pool1d(F.elu(normed), pooling.window, pooling.stride)
    plain.backward(gradient.transpose(0, 1))
    torch.testing.assert_close(pooled, plain.transpose(0, 1), **EXACT)
    for ours, each in zip(got, (maps, gain, scale, shift), strict=True):
        torch.testing.assert_close(ours, each.grad, **EXACT)
    torch.testing.assert_close(mean, valid.mean((0, 2)).detach(), **EXACT)
    torch.testing.assert_close(variance, valid.var((0, 2), unbiased=False).detach(), **EXACT)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_same_with_the_statistics_that_are_known(pooling):
    maps, scale, shift = drawn(3, 5, 48), drawn(3, seed=1), drawn(3, seed=2)
    valid = (maps * scale[:, None, None] + shift[:, None, None])[..., : pooling.valid]
    plain = F.avg_pool1d(F.elu(valid), pooling.window, pooling.stride)
    torch.testing.assert_close(scaled_elu_pool(maps, scale, shift, pooling), plain, **EXACT)


@pytest.mark.parametrize(("window", "stride"), [(15, 3), (15, 4), (6, 6), (10, 25)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_averages_along_time(window, stride, layout):
    maps = drawn(2, 4, 1, 50).to(memory_format=layout).requires_grad_()
    expected = F.avg_pool2d(maps, (1, window), (1, stride))
    got = average_along_time(maps, window, stride)
    torch.testing.assert_close(got, expected, **EXACT)
    gradient = drawn(*got.shape, seed=1)
    (ours,) = torch.autograd.grad(got, maps, gradient)
    (plain,) = torch.autograd.grad(expected, maps, gradient)
    torch.testing.assert_close(ours, plain, **EXACT)


def bank_layers(seed=0):
    torch.manual_seed(seed)
    temporal = nn.Conv2d(1, 3, (1, 12), bias=False)
    spatial = nn.Conv2d(3, 6, (5, 1), groups=3, bias=False)
    norms = nn.BatchNorm2d(3, 1e-3, 0.01), nn.BatchNorm2d(6, 1e-2, 0.2)
    layers = nn.ModuleList([temporal, norms[0], spatial, norms[1]]).double()
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    return layers


@pytest.mark.parametrize("padding", [(6, 6), (5, 6), (3, 20)])
@pytest.mark.parametrize(("window", "stride"), [(4, 4), (15, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_a_filter_bank_is_its_layers_one_after_the_other(padding, window, stride, training):
    fast, plain = bank_layers(), bank_layers()
    inputs = drawn(4, 1, 5, 70) + 1.5
    for layers in (fast, plain):
        layers.train(training)
    temporal, temporal_norm, spatial, spatial_norm = plain
    expected = spatial_norm(spatial(temporal_norm(temporal(F.pad(inputs, padding)))))
    expected = F.avg_pool2d(F.elu(expected), (1, window), (1, stride))
    got = filter_bank(inputs, *fast, padding, window, stride).transpose(0, 1).unsqueeze(2)  # type: ignore
    torch.testing.assert_close(got, expected, **EXACT)
    gradient = drawn(*expected.shape, seed=3)
    expected.backward(gradient)
    got.backward(gradient)
    for (name, ours), reference in zip(fast.named_parameters(), plain.parameters(), strict=True):
        if training and name == "1.bias":  # a constant that the second norm takes away
            assert ours.grad is None or ours.grad.abs().max() < 1e-12
            assert reference.grad.abs().max() < 1e-12
            continue
        torch.testing.assert_close(ours.grad, reference.grad, **EXACT, msg=lambda m, n=name: n + m)
    for (name, ours), reference in zip(fast.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, reference, **EXACT, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("training", [True, False])
def test_a_separable_convolution_is_its_layers_one_after_the_other(training):
    def made():
        torch.manual_seed(0)
        depth = nn.Conv2d(4, 4, (1, 16), padding=(0, 8), groups=4, bias=False)
        point, norm = nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6, 1e-3, 0.1)
        return nn.ModuleList([depth, point, norm]).double().train(training)

    fast, plain = made(), made()
    inputs = drawn(4, 3, 45)
    expected = F.elu(plain[2](plain[1](plain[0](inputs.transpose(0, 1).unsqueeze(2)))))
    expected = F.avg_pool2d(expected, (1, 8))
    got = separable(inputs, *fast, 8).transpose(0, 1).unsqueeze(2)  # type: ignore
    torch.testing.assert_close(got, expected, **EXACT)
    gradient = drawn(*expected.shape, seed=3)
    expected.backward(gradient)
    got.backward(gradient)
    for ours, reference in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, reference.grad, **EXACT)
    for ours, reference in zip(fast.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, reference, **EXACT)


def assert_gradients_agree(got, expected, wanted):
    """Both for one random gradient of what comes out."""
    gradient = drawn(*expected.shape, seed=3)
    ours = torch.autograd.grad(got, wanted, gradient)
    plain = torch.autograd.grad(expected, wanted, gradient)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("bias", [True, False])
def test_temporal_and_spatial_kernels_are_one_convolution(bias):
    torch.manual_seed(0)
    temporal = nn.Conv2d(1, 4, (1, 7), bias=bias).double()
    spatial = nn.Conv2d(4, 6, (5, 1), bias=bias).double()
    inputs = drawn(3, 1, 5, 40)
    parameters = [*temporal.parameters(), *spatial.parameters()]
    expected, got = spatial(temporal(inputs)), combined_convolution(inputs, temporal, spatial)
    torch.testing.assert_close(got, expected, **EXACT)
    assert_gradients_agree(got, expected, parameters)


def in_channels_last(*shape, seed=0):
    return drawn(*shape, seed=seed).to(memory_format=torch.channels_last)


@settings(max_examples=40, deadline=None)
@given(
    taps=st.integers(LONGEST + 1, 60),
    more=st.integers(0, 20),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
    seed=st.integers(0, 1000),
)
def test_a_long_kernels_gradient_is_the_sum_over_all_windows(taps, more, sizes, seed):
    batch, channels, out = sizes
    inputs = in_channels_last(batch, channels, 1, taps + more, seed=seed)
    gradient = in_channels_last(batch, out, 1, more + 1, seed=seed + 1)
    windows = inputs.squeeze(2).unfold(2, taps, 1)  # (batch, channels, outputs, taps)
    expected = torch.einsum("bot,bctk->ock", gradient.squeeze(2), windows)
    found = kernel_gradient(gradient, inputs, taps).squeeze(2)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("taps", [LONGEST, LONGEST + 1, 40])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_long_convolution_is_the_librarys_with_its_gradients(taps, with_bias):
    inputs = in_channels_last(3, 4, 1, 50).requires_grad_()
    kernel = drawn(5, 4, 1, taps, seed=1).requires_grad_()
    bias = drawn(5, seed=2).requires_grad_() if with_bias else None
    wanted = [inputs, kernel, bias] if with_bias else [inputs, kernel]
    expected, found = (each(inputs, kernel, bias) for each in (F.conv2d, long_convolution))
    torch.testing.assert_close(found, expected, **EXACT)
    assert_gradients_agree(found, expected, wanted)


def test_a_long_convolution_takes_the_format_of_an_autocast():
    inputs = in_channels_last(4, 6, 1, 80).float()
    kernel = drawn(7, 6, 1, 25, seed=1).float().requires_grad_()
    bias = drawn(7, seed=2).float().requires_grad_()
    found = []
    for convolution in (F.conv2d, long_convolution):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = convolution(inputs, kernel, bias)
        assert outputs.dtype == torch.bfloat16
        gradients = torch.autograd.grad(outputs, (kernel, bias), torch.ones_like(outputs))
        assert {each.dtype for each in gradients} == {torch.float32}
        found.append((outputs.detach(), *gradients))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=2e-2, atol=2e-2 * float(plain.abs().max()))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("smallest_scale", [0.2, -0.5])
def test_the_largest_before_norm_and_elu_is_the_largest_behind_them(training, smallest_scale):
    maps = (drawn(4, 5, 1, 20, seed=3) * 2 + 1).requires_grad_()
    plain, fast = (nn.BatchNorm2d(5).double().train(training) for _ in range(2))
    for norm in (plain, fast):
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(smallest_scale, 1.5, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
            norm.running_mean.copy_(torch.linspace(-0.3, 0.3, 5))
    expected = F.max_pool2d(F.elu(plain(maps)), (1, 3))
    got = norm_elu_max(maps, fast, 3)
    torch.testing.assert_close(got, expected, **EXACT)
    above = drawn(*expected.shape, seed=4)
    for result, norm in ((expected, plain), (got, fast)):
        wanted = [maps, norm.weight, norm.bias]
        norm.found = torch.autograd.grad((result * above).sum(), wanted)
    for one, other in zip(plain.found, fast.found, strict=True):
        torch.testing.assert_close(other, one, **EXACT)
    torch.testing.assert_close(fast.running_mean, plain.running_mean, **EXACT)
    torch.testing.assert_close(fast.running_var, plain.running_var, **EXACT)
    assert fast.num_batches_tracked == plain.num_batches_tracked


def test_equal_samples_share_nothing_the_first_takes_it_all():
    maps = torch.zeros(2, 1, 1, 6, dtype=torch.float64, requires_grad=True)
    norm = nn.BatchNorm2d(1).double()
    grown = norm_elu_max(maps + 0, norm, 3)
    of_plain = F.max_pool2d(F.elu(nn.BatchNorm2d(1).double()(maps)), (1, 3))
    above = drawn(*grown.shape, seed=5)
    (got,) = torch.autograd.grad((grown * above).sum(), maps)
    (expected,) = torch.autograd.grad((of_plain * above).sum(), maps)
    torch.testing.assert_close(got, expected, **EXACT)


@pytest.mark.parametrize("share", [0.25, 0.3, 0.5])
def test_dropped_values_are_as_many_as_asked_for_wherever_they_lie(share):
    torch.manual_seed(1)
    maps = torch.ones(8, 50, 1, 101).to(memory_format=torch.channels_last)
    got = dropped(maps, share)
    assert got.stride() == maps.stride()
    kept = (got != 0).float()
    torch.testing.assert_close(got[got != 0].unique(), torch.tensor([1 / (1 - share)]),
                               rtol=1e-4, atol=0)  # fmt: skip
    assert abs(float(kept.mean()) - (1 - share)) < 0.01  # five deviations of 40,400 draws
    for axis in (0, 1, 3):  # in no row more than elsewhere, nor together with a neighbour
        others = tuple(other for other in range(4) if other != axis)
        assert (kept.mean(others) - (1 - share)).abs().max() < 0.12
        moved = kept.roll(1, axis)
        together = float((kept * moved).mean())
        assert abs(together - (1 - share) ** 2) < 0.02
    torch.manual_seed(1)
    assert torch.equal(dropped(maps, share), got)
    assert torch.equal(dropped(maps, 0.0), maps)
    assert not dropped(maps, 1.0).any()
    spaced = torch.ones(4, 6)[:, ::2]
    assert dropped(spaced, share).shape == (4, 3)


def test_the_fast_form_is_taken_only_where_it_was_asked_for():
    assert not in_fast_form()
    with using_form("fast"):
        assert in_fast_form()
        with using_form("plain"):
            assert not in_fast_form()
    assert not in_fast_form()
