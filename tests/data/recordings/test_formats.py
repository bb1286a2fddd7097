"""Formats that MNE reads but does not write: true files, then cut short, mislabelled, headless."""

import re
import shutil

import numpy as np
import pytest
from tests.recording_files import CHANNELS, MICROVOLT, make_raw, mne
from tests.recording_formats import WRITERS

from vitreous.data.recordings import RecordingSettings, read_recordings
from vitreous.data.recordings.formats import SUFFIXES
from vitreous.errors import DataError

RATE, SECONDS = 100, 30
ONSETS = np.arange(50, RATE * SECONDS - RATE, 150)
MARKS = [(int(at), ("1001", "1002")[k % 2]) for k, at in enumerate(ONSETS)]
WANTED = {"events": "left=1001,right=1002", "window": "0,1"}
MISLABELLED = [
    (suffix, other)
    for suffix in sorted(WRITERS)
    for other in sorted(SUFFIXES)
    if other not in (suffix, ".mff", ".fif.gz")  # a folder, and what is packed
]
CLOSEST_UV = {".gdf": 1e-5, ".bdf": 1 / 64, ".cnt": 0.005, ".raw": 1e-5, ".set": 1e-5}


def recorded() -> np.ndarray:
    """Values in volts (channels, time), the same at every call."""
    return make_raw(seconds=SECONDS, events=(), seed=3).get_data()


def write(path):
    WRITERS[path.suffix](path, recorded(), CHANNELS, RATE, MARKS)
    return path


def read(path, **settings):
    return read_recordings(path, RecordingSettings(**{**WANTED, **settings}))


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_a_true_file_is_read_to_the_sample(tmp_path, suffix):
    source = read(write(tmp_path / f"a{suffix}"))
    trials, values = source.trials, recorded()
    names = tuple(f"E{k + 1}" for k in range(10)) if suffix == ".raw" else CHANNELS
    assert trials.channels == names
    assert trials.sampling_rate_hz == RATE
    assert [s.label for s in source.samples] == [
        ("left", "right")[k % 2] for k in range(len(MARKS))
    ]
    assert len(trials.values) == len(MARKS)
    for (at, _), fact, trial in zip(MARKS, trials.facts, trials.values, strict=True):
        assert fact.onset_s == pytest.approx(at / RATE, abs=1e-6)
        apart = np.abs(trial - values[:, at : at + RATE]).max()
        assert apart <= (1.01 * CLOSEST_UV[suffix] + 1e-5) * MICROVOLT


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_short_is_refused_or_said(tmp_path, suffix, share):
    """Cut behind its header: never silently fewer trials, never others in their place."""
    path = tmp_path / f"a{suffix}"
    header = WRITERS[suffix](path, recorded(), CHANNELS, RATE, MARKS)
    content, values = path.read_bytes(), recorded()
    path.write_bytes(content[: header + int(share * (len(content) - header))])
    try:
        source = read(path)
    except DataError:
        with pytest.raises(DataError, match=f"^{re.escape(str(path))}[^\n]*$"):
            read(path)
        return
    harmful = [item for item in source.skipped if not item.harmless]
    said = " ".join(source.warnings).lower()
    assert (
        len(source.samples) + len(harmful) == len(MARKS) or "does not match the file size" in said
    ), said
    for fact, trial in zip(source.trials.facts, source.trials.values, strict=True):
        at = round(fact.onset_s * RATE)
        apart = np.abs(trial - values[:, at : at + RATE]).max()
        assert apart <= (1.01 * CLOSEST_UV[suffix] + 1e-5) * MICROVOLT


@pytest.mark.parametrize(("suffix", "shown_as"), MISLABELLED)
def test_a_mislabelled_file_is_refused_with_its_path(tmp_path, suffix, shown_as):
    write(tmp_path / f"a{suffix}")
    path = shutil.move(tmp_path / f"a{suffix}", tmp_path / f"b{shown_as}")
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_a_damaged_file_loses_no_other(tmp_path, suffix):
    write(tmp_path / "good.gdf")
    path = write(tmp_path / f"bad{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[:100])
    try:
        source = read(tmp_path, channels=",".join(CHANNELS))
    except DataError as error:
        pytest.fail(f"one damaged file took all others with it: {error}")
    assert {fact.recording for fact in source.trials.facts} == {"good.gdf"}
    assert len(source.samples) == len(MARKS)
    assert [item.path for item in source.skipped if not item.harmless] == [path.name]


def test_a_folder_of_egi_says_what_its_reader_needs(tmp_path):
    """MNE reads .mff through a package of its own, which the extra `eeg` does not bring."""
    folder = tmp_path / "a.mff"
    folder.mkdir()
    (folder / "info.xml").write_text("<?xml version='1.0'?><fileInfo/>")
    (folder / "signal1.bin").write_bytes(bytes(400))
    try:
        import mffpy  # noqa: F401
    except ImportError:
        with pytest.raises(DataError, match="mffpy") as error:
            read(folder)
    else:
        with pytest.raises(DataError, match="not readable as EGI") as error:
            read(folder)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)


def test_trials_in_eeglab_and_a_compressed_fif(tmp_path):
    raw = make_raw(seconds=20.0)
    raw.save(tmp_path / "a_raw.fif.gz", verbose="error")
    whole = read_recordings(tmp_path / "a_raw.fif.gz", RecordingSettings())
    assert len(whole.samples) == 13
    content = (tmp_path / "a_raw.fif.gz").read_bytes()
    (tmp_path / "b_raw.fif.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not readable as FIF"):
        read_recordings(tmp_path / "b_raw.fif.gz", RecordingSettings())
    events, codes = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(raw, events, codes, 0, 0.99, baseline=None, preload=True, verbose="error")
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    content = (tmp_path / "a-epo.fif").read_bytes()
    (tmp_path / "b-epo.fif").write_bytes(content[: int(0.7 * len(content))])
    with pytest.raises(DataError, match="not readable as FIF"):
        read_recordings(tmp_path / "b-epo.fif", RecordingSettings())


def test_arrays_cut_short(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 2, 50)).astype(np.float32)
    labels = np.array(["a", "b"] * 3)
    np.savez(tmp_path / "a.npz", X=values, y=labels, sfreq=100.0)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) - 200])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_recordings(tmp_path / "a.npz", RecordingSettings(sampling_rate_hz=100.0))
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "X.npy", values)
    np.save(folder / "y.npy", labels)
    content = (folder / "X.npy").read_bytes()
    for share in (0.0, 0.05, 0.8):
        (folder / "X.npy").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=r"X\.npy"):
            read_recordings(folder, RecordingSettings(sampling_rate_hz=100.0))
