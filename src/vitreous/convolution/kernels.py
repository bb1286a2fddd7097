"""Kernels that people wrote by hand, before networks learned theirs.

They are meant for `cross_correlate`, as the layers of networks compute: `sobel-x` answers with
positive values where a picture gets brighter to the right. Picture kernels are (rows, columns)
with x to the right and y down; signal kernels are (samples,), and all have odd lengths, so that
the output stays in step with the input.

`KERNELS` is the table of names, `kernel(name)` makes one, and the functions take parameters.
`python -m vitreous.convolution` prints the table as a page, docs/reference/kernels.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vitreous.errors import RequestError, unknown_name

BANDS_HZ = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
"""Rhythms of the EEG, in Hz, with their usual limits; for the terms see Kane et al., "A revised
glossary of terms most commonly used by clinical electroencephalographers", Clin. Neurophysiol.
Pract. 2, 2017. Delta starts here at 0.5 Hz, above slow drift, and gamma, which has no agreed end,
stops at 45 Hz, below the mains at 50 or 60 Hz."""

HAMMING_WIDTH = 3.6
"""Transition width of a Hamming-windowed sinc, in units of sampling rate / length."""


def box_blur(size: int = 3) -> np.ndarray:
    """The mean of size x size pixels; `size` odd.

    >>> float(box_blur(5).sum())
    1.0
    """
    _check_odd("size", size)
    return np.full((size, size), 1 / size**2)


def gaussian_blur(sigma_pixels: float = 1.0) -> np.ndarray:
    """A weighted mean, with weights of a Gaussian out to three standard deviations."""
    weights = _gaussian(*_offsets(3 * sigma_pixels), sigma_pixels)
    return weights / weights.sum()


def identity() -> np.ndarray:
    """One in the middle: the picture as it is."""
    return np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])


def sharpen() -> np.ndarray:
    """The picture less its Laplacian: edges are made steeper, even areas stay."""
    return identity() - laplacian(4)


def emboss() -> np.ndarray:
    """A difference along the diagonal, added to the picture: light from the bottom right."""
    return np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


def sobel(axis: Literal["x", "y"]) -> np.ndarray:
    """Brightness difference along an axis, smoothed 1-2-1 across it.

    I. Sobel and G. Feldman, "A 3x3 isotropic gradient operator for image processing", 1968.
    One grey level a pixel gives 8.

    >>> sobel("x").tolist()
    [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    """
    return _gradient((1, 2, 1), axis)


def scharr(axis: Literal["x", "y"]) -> np.ndarray:
    """As Sobel, with weights 3-10-3 that answer more evenly to all directions of an edge.

    H. Scharr, "Optimal operators in digital image processing", thesis, Heidelberg 2000.
    One grey level a pixel gives 32.
    """
    return _gradient((3, 10, 3), axis)


def prewitt(axis: Literal["x", "y"]) -> np.ndarray:
    """As Sobel, with equal weights.

    J. M. S. Prewitt, "Object enhancement and extraction", 1970. One grey level a pixel gives 6.
    """
    return _gradient((1, 1, 1), axis)


def laplacian(neighbours: Literal[4, 8] = 4) -> np.ndarray:
    """Sum of the neighbours less the pixel as often: curvature, in all directions at once.

    >>> laplacian(4).tolist()
    [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    """
    if neighbours == 4:
        return np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    if neighbours == 8:
        return np.array([[1.0, 1, 1], [1, -8, 1], [1, 1, 1]])
    raise RequestError(f"laplacian with {neighbours} neighbours: choose 4 or 8")


def laplacian_of_gaussian(sigma_pixels: float = 1.4) -> np.ndarray:
    """The Laplacian of a Gaussian: curvature of the smoothed picture; even areas give 0.

    D. Marr and E. Hildreth, "Theory of edge detection", Proc. R. Soc. Lond. B 207, 1980.
    """
    y, x = _offsets(4 * sigma_pixels)
    variance = sigma_pixels**2
    envelope = _gaussian(y, x, sigma_pixels) / (2 * math.pi * variance)
    weights = (x**2 + y**2 - 2 * variance) / variance**2 * envelope
    return weights - weights.mean()  # cut off and sampled it is not quite without a mean


def gabor(
    orientation_deg: float,
    wavelength_pixels: float = 8.0,
    aspect: float = 0.5,
    phase_deg: float = 0.0,
) -> np.ndarray:
    """A wave under a Gaussian: stripes of one width and direction; sizes of weights add to 1.

    J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and
    orientation optimized by two-dimensional visual cortical filters", JOSA A 2, 1985. The wave
    runs along `orientation_deg` (0: to the right, so that it answers to upright stripes; 90:
    downwards). The Gaussian's standard deviation is 0.56 wavelengths along the wave, a bandwidth
    of one octave, and 1 / `aspect` times that along the stripes. Even areas give 0.
    """
    sigma = 0.56 * wavelength_pixels
    y, x = _offsets(2 * sigma / aspect)
    angle = math.radians(orientation_deg)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    envelope = _gaussian(across * aspect, along, sigma)
    wave = np.cos(2 * math.pi * along / wavelength_pixels + math.radians(phase_deg))
    weights = envelope * (wave - (envelope * wave).sum() / envelope.sum())
    return weights / np.abs(weights).sum()


def gabor_bank(
    orientations: int = 4, wavelengths_pixels: Sequence[float] = (4.0, 8.0)
) -> dict[tuple[float, float], np.ndarray]:
    """Gabor kernels by (orientation in degrees, wavelength in pixels), evenly over 180 degrees.

    >>> [angle for angle, wavelength in gabor_bank(4, [8.0])]
    [0.0, 45.0, 90.0, 135.0]
    """
    angles = [180 * step / orientations for step in range(orientations)]
    return {
        (angle, wavelength): gabor(angle, wavelength)
        for wavelength in wavelengths_pixels
        for angle in angles
    }


def moving_average(samples: int = 5) -> np.ndarray:
    """The mean of `samples` neighbouring samples; an odd number."""
    _check_odd("samples", samples)
    return np.full(samples, 1 / samples)


def difference() -> np.ndarray:
    """Half the difference between the next and the last sample: the slope, a sample."""
    return np.array([-0.5, 0.0, 0.5])


def band_pass(
    low_hz: float, high_hz: float, sampling_rate_hz: float, transition_hz: float | None = None
) -> np.ndarray:
    """Keeps what swings between two frequencies: a windowed sinc, without shift in time.

    The difference of two low-passes, each an ideal one under a Hamming window (Oppenheim &
    Schafer, "Discrete-time signal processing", on FIR design by windowing). `low_hz` to
    `high_hz` passes with a gain of 1 within 1 %; what lies more than `transition_hz` outside is
    damped to a hundredth or less (40 dB), and a constant offset to nothing. By default the
    transition is as wide as `low_hz`, at most 2 Hz; a narrower one makes the kernel longer:
    3.6 * sampling rate / transition samples.

    Raises `RequestError` where the sampling rate is too low for the band.

    >>> len(band_pass(8, 13, sampling_rate_hz=250))
    451
    """
    if not 0 < low_hz < high_hz:
        raise RequestError(f"band {low_hz:g} to {high_hz:g} Hz: give 0 < low < high")
    transition = min(2.0, low_hz) if transition_hz is None else transition_hz
    _check_sampling_rate(sampling_rate_hz, low_hz, high_hz, transition)
    half = math.ceil(HAMMING_WIDTH * sampling_rate_hz / transition / 2)
    # an ideal low-pass falls at its edge, a windowed one around it: half a transition outside
    upper = _low_pass(half, (high_hz + transition / 2) / sampling_rate_hz)
    lower = _low_pass(half, (low_hz - transition / 2) / sampling_rate_hz)
    return upper - lower


def frequency_response(
    kernel: ArrayLike, frequencies_hz: ArrayLike, sampling_rate_hz: float
) -> np.ndarray:
    """How much of each frequency a signal kernel leaves: gain, float64 (frequencies,).

    >>> frequency_response([0.5, 0.5], [0, 50], sampling_rate_hz=100).round(6).tolist()
    [1.0, 0.0]
    """
    kernel, frequencies = np.asarray(kernel, float), np.asarray(frequencies_hz, float)
    turns = np.outer(frequencies / sampling_rate_hz, np.arange(len(kernel)))
    return np.abs(np.exp(2j * math.pi * turns) @ kernel)


@dataclass(frozen=True)
class ClassicKernel:
    """A row of the table: what a named kernel is for, and the function that makes it."""

    kind: Literal["picture", "signal"]
    description: str
    source: str
    make: Callable[..., np.ndarray]  # takes sampling_rate_hz where `needs_sampling_rate`
    needs_sampling_rate: bool = False


def _edges(name: str, make: Callable, weights: str, source: str) -> dict[str, ClassicKernel]:
    text = "above 0 where it gets brighter {}; smoothed {} along the edge"
    return {
        f"{name}-x": ClassicKernel(
            "picture", text.format("to the right", weights), source, partial(make, "x")
        ),
        f"{name}-y": ClassicKernel(
            "picture", text.format("downwards", weights), source, partial(make, "y")
        ),
    }


def _gabors() -> dict[str, ClassicKernel]:
    return {
        f"gabor-{angle:g}deg-{wavelength:g}px": ClassicKernel(
            "picture",
            f"stripes {wavelength:g} pixels apart, one after the other at {angle:g} degrees",
            "Daugman 1985",
            partial(gabor, angle, wavelength),
        )
        for wavelength in (4.0, 8.0)
        for angle in (0.0, 45.0, 90.0, 135.0)
    }


def _bands() -> dict[str, ClassicKernel]:
    return {
        name: ClassicKernel(
            "signal",
            f"band-pass {low:g} to {high:g} Hz (EEG {name} rhythm), Hamming-windowed sinc, "
            f"transitions {min(2.0, low):g} Hz",
            "Kane et al. 2017; Oppenheim & Schafer",
            partial(band_pass, low, high),
            needs_sampling_rate=True,
        )
        for name, (low, high) in BANDS_HZ.items()
    }


def _picture(description: str, source: str, make: Callable) -> ClassicKernel:
    return ClassicKernel("picture", description, source, make)


KERNELS: dict[str, ClassicKernel] = {
    "identity": _picture("the picture as it is", "by definition", identity),
    "box-blur": _picture("mean of 3 x 3 pixels", "by definition", box_blur),
    "gaussian-blur": _picture(
        "mean weighted by a Gaussian, sigma 1 pixel", "by definition", gaussian_blur
    ),
    "sharpen": _picture("steeper edges: the picture less its Laplacian", "traditional", sharpen),
    "emboss": _picture("relief lit from the bottom right", "traditional", emboss),
    **_edges("sobel", sobel, "1-2-1", "Sobel & Feldman 1968"),
    **_edges("scharr", scharr, "3-10-3", "Scharr 2000"),
    **_edges("prewitt", prewitt, "1-1-1", "Prewitt 1970"),
    "laplacian-4": _picture("curvature from 4 neighbours", "by definition", partial(laplacian, 4)),
    "laplacian-8": _picture("curvature from 8 neighbours", "by definition", partial(laplacian, 8)),
    "laplacian-of-gaussian": _picture(
        "curvature of the smoothed picture, sigma 1.4 pixels: spots and edges",
        "Marr & Hildreth 1980",
        laplacian_of_gaussian,
    ),
    **_gabors(),
    "moving-average": ClassicKernel(
        "signal", "mean of 5 neighbouring samples", "by definition", moving_average
    ),
    "difference": ClassicKernel(
        "signal", "slope: half of next less last sample", "by definition", difference
    ),
    **_bands(),
}


def kernel(name: str, *, sampling_rate_hz: float | None = None) -> np.ndarray:
    """The kernel of that name: float64 (rows, columns) for pictures, (samples,) for signals.

    Raises `RequestError` for an unknown name (it lists the known ones), and where the kernel
    needs a sampling rate that is missing or too low.

    >>> kernel("sobel-y").tolist()
    [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
    """
    if name not in KERNELS:
        raise unknown_name("kernel", name, KERNELS)
    entry = KERNELS[name]
    if not entry.needs_sampling_rate:
        return entry.make()
    if sampling_rate_hz is None:
        raise RequestError(f"kernel '{name}' is made for a sampling rate; give it in Hz")
    return entry.make(sampling_rate_hz=sampling_rate_hz)


def _gradient(weights: tuple[int, int, int], axis: str) -> np.ndarray:
    if axis not in ("x", "y"):
        raise unknown_name("axis", axis, ["x", "y"])
    along_x = np.outer(weights, [-1.0, 0.0, 1.0])
    return along_x if axis == "x" else along_x.T


def _offsets(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column distances from the middle pixel, out to `radius`."""
    if not 0 < radius < math.inf:
        raise RequestError(f"a kernel of radius {radius:g} pixels: sizes must be above 0")
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    return y, x


def _gaussian(y: np.ndarray, x: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-(x**2 + y**2) / (2 * sigma**2))


def _low_pass(half: int, cutoff: float) -> np.ndarray:
    """2 * half + 1 samples of a Hamming-windowed sinc of sum 1; `cutoff` in cycles a sample."""
    weights = np.sinc(2 * cutoff * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    return weights / weights.sum()


def _check_odd(what: str, number: int) -> None:
    if number < 1 or number % 2 == 0:
        raise RequestError(f"{what} {number}: give an odd number, so that there is a middle")


def _check_sampling_rate(rate: float, low: float, high: float, transition: float) -> None:
    if not 0 < transition <= 2 * low:
        raise RequestError(
            f"transition {transition:g} Hz: give more than 0 and at most {2 * low:g} Hz"
        )
    lowest = 2 * (high + transition)
    if not (math.isfinite(rate) and rate >= lowest):
        raise RequestError(
            f"a band of {low:g} to {high:g} Hz needs a sampling rate of at least "
            f"{lowest:g} Hz; this one is {rate:g} Hz"
        )
