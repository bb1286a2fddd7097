"""What decoders of EEG listen to, as plain values for a report: curves, heads, losses, an alarm."""

from typing import TypedDict

import numpy as np

from vitreous.insight.colours import png_bytes, signed_pixels
from vitreous.insight.eeg_ablation import Ablation
from vitreous.insight.eeg_listening import Head, Listening, band_shares
from vitreous.insight.eeg_scalp import ScalpMap, scalp_map
from vitreous.report.shown import DataUri, data_uri

HIGHEST_HZ = 64.0  # of what is drawn, unless a peak lies beyond it
POINTS = 96  # of a curve
MOST_CURVES = 12  # kernels drawn a line each; of more, what most of them let through
NAMED = frozenset((
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "O2",
))  # fmt: skip  # the 10-20 system's
ALL_NAMED = 24  # electrodes that all have room for their names


class CurveShown(TypedDict):
    """A frequency response: gain over frequency, the largest gain drawn being 1."""

    name: str
    peak_hz: float
    gain: list[float]


class SpreadShown(TypedDict):
    """Many frequency responses together: at each frequency the quartiles of their gains."""

    lower: list[float]
    median: list[float]
    upper: list[float]
    peaks: list[tuple[str, float]]  # each kernel's name and where its gain is largest, in Hz


class BandShown(TypedDict):
    """The share of the kernels' squared gain in a band, beside that of a flat kernel."""

    band: str
    low_hz: float
    high_hz: float
    share: float
    flat: float


class ElectrodeShown(TypedDict):
    """An electrode on the head: right, front (the head's circle is 1), its value from -1 to 1."""

    name: str
    right: float
    front: float
    value: float
    named: bool  # whether there is room for its name


class ScalpShown(TypedDict):
    """A map of the head, or, without places, only its strongest channels."""

    picture: DataUri | None
    reach: float
    electrodes: list[ElectrodeShown]
    strongest: list[tuple[str, float]]  # channel, value from -1 to 1


class HeadShown(TypedDict):
    """One map of the first layer."""

    title: str
    separation: float
    share: float
    curve: CurveShown
    filter: ScalpShown
    pattern: ScalpShown | None


class TakenShown(TypedDict):
    """What was taken away, and the accuracy lost with it."""

    name: str
    kind: str
    what: str
    accuracy: float
    without: float
    lost: float
    low: float | None
    high: float | None


class ListeningShown(TypedDict):
    """A section of a report."""

    whose: str
    highest_hz: float
    frequencies_hz: list[float]
    kernels: int
    curves: list[CurveShown]  # of a few kernels; else empty
    spread: SpreadShown | None  # of many
    bands: list[BandShown]
    heads: list[HeadShown]
    taken_away: list[TakenShown]
    tested: int
    alarm: str | None  # in words, where there is one
    no_alarm: str | None  # why there is none


def listening_shown(found: Listening | None) -> ListeningShown | None:
    """Plain values of what was found; None stays None."""
    if found is None:
        return None
    lowest, highest = drawn_hz(found)
    frequencies = np.linspace(lowest, highest, POINTS)
    curves = [
        _curve(f"kernel {one.kernel}", one.peak_hz, one.frequencies_hz, one.gain, frequencies)
        for one in found.spectra
    ]
    few = len(curves) <= MOST_CURVES
    alarm = found.alarm
    return ListeningShown(
        whose=found.whose,
        highest_hz=highest,
        frequencies_hz=[round(float(hz), 3) for hz in frequencies],
        kernels=len(found.spectra),
        curves=curves if few else [],
        spread=None if few else _spread(curves),
        bands=[BandShown(**vars(share)) for share in band_shares(found.spectra)],
        heads=[_head(one, found, frequencies) for one in found.heads],
        taken_away=[_taken(one) for one in found.ablations],
        tested=found.tested,
        alarm=alarm.words if alarm and alarm.raised else None,
        no_alarm=alarm.words if alarm and not alarm.raised else None,
    )


def drawn_hz(found: Listening) -> tuple[float, float]:
    """From where to where responses are drawn: within what the data holds, with all peaks."""
    peaks = [one.peak_hz for one in (*found.spectra, *(head.spectrum for head in found.heads))]
    lowest, highest = found.kept_hz
    return lowest, min(highest, max([HIGHEST_HZ, *(1.1 * peak for peak in peaks)]))


def _curve(
    name: str, peak_hz: float, at_hz: np.ndarray, gain: np.ndarray, frequencies: np.ndarray
) -> CurveShown:
    drawn = np.interp(frequencies, at_hz, gain)
    most = float(drawn.max()) or 1.0
    return CurveShown(
        name=name, peak_hz=round(peak_hz, 2), gain=[round(float(x) / most, 4) for x in drawn]
    )


def _spread(curves: list[CurveShown]) -> SpreadShown:
    quartiles = np.percentile([one["gain"] for one in curves], (25, 50, 75), axis=0).round(4)
    lower, median, upper = quartiles.tolist()
    peaks = [(one["name"], one["peak_hz"]) for one in curves]
    return SpreadShown(lower=lower, median=median, upper=upper, peaks=peaks)


def _head(one: Head, found: Listening, frequencies: np.ndarray) -> HeadShown:
    spectrum, pattern = one.spectrum, one.filter.pattern
    return HeadShown(
        title=one.title,
        separation=one.separation,
        share=one.filter.share,
        curve=_curve(
            one.title, spectrum.peak_hz, spectrum.frequencies_hz, spectrum.gain, frequencies
        ),
        filter=scalp_shown(one.filter.weights, found.channels, found.positions_m),
        pattern=(
            None if pattern is None else scalp_shown(pattern, found.channels, found.positions_m)
        ),
    )


def scalp_shown(
    values: np.ndarray, channels: tuple[str, ...], positions_m: np.ndarray | None
) -> ScalpShown:
    """Values (channels,) on the head, on a scale whose largest is 1, the sign as it is.

    Without places, or where they make no map, the strongest channels alone are told.
    """
    most = float(np.abs(values).max()) or 1.0
    scaled = values / most
    order = np.argsort(-np.abs(scaled), kind="stable")
    strongest = [(channels[int(row)], round(float(scaled[row]), 3)) for row in order[:5]]
    made = None if positions_m is None else scalp_map(scaled, positions_m)
    if made is None:
        return ScalpShown(picture=None, reach=1.0, electrodes=[], strongest=strongest)
    picture = data_uri(png_bytes(signed_pixels(made.cells, 1.0)))
    electrodes = _electrodes(made, scaled, channels, {name for name, _ in strongest[:2]})
    return ScalpShown(
        picture=picture, reach=round(made.reach, 4), electrodes=electrodes, strongest=strongest
    )


def _electrodes(
    made: ScalpMap, scaled: np.ndarray, channels: tuple[str, ...], strong: set[str]
) -> list[ElectrodeShown]:
    few = len(made.placed) <= ALL_NAMED
    return [
        ElectrodeShown(
            name=channels[int(row)],
            right=round(float(right), 4),
            front=round(float(front), 4),
            value=round(float(scaled[row]), 3),
            named=few or channels[int(row)] in NAMED or channels[int(row)] in strong,
        )
        for row, (right, front) in zip(made.placed, made.places, strict=True)
    ]


def _taken(one: Ablation) -> TakenShown:
    difference = one.lost.difference
    return TakenShown(
        name=one.name,
        kind=one.kind,
        what=one.what,
        accuracy=one.accuracy,
        without=one.without,
        lost=one.accuracy - one.without,
        low=difference.low,
        high=difference.high,
    )
