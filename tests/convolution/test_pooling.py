import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.pooling import (
    adaptive_average_pooling_terms,
    average_pooling_terms,
    max_pooling_terms,
)
from vitreous.errors import RequestError

MAXIMUM = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@st.composite
def poolings(draw):
    space = draw(st.integers(1, 3))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(space))

    kernel = per_axis(1, 4)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    chosen = {"stride": per_axis(1, 3), "padding": padding, "ceil_mode": draw(st.booleans())}
    torch.manual_seed(draw(st.integers(0, 10**6)))
    return torch.randn(2, *per_axis(4, 8)), kernel, chosen


def draw_cell(data, shape) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(0, n - 1)) for n in shape)


@settings(max_examples=150, deadline=None)
@given(poolings(), st.booleans(), st.sampled_from([1, 1, 2]), st.data())
def test_max_pooling_and_its_winner(pooling, ties, dilation, data):
    inputs, kernel, chosen = pooling
    inputs = inputs.round() if ties else inputs
    spans = [dilation * (k - 1) + 1 for k in kernel]
    assume(all(span <= n for span, n in zip(spans, inputs.shape[1:], strict=True)))
    layer = MAXIMUM[inputs.ndim - 2](kernel, dilation=dilation, return_indices=True, **chosen)
    computed, winners = (answer[0].numpy() for answer in layer(inputs[None]))
    cell = draw_cell(data, computed.shape)
    terms = max_pooling_terms(inputs, cell=cell, kernel=kernel, dilation=dilation, **chosen)
    assert terms.total == computed[cell]
    assert terms.difference(computed[cell]).within
    place = np.unravel_index(winners[cell], inputs.shape[1:])
    assert terms.winner == (cell[0], *place)
    assert inputs.numpy()[terms.winner] == terms.total


@settings(max_examples=200, deadline=None)
@given(poolings(), st.booleans(), st.sampled_from([None, None, 3]), st.data())
def test_average_pooling(pooling, count_include_pad, divisor, data):
    inputs, kernel, chosen = pooling
    rule = {"count_include_pad": count_include_pad}
    divide = {"divisor_override": divisor} if inputs.ndim > 2 else {}
    computed = AVERAGE[inputs.ndim - 2](kernel, **chosen, **rule, **divide)(inputs[None])[0]
    cell = draw_cell(data, computed.shape)
    terms = average_pooling_terms(
        inputs, cell=cell, kernel=kernel, divisor=divisor if divide else None, **chosen, **rule
    )
    assert terms.difference(computed[cell].item()).within
    assert terms.channels.tolist() == [cell[0]]
    for tap in np.argwhere(terms.has_source):
        source = (cell[0], *terms.sources[tuple(tap)])
        assert terms.window[(0, *tap)] == inputs.numpy()[source]


@settings(max_examples=60, deadline=None)
@given(poolings(), st.data())
def test_adaptive_average_pooling(pooling, data):
    inputs, kernel, _ = pooling
    computed = ADAPTIVE[inputs.ndim - 2](kernel)(inputs[None])[0]
    cell = draw_cell(data, computed.shape)
    terms = adaptive_average_pooling_terms(inputs, cell=cell, output_size=kernel)
    assert terms.difference(computed[cell].item()).within


def test_what_hangs_over_the_end_in_ceil_mode_is_not_counted():
    """Windows over cells 0-1, 2-3 and 4-(5): the last divides by one cell, not by two."""
    terms = average_pooling_terms([[1.0, 1, 1, 1, 6]], cell=(0, 2), kernel=2, ceil_mode=True)
    assert terms.total == 6
    assert terms.positions[:, 0].tolist() == [4]


def test_padding_never_wins_even_against_minus_infinity():
    terms = max_pooling_terms([[-math.inf, -math.inf]], cell=(0, 0), kernel=2, padding=1, stride=1)
    assert terms.winner == (0, 0)
    assert terms.in_padding.tolist() == [True, False]
    json.dumps(terms.to_json(), allow_nan=False)


def test_nan_wins():
    terms = max_pooling_terms([[1.0, math.nan, 3]], cell=(0, 0), kernel=3)
    assert terms.winner == (0, 1)
    assert math.isnan(terms.total)


def test_a_cell_that_is_not_there_is_an_error():
    with pytest.raises(RequestError, match="is not in an output of 1 x 2"):
        max_pooling_terms([[1.0, 2, 3, 4]], cell=(0, 2), kernel=2)
    with pytest.raises(RequestError, match="expected one sample"):
        max_pooling_terms([1.0, 2], cell=(0,), kernel=2)
