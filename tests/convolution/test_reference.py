import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.convolution.reference import convolve, cross_correlate, transposed_convolve
from vitreous.errors import RequestError

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
TORCH_MODES = {"zeros": "constant"}


def numbers(draw, *shape) -> np.ndarray:
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).normal(size=shape)


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@st.composite
def layers(draw, transposed: bool = False):
    space = draw(st.integers(1, 3))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(space))

    kernel, dilation = per_axis(1, 3), per_axis(1, 2)
    smallest = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = [n + draw(st.integers(0, 5)) for n in smallest]
    stride, groups = per_axis(1, 3), draw(st.integers(1, 2))
    ins, outs = draw(st.integers(1, 2)) * groups, draw(st.integers(1, 2)) * groups
    shape = (ins, outs // groups, *kernel) if transposed else (outs, ins // groups, *kernel)
    inputs = numbers(draw, 2, ins, *sizes)
    bias = numbers(draw, outs) if draw(st.booleans()) else None
    chosen = {"stride": stride, "dilation": dilation, "groups": groups}
    return inputs, numbers(draw, *shape), bias, chosen


@settings(max_examples=120, deadline=None)
@given(layers(), st.sampled_from(["zeros", "reflect", "replicate", "circular"]), st.data())
def test_equals_torch_with_padding_of_its_own_on_each_side(layer, mode, data):
    inputs, weights, bias, chosen = layer
    room = [n - 1 if mode == "reflect" else n for n in inputs.shape[2:]]
    pads = [tuple(data.draw(st.integers(0, min(most, 3))) for _ in "ba") for most in room]
    x, w = tensors(inputs, weights)
    flat = [side for pair in reversed(pads) for side in pair]
    padded = F.pad(x, flat, mode=TORCH_MODES.get(mode, mode))
    b = None if bias is None else torch.from_numpy(bias)
    expected = CONVOLUTIONS[x.ndim - 3](padded, w, b, **chosen)
    found = cross_correlate(inputs, weights, bias, padding=pads, padding_mode=mode, **chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    one = cross_correlate(inputs[1], weights, bias, padding=pads, padding_mode=mode, **chosen)
    np.testing.assert_array_equal(one, found[1])


@settings(max_examples=80, deadline=None)
@given(layers(transposed=True), st.data())
def test_transposed_equals_torch(layer, data):
    inputs, weights, bias, chosen = layer
    space = weights.ndim - 2
    axes = list(zip(chosen["stride"], chosen["dilation"], weights.shape[2:], strict=True))
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d, _ in axes)
    cut = tuple(data.draw(st.integers(0, d * (k - 1) // 2)) for _, d, k in axes)
    b = None if bias is None else torch.from_numpy(bias)
    expected = TRANSPOSED[space - 1](
        *tensors(inputs, weights), b, padding=cut, output_padding=extra, **chosen
    )
    found = transposed_convolve(inputs, weights, bias, padding=cut, output_padding=extra, **chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    one = transposed_convolve(inputs[0], weights, bias, padding=cut, output_padding=extra, **chosen)
    np.testing.assert_allclose(one, expected[0], rtol=1e-12, atol=1e-12)


def test_transposed_padding_may_differ_between_the_sides():
    draw = np.random.default_rng(2)
    inputs, weights = draw.normal(size=(2, 5, 4)), draw.normal(size=(2, 3, 3, 4))
    whole = transposed_convolve(inputs, weights, stride=2)
    cut = transposed_convolve(inputs, weights, stride=2, padding=[(2, 0), (0, 1)])
    np.testing.assert_array_equal(cut, whole[:, 2:, :-1])


@settings(max_examples=40, deadline=None)
@given(layers())
def test_true_convolution_turns_space_and_leaves_channels(layer):
    inputs, weights, bias, chosen = layer
    x, w = tensors(inputs, weights)
    b = None if bias is None else torch.from_numpy(bias)
    turned = w.flip(dims=list(range(2, w.ndim)))
    expected = CONVOLUTIONS[x.ndim - 3](x, turned, b, **chosen)
    found = convolve(inputs, weights, bias, **chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(layers())
def test_transposed_is_the_adjoint_of_the_convolution(layer):
    """<conv(x), y> = <x, transposed(y)>, with the output padding that gives x's size back."""
    inputs, weights, _, chosen = layer
    answer = cross_correlate(inputs, weights, **chosen)
    other = np.random.default_rng(0).normal(size=answer.shape)
    spans = [d * (k - 1) + 1 for k, d in zip(weights.shape[2:], chosen["dilation"], strict=True)]
    extra = [
        (n - span) % s for n, span, s in zip(inputs.shape[2:], spans, chosen["stride"], strict=True)
    ]
    back = transposed_convolve(other, weights, output_padding=extra, **chosen)
    assert back.shape == inputs.shape
    assert (answer * other).sum() == pytest.approx((inputs * back).sum(), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.sampled_from(["full", "valid"]), st.data())
def test_equals_scipy_signal(space, mode, data):
    kernel = [data.draw(st.integers(1, 3)) for _ in range(space)]
    sizes = [data.draw(st.integers(3, 7)) for _ in range(space)]
    signal, weights = numbers(data.draw, *sizes), numbers(data.draw, *kernel)
    padding = [k - 1 for k in kernel] if mode == "full" else "valid"
    for ours, theirs in (
        (cross_correlate, scipy.signal.correlate),
        (convolve, scipy.signal.convolve),
    ):
        found = ours(signal[None], weights[None, None], padding=padding)
        expected = theirs(signal, weights, mode=mode, method="direct")
        np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("zeros", "constant"), ("reflect", "mirror"), ("replicate", "nearest"), ("circular", "wrap")],
)
def test_equals_scipy_ndimage_at_the_borders(ours, theirs):
    draw = np.random.default_rng(5)
    picture, weights = draw.normal(size=(9, 11)), draw.normal(size=(5, 3))
    found = cross_correlate(picture[None], weights[None, None], padding="same", padding_mode=ours)
    expected = scipy.ndimage.correlate(picture, weights, mode=theirs)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)
    turned = convolve(picture[None], weights[None, None], padding="same", padding_mode=ours)
    expected = scipy.ndimage.convolve(picture, weights, mode=theirs)
    np.testing.assert_allclose(turned[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 1), (2, 3), (5, 2), (6, 1)])
def test_same_equals_that_of_torch_without_stride(kernel, dilation):
    draw = np.random.default_rng(6)
    signal, weights = draw.normal(size=(1, 1, 12)), draw.normal(size=(1, 1, kernel))
    expected = F.conv1d(*tensors(signal, weights), padding="same", dilation=dilation)
    found = cross_correlate(signal, weights, padding="same", dilation=dilation)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_same_with_stride_is_that_of_tensorflow():
    """The documented example: 4 cells after 2 steps need one cell of padding, at the end."""
    found = cross_correlate([[1.0, 2, 3, 4]], [[[1, 10, 100]]], padding="same", stride=2)
    np.testing.assert_array_equal(found, [[1 + 20 + 300, 3 + 40]])
    for size in range(1, 12):
        cells = cross_correlate(np.ones((1, size)), np.ones((1, 1, 3)), padding="same", stride=3)
        assert cells.shape[-1] == -(-size // 3)


def test_by_hand():
    """Every product written out: a 2 x 2 kernel over a 3 x 3 picture, and a bias."""
    picture = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]
    weights = [[[[1, -1], [2, 0.5]]]]
    expected = [
        [1 - 2 + 2 * 4 + 0.5 * 5 + 10, 2 - 3 + 2 * 5 + 0.5 * 6 + 10],
        [4 - 5 + 2 * 7 + 0.5 * 8 + 10, 5 - 6 + 2 * 8 + 0.5 * 9 + 10],
    ]
    np.testing.assert_array_equal(cross_correlate(picture, weights, [10.0])[0], expected)


SIGNAL, WEIGHTS = np.ones((2, 8)), np.ones((4, 2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cross_correlate(np.ones(8), WEIGHTS), r"inputs \(8,\) do not fit weights"),
        (lambda: cross_correlate(SIGNAL, np.ones((4, 2))), "1, 2 or 3 kernel axes"),
        (lambda: cross_correlate(np.ones((3, 8)), WEIGHTS), "read 2 channels, the inputs have 3"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, groups=3), "groups=3 does not divide"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, [1.0]), "one number for 4 output channels"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, stride=0), "stride .* at least 1"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, stride=(1, 1)), "for each of 1"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, padding="sane"), "did you mean 'same'"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, padding=[(1, -1)]), "0 cells or more"),
        (lambda: cross_correlate(SIGNAL, WEIGHTS, dilation=4), "kernel over 9 cells"),
        (
            lambda: cross_correlate(SIGNAL, WEIGHTS, padding=8, padding_mode="reflect"),
            "pad at most 7",
        ),
        (
            lambda: cross_correlate(SIGNAL, WEIGHTS, padding=1, padding_mode="mirror"),  # type: ignore
            "unknown padding mode 'mirror'",
        ),
        (lambda: transposed_convolve(SIGNAL, WEIGHTS), "read 4 channels, the inputs have 2"),
        (
            lambda: transposed_convolve(SIGNAL, np.ones((2, 1, 3)), stride=2, output_padding=2),
            "output_padding 2 must be smaller",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(call, message):
    with pytest.raises(RequestError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
