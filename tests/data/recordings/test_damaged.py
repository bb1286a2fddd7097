"""Every reader with files that are cut short, empty, or of another kind: said, and nothing lost."""

import re
import warnings

import numpy as np
import pytest
from tests.recording_files import make_raw, mne, write_edf, write_fif

from vitreous.data.recordings import RecordingSettings, read_recordings
from vitreous.data.recordings.formats import SUFFIXES
from vitreous.errors import DataError

ALL = sorted(SUFFIXES)


def read(path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


@pytest.mark.parametrize("suffix", ALL)
def test_an_empty_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".mff":
        path.mkdir()
    else:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="empty") as error:
        read(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize(
    "content", [b"a letter to a friend\n" * 100, b"\x89PNG\r\n\x1a\n" + b"7" * 900]
)
def test_a_file_of_another_kind(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not readable as|is no ") as error:
        read(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.parametrize("suffix", ALL)
def test_one_bad_file_loses_no_other(tmp_path, suffix):
    write_edf(tmp_path / "good.edf")
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(b"no recording at all " * 50)
    source = read(tmp_path)
    assert {fact.recording for fact in source.trials.facts} == {"good.edf"}
    harmful = [item for item in source.skipped if not item.harmless]
    assert [item.path for item in harmful] == [bad.name]
    assert str(tmp_path) not in harmful[0].reason


def written(tmp_path, kind):
    raw = make_raw()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "fif":
            raw.save(tmp_path / "a_raw.fif", verbose="error")
            return tmp_path / "a_raw.fif", tmp_path / "a_raw.fif"
        path = tmp_path / f"a.{kind}"
        options = {} if kind == "vhdr" else {"physical_range": "channelwise"}
        mne.export.export_raw(path, raw, verbose="error", **options)
    return path, tmp_path / "a.eeg" if kind == "vhdr" else path


@pytest.mark.parametrize("kind", ["edf", "vhdr", "fif"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_file_cut_short_is_refused_or_said(tmp_path, kind, share):
    """Never silently fewer trials: an error, a warning, or every missing trial listed."""
    path, data = written(tmp_path, kind)
    whole = len(read(path).samples)
    content = data.read_bytes()
    data.write_bytes(content[: int(share * len(content))])
    try:
        source = read(path)
    except DataError:
        with pytest.raises(DataError, match=re.escape(str(path))):
            read(path)
        return
    harmful = [item for item in source.skipped if not item.harmless]
    said = " ".join(source.warnings).lower()
    assert (
        len(source.samples) + len(harmful) == whole
        or "size" in said
        or "trunc" in said
        or "omitted" in said
        or ("not match" in said)
    )


def test_a_brainvision_header_without_its_data(tmp_path):
    path, data = written(tmp_path, "vhdr")
    data.unlink()
    with pytest.raises(DataError, match="not readable as BrainVision"):
        read(path)


def test_broken_participants(tmp_path):
    write_edf(tmp_path / "sub-1" / "sub-1_eeg.edf")
    for text, said in (
        ("name\tgroup\nsub-1\tx\n", "no column participant_id"),
        ("participant_id\tgroup\nsub-1\n", "line 2 has 1 cells"),
        ("participant_id\tgroup\nsub-2\tx\n", "has none of the subjects 'sub-1'.*it has 'sub-2'"),
    ):
        (tmp_path / "participants.tsv").write_text(text)
        with pytest.raises(DataError, match=said):
            read(tmp_path, label="group")
    (tmp_path / "participants.tsv").unlink()
    with pytest.raises(DataError, match=r"has no participants\.tsv"):
        read(tmp_path, label="group")


HEAD = "@problemName X\n@timeStamps false\n@classLabel true left right\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line @data"),
        (HEAD, "no line @data"),
        (HEAD + "@data\n", "no case after @data"),
        (HEAD + "@data\n1,2:3,4:left\n1,2:3:right\n", "line 6"),
        (HEAD + "@data\n1,2:3,4:left\n1,x:3,4:right\n", "line 6 is broken"),
        (HEAD + "@data\n1,2:3,4:up\n", "label 'up' is none of"),
        (HEAD + "@data\n1,2:3,4:left\n1,2,3:3,4,5:right\n", "line 6 has 2 channels of 3"),
        ("@timeStamps true\n@data\n", "time stamps"),
    ],
)
def test_broken_ts(tmp_path, text, said):
    path = tmp_path / "a.ts"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read(path, sampling_rate_hz=100.0)
    assert str(path) in str(error.value)


def test_broken_npz(tmp_path):
    path = tmp_path / "a.npz"
    values = np.zeros((4, 2, 50), np.float32)
    np.savez(path, X=values, y=np.array([0, 1]), sfreq=100.0)
    with pytest.raises(DataError, match=r"labels of shape \(2,\) for 4 trials"):
        read(path)
    np.savez(path, X=values[0], y=np.array([0, 1]), sfreq=100.0)
    with pytest.raises(DataError, match=r"trials of shape \(2, 50\)"):
        read(path)
    np.savez(path, X=np.array([{"code": "runs"}]), y=np.array([0]), sfreq=100.0)
    with pytest.raises(DataError, match="Python"):
        read(path)


@pytest.mark.parametrize("kind", ["edf", "vhdr", "fif"])
def test_a_true_file_under_another_formats_name(tmp_path, kind):
    """What MNE can write, under every other suffix that is read (what it cannot: test_formats)."""
    path, _ = written(tmp_path, kind)
    for suffix in ALL:
        if suffix in (f".{kind}", ".mff"):  # a folder
            continue
        there = tmp_path / "other" / f"b{suffix}"
        there.parent.mkdir(exist_ok=True)
        there.write_bytes(path.read_bytes())
        with pytest.raises(DataError) as error:
            read(there)
        assert str(error.value).startswith(str(there))
        assert "\n" not in str(error.value)
        there.unlink()


@pytest.mark.parametrize("suffix", [".bdf", ".gdf", ".vhdr", ".cnt", ".raw", ".set", ".fif"])
def test_a_recording_under_another_formats_name_is_told_by_its_own(tmp_path, suffix):
    path = write_edf(tmp_path / "a.edf").rename(tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match=r"file but a recording in EDF; name it \.edf, or leave"):
        read(path)


def test_a_raw_file_cut_short_says_what_is_wrong_with_it(tmp_path):
    """Epochs are tried where a FIF holds no recording; what they lack is no matter here."""
    path = write_fif(tmp_path / "a_raw.fif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError) as error:
        read(path, window="0,1")
    assert "event data" not in str(error.value)


def test_a_package_that_a_reader_needs_is_named(tmp_path, monkeypatch):
    """MNE says it by a RuntimeError, which is also what it says of damaged files."""
    (tmp_path / "a.mff").mkdir()
    (tmp_path / "a.mff" / "info.xml").write_text("<fileInfo/>")

    def needs(*_, **__):
        raise RuntimeError(
            "For reading EGI MFF data to work, the module mffpy is needed, but it could not be "
            "imported. Use the following installation method:\n\n    pip install mffpy"
        )

    monkeypatch.setattr(mne.io, "read_raw_egi", needs)
    with pytest.raises(DataError, match=r"mffpy, which is not installed; pip install mffpy$"):
        read(tmp_path / "a.mff")


ARRAYS = ("a.ts", "a.npz", "X.npy", "y.npy")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "content", [b"", b"a letter\n" * 50, b"PK\x03\x04" + b"7" * 90], ids=["empty", "text", "zip"]
)
def test_arrays_that_are_empty_or_of_another_kind(tmp_path, name, content):
    values = np.zeros((4, 2, 50), np.float32)
    np.save(tmp_path / "X.npy", values)
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    path = tmp_path / name
    path.write_bytes(content)
    asked = tmp_path / "X.npy" if name == "y.npy" else path
    with pytest.raises(DataError) as error:
        read(asked, sampling_rate_hz=100.0)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("table", ["events", "channels"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\x89PNG\r\n\x1a\n" + b"7" * 90, b"onset\tname"],
    ids=["empty", "line", "picture", "heading"],
)
def test_tables_beside_a_recording_that_are_empty_cut_short_or_none(tmp_path, table, content):
    """One bad table costs its recording alone, and is named; a heading alone is an empty table."""
    write_edf(tmp_path / "sub-1" / "sub-1_eeg.edf")
    write_edf(tmp_path / "sub-2" / "sub-2_eeg.edf")
    path = tmp_path / "sub-2" / f"sub-2_{table}.tsv"
    path.write_bytes(content)
    source = read(tmp_path)
    kept = {fact.recording for fact in source.trials.facts}
    assert "sub-1/sub-1_eeg.edf" in kept
    if content.startswith(b"onset") and table == "channels":
        assert len(kept) == 2  # a table without a line says nothing of any channel
        return
    said = " ".join(item.reason for item in source.skipped if not item.harmless)
    said += " ".join(source.warnings)
    assert "sub-2" in said or path.name in said
