"""What a decoder of EEG loses when a band, or a group of channels, is taken away; and an alarm.

The same trials are answered as they are and without it; the loss of accuracy is paired, its
interval a bootstrap over the groups (subjects, sessions) of the trials. A decoder that lives on the
eyes or on muscles is right for reasons that are not the brain's: the alarm says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.errors import RequestError
from vitreous.evaluation.compare import Comparison, compare_rights
from vitreous.evaluation.resampling import RESAMPLES
from vitreous.insight.eeg_filters import BANDS, held

Answer = Callable[[np.ndarray], np.ndarray]
"""Trials (n, channels, time) to probabilities (n, classes)."""

EDGE_HZ = 1.0  # over which a band fades out at each of its ends
ALARMING = 0.5  # of what is above chance, that is lost with a source that is not the brain
BEYOND_DOUBT = 0.1  # of accuracy lost for certain: more than guessing loses in one of many parts
SLOW_BAND = "slow (below 8 Hz)"
DRIFT_BAND = "drift (below 1 Hz)"
MUSCLE_BAND = "muscle (above 30 Hz)"
BOTH = " and "  # between the names of what is one band in this data

GROUPS: Mapping[str, str] = {
    "eyes": r"(EOG|HEOG|VEOG|EYE|LOC|ROC).*|FP\d*Z?|FPZ|AF[78]|NZ",
    "muscles at the edge": r"(T|FT|TP)(7|8|9|10)|T[3456]|(F|P|PO|O)(9|10)|A[12]|M[12]|IZ",
    "frontal": r"A?F(Z|\d+)|AF\d+H?",
    "central": r"(FC|C|CP)(Z|\d+)",
    "temporal": r"(T|FT|TP)\d+",
    "parietal": r"P(Z|\d+)",
    "occipital": r"(PO|O)(Z|\d+)|IZ",
}
"""Channels by their names in the 10-5 system (upper case); a channel may be in several groups.

Eyes: electrodes above and beside them, where blinks and glances are several times larger than EEG.
Muscles: over temporalis and neck, whose activity is broad above 20 Hz (I. Goncharova et al., "EMG
contamination of EEG", Clinical Neurophysiology 114, 2003).
"""


@dataclass(frozen=True)
class Taken:
    """Trials of which something was taken away."""

    name: str
    kind: str  # "band" or "channels"
    what: str  # the band in Hz, or the channels
    trials: np.ndarray  # float32 (n, channels, time)


@dataclass(frozen=True)
class Ablation:
    """What was taken away, and what that costs."""

    name: str
    kind: str  # "band" or "channels"
    what: str  # the band in Hz, or the channels
    accuracy: float  # with everything
    without: float
    lost: Comparison  # accuracy with everything less accuracy without it

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "lost": self.lost.to_json()}


@dataclass(frozen=True)
class Alarm:
    """Whether the decoder lives on eyes or muscles, and why that is thought."""

    raised: bool
    reasons: tuple[str, ...]
    words: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"raised": self.raised, "reasons": list(self.reasons), "words": self.words}


def without_band(trials: np.ndarray, rate_hz: float, low_hz: float, high_hz: float) -> np.ndarray:
    """Trials (n, channels, time) with the band taken out, by whole periods, in no phase: float32.

    The band fades over `EDGE_HZ` at both ends. Trials are mirrored at their ends first, so that a
    slope over the trial does not leak into every band.
    """
    time = trials.shape[-1]
    mirrored = np.concatenate([trials, trials[..., ::-1]], axis=-1)
    frequencies = np.fft.rfftfreq(2 * time, 1 / rate_hz)
    inside = np.clip((frequencies - low_hz) / EDGE_HZ + 0.5, 0, 1)
    inside *= np.clip((high_hz - frequencies) / EDGE_HZ + 0.5, 0, 1)
    kept = np.fft.irfft(np.fft.rfft(mirrored, axis=-1) * (1 - inside), 2 * time, axis=-1)
    return kept[..., :time].astype(np.float32)


def without_channels(trials: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Trials (n, channels, time) whose channels at `places` are held at their mean: float32."""
    result = trials.astype(np.float32, copy=True)
    for place in places:
        result[:, place] = result[:, place].mean()
    return result


def channel_groups(names: Sequence[str]) -> dict[str, list[int]]:
    """The places of the channels in each group that has any.

    >>> channel_groups(["Fp1", "C3", "EOG X"])["eyes"]
    [0, 2]
    """
    plain = [re.sub(r"[.\s]|EEG|-?REF$", "", name.upper()) for name in names]
    found = {
        group: [place for place, name in enumerate(plain) if re.fullmatch(pattern, name)]
        for group, pattern in GROUPS.items()
    }
    return {group: places for group, places in found.items() if places}


def bands_taken(
    trials: np.ndarray,
    sampling_rate_hz: float,
    bands: Mapping[str, tuple[float, float]] | None = None,
    kept_hz: tuple[float, float] | None = None,
) -> Iterator[Taken]:
    """Trials (n, channels, time) without each band in turn.

    Bands outside of what the data holds (`kept_hz`, else all up to half the sampling rate) are
    left out, and told within it; what a filter left of a band beyond its edge is taken, too. Two
    bands that are the same within it are one, by both names: the wider of them. All that is slow is
    taken as one, too: a blink is in drift, delta and theta, each of which stands in for the others.
    """
    highest = sampling_rate_hz / 2
    chosen = {**(bands or BANDS)}
    if bands is None:
        slow = {DRIFT_BAND: (-EDGE_HZ, 1.0), SLOW_BAND: (-EDGE_HZ, 8.0)}
        chosen = {**slow, **BANDS, MUSCLE_BAND: (30.0, highest)}
    same: dict[tuple[float, float], list[str]] = {}
    for name, told in held(chosen, kept_hz or (0.0, highest)).items():
        same.setdefault(told, []).append(name)
    for (low, high), names in same.items():
        ends = [chosen[name] for name in names]
        least, most = min(first for first, _ in ends), max(last for _, last in ends)
        rest = without_band(trials, sampling_rate_hz, least, min(most, highest))
        yield Taken(BOTH.join(names), "band", f"{low:g} to {high:g} Hz", rest)


def channels_taken(trials: np.ndarray, names: Sequence[str]) -> Iterator[Taken]:
    """Trials (n, channels, time) without each group of channels that is there, by their names.

    Raises `RequestError` where there are not as many names as channels.
    """
    if len(names) != trials.shape[1]:
        raise RequestError(f"{len(names)} channel names for trials of {trials.shape[1]} channels")
    for group, places in channel_groups(names).items():
        what = ", ".join(names[place] for place in places)
        yield Taken(group, "channels", what, without_channels(trials, places))


def band_ablations(
    answer: Answer,
    trials: np.ndarray,
    truth: np.ndarray,
    sampling_rate_hz: float,
    *,
    bands: Mapping[str, tuple[float, float]] | None = None,
    kept_hz: tuple[float, float] | None = None,
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
) -> list[Ablation]:
    """The accuracy lost with each band; `truth` (n,) are class numbers, trials (n, channels, time).

    Bands are those that `bands_taken` takes.
    """
    taken = bands_taken(trials, sampling_rate_hz, bands, kept_hz)
    return _ablations(answer, taken, trials, truth, groups, resamples)


def channel_ablations(
    answer: Answer,
    trials: np.ndarray,
    truth: np.ndarray,
    names: Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
) -> list[Ablation]:
    """The accuracy lost with each group of channels that is there, by their names.

    Raises `RequestError` where there are not as many names as channels.
    """
    taken = channels_taken(trials, names)
    return _ablations(answer, taken, trials, truth, groups, resamples)


def _ablations(
    answer: Answer,
    taken: Iterable[Taken],
    trials: np.ndarray,
    truth: np.ndarray,
    groups: Sequence[str | None] | None,
    resamples: int,
) -> list[Ablation]:
    whole = (answer(trials).argmax(1) == truth)[None]
    return [
        ablation(each, whole, (answer(each.trials).argmax(1) == truth)[None], groups, resamples)
        for each in taken
    ]


def ablation(
    taken: Taken,
    right: np.ndarray,
    right_without: np.ndarray,
    groups: Sequence[str | None] | None = None,
    resamples: int = RESAMPLES,
) -> Ablation:
    """What was lost, from which answers were right with everything and without it.

    Both are (networks, n): several networks that answered the same trials count with their mean,
    and the interval is over the trials' groups (or the trials), not over networks.
    """
    lost = compare_rights(
        right,
        right_without,
        groups=groups,
        names=("with everything", f"without {taken.name}"),
        resamples=resamples,
    )
    accuracy, without = float(np.mean(right)), float(np.mean(right_without))
    return Ablation(taken.name, taken.kind, taken.what, accuracy, without, lost)


def artefact_alarm(
    ablations: Sequence[Ablation],
    chance: float,
    interval: tuple[float, float] | None = None,
) -> Alarm:
    """Whether half of what is above chance goes with the eyes, or with muscles.

    `chance` is the accuracy of guessing, `interval` that of the decoder's accuracy: where it
    covers chance, nothing is known to be learned, so nothing can be found (without one, the
    accuracy itself must be above chance), unless some part costs `BEYOND_DOUBT`: that is paired,
    and says so from few subjects, too. A loss counts where its interval leaves zero out.
    Electrodes near eyes and muscles see the brain, too, and a spatial filter breaks with any
    electrode that it needs: where bands were taken away as well, a loss with these electrodes
    counts only if the band in which eyes (below 8 Hz) or muscles (above 30 Hz) speak costs
    accuracy, too.
    """
    if not ablations:
        return Alarm(False, (), "nothing was taken away, so nothing can be said")
    above = ablations[0].accuracy - chance
    unsure = interval is not None and interval[0] <= chance
    if above <= 0 or (
        unsure and not any(_lost_for_certain(each, BEYOND_DOUBT) for each in ablations)
    ):
        return Alarm(False, (), _guessing(ablations[0].accuracy, chance, interval))
    reasons = []
    for each in ablations:
        lost = each.accuracy - each.without
        if _is_suspect(each, ablations) and _lost_for_certain(each) and lost >= ALARMING * above:
            reasons.append(
                f"without {each.name} ({each.what}) accuracy falls from {each.accuracy:.3g} to "
                f"{each.without:.3g}, chance being {chance:.3g}"
            )
    if not reasons:
        return Alarm(False, (), "no sign that the decoder lives on eyes or muscles")
    words = "the decoder may live on eyes or muscles, not on the brain: " + "; ".join(reasons)
    return Alarm(True, tuple(reasons), words)


def _guessing(accuracy: float, chance: float, interval: tuple[float, float] | None) -> str:
    span = f", interval {interval[0]:.3g} to {interval[1]:.3g}" if interval else ""
    figures = f"(accuracy {accuracy:.3g}{span}; chance {chance:.3g})"
    if accuracy <= chance:
        return f"the answers are no better than guessing {figures}, so there is nothing to find"
    return f"the answers cannot be told from guessing {figures}, so nothing can be found"


def _is_suspect(each: Ablation, ablations: Sequence[Ablation]) -> bool:
    if _is_one_of(each, (MUSCLE_BAND,)):
        return True
    slow = (DRIFT_BAND, SLOW_BAND, "delta", "theta")
    speaks = {"eyes": slow, "muscles at the edge": (MUSCLE_BAND,)}.get(each.name)
    if speaks is None:
        return False
    bands = [other for other in ablations if other.kind == "band"]
    return not bands or any(
        _is_one_of(other, speaks) and _lost_for_certain(other) for other in bands
    )


def _is_one_of(each: Ablation, names: Sequence[str]) -> bool:
    return any(name in names for name in each.name.split(BOTH))


def _lost_for_certain(each: Ablation, least: float = 0.0) -> bool:
    low = each.lost.difference.low
    return low is not None and low > least
