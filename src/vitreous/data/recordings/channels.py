"""Names, kinds and places of channels, however laboratories write them."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

MONTAGES = ("colin27_1005", "standard_1005")  # the same places: its new name, and its old one
OLD_NAMES = {"t3": "T7", "t4": "T8", "t5": "P7", "t6": "P8"}  # the 10-20 system before 1991
EYES = re.compile(r"eog|^eye", re.IGNORECASE)
OTHERS = {
    "ecg": re.compile(r"ecg|ekg", re.IGNORECASE),
    "emg": re.compile(r"emg|chin", re.IGNORECASE),
    "stim": re.compile(r"^(sti|stim|status|trigger|marker|event)", re.IGNORECASE),
    "misc": re.compile(r"^(nd|gnd|ref|resp|temp|acc|gyro|photo|light|time|sao2|spo2)\d*\b",
                       re.IGNORECASE),
}  # fmt: skip


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
    plain = re.sub(r"^(eeg|eeg[ _:])\s*", "", name.strip(), flags=re.IGNORECASE)
    plain = re.split(r"[-_ ](?:ref|le|ar|avg|m1|m2|a1|a2|cz|linked.*|nose|gnd|av)$", plain,
                     flags=re.IGNORECASE)[0]  # fmt: skip
    key = re.sub(r"[^a-z0-9']", "", plain.lower())
    names = standard_names()
    # T3...T6 are names of their own in the 10-05 list of some programs: the place is the same
    return OLD_NAMES.get(key) or names.get(key)


def channel_kinds(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The kind of each channel: as the file says, and where it says EEG, as the name says.

    EDF files call everything EEG; `EOG X` is none.
    """
    return [_kind(name, kind) for name, kind in zip(names, kinds, strict=True)]


def _kind(name: str, kind: str) -> str:
    if kind != "eeg" or electrode(name):
        return kind
    if EYES.search(name):
        return "eog"
    for other, pattern in OTHERS.items():
        if pattern.search(name):
            return other
    return kind


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
