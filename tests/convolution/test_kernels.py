import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vitreous.convolution import cross_correlate
from vitreous.convolution.kernels import (
    BANDS_HZ,
    KERNELS,
    band_pass,
    box_blur,
    difference,
    frequency_response,
    gabor,
    gabor_bank,
    gaussian_blur,
    kernel,
    laplacian,
    laplacian_of_gaussian,
    moving_average,
    prewitt,
    scharr,
    sobel,
)
from vitreous.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
PICTURE = np.random.default_rng(1).normal(size=(24, 31))


def applied(weights: np.ndarray, picture: np.ndarray = PICTURE) -> np.ndarray:
    return cross_correlate(picture[None], weights[None, None])[0]


def inner(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows, columns = (n // 2 for n in weights.shape)
    return picture[rows : len(picture) - rows, columns : picture.shape[1] - columns]


@pytest.mark.parametrize("name", KERNELS)
def test_every_name_makes_a_kernel_of_its_kind_and_of_odd_size(name):
    weights = kernel(name, sampling_rate_hz=250)
    assert weights.ndim == {"picture": 2, "signal": 1}[KERNELS[name].kind]
    assert all(size % 2 == 1 for size in weights.shape)
    assert weights.dtype == np.float64
    assert KERNELS[name].description
    assert KERNELS[name].source


@pytest.mark.parametrize(
    ("name", "on_even_area"),
    [("identity", 1), ("box-blur", 1), ("gaussian-blur", 1), ("sharpen", 1), ("emboss", 1)]
    + [(f"{edge}-{axis}", 0) for edge in ("sobel", "scharr", "prewitt") for axis in "xy"]
    + [("laplacian-4", 0), ("laplacian-8", 0), ("laplacian-of-gaussian", 0)]
    + [(name, 0) for name in KERNELS if name.startswith("gabor")]
    + [("moving-average", 1), ("difference", 0)]
    + [(name, 0) for name in BANDS_HZ],
)
def test_answer_to_an_even_area(name, on_even_area):
    assert kernel(name, sampling_rate_hz=250).sum() == pytest.approx(on_even_area, abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (sobel("x"), lambda p: scipy.ndimage.sobel(p, axis=1)),
        (sobel("y"), lambda p: scipy.ndimage.sobel(p, axis=0)),
        (prewitt("x"), lambda p: scipy.ndimage.prewitt(p, axis=1)),
        (prewitt("y"), lambda p: scipy.ndimage.prewitt(p, axis=0)),
        (laplacian(4), scipy.ndimage.laplace),
        (box_blur(5), lambda p: scipy.ndimage.uniform_filter(p, 5)),
        (gaussian_blur(1.5), lambda p: scipy.ndimage.gaussian_filter(p, 1.5, radius=5)),
    ],
)
def test_equals_the_filter_of_scipy(ours, theirs):
    np.testing.assert_allclose(applied(ours), inner(theirs(PICTURE), ours), atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "gain"),
    [(sobel, 8), (scharr, 32), (prewitt, 6)],
    ids=["sobel", "scharr", "prewitt"],
)
def test_slope_of_one_grey_level_a_pixel(weights, gain):
    rows, columns = np.mgrid[:9, :9].astype(float)
    assert np.unique(applied(weights("x"), columns)).tolist() == [gain]
    assert np.unique(applied(weights("y"), rows)).tolist() == [gain]
    assert np.unique(applied(weights("x"), rows)).tolist() == [0]


def test_scharr_answers_more_evenly_to_all_directions_than_sobel():
    def error_of_angle(edge) -> float:
        errors = []
        for degrees in range(5, 90, 5):
            angle = np.radians(degrees)
            y, x = np.mgrid[-4:5, -4:5]
            wave = np.sin(0.8 * (x * np.cos(angle) + y * np.sin(angle)))
            across = [applied(edge(axis), wave)[3, 3] for axis in "xy"]
            errors.append(abs(np.degrees(np.arctan2(across[1], across[0])) - degrees))
        return max(errors)

    assert error_of_angle(scharr) < error_of_angle(sobel) / 2


def test_laplacians_measure_curvature():
    rows, columns = np.mgrid[:40, :40].astype(float)
    bowl = rows**2 + columns**2  # its Laplacian is 4 everywhere
    assert np.unique(applied(laplacian(4), bowl)).tolist() == [4]
    assert np.unique(applied(laplacian(8), bowl)).tolist() == [12]
    smooth = applied(laplacian_of_gaussian(1.4), bowl)
    np.testing.assert_allclose(smooth, 4, rtol=0.03)
    smoothed = scipy.ndimage.gaussian_laplace(PICTURE, 1.4)
    ours = laplacian_of_gaussian(1.4)
    np.testing.assert_allclose(applied(ours), inner(smoothed, ours), atol=0.02)


@pytest.mark.parametrize("wavelength", [4.0, 8.0])
@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 135.0])
def test_gabor_answers_most_to_stripes_of_its_own_direction_and_width(angle, wavelength):
    def strongest(degrees: float, pixels: float) -> float:
        y, x = np.mgrid[:64, :64]
        turn = np.radians(degrees)
        stripes = np.cos(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / pixels)
        weights = gabor(angle, wavelength)
        return (
            torch.nn.functional.conv2d(
                torch.from_numpy(stripes)[None, None], torch.from_numpy(weights)[None, None]
            )
            .max()
            .item()
        )

    own = strongest(angle, wavelength)
    assert own > 0.5
    for other_angle in {0.0, 45.0, 90.0, 135.0} - {angle}:
        assert strongest(other_angle, wavelength) < own / 10
    for other in (wavelength / 2, wavelength * 2):
        assert strongest(angle, other) < own / 2


def test_gabor_bank_has_all_orientations_of_all_wavelengths():
    bank = gabor_bank(6, (4.0, 10.0))
    assert sorted({angle for angle, _ in bank}) == [0, 30, 60, 90, 120, 150]
    assert len(bank) == 12
    np.testing.assert_array_equal(bank[30.0, 10.0], gabor(30, 10))


@pytest.mark.parametrize("rate", [128.0, 160.0, 250.0, 1000.0])
@pytest.mark.parametrize("band", BANDS_HZ)
def test_bands_pass_and_stop(band, rate):
    """Gain by scipy's freqz: 1 within 1 % inside, below -45 dB a transition outside, 0 at 0 Hz."""
    low, high = BANDS_HZ[band]
    transition = min(low, 2.0)
    weights = kernel(band, sampling_rate_hz=rate)
    frequencies = np.arange(0, rate / 2, 0.02)
    _, response = scipy.signal.freqz(weights, worN=frequencies, fs=rate)
    gain = np.abs(response)
    inside = (frequencies >= low) & (frequencies <= high)
    below, above = frequencies <= low - transition, frequencies >= high + transition
    assert np.abs(gain[inside] - 1).max() < 0.01
    assert 20 * np.log10(gain[below | above].max()) < -45
    assert gain[0] < 1e-12
    np.testing.assert_array_equal(weights, weights[::-1])  # no shift in time


@settings(max_examples=60, deadline=None)
@example(1.0, 0.75, 0.75, 1.0)  # narrow, and up to the highest frequency there is
@given(st.floats(1, 20), st.floats(0.5, 30), st.floats(0.5, 1), st.floats(1, 8))
def test_any_band_passes_and_stops(low, width, share_of_low, oversampled):
    high, transition = low + width, low * share_of_low
    rate = 2 * (high + transition) * oversampled
    weights = band_pass(low, high, rate, transition)
    inside = frequency_response(weights, np.linspace(low, high, 50), rate)
    outside = [np.linspace(0, low - transition, 50), np.linspace(high + transition, rate / 2, 50)]
    assert np.abs(inside - 1).max() < 0.01
    assert frequency_response(weights, np.concatenate(outside), rate).max() < 0.01


def test_frequency_response_equals_freqz():
    weights = np.random.default_rng(0).normal(size=17)
    frequencies = np.linspace(0, 50, 23)
    _, expected = scipy.signal.freqz(weights, worN=frequencies, fs=100)
    found = frequency_response(weights, frequencies, 100)
    np.testing.assert_allclose(found, np.abs(expected), atol=1e-12)


def test_difference_and_mean_of_a_ramp():
    ramp = np.arange(9.0)[None]
    assert cross_correlate(ramp, difference()[None, None]).tolist() == [[1.0] * 7]
    assert cross_correlate(ramp, moving_average(3)[None, None])[0] == pytest.approx(ramp[0, 1:-1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernel("sobelx"),
            "unknown kernel 'sobelx'; did you mean 'sobel-x'.* Known: alpha",
        ),
        (lambda: kernel("alpha"), "'alpha' is made for a sampling rate; give it in Hz"),
        (lambda: kernel("gamma", sampling_rate_hz=80), "at least 94 Hz; this one is 80 Hz"),
        (lambda: kernel("alpha", sampling_rate_hz=float("nan")), "this one is nan Hz"),
        (lambda: band_pass(13, 8, 250), "0 < low < high"),
        (lambda: band_pass(8, 13, 250, 17), "at most 16 Hz"),
        (lambda: box_blur(4), "size 4: give an odd number"),
        (lambda: moving_average(0), "samples 0: give an odd number"),
        (lambda: laplacian(6), "choose 4 or 8"),  # type: ignore
        (lambda: sobel("z"), "unknown axis 'z'"),  # type: ignore
        (lambda: gaussian_blur(0), "sizes must be above 0"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(RequestError, match=message):
        call()


def test_the_reference_page_is_up_to_date():
    command = [sys.executable, "-W", "error", "-m", "vitreous.convolution"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = ROOT / "docs" / "reference" / "kernels.md"
    assert page.read_text(encoding="utf-8") == printed, (
        f"run: python -m vitreous.convolution > {page.relative_to(ROOT)}"
    )


def test_importing_the_operation_needs_numpy_alone():
    check = (
        "import sys, vitreous.convolution; "
        "heavy = {'torch', 'scipy', 'matplotlib', 'PIL', 'typer', 'rich'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
