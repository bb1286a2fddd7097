"""Names, kinds and places of channels, however laboratories write them."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

MONTAGES = ("colin27_1005", "standard_1005")  # the same places: its new name, and its old one
OLD_NAMES = {"t3": "T7", "t4": "T8", "t5": "P7", "t6": "P8"}  # the 10-20 system before 1991
NO_EEG = {
    "eog": r"eog | eye | \b[hv]eo[lrud]?$ | \b[lr]oc(?![a-z0-9])",
    "ecg": r"ecg | ekg | cardio",
    "emg": r"""
        emg | chin | submental | masseter | tibial
        | ^([lr]|left|right)?[ _]?leg(?![a-z]) | ^plm[lr]?$
        """,
    "stim": r"""
        ^sti(m|[ _]?\d|$) | status | trig | ^ttl | ^mark(er)?s?\d*$ | event | annotation | ^sync
        | ^dig(i|ital)?([ _]?in)?\d*$ | ^din\d* | photic
        | ^(label|class|cue|target|response|button|stage|hypnogram)s?\d*$
        """,
    "misc": r"""
        ^(nd|gnd|ground|ref|time|light|photo)\d*\b
        | ^(exg|ext|aux|misc|bip|bipolar|ana|analog|adc|dc)[ _-]?\d*$
        | ^(gsr|eda|scl|scr|erg|skin|bvp|ppg|ibi)\d*\b
        | ^(resp|breath|airflow|(new\ )?air\b|flow|nasal|cannula|oronasal|therm|ptaf|cpap|snor)
        | ^(abd|abdo|abdomen|abdominal|tho|thor|thorax|thoracic|chest|belt|effort)\d*\b
        | ^(plet|pleth|plethysmogram|pulse|puls|heart|h\.?r|bpm)\d*\b
        | ^(spo2|sao2|so2|o2sat|osat|ox|oxy\w*)\d*\b
        | ^(temp|temperature|mic|microphone|sound|audio|pressure|pos|bpos|position|body)\d*\b
        | ^(acc|accel|accelerometer|gyro|gyroscope|imu|motion)[ _-]?[xyz]?\d*\b
        | ^(pupil|gaze)
        | ^(counter|timestamp|packet|battery|interpolated|sample\ ?counter|impedance|(raw_)?cq_)
        """,
}
"""What channels of amplifiers and sleep laboratories are called that are no electrodes on the head,
by kind, searched in this order; BioSemi's, BrainVision's, Emotiv's and polysomnographs' names."""
PATTERNS = {kind: re.compile(words, re.IGNORECASE | re.VERBOSE) for kind, words in NO_EEG.items()}
EYE_PAIR = {"e1", "e2"}  # of a sleep laboratory; nets of electrodes go on to E3 and further


@cache
def standard_names() -> dict[str, str]:
    """Lower-case name -> name as the 10-05 system writes it."""
    return {name.lower(): name for name in standard_positions()}


@cache
def standard_positions() -> dict[str, tuple[float, float, float]]:
    """Name -> place in metres on MNE's standard head, x to the right, y to the front, z up."""
    from vitreous.data.recordings.formats import load_mne

    channels = load_mne().channels
    known = set(channels.get_builtin_montages())
    montage = channels.make_standard_montage(next(name for name in MONTAGES if name in known))
    places = montage.get_positions()["ch_pos"]
    return {name: (float(x), float(y), float(z)) for name, (x, y, z) in places.items()}


def electrode(name: str) -> str | None:
    """The name of an electrode in the 10-05 system, None where it cannot be made out.

    Dots, prefixes, references and other spellings are seen through.

    >>> [electrode(name) for name in ("Fc5.", "FP1", "EEG Fp1-Ref", "EEG T3-LE", "Iz..", "X7")]
    ['FC5', 'Fp1', 'Fp1', 'T7', 'Iz', None]
    """
    key = re.sub(r"[^a-z0-9']", "", _plain(name).lower())
    names = standard_names()
    # T3...T6 are names of their own in the 10-05 list of some programs: the place is the same
    return OLD_NAMES.get(key) or names.get(key)


def _plain(name: str) -> str:
    """The name without the word EEG before it, and without its reference."""
    plain = re.sub(r"^(eeg|eeg[ _:])\s*", "", name.strip(), flags=re.IGNORECASE)
    return re.split(r"[-_ ](?:ref|le|ar|avg|m1|m2|a1|a2|cz|linked.*|nose|gnd|av)$", plain,
                    flags=re.IGNORECASE)[0]  # fmt: skip


def channel_kinds(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The kind of each channel: as the file says, and where it says EEG, as the name says.

    EDF files call everything EEG; `EOG X` is none, and a channel of triggers knows the label.
    """
    plain = [_plain(name).lower() for name in names]
    net = any(re.fullmatch(r"e\d+", name) for name in set(plain) - EYE_PAIR)
    pair = set() if net else EYE_PAIR
    return [
        "eog" if kind == "eeg" and short in pair else _kind(name, short, kind)
        for name, short, kind in zip(names, plain, kinds, strict=True)
    ]


def _kind(name: str, plain: str, kind: str) -> str:
    if kind != "eeg" or electrode(name):
        return kind
    return next((other for other, words in PATTERNS.items() if words.search(plain)), kind)


def tidy_names(names: Sequence[str]) -> tuple[str, ...]:
    """Each name as the 10-05 system has it where that is clear and no two become one.

    >>> tidy_names(["Fc5.", "FC5", "Cz..", "lead 7"])
    ('Fc5.', 'FC5', 'Cz', 'lead 7')
    """
    found = [electrode(name) or name.strip() for name in names]
    twice = {name for name in found if found.count(name) > 1}
    return tuple(given if tidy in twice else tidy for given, tidy in zip(names, found, strict=True))


def positions_of(
    names: Sequence[str], given: dict[str, np.ndarray] | None = None
) -> np.ndarray | None:
    """Places (channels, 3) in metres: as given by the file, else by name; NaN where unknown.

    None where no place is known at all.
    """
    standard = standard_positions()
    places = np.full((len(names), 3), np.nan)
    for row, name in enumerate(names):
        own = (given or {}).get(name)
        if own is not None and np.isfinite(own).all() and np.any(own):
            places[row] = own
        elif (known := electrode(name)) is not None:
            places[row] = standard[known]
    return places if np.isfinite(places).any() else None
