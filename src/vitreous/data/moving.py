"""Exponential moving standardisation: signals by the mean and deviation of their recent past.

R. Schirrmeister et al. 2017, "Deep learning with convolutional neural networks for EEG decoding and
visualization": with a the share of the newest sample (0.001),

    mean(t) = a x(t) + (1 - a) mean(t - 1)
    variance(t) = a (x(t) - mean(t))^2 + (1 - a) variance(t - 1)
    x'(t) = (x(t) - mean(t)) / sqrt(variance(t))

It looks at no later sample, so it is the same online; it is for continuous signals, before trials
are cut. Published for 250 Hz, where a is 0.001 and the first 1,000 samples make the start: 4 s of
memory, and so at every rate.
"""

import numpy as np

MEMORY_S = 4.0
LEAST_DEVIATION = 1e-4  # of that of the first samples


def exponential_moving_standardise(
    signals: np.ndarray, newest: float = 1e-3, first_samples: int = 1000
) -> np.ndarray:
    """Signals (channels, time) standardised, float64.

    Mean and variance start as those of the `first_samples`. A channel that was constant so far is
    zero.
    """
    from scipy.signal import lfilter

    values = np.asarray(signals, np.float64)
    start = values[:, :first_samples]
    mean = _followed(lfilter, values, start.mean(1), newest)
    centred = values - mean
    first_variance = start.var(1)
    variance = _followed(lfilter, centred**2, first_variance, newest)
    deviation = np.sqrt(np.maximum(variance, LEAST_DEVIATION**2 * first_variance[:, None]))
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)


def standardised_at(signals: np.ndarray, rate_hz: float) -> np.ndarray:
    """Signals (channels, time) standardised with a memory of 4 s, float64."""
    samples = MEMORY_S * rate_hz
    return exponential_moving_standardise(signals, 1 / samples, round(samples))


def _followed(lfilter, values: np.ndarray, before: np.ndarray, newest: float) -> np.ndarray:
    """a x(t) + (1 - a) y(t - 1), from y(-1) on."""
    state = ((1 - newest) * before)[:, None]
    return lfilter([newest], [1.0, newest - 1.0], values, axis=1, zi=state)[0]
