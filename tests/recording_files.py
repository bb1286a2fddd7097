"""Recordings made for tests: noise on a real montage, with a rhythm that goes with the label."""

from pathlib import Path

import numpy as np
import pytest

mne = pytest.importorskip("mne", reason="the extra `eeg` is not installed")

CHANNELS = ("Fp1", "F3", "F4", "C3", "Cz", "C4", "P3", "P4", "O1", "O2")
RATE = 100.0
MICROVOLT = 1e-6


def make_raw(
    *,
    seconds: float = 40.0,
    events: tuple[tuple[float, float, str], ...] | None = None,
    channels: tuple[str, ...] = CHANNELS,
    rate: float = RATE,
    seed: int = 0,
    rhythm: float = 0.0,
    date: bool = False,
):
    """Noise of about 10 µV; `right` events have a 10 Hz rhythm over C3, `left` over C4."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    noise = random.normal(size=(len(channels), count))
    values = 5 * noise + 5 * np.cumsum(noise, axis=1) / np.sqrt(np.arange(1, count + 1))
    events = alternating(seconds) if events is None else events
    time = np.arange(count) / rate
    for onset, duration, name in events:
        there = {"right": "C3", "left": "C4"}.get(name)
        if rhythm and there in channels:
            inside = (time >= onset) & (time < onset + max(duration, 1.0))
            row = channels.index(there)
            values[row, inside] += rhythm * np.sin(2 * np.pi * 10 * time[inside])
    raw = mne.io.RawArray(
        values * MICROVOLT, mne.create_info(list(channels), rate, "eeg"), verbose="error"
    )
    onsets, durations, names = zip(*events, strict=True) if events else ((), (), ())
    raw.set_annotations(mne.Annotations(list(onsets), list(durations), list(names)))
    if date:
        raw.set_meas_date(1_600_000_000)
    return raw


def alternating(seconds: float, every: float = 1.5, duration: float = 1.0):
    """left, right, left...: one event every one and a half seconds."""
    onsets = np.arange(0.5, seconds - duration - 0.01, every)
    return tuple((float(at), duration, ("left", "right")[k % 2]) for k, at in enumerate(onsets))


def write_edf(path: Path, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mne.export.export_raw(path, make_raw(**how), physical_range="channelwise", verbose="error",
                          overwrite=True)  # fmt: skip
    return path


def write_fif(path: Path, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_raw(**how).save(path, verbose="error", overwrite=True)
    return path


def write_subjects(root: Path, subjects: int = 3, rhythm: float = 12.0, **how) -> Path:
    """A BIDS-like folder: one recording a subject, groups in participants.tsv."""
    lines = ["participant_id\tgroup\tage"]
    for number in range(1, subjects + 1):
        name = f"sub-{number:02d}"
        write_fif(root / name / "eeg" / f"{name}_task-x_eeg.fif", seed=number, rhythm=rhythm, **how)
        lines.append(f"{name}\t{('patient', 'control')[number % 2]}\t{30 + number}")
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root
