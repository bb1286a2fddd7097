import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitreous.data.transforms import (
    Scaling,
    fit_scaling,
    letterbox,
    letterbox_geometry,
    match_channels,
    to_network_input,
)
from vitreous.errors import RequestError

sides = st.integers(1, 3000)
sizes = st.tuples(sides, sides)
targets = st.tuples(st.integers(1, 300), st.integers(1, 300))


@given(sizes, targets)
def test_letterbox_holds_the_whole_picture_and_keeps_its_aspect(original, target):
    geometry = letterbox_geometry(original, target)
    assert 0 <= geometry.left <= target[1] - geometry.width
    assert 0 <= geometry.top <= target[0] - geometry.height
    assert geometry.height == target[0] or geometry.width == target[1]
    exact = min(target[0] / original[0], target[1] / original[1])
    assert abs(geometry.height - max(1, original[0] * exact)) <= 0.5 + 1e-9
    assert abs(geometry.width - max(1, original[1] * exact)) <= 0.5 + 1e-9
    # in the middle: the two bars differ by at most a pixel
    assert 0 <= target[1] - geometry.width - 2 * geometry.left <= 1
    assert 0 <= target[0] - geometry.height - 2 * geometry.top <= 1


@given(sizes, targets, st.floats(0, 1), st.floats(0, 1))
def test_coordinates_go_into_the_letterbox_and_back(original, target, across, down):
    geometry = letterbox_geometry(original, target)
    x, y = across * original[1], down * original[0]
    inside = geometry.to_letterbox(x, y)
    assert geometry.left - 1e-6 <= inside[0] <= geometry.left + geometry.width + 1e-6
    assert geometry.top - 1e-6 <= inside[1] <= geometry.top + geometry.height + 1e-6
    assert geometry.to_original(*inside) == pytest.approx((x, y), abs=1e-6 * max(original))


@pytest.mark.parametrize("place", [(20, 30), (70, 120), (45, 10)])
def test_a_dot_lands_where_the_geometry_says(place):
    pixels = np.zeros((90, 160, 3), np.uint8)
    row, column = place
    pixels[row - 2 : row + 3, column - 2 : column + 3] = 255
    boxed = letterbox(pixels, (64, 64)).astype(float).sum(axis=2)
    rows, columns = np.mgrid[:64, :64] + 0.5
    centre = ((columns * boxed).sum() / boxed.sum(), (rows * boxed).sum() / boxed.sum())
    expected = letterbox_geometry((90, 160), (64, 64)).to_letterbox(column + 0.5, row + 0.5)
    assert centre == pytest.approx(expected, abs=0.3)


def test_bars_take_the_colour_of_the_border_or_the_one_asked_for():
    pixels = np.full((10, 40, 3), (10, 200, 30), np.uint8)
    pixels[4:6, 10:30] = 255
    boxed = letterbox(pixels, (32, 32))
    assert (boxed[:11] == (10, 200, 30)).all()
    assert (letterbox(pixels, (32, 32), fill=7)[:11] == 7).all()


def test_letterbox_equals_pillow_where_nothing_is_padded():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((40, 30), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(letterbox(pixels, (30, 40)), expected)
    assert letterbox(pixels, (60, 80)) is pixels
    assert letterbox(pixels[:, :, :1], (30, 30)).shape == (30, 30, 1)


def test_fine_stripes_become_grey_not_moire():
    pixels = np.zeros((256, 256, 1), np.uint8)
    pixels[:, ::2] = 255
    small = letterbox(pixels, (60, 60))[3:-3, 3:-3].astype(float)
    assert abs(small.mean() - 127.5) < 2
    assert small.std() < 8


def test_channels_are_matched():
    colour = np.zeros((2, 2, 3), np.uint8)
    colour[:] = (200, 100, 50)
    grey = match_channels(colour, 1)
    assert grey.shape == (2, 2, 1)
    assert grey[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert match_channels(grey, 3).shape == (2, 2, 3)
    assert match_channels(colour, 3) is colour


def test_scaling_is_the_mean_and_deviation_of_the_given_rows_only():
    pixels = np.random.default_rng(1).integers(0, 256, (50, 3, 9, 7), dtype=np.uint8)
    pixels[40:] = 255
    scaling = fit_scaling(pixels, [*range(40)])
    share = pixels[:40].astype(np.float64) / 255
    np.testing.assert_allclose(scaling.mean, share.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(scaling.std, share.std(axis=(0, 2, 3)))


def test_scaling_of_a_constant_channel_and_of_nothing():
    assert fit_scaling(np.full((3, 1, 4, 4), 255, np.uint8), [0, 1]).std == (1 / 255,)
    with pytest.raises(RequestError, match="no training pictures"):
        fit_scaling(np.zeros((3, 1, 4, 4), np.uint8), [])


def test_scaling_of_many_rows_reads_an_even_spread():
    pixels = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 2)
    assert fit_scaling(pixels, range(200), at_most=21).mean[0] * 255 == pytest.approx(99.5, abs=1)


def test_network_input_is_scaled_channel_by_channel():
    batch = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    scaling = Scaling((0.1, 0.5, 0.9), (0.2, 0.3, 0.4))
    values = to_network_input(batch, scaling)
    assert values.dtype == torch.float32
    for channel in range(3):
        exact = (batch[:, channel].double() / 255 - scaling.mean[channel]) / scaling.std[channel]
        torch.testing.assert_close(values[:, channel].double(), exact, atol=1e-6, rtol=1e-6)


def test_network_input_is_resized_but_never_distorted():
    batch = torch.randint(0, 256, (2, 1, 32, 64), dtype=torch.uint8)
    scaling = Scaling((0.5,), (0.5,))
    assert to_network_input(batch, scaling, (16, 32)).shape == (2, 1, 16, 32)
    flat = torch.full((1, 1, 32, 64), 255, dtype=torch.uint8)
    torch.testing.assert_close(to_network_input(flat, scaling, (16, 32)), torch.ones(1, 1, 16, 32))
    with pytest.raises(RequestError, match="distorted"):
        to_network_input(batch, scaling, (32, 32))
    with pytest.raises(RequestError, match="1 channels"):
        to_network_input(batch, Scaling((0, 0, 0), (1, 1, 1)))
