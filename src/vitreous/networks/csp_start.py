"""A filter bank that starts where classical decoders of movement end: at common spatial patterns.

With 64 electrodes and a few dozen trials a network that starts at random fits the training trials
by mixes of electrodes that mean nothing. Here its temporal kernels start as band-pass filters over
8 to 30 Hz and the spatial kernels of each as the common spatial patterns of the training trials in
that band: the mixes whose power differs most between the classes (H. Ramoser, J. Mueller-Gerking,
G. Pfurtscheller 2000; in bands: K. K. Ang et al. 2008, "Filter bank common spatial pattern"). All
of it is trained on from there; only training trials are looked at.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import linalg
from torch import nn

from vitreous.errors import RequestError
from vitreous.networks.features.eeg import FilterBank

CSP = "csp"
"""What `--weights` and a card call this start."""

BAND_HZ = (8.0, 30.0)
SHRUNK = 0.05  # of each covariance, towards equal power at all electrodes


def start_from_patterns(
    network: nn.Module,
    trials: NDArray[np.float32],
    targets: NDArray[np.int64],
    sampling_rate_hz: float,
) -> str:
    """Set the kernels of the network's filter bank; one sentence that says what was done.

    `trials` (n, electrodes, time) are training trials as the network sees them, `targets` (n,)
    their class numbers. Each kernel keeps the length it had by chance, which norms and optimiser
    are made for, within its limit. Raises `RequestError` for networks without a filter bank, and
    for rates that hold nothing of the band.
    """
    bank = next((each for each in network.modules() if isinstance(each, FilterBank)), None)
    if bank is None:
        raise RequestError(
            "--weights csp: is for networks with a bank of spatial filters (eegnet, basenet, "
            "atcnet); use one of these, or another start"
        )
    kernels = band_kernels(bank.temporal.out_channels, bank.temporal.kernel_size[1],
                           sampling_rate_hz)  # fmt: skip
    each = bank.spatial.out_channels // bank.temporal.out_channels
    classes = np.unique(targets)
    found = []
    for number, kernel in enumerate(kernels):
        covariances = class_covariances(trials, targets, classes, kernel)
        turn = [(number * each + place) % len(classes) for place in range(each)]
        found += [pattern_filter(covariances, one) for one in turn]
    _set(bank.temporal, torch.from_numpy(kernels))
    _set(bank.spatial, torch.from_numpy(np.stack(found)))
    return (
        f"temporal kernels start as band-pass filters, {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, "
        f"spatial kernels as the common spatial patterns of {len(trials)} training trials"
    )


def band_kernels(count: int, taps: int, sampling_rate_hz: float) -> NDArray[np.float64]:
    """Cosines of frequencies evenly within the band, under a Hann window: (count, taps).

    Half-power bandwidth 1.44 / length in seconds (F. Harris 1978): about 3 Hz for half a second.
    Raises `RequestError` where the sampling rate has not twice the band's lower frequency.
    """
    highest = min(BAND_HZ[1], 0.45 * sampling_rate_hz)
    if highest <= BAND_HZ[0]:
        raise RequestError(
            f"--weights csp: starts between {BAND_HZ[0]:g} and {BAND_HZ[1]:g} Hz, which trials at "
            f"{sampling_rate_hz:g} Hz do not hold; use another start"
        )
    margin = (highest - BAND_HZ[0]) / (2 * count)
    centres = np.linspace(BAND_HZ[0] + margin, highest - margin, count)
    seconds = (np.arange(taps) - (taps - 1) / 2) / sampling_rate_hz
    window = np.sin(np.pi * (np.arange(taps) + 0.5) / taps) ** 2
    kernels = window * np.cos(2 * np.pi * centres[:, None] * seconds)
    return kernels - window * (kernels.sum(1, keepdims=True) / window.sum())  # nothing constant


def class_covariances(
    trials: NDArray[np.float32],
    targets: NDArray[np.int64],
    classes: NDArray[np.int64],
    kernel: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean covariance of each class's trials behind a temporal kernel: (classes, e, e), shrunk."""
    count, electrodes, time = trials.shape
    signals = torch.from_numpy(np.ascontiguousarray(trials)).view(-1, 1, time)
    weights = torch.from_numpy(kernel).to(signals.dtype).view(1, 1, -1)
    filtered = F.conv1d(signals, weights).view(count, electrodes, -1).double().numpy()
    found = []
    for one in classes:
        here = filtered[targets == one]
        covariance = np.einsum("net,nft->ef", here, here) / (here.shape[0] * here.shape[2])
        power = np.trace(covariance) / electrodes
        found.append((1 - SHRUNK) * covariance + SHRUNK * power * np.eye(electrodes))
    return np.stack(found)


def pattern_filter(covariances: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    """The mix of electrodes in which class `one` has most power, as a share of all classes'."""
    _, vectors = linalg.eigh(covariances[one], covariances.sum(0))
    largest = vectors[:, -1]
    return largest / np.linalg.norm(largest)


@torch.no_grad()
def _set(layer: nn.Conv2d, kernels: torch.Tensor) -> None:
    """Kernels (out, n) in place of the layer's, each of the length of the one that was there."""
    lengths = layer.weight.flatten(1).norm(dim=1)
    limit = getattr(layer, "largest_norm", None)
    if limit is not None:
        lengths = lengths.clamp(max=float(limit))
    kernels = kernels.to(layer.weight)
    kernels = kernels * (lengths / kernels.norm(dim=1))[:, None]
    layer.weight.copy_(kernels.view_as(layer.weight))
