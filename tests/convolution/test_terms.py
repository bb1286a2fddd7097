import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.arithmetic import Window, receptive_cells
from vitreous.convolution.reference import cross_correlate
from vitreous.convolution.terms import (
    Difference,
    convolution_terms,
    linear_terms,
    transposed_convolution_terms,
)
from vitreous.errors import RequestError

CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@st.composite
def torch_layers(draw, transposed: bool = False):
    """A float32 layer as networks have them, and an input it fits."""
    space, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(space))

    kernel, dilation, stride = per_axis(1, 3), per_axis(1, 2), per_axis(1, 3)
    padding = tuple(
        draw(st.integers(0, d * (k - 1) // 2)) for k, d in zip(kernel, dilation, strict=True)
    )
    settings_of_layer = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if transposed:
        settings_of_layer["output_padding"] = tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        )
    else:
        modes = ["zeros", "reflect", "replicate", "circular"]
        settings_of_layer["padding_mode"] = draw(st.sampled_from(modes))
    torch.manual_seed(draw(st.integers(0, 10**6)))
    classes = TRANSPOSED if transposed else CONVOLUTION
    ins, outs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 2))
    layer = classes[space - 1](ins, outs, **settings_of_layer)
    sizes = [
        d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilation, strict=True)
    ]
    return layer.eval(), torch.randn(ins, *sizes)


def call_of(layer: nn.Module) -> dict:
    names = ["stride", "padding", "dilation", "groups"]
    names += ["output_padding"] if isinstance(layer, TRANSPOSED) else ["padding_mode"]
    return {name: getattr(layer, name) for name in names}


def parameters(layer: nn.Module):
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    return layer.weight.detach().numpy(), bias


def check_consistency(terms, inputs: np.ndarray) -> None:
    """The window holds what lies at the sources, and the parts add up to the total."""
    known = terms.has_source
    for channel, values in zip(terms.channels, terms.window, strict=True):
        for tap in np.ndindex(*known.shape):
            source = tuple(terms.sources[tap])
            expected = inputs[(channel, *source)] if known[tap] else 0.0
            assert values[tap] == expected
    assert terms.total == pytest.approx(
        sum(terms.channel_sums) + (terms.bias or 0), rel=1e-12, abs=1e-12
    )


@settings(max_examples=150, deadline=None)
@given(torch_layers(), st.data())
def test_convolution_in_a_float32_network(layer_and_input, data):
    layer, inputs = layer_and_input
    with torch.inference_mode():
        computed = layer(inputs[None])[0].numpy()
    cell = tuple(data.draw(st.integers(0, n - 1)) for n in computed.shape)
    terms = convolution_terms(inputs.numpy(), *parameters(layer), cell=cell, **call_of(layer))
    assert terms.difference(computed[cell]).within
    check_consistency(terms, inputs.numpy())
    oracle = cross_correlate(inputs.numpy(), *parameters(layer), **call_of(layer))
    assert terms.total == pytest.approx(oracle[cell], rel=1e-12, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(torch_layers(transposed=True), st.data())
def test_transposed_convolution_in_a_float32_network(layer_and_input, data):
    layer, inputs = layer_and_input
    with torch.inference_mode():
        computed = layer(inputs[None])[0].numpy()
    cell = tuple(data.draw(st.integers(0, n - 1)) for n in computed.shape)
    terms = transposed_convolution_terms(
        inputs.numpy(), *parameters(layer), cell=cell, **call_of(layer)
    )
    assert terms.difference(computed[cell]).within
    check_consistency(terms, inputs.numpy())


@settings(max_examples=80, deadline=None)
@given(torch_layers(), st.data())
def test_sources_are_the_cells_that_the_arithmetic_names(layer_and_input, data):
    layer, inputs = layer_and_input
    with torch.inference_mode():
        shape = layer(inputs[None])[0].shape
    cell = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    chosen = {**call_of(layer), "padding_mode": "zeros"}
    terms = convolution_terms(inputs.numpy(), *parameters(layer), cell=cell, **chosen)
    for axis, place in enumerate(cell[1:]):
        pad = layer.padding[axis]
        window = Window(
            layer.kernel_size[axis], layer.stride[axis], (pad, pad), layer.dilation[axis]
        )
        found = np.unique(terms.positions[..., axis])
        assert found.tolist() == receptive_cells([window], place).tolist()
        if terms.has_source.any():
            found = np.unique(terms.sources[terms.has_source][:, axis])
            size = inputs.shape[1 + axis]
            assert found.tolist() == receptive_cells([window], place, size).tolist()


def test_same_padding_with_stride_and_each_side_of_its_own():
    draw = np.random.default_rng(3)
    inputs, weights = draw.normal(size=(2, 7, 8)), draw.normal(size=(3, 2, 3, 4))
    for padding in ("same", "valid", [(2, 0), (0, 3)]):
        expected = cross_correlate(inputs, weights, stride=2, padding=padding)
        for cell in np.ndindex(*expected.shape):
            terms = convolution_terms(inputs, weights, cell=cell, stride=2, padding=padding)
            assert terms.total == pytest.approx(expected[cell], abs=1e-12)


def test_padding_is_marked_and_its_source_named():
    """A mirrored cell is in the padding and has a source; a zero has none."""
    inputs, weights = [[5.0, 6, 7]], [[[1, 1, 1]]]
    mirrored = convolution_terms(inputs, weights, cell=(0, 0), padding=1, padding_mode="reflect")
    assert mirrored.positions[:, 0].tolist() == [-1, 0, 1]
    assert mirrored.sources[:, 0].tolist() == [1, 0, 1]
    assert mirrored.in_padding.tolist() == [True, False, False]
    assert mirrored.window.tolist() == [[6, 5, 6]]
    zeros = convolution_terms(inputs, weights, cell=(0, 2), padding=1)
    assert zeros.sources[:, 0].tolist() == [1, 2, -1]
    assert zeros.window.tolist() == [[6, 7, 0]]


def test_groups_read_their_own_channels():
    inputs, weights = np.arange(8.0).reshape(4, 2), np.ones((2, 2, 1))
    terms = convolution_terms(inputs, weights, cell=(1, 1), groups=2)
    assert terms.channels.tolist() == [2, 3]
    assert terms.channel_sums.tolist() == [5, 7]
    assert terms.total == 12


def test_linear_in_a_float32_network():
    torch.manual_seed(0)
    layer, inputs = nn.Linear(300, 7), torch.randn(300)
    computed = layer(inputs).detach().numpy()
    for cell in range(7):
        terms = linear_terms(inputs.numpy(), *parameters(layer), cell=cell)
        assert terms.difference(computed[cell]).within
        assert terms.products.shape == terms.channel_sums.shape == (300,)
        assert terms.largest(1).largest[0].source == ()


def test_a_wrong_value_is_outside_the_tolerance():
    """One product of 576 that is off by a hundredth of the average product shows."""
    torch.manual_seed(0)
    layer, inputs = nn.Conv2d(64, 1, 3), torch.randn(64, 3, 3)
    terms = convolution_terms(inputs.numpy(), *parameters(layer), cell=(0, 0, 0))
    computed = layer(inputs[None]).item()
    assert terms.difference(computed).within
    assert not terms.difference(computed + 1.8e-5 * terms.magnitude).within
    assert not terms.difference(math.nan).within
    assert Difference(math.inf, math.inf, 0.0).within


def test_large_sums_are_shown_by_their_largest_products():
    draw = np.random.default_rng(4)
    inputs, weights = draw.normal(size=(5, 9)), draw.normal(size=(2, 5, 3))
    terms = convolution_terms(inputs, weights, [1.0, 2.0], cell=(1, 4))
    short = terms.largest(4)
    sizes = sorted(np.abs(terms.products).ravel(), reverse=True)
    assert [abs(term.product) for term in short.largest] == sizes[:4]
    for term in short.largest:
        assert term.value == inputs[(term.channel, *term.source)]
    assert short.rest_count == 11
    assert sum(t.product for t in short.largest) + short.rest + short.bias == pytest.approx(
        short.total
    )
    assert (terms.largest(99).rest, terms.largest(99).rest_count) == (0, 0)


def test_json_says_all_of_it_also_where_a_network_broke():
    inputs = [[1.0, math.nan, math.inf]]
    terms = convolution_terms(inputs, [[[1, 1, 1]]], [0.5], cell=(0, 1), padding=1)
    written = json.loads(json.dumps(terms.to_json(), allow_nan=False))
    assert written["window"] == [[1.0, "nan", "inf"]]
    assert written["total"] == "nan"
    assert written["sources"] == [[0], [1], [2]]
    assert (written["cell"], written["bias"]) == ([0, 1], 0.5)
    json.dumps(terms.difference(math.nan).to_json(), allow_nan=False)
    json.dumps(terms.largest(2).to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convolution_terms([[1.0, 2]], [[[1]]], cell=(0, 2)),
            r"cell \(0, 2\) is not in an output of 1 x 2; it has cells \(0, 0\) to \(0, 1\)",
        ),
        (lambda: convolution_terms([[1.0, 2]], [[[1]]], cell=(0,)), "is not in an output"),
        (lambda: convolution_terms([[1.0, 2]], [[[1]]], cell=(0, -1)), "is not in an output"),
        (lambda: convolution_terms([[[1.0, 2]]], [[[1]]], cell=(0, 0)), "terms are of one sample"),
        (lambda: linear_terms([1.0, 2], [[1.0]], cell=0), r"inputs \(2,\) do not fit"),
        (
            lambda: transposed_convolution_terms([[1.0]], [[[1]]], cell=(0, 1)),
            "is not in an output of 1 x 1",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(RequestError, match=message):
        call()
