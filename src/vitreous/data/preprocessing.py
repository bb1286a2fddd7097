"""What is done to a recording before trials are cut: a short chain, the same at prediction.

Nothing here is fitted: each step depends on the settings and on the recording itself alone, so it
may be done before a split. What is fitted (the scaling) is fitted on training trials, later.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from vitreous.data.moving import MEMORY_S, standardised_at
from vitreous.errors import RequestError, unknown_name

AVERAGE = "average"
ORDER = 4  # of the Butterworth filters; run forwards and backwards, so twice that in effect
NOTCH_QUALITY = 30.0  # the notch's frequency over its width: 50 Hz loses 1.7 Hz

Stretches = Sequence[tuple[int, int]]
"""(start, stop) in samples of what is contiguous in time."""


@dataclass(frozen=True)
class Preprocessing:
    """The chain, in the order of its fields; None leaves a step out."""

    reference: str | None = None  # "average", or the name of a channel
    notch_hz: float | None = None  # mains: 50 or 60
    low_hz: float | None = None  # slower is taken away
    high_hz: float | None = None  # faster is taken away
    resample_hz: float | None = None
    moving_standardisation: bool = False  # by the mean and deviation of the recent past

    def __post_init__(self) -> None:
        for name in ("notch_hz", "low_hz", "high_hz", "resample_hz"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise RequestError(f"{name.replace('_', ' ')} {value}: use a frequency above 0")
        if self.low_hz and self.high_hz and self.low_hz >= self.high_hz:
            raise RequestError(
                f"--band {self.low_hz:g},{self.high_hz:g}: the first must be the lower one"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Preprocessing":
        """The chain that `to_json` wrote."""
        return Preprocessing(**value)

    @property
    def words(self) -> str:
        """The chain in one sentence.

        >>> Preprocessing(reference="average", low_hz=4, high_hz=38).words
        'referenced to the average, 4 to 38 Hz kept'
        >>> Preprocessing().words
        'as recorded'
        """
        steps = []
        if self.reference:
            what = "the average" if self.reference == AVERAGE else self.reference
            steps.append(f"referenced to {what}")
        if self.notch_hz:
            steps.append(f"{self.notch_hz:g} Hz notched out")
        if self.low_hz and self.high_hz:
            steps.append(f"{self.low_hz:g} to {self.high_hz:g} Hz kept")
        elif self.low_hz or self.high_hz:
            bound = f"above {self.low_hz:g}" if self.low_hz else f"below {self.high_hz:g}"
            steps.append(f"{bound} Hz kept")
        if self.resample_hz:
            steps.append(f"resampled to {self.resample_hz:g} Hz")
        if self.moving_standardisation:
            steps.append("exponential moving standardisation")
        return ", ".join(steps) or "as recorded"

    def kept_hz(self, sampling_rate_hz: float) -> tuple[float, float]:
        """The lowest and the highest frequency that signals of this rate still hold.

        >>> Preprocessing(low_hz=0.5, high_hz=45).kept_hz(160)
        (0.5, 45)
        >>> Preprocessing(low_hz=4).kept_hz(100)
        (4, 50.0)
        """
        highest = sampling_rate_hz / 2
        return self.low_hz or 0.0, min(self.high_hz or highest, highest)

    def at_rate(self, resample_hz: float | None) -> "Preprocessing":
        """The chain with another rate at its end."""
        return replace(self, resample_hz=resample_hz)


def preprocess(
    values: np.ndarray,
    rate_hz: float,
    channels: Sequence[str],
    chain: Preprocessing,
    stretches: Stretches | None = None,
) -> tuple[np.ndarray, float]:
    """Values float64 (channels, time) after the chain, and their sampling rate.

    Each of the `stretches` (by default one, the whole) is filtered by itself, forwards and
    backwards (no delay). Raises `RequestError` for a frequency that this rate cannot hold, a
    reference that is no channel, or a stretch too short for the filter.
    """
    from scipy import signal  # takes a while to import; pictures do without

    values = np.asarray(values, np.float64)
    if chain.reference:
        values = _referenced(values, channels, chain.reference)
    sections = _sections(chain, rate_hz)
    if sections is not None:
        values = values.copy()
        for start, stop in stretches or [(0, values.shape[1])]:
            _require_long_enough(stop - start, rate_hz, chain)
            values[:, start:stop] = signal.sosfiltfilt(sections, values[:, start:stop], axis=1)
    if chain.resample_hz is not None and not np.isclose(chain.resample_hz, rate_hz):
        factor = chain.resample_hz / rate_hz
        values = resampled(values, rate_hz, chain.resample_hz, stretches)
        stretches = [
            (round(start * factor), min(round(stop * factor), values.shape[1]))
            for start, stop in stretches or ()
        ]
        rate_hz = chain.resample_hz
    if chain.moving_standardisation:
        values = _standardised(values, rate_hz, stretches or [(0, values.shape[1])])
    return values, rate_hz


def refuse_for_cut_trials(chain: Preprocessing, where: str) -> None:
    """Raises `RequestError` where the chain needs signals that run on."""
    if chain.moving_standardisation:
        raise RequestError(
            f"{where}: --moving-standardisation follows signals that run on, and these are trials "
            "that were cut before; leave it out: channels are scaled by the training trials"
        )


def _standardised(values: np.ndarray, rate_hz: float, stretches: Stretches) -> np.ndarray:
    longest = max(stop - start for start, stop in stretches) / rate_hz
    if longest < MEMORY_S:
        raise RequestError(
            f"--moving-standardisation remembers {MEMORY_S:g} s, and time runs on for "
            f"{longest:.3g} s only; leave it out"
        )
    values = values.copy()
    for start, stop in stretches:
        values[:, start:stop] = standardised_at(values[:, start:stop], rate_hz)
    return values


def resampled(
    values: np.ndarray, rate_hz: float, wanted_hz: float, stretches: Stretches | None = None
) -> np.ndarray:
    """Values (channels, time) at another rate: polyphase, with its own anti-aliasing filter.

    Sample k of the result lies at k / wanted_hz seconds, also where there are several stretches.
    """
    from scipy import signal

    ratio = Fraction(wanted_hz / rate_hz).limit_denominator(1000)
    up, down = ratio.numerator, ratio.denominator
    total = int(np.ceil(values.shape[1] * up / down))
    if stretches is None or len(stretches) <= 1:
        return signal.resample_poly(values, up, down, axis=1, padtype="line")[:, :total]
    result = np.zeros((values.shape[0], total))
    for start, stop in stretches:
        part = signal.resample_poly(values[:, start:stop], up, down, axis=1, padtype="line")
        first = round(start * up / down)
        last = min(total, first + part.shape[1])
        result[:, first:last] = part[:, : last - first]
    return result


def _referenced(values: np.ndarray, channels: Sequence[str], reference: str) -> np.ndarray:
    if reference == AVERAGE:
        return values - values.mean(axis=0)
    place = {name.lower(): row for row, name in enumerate(channels)}
    if reference.lower() not in place:
        raise unknown_name("reference", reference, [AVERAGE, *channels])
    return values - values[place[reference.lower()]]


def _sections(chain: Preprocessing, rate_hz: float) -> np.ndarray | None:
    """Second-order sections of all filters together; None where there is none."""
    from scipy import signal

    nyquist = rate_hz / 2
    for hz in (chain.notch_hz, chain.low_hz, chain.high_hz):
        if hz is not None and hz >= nyquist:
            raise RequestError(
                f"{hz:g} Hz cannot be filtered at {rate_hz:g} samples a second, which hold less "
                f"than {nyquist:g} Hz; use a lower frequency"
            )
    found = []
    if chain.notch_hz:
        numerator, denominator = signal.iirnotch(chain.notch_hz, NOTCH_QUALITY, rate_hz)
        found.append(signal.tf2sos(numerator, denominator))
    if chain.low_hz and chain.high_hz:
        band = (chain.low_hz, chain.high_hz)
        found.append(signal.butter(ORDER, band, "bandpass", fs=rate_hz, output="sos"))
    elif chain.low_hz:
        found.append(signal.butter(ORDER, chain.low_hz, "highpass", fs=rate_hz, output="sos"))
    elif chain.high_hz:
        found.append(signal.butter(ORDER, chain.high_hz, "lowpass", fs=rate_hz, output="sos"))
    return np.concatenate(found) if found else None


def _require_long_enough(samples: int, rate_hz: float, chain: Preprocessing) -> None:
    seconds = samples / rate_hz
    padding = 3 * (2 * len(_sections(chain, rate_hz)) + 1)  # type: ignore[arg-type]
    if samples <= padding or (chain.low_hz and chain.low_hz * seconds < 1):
        slowest = f"{chain.low_hz:g} Hz has no whole wave in" if chain.low_hz else "filtering needs"
        raise RequestError(
            f"{slowest} a contiguous stretch of {seconds:.3g} s ({samples} samples); use a higher "
            "lower bound in --band, or none: --band none"
        )
