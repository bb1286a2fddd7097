"""What a network for EEG listens to: its temporal kernels in Hz, its spatial ones on the head.

A temporal kernel is a finite impulse response filter; its frequency response says which rhythm it
lets through, in Hz. A spatial filter says how electrodes are weighted, which is *not* where the
signal comes from: it also cancels noise. Where it comes from is the pattern, the covariance between
electrodes and the filter's output (S. Haufe et al., "On the interpretation of weight vectors of
linear models in multivariate neuroimaging", NeuroImage 87, 2014). Both are given, side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from vitreous.errors import RequestError
from vitreous.networks.features.convnets import TemporalSpatial
from vitreous.networks.features.eeg import FilterBank

BANDS: Mapping[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 100.0),
}
"""Usual bands of EEG in Hz; what the data does not hold is left out."""

STEPS = 512  # of a frequency response, from 0 Hz to half the sampling rate


def held(
    bands: Mapping[str, tuple[float, float]], kept_hz: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    """The bands within what the data holds; those that lie wholly outside are left out.

    >>> held({"theta": (4, 8), "beta": (13, 30), "gamma": (30, 100)}, (8, 45))
    {'beta': (13, 30), 'gamma': (30, 45)}
    """
    least, most = kept_hz
    within = {name: (max(low, least), min(high, most)) for name, (low, high) in bands.items()}
    return {name: (low, high) for name, (low, high) in within.items() if low < high}


@dataclass(frozen=True)
class KernelSpectrum:
    """The frequency response of one temporal kernel.

    What it does to frequencies that the data does not hold says nothing: peak and shares are told
    within `kept_hz`, the whole response stands in `gain`.
    """

    layer: str
    kernel: int
    taps: np.ndarray  # float64 (k,)
    frequencies_hz: np.ndarray  # (STEPS + 1,)
    gain: np.ndarray  # (STEPS + 1,): the size of the response, not in decibels
    kept_hz: tuple[float, float]  # what the data holds, from 0 to half the sampling rate

    @property
    def peak_hz(self) -> float:
        """Where the gain is largest."""
        return float(self.frequencies_hz[np.where(self._kept, self.gain, -1.0).argmax()])

    def shares(self, bands: Mapping[str, tuple[float, float]] = BANDS) -> dict[str, float]:
        """The share of the squared gain that lies in each band (white noise would show it so)."""
        power = np.where(self._kept, self.gain**2, 0.0)
        total = power.sum()
        return {
            name: float(power[(self.frequencies_hz >= low) & (self.frequencies_hz < high)].sum())
            / total
            for name, (low, high) in held(bands, self.kept_hz).items()
            if total > 0
        }

    @property
    def _kept(self) -> np.ndarray:
        low, high = self.kept_hz
        return (self.frequencies_hz >= low) & (self.frequencies_hz <= high)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layer": self.layer,
            "kernel": self.kernel,
            "taps": self.taps.tolist(),
            "frequencies_hz": self.frequencies_hz.tolist(),
            "gain": self.gain.tolist(),
            "kept_hz": list(self.kept_hz),
            "peak_hz": self.peak_hz,
            "shares": self.shares(),
        }


@dataclass(frozen=True)
class SpatialFilter:
    """One weighting of electrodes, in the band of its temporal kernel, and its pattern."""

    layer: str
    map: int
    taps: np.ndarray  # float64 (k,): the kernel in time that goes with it
    weights: np.ndarray  # float64 (electrodes,): the filter
    pattern: np.ndarray | None  # float64 (electrodes,): where its signal shows; None without data
    share: float = (
        1.0  # of a kernel over time and electrodes that one filter and one time course say
    )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layer": self.layer,
            "map": self.map,
            "taps": self.taps.tolist(),
            "weights": self.weights.tolist(),
            "pattern": None if self.pattern is None else self.pattern.tolist(),
            "share": self.share,
        }


def kernel_spectra(
    network: nn.Module, sampling_rate_hz: float, kept_hz: tuple[float, float] | None = None
) -> list[KernelSpectrum]:
    """The frequency response of every temporal kernel of the first layer.

    `kept_hz` is the band that the data was filtered to; without it, all up to half the rate.
    Raises `RequestError` for a network that has no such layer.
    """
    layer, module = _first_layer(network)
    kernels = module.temporal.weight.detach().double().cpu().numpy()[:, 0, 0]
    return [
        _spectrum(f"{layer}.temporal", number, taps, sampling_rate_hz, kept_hz)
        for number, taps in enumerate(kernels)
    ]


def spatial_filters(network: nn.Module, trials: np.ndarray | None = None) -> list[SpatialFilter]:
    """Every spatial filter, and with `trials` (n, electrodes, time) its pattern.

    The trials are scaled as the network sees them; give those it was trained on. Where a network
    mixes temporal kernels (ShallowConvNet, Deep4), a map's kernel over time and electrodes is given
    by the product of one time course and one weighting that says most of it, and how much that is.
    Raises `RequestError` for a network that has no such layer.
    """
    layer, module = _first_layer(network)
    temporal = module.temporal.weight.detach().double().cpu().numpy()[:, 0, 0]
    spatial = (
        module.spatial.weight.detach().double().cpu().numpy()[..., 0]
    )  # (maps, in, electrodes)
    if isinstance(module, FilterBank):
        per_kernel = len(spatial) // len(temporal)
        found = [
            (temporal[number // per_kernel], weights[0], 1.0)
            for number, weights in enumerate(spatial)
        ]
    else:
        found = [_one_product(weights, temporal) for weights in spatial]
    patterns = [None] * len(found) if trials is None else _patterns(found, trials)
    return [
        SpatialFilter(f"{layer}.spatial", number, taps, weights, pattern, share)
        for number, ((taps, weights, share), pattern) in enumerate(
            zip(found, patterns, strict=True)
        )
    ]


def in_recorded_signals(
    filters: Sequence[SpatialFilter], matrix: np.ndarray
) -> list[SpatialFilter]:
    """The filters as weights of the signals as they were recorded, without patterns.

    `matrix` (electrodes, electrodes) is what made the network's inputs of those signals: one over
    each channel's deviation on its diagonal, times an alignment where there is one.
    """
    return [replace(each, weights=each.weights @ matrix, pattern=None) for each in filters]


def with_patterns(filters: Sequence[SpatialFilter], trials: np.ndarray) -> list[SpatialFilter]:
    """The filters with their patterns in trials (n, electrodes, time) that they are weights of."""
    found = [(each.taps, each.weights, each.share) for each in filters]
    patterns = _patterns(found, trials)
    return [replace(each, pattern=own) for each, own in zip(filters, patterns, strict=True)]


def spectrum_of(
    each: SpatialFilter, sampling_rate_hz: float, kept_hz: tuple[float, float] | None = None
) -> KernelSpectrum:
    """The frequency response of the kernel in time that goes with a spatial filter."""
    return _spectrum(each.layer, each.map, each.taps, sampling_rate_hz, kept_hz)


def power_separation(
    filters: Sequence[SpatialFilter], trials: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """How far each map's log power tells the classes apart: the share of its variance, (maps,).

    Between trials (n, electrodes, time), by their `classes` (n,): the variance of class means over
    the whole variance, eta squared. It says which maps are worth looking at, not what the network
    does with them.
    """
    found = []
    for each in filters:
        outputs = np.einsum("c,nct->nt", each.weights, trials)
        passed = np.stack([np.convolve(row, each.taps[::-1], "valid") for row in outputs])
        power = np.log(np.maximum(passed.var(axis=1), np.finfo(float).tiny))
        means = np.array([power[classes == label].mean() for label in classes])
        found.append(float(means.var() / max(power.var(), np.finfo(float).tiny)))
    return np.array(found)


def band_covariance(trials: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Covariance (electrodes, electrodes) of trials (n, electrodes, time) behind a kernel."""
    total = np.zeros((trials.shape[1],) * 2)
    length = trials.shape[2] - len(taps) + 1
    size = trials.shape[2]
    response = np.fft.rfft(taps[::-1], size)
    for trial in trials:
        passed = np.fft.irfft(
            np.fft.rfft(trial.astype(np.float64), axis=1) * response, size, axis=1
        )
        passed = passed[:, len(taps) - 1 :]  # where the whole kernel met the trial
        passed = passed - passed.mean(axis=1, keepdims=True)
        total += passed @ passed.T
    return total / max(1, len(trials) * length)


def _patterns(
    found: Sequence[tuple[np.ndarray, np.ndarray, float]], trials: np.ndarray
) -> list[np.ndarray]:
    """Haufe's pattern of each filter by itself: C w / (w' C w).

    The formula for several filters at once takes for granted that they extract different sources;
    two filters of one kernel often extract the same one, and would then share it out at random.
    """
    covariances: dict[bytes, np.ndarray] = {}
    patterns = []
    for taps, weights, _ in found:
        key = taps.tobytes()
        if key not in covariances:
            covariances[key] = band_covariance(trials, taps)
        mixed = covariances[key] @ weights
        patterns.append(mixed / max(float(weights @ mixed), np.finfo(float).tiny))
    return patterns


def _one_product(weights: np.ndarray, temporal: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The time course and weighting whose product is nearest to the sum over temporal kernels."""
    whole = weights.T @ temporal  # (electrodes, taps)
    left, sizes, right = np.linalg.svd(whole, full_matrices=False)
    share = float(sizes[0] ** 2 / max((sizes**2).sum(), np.finfo(float).tiny))
    return right[0] * sizes[0], left[:, 0], share


def _spectrum(
    layer: str,
    number: int,
    taps: np.ndarray,
    rate_hz: float,
    kept_hz: tuple[float, float] | None,
) -> KernelSpectrum:
    gain = np.abs(np.fft.rfft(taps, 2 * STEPS))
    frequencies = np.linspace(0, rate_hz / 2, STEPS + 1)
    return KernelSpectrum(layer, number, taps, frequencies, gain, kept_hz or (0.0, rate_hz / 2))


def _first_layer(network: nn.Module) -> tuple[str, FilterBank | TemporalSpatial]:
    for name, module in network.named_modules():
        if isinstance(module, FilterBank | TemporalSpatial):
            return name, module
    raise RequestError(
        f"{type(network).__name__}: has no layer of temporal and spatial kernels that is known; "
        "train eegnet, shallowconvnet, deep4, basenet or atcnet"
    )
