"""What single operations read along one axis, against the gradients of torch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.insight.axis_fields import (
    joined,
    padding_reads,
    pooling_reads,
    resize_reads,
    start_field,
    through_selection,
)

SIZES = st.integers(2, 17)


def gradient_reads(operation, cells):
    """The cells with a gradient, for each output cell; (cells,) -> (outputs,)."""
    matrix = torch.autograd.functional.jacobian(
        lambda x: operation(x[None, None])[0, 0], torch.rand(cells, dtype=torch.float64)
    )
    return [row.nonzero()[:, 0].tolist() for row in matrix]


def listed(reads):
    return [cells.tolist() for cells in reads]


@settings(deadline=None)
@given(SIZES, st.integers(1, 20))
def test_adaptive_pooling(cells, outputs):
    expected = gradient_reads(lambda x: F.adaptive_avg_pool1d(x, outputs), cells)
    assert listed(pooling_reads(cells, outputs)) == expected


@settings(deadline=None)
@given(SIZES, st.integers(1, 30))
def test_nearest_interpolation_to_a_size(cells, outputs):
    expected = gradient_reads(lambda x: F.interpolate(x, size=outputs), cells)
    assert listed(resize_reads(cells, outputs, 1, False)) == expected


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 3.0])
def test_nearest_interpolation_by_a_factor(scale):
    for cells in range(2, 14):
        expected = gradient_reads(lambda x: F.interpolate(x, scale_factor=scale), cells)
        assert listed(resize_reads(cells, len(expected), 1, False, scale)) == expected


@settings(deadline=None)
@given(SIZES, st.integers(2, 30), st.booleans())
def test_linear_interpolation(cells, outputs, corners):
    """The first and last cell; rounding may leave a weight of 1e-17 where it should be zero."""
    matrix = torch.autograd.functional.jacobian(
        lambda x: F.interpolate(x[None, None], outputs, mode="linear", align_corners=corners)[0, 0],
        torch.rand(cells, dtype=torch.float64),
    )
    expected = [(row.abs() > 1e-9).nonzero()[:, 0].tolist() for row in matrix]
    assert listed(resize_reads(cells, outputs, 2, corners)) == expected


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("amounts", [(0, 2), (3, 1), (4, 4)])
def test_padding(mode, amounts):
    expected = gradient_reads(lambda x: F.pad(x, amounts, mode=mode), 5)
    assert listed(padding_reads(5, *amounts, mode)) == expected


@settings(deadline=None)
@given(SIZES, st.integers(1, 20))
def test_the_closed_form_holds_every_window(cells, outputs):
    field = through_selection(start_field(2, cells), pooling_reads(cells, outputs))
    for cell, (first, last) in enumerate(zip(field.first, field.last, strict=True)):
        low = field.reach.start + cell * field.reach.jump
        assert low <= first <= last <= low + field.reach.size - 1


def test_maps_joined_along_space_keep_their_own_fields():
    field = joined([start_field(2, 3), start_field(2, 2)])
    assert field.first.tolist() == [0, 1, 2, 0, 1]
    assert [field.interval((0, 0, place)) for place in (2, 3)] == [(2, 2), (0, 0)]
