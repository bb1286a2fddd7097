"""From a decoded picture to what a network takes: letterbox, channels, scaling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2 import functional as torchvision_functional

from vitreous.data.letterbox import (
    LetterboxGeometry,
    letterbox,
    letterbox_geometry,
    match_channels,
)
from vitreous.errors import RequestError

__all__ = [
    "LUMA",
    "LetterboxGeometry",
    "Scaling",
    "TrialScaling",
    "fit_scaling",
    "fit_trial_scaling",
    "letterbox",
    "letterbox_geometry",
    "match_channels",
    "to_network_input",
]

LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601, as JPEG and Pillow weigh them


@dataclass(frozen=True)
class Scaling:
    """What makes pixels fit for a network: (pixel / 255 - mean) / std, a number a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_scaling(
    pixels: np.ndarray, rows: Sequence[int] | np.ndarray, at_most: int = 20_000
) -> Scaling:
    """Mean and standard deviation a channel over `rows` of `pixels` uint8 (n, c, h, w).

    Give it training rows only. Of more than `at_most` rows an even spread is read, a few at a
    time. A constant channel gets a deviation of one grey level, not zero.
    Raises `RequestError` where there are no rows.
    """
    rows = np.sort(np.asarray(rows, dtype=np.int64))
    if not len(rows):
        raise RequestError("scaling: no training pictures to fit it on; check the split")
    if len(rows) > at_most:
        rows = rows[np.linspace(0, len(rows) - 1, at_most).astype(np.int64)]
    chunk = max(1, 16_000_000 // int(np.prod(pixels.shape[1:])))
    histogram = np.zeros((pixels.shape[1], 256), np.int64)
    for start in range(0, len(rows), chunk):
        part = pixels[rows[start : start + chunk]]
        for channel in range(pixels.shape[1]):
            histogram[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    return _scaling_of(histogram)


@dataclass(frozen=True)
class TrialScaling:
    """What makes trials fit for a network: (value - mean) / std, a number a recorded channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_trial_scaling(trials: np.ndarray, rows: Sequence[int] | np.ndarray) -> TrialScaling:
    """Mean and deviation of each recorded channel over `rows` of float32 (n, 1, channels, time).

    Give it training rows only. A channel that is constant throughout is left as large as it is.
    Raises `RequestError` where there are no rows.
    """
    rows = np.sort(np.asarray(rows, dtype=np.int64))
    if not len(rows):
        raise RequestError("scaling: no training trials to fit it on; check the split")
    sums = np.zeros(trials.shape[2])
    for row in rows:
        sums += trials[row, 0].sum(axis=1, dtype=np.float64)
    count = len(rows) * trials.shape[3]
    mean = sums / count
    squares = np.zeros(trials.shape[2])
    for row in rows:
        squares += ((trials[row, 0] - mean[:, None]) ** 2).sum(axis=1)
    std = np.sqrt(squares / count)
    std = np.where(std > 0, std, 1.0)
    return TrialScaling(mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def _scaling_of(histogram: np.ndarray) -> Scaling:
    levels = np.arange(256) / 255
    shares = histogram / histogram.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = np.maximum(shares @ levels**2 - mean**2, 0)
    std = np.maximum(np.sqrt(variance), 1 / 255)
    return Scaling(mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def to_network_input(
    batch: torch.Tensor, scaling: Scaling | TrialScaling, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Stored pictures, uint8 (batch, channels, height, width), as float32 for a network.

    Where `size` (height, width) is given and differs, they are resized (antialiased bilinear).
    With a `TrialScaling` they are trials, float32 (batch, 1, recorded channels, time).
    Raises `RequestError` where that would distort them or the channels do not fit the scaling.
    """
    if isinstance(scaling, TrialScaling):
        return _scaled_trials(batch, scaling)
    if batch.shape[1] != len(scaling.mean):
        raise RequestError(
            f"pictures have {batch.shape[1]} channels, the scaling has {len(scaling.mean)}; "
            f"use the scaling fitted on these pictures"
        )
    if size is not None and tuple(batch.shape[2:]) != tuple(size):
        _require_same_aspect((batch.shape[2], batch.shape[3]), size)
        batch = torchvision_functional.resize(batch, list(size), antialias=True)
    # one multiplication and one addition: x * 1/(255 std) - mean/std
    shape = (1, -1, *[1] * (batch.ndim - 2))
    std = torch.tensor(scaling.std, dtype=torch.float64, device="cpu").reshape(shape)
    mean = torch.tensor(scaling.mean, dtype=torch.float64, device="cpu").reshape(shape)
    factor = (1 / (255 * std)).to(batch.device, torch.float32)
    offset = (-mean / std).to(batch.device, torch.float32)
    return batch.to(torch.float32).mul_(factor).add_(offset)


def _scaled_trials(batch: torch.Tensor, scaling: TrialScaling) -> torch.Tensor:
    if batch.shape[2] != len(scaling.mean):
        raise RequestError(
            f"trials have {batch.shape[2]} channels, the scaling has {len(scaling.mean)}; "
            f"use the scaling fitted on these trials"
        )
    shape = (1, 1, -1, 1)
    mean = torch.tensor(scaling.mean, dtype=torch.float32).reshape(shape).to(batch.device)
    factor = (1 / torch.tensor(scaling.std, dtype=torch.float64, device="cpu")).float()
    # the difference first: volts are small beside their offset
    return (batch.float() - mean).mul_(factor.reshape(shape).to(batch.device))


def _require_same_aspect(stored: tuple[int, int], wanted: tuple[int, int]) -> None:
    if abs(stored[0] * wanted[1] - stored[1] * wanted[0]) > max(*stored, *wanted):
        raise RequestError(
            f"pictures stored as {stored[0]}x{stored[1]} would be distorted to "
            f"{wanted[0]}x{wanted[1]}; ask for a size of the same shape"
        )
