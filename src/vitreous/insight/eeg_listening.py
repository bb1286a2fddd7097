"""What decoders of EEG listen to: kernels in Hz, maps on the head, what each part is worth.

Gathered from the weights (`eeg_filters`) and from answers without bands and channels
(`eeg_ablation`), as a report shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from vitreous.insight.eeg_ablation import Ablation, Alarm
from vitreous.insight.eeg_filters import (
    BANDS,
    KernelSpectrum,
    SpatialFilter,
    held,
    in_recorded_signals,
    power_separation,
    spatial_filters,
    spectrum_of,
    with_patterns,
)

HEADS = 4  # maps of a network that are shown
MOST_TRIALS = 200  # training trials that patterns are computed from


@dataclass(frozen=True)
class Head:
    """One map of a decoder's first layer: what it passes, its weights, where its signal shows."""

    title: str
    spectrum: KernelSpectrum
    filter: SpatialFilter  # weights of the signals as recorded, with its pattern
    separation: float  # the share of its power's variance that lies between the classes


@dataclass(frozen=True)
class BandShare:
    """How much of the kernels' response lies in a band."""

    band: str
    low_hz: float
    high_hz: float
    share: float  # of the squared gain, mean of all kernels
    flat: float  # what a kernel that passes all alike would have


@dataclass(frozen=True)
class Listening:
    """What one decoder, or those of a study, listen to. Parts that cannot be had are empty."""

    whose: str  # "this network", "25 networks"
    kept_hz: tuple[float, float]  # what the data holds
    channels: tuple[str, ...]
    positions_m: np.ndarray | None  # (channels, 3)
    spectra: tuple[KernelSpectrum, ...]
    heads: tuple[Head, ...]
    ablations: tuple[Ablation, ...] = ()
    alarm: Alarm | None = None
    tested: int = 0  # trials that were answered with and without each part


def heads_of(
    network: nn.Module,
    trials: np.ndarray,
    classes: np.ndarray,
    matrix: np.ndarray,
    sampling_rate_hz: float,
    *,
    kept_hz: tuple[float, float] | None = None,
    most: int = HEADS,
    title: str = "",
) -> list[Head]:
    """The maps of the first layer whose power tells the classes apart best, best first.

    `trials` (n, channels, time) are training trials as recorded, `classes` (n,) their numbers,
    `matrix` (channels, channels) what makes the network's inputs of them, `kept_hz` the band that
    they were filtered to.
    Raises `RequestError` for a network without a layer of temporal and spatial kernels.
    """
    some = np.linspace(0, len(trials) - 1, min(MOST_TRIALS, len(trials))).round().astype(int)
    trials, classes = trials[some].astype(np.float64), classes[some]
    trials -= trials.mean(axis=2, keepdims=True)  # an amplifier's offset is no signal
    filters = in_recorded_signals(spatial_filters(network), matrix)
    separation = power_separation(filters, trials, classes)
    best = np.argsort(-separation, kind="stable")[:most]
    return [
        Head(
            f"{title}map {each.map}",
            spectrum_of(each, sampling_rate_hz, kept_hz),
            each,
            float(separation[each.map]),
        )
        for each in with_patterns([filters[int(row)] for row in best], trials)
    ]


def band_shares(
    spectra: Sequence[KernelSpectrum], bands: Mapping[str, tuple[float, float]] = BANDS
) -> list[BandShare]:
    """How much of the kernels' response lies in each band; empty without kernels.

    Bands are told within what the data holds; those outside are left out.
    """
    if not spectra:
        return []
    least, most = spectra[0].kept_hz
    each = [spectrum.shares(bands) for spectrum in spectra]
    return [
        BandShare(
            name,
            low,
            high,
            float(np.mean([shares.get(name, 0.0) for shares in each])),
            (high - low) / (most - least),
        )
        for name, (low, high) in held(bands, spectra[0].kept_hz).items()
    ]
