"""How recordings are listed: a line each, whatever the terminal's width."""

import pytest
from rich.console import Console

from vitreous.cli.inspect_recordings import show_recordings
from vitreous.data.recordings.inspect import FileFacts, RecordingInspection, TrialPlan


def shown(monkeypatch, capsys, width, files, by_subject=None) -> list[str]:
    """The lines that `vitreous inspect` prints on a terminal of this width."""
    plan = TrialPlan(trials={"left": 3, "right": 3}, by_subject=by_subject or {}, error="no data")
    found = RecordingInspection("data", "EEG", tuple(files), ("C3",), {}, (), (), plan)
    monkeypatch.setenv("COLUMNS", str(width))
    assert Console().width == width
    show_recordings(found, "data", {})
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def facts(path, subject, run, session=None, **more):
    kinds = {"eeg": 61, "eog": 2, "misc": 1}
    return FileFacts(path, subject, session, run, None, 30.0, 256.0, kinds, {"go": 30}, **more)


@pytest.mark.parametrize("width", [80, 120])
def test_a_recording_is_a_line_and_its_name_is_not_broken(monkeypatch, capsys, width):
    stems = [f"sub-a36{n}_task-smni_acq-{part}_eeg" for n in range(4) for part in ("test", "train")]
    files = [facts(f"{s[:8]}/eeg/{s}.edf", s[:8], s) for s in stems]
    by_subject = {f"{s[:8]}/{s}/{'x' * 30}": {"left": 3, "right": 3} for s in stems}
    lines = shown(monkeypatch, capsys, width, files, by_subject)
    assert max(map(len, lines)) <= width
    listed = [line for line in lines if "sub-a36" in line and "61 eeg" in line]
    assert len(listed) == len(files)
    for line, stem in zip(listed, stems, strict=True):
        name = line.split()[0]
        assert name.startswith(stem[:12])
        assert name.endswith(f"{stem[-8:]}.edf")
        assert (name == f"{stem}.edf") == (width == 120)
        assert ("61 eeg, 2 eog, 1 misc" in line) == (width == 120)
    heading = next(line for line in lines if line.strip().startswith("file"))
    assert heading.split() == ["file", "subject", "seconds", "Hz", "channels", "events"]
    assert len([line for line in lines if line.rstrip().endswith("3      3")]) == len(files) + 1


def test_what_says_something_has_a_column_and_folders_tell_equal_names_apart(monkeypatch, capsys):
    files = [
        facts("set/anna/a/x.edf", "anna", "x", "a", marked_bad=("C3", "C4", "Cz")),
        facts("set/bert/b/x.edf", "bert", "2", "b"),
        FileFacts("set/bert/b/y.edf", "bert", None, "y", None, error="the file is empty"),
    ]
    lines = shown(monkeypatch, capsys, 100, files)
    assert "Recordings in set" in lines
    listed = [line.split() for line in lines if ".edf" in line]
    assert [words[:3] for words in listed[:2]] == [
        ["anna/a/x.edf", "anna", "a"], ["bert/b/x.edf", "bert", "b"]
    ]  # fmt: skip
    assert listed[0][-4:] == ["C3,", "C4", "+", "1"]
    assert listed[2] == ["bert/b/y.edf", "bert", "0", "not", "read"]
