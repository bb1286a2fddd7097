"""Kernels as pictures: the value can be read back from the pixel, on one symmetric scale."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.colours import (
    NEGATIVE,
    POSITIVE,
    around_grey,
    sequential_pixels,
    signed_pixels,
    symmetric_limit,
)
from vitreous.insight.filters import (
    Filters,
    colour_pictures,
    filter_pictures,
    first_filters,
    grid,
    signed_pictures,
    strongest_planes,
    write_filters,
)

RANDOM = np.random.default_rng(0)


def filters_of(*shape: int) -> Filters:
    return Filters("stem.0", RANDOM.normal(size=shape).astype(np.float32))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0.1, 5))
def test_signed_values_can_be_read_back(values, limit):
    pixels = signed_pixels(np.array(values), limit)
    for value, (*colour, opacity) in zip(values, pixels.tolist(), strict=True):
        assert tuple(colour) == (NEGATIVE if value < 0 else POSITIVE)
        expected = min(1.0, abs(value) / limit)
        assert opacity / 255 == pytest.approx(expected, abs=0.5 / 255 + 1e-9)


def test_opposite_values_weigh_the_same_and_zero_is_the_page():
    pixels = signed_pixels(np.array([-0.3, 0.3, 0.0]), 1.0)
    assert pixels[0, 3] == pixels[1, 3] > 0
    assert pixels[2, 3] == 0


def test_all_zero_and_not_finite_values_are_drawn():
    assert signed_pixels(np.zeros((2, 2)), 0.0)[..., 3].max() == 0
    values = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert symmetric_limit(values) == 1.0
    assert signed_pixels(values, 1.0)[:, 3].tolist() == [0, 255, 255, 255]
    assert symmetric_limit(np.array([np.nan])) == 0.0


def test_the_sequential_scale_is_viridis_within_a_shade_or_two():
    values = np.linspace(0, 1, 101)
    expected = colormaps["viridis"](values)[:, :3] * 255
    assert np.abs(sequential_pixels(values, 1.0) - expected).max() < 9


def test_lightness_grows_along_the_sequential_scale():
    red, green, blue = sequential_pixels(np.linspace(0, 1, 64), 1.0).T / 255
    lightness = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    assert (np.diff(lightness) > 0).all()


def test_colours_stand_around_grey():
    weights = RANDOM.normal(size=(4, 3, 5, 5))
    pixels = around_grey(weights, 2.0).astype(float)
    expected = 127.5 + 127.5 * np.clip(weights / 2.0, -1, 1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pixels, expected, atol=0.5)


def test_colour_needs_three_channels_and_says_so():
    assert colour_pictures(filters_of(8, 3, 7, 7)).shape == (8, 7, 7, 3)
    with pytest.raises(RequestError, match=r"stem\.0: reads 4 channels; colour needs 3"):
        colour_pictures(filters_of(8, 4, 7, 7))


@pytest.mark.parametrize(("channels", "depth"), [(1, 4), (3, 3), (6, 4)])
def test_one_picture_a_kernel(channels, depth):
    filters = filters_of(5, channels, 3, 4)
    pictures = filter_pictures(filters)
    assert pictures.shape == (5, 3, 4, depth)
    if depth == 4:
        for index, plane in enumerate(strongest_planes(filters.weights)):
            np.testing.assert_array_equal(pictures[index], signed_pictures(filters)[index, plane])


def test_the_strongest_plane_has_the_largest_norm():
    weights = RANDOM.normal(size=(6, 4, 3, 3))
    for kernel, plane in zip(weights, strongest_planes(weights), strict=True):
        norms = [np.linalg.norm(one) for one in kernel]
        assert norms[plane] == max(norms)


def test_all_kernels_share_one_scale():
    filters = filters_of(6, 1, 5, 5)
    opacity = signed_pictures(filters)[..., 3] / 255
    expected = np.abs(filters.weights) / np.abs(filters.weights).max()
    np.testing.assert_allclose(opacity, expected, atol=0.51 / 255)


def test_the_first_convolution_is_found_in_the_order_it_was_built():
    network = nn.Sequential(nn.Identity(), nn.Sequential(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 2, 3)))
    found = first_filters(network)
    assert found.layer == "1.0"
    np.testing.assert_array_equal(found.weights, network[1][0].weight.detach().numpy())
    with pytest.raises(RequestError, match="no convolution to show"):
        first_filters(nn.Linear(2, 2))
    in_space = first_filters(nn.Conv3d(1, 2, (3, 2, 2)))
    assert (in_space.slices, in_space.weights.shape) == (3, (2, 1, 2, 8))


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2))
def test_every_picture_has_its_place_in_the_grid(amount, columns, gap):
    pictures = np.arange(1, amount + 1, dtype=np.uint8)[:, None, None, None]
    sheet = grid(pictures.repeat(2, 1).repeat(3, 2), columns, gap)
    for index in range(amount):
        top, left = index // columns * (2 + gap), index % columns * (3 + gap)
        assert (sheet[top : top + 2, left : left + 3] == index + 1).all()
    assert np.count_nonzero(sheet) == amount * 6


def test_the_picture_file_holds_the_grid(tmp_path):
    filters = filters_of(4, 3, 5, 5)
    write_filters(tmp_path / "filters.png", filters, magnify=3)
    with Image.open(io.BytesIO((tmp_path / "filters.png").read_bytes())) as image:
        written = np.array(image)
    assert written.shape == (2 * 15 + 3, 2 * 15 + 3, 3)
    np.testing.assert_array_equal(written[:15:3, :15:3], colour_pictures(filters)[0])
