"""What the scikit-learn classifier is given: trials in an array, or `mne.Epochs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.errors import DataError, RequestError


@dataclass(frozen=True)
class GivenTrials:
    """Trials, and what they say of themselves; arrays say nothing."""

    values: np.ndarray  # float32 (n, channels, time)
    labels: np.ndarray  # (n,); empty where none are known
    sampling_rate_hz: float | None = None
    channels: tuple[str, ...] | None = None  # names, in the order of the values


def given_trials(
    X: Any,  # noqa: N803
    y: Any,
    *,
    needs_labels: bool = True,
    channels: Sequence[str] | None = None,
) -> GivenTrials:
    """Trials as they are given; of Epochs the EEG channels, or those of the names `channels`.

    Raises `DataError` for what is no trials, and for Epochs that lack a channel.
    """
    rate, names = None, None
    if hasattr(X, "get_data") and hasattr(X, "info"):  # mne.Epochs
        rate = float(X.info["sfreq"])
        if y is None:
            y = X.events[:, 2]
        X = X.copy().pick("eeg")
        names = tuple(X.ch_names)
        X = X.get_data(copy=False)
        if channels is not None:
            X, names = X[:, _places(names, channels)], tuple(channels)
    values = np.asarray(X)
    if values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 3 or values.dtype.kind not in "fiu":
        raise DataError(
            f"X: of shape {values.shape} ({values.dtype}); trials are numbers (n, channels, time)"
        )
    if not np.isfinite(values).all():
        raise DataError("X: holds values that are no numbers; drop those trials, or fill them")
    labels = np.zeros(0) if y is None else np.asarray(y)
    if needs_labels and labels.shape != (len(values),):
        raise DataError(f"y: of shape {labels.shape} for {len(values)} trials; one each is needed")
    return GivenTrials(np.ascontiguousarray(values, np.float32), labels, rate, names)


def rate_to_fit_hz(asked_hz: float | None, trials: GivenTrials) -> float | None:
    """The rate asked for, else that of the trials. Raises `RequestError` where they differ."""
    found_hz = trials.sampling_rate_hz
    if asked_hz and found_hz and not np.isclose(asked_hz, found_hz):
        raise RequestError(
            f"X: epochs of {found_hz:g} Hz, but sampling_rate_hz is {asked_hz:g}; leave it out, or "
            f"resample them: X.resample({asked_hz:g})"
        )
    return asked_hz or found_hz


def refuse_another_rate(fitted_hz: float | None, trials: GivenTrials) -> None:
    """Raises `DataError` for trials of another rate than those that were fitted on.

    Kernels would meet other frequencies in them. What names no rate is not judged.
    """
    found_hz = trials.sampling_rate_hz
    if fitted_hz and found_hz and not np.isclose(fitted_hz, found_hz):
        raise DataError(
            f"X: epochs of {found_hz:g} Hz; it was fitted on {fitted_hz:g} Hz: resample them, "
            f"X.resample({fitted_hz:g})"
        )


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted channels lie, in their order."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"X: has no EEG channel {', '.join(missing)}, which it was fitted on; "
            "rename or add it, or fit again on the channels that all have"
        )
    return [names.index(name) for name in wanted]
