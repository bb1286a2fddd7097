"""What inspecting recordings tells: channels that are bad, and units that cannot be."""

import pytest
from tests.recording_files import make_raw, write_fif, write_subjects

from vitreous.data.preprocessing import Preprocessing
from vitreous.data.recordings import RecordingSettings
from vitreous.data.recordings.inspect import inspect_recordings


def inspect(path, **settings):
    return inspect_recordings(path, RecordingSettings(**settings))


def test_channels_that_a_table_or_the_file_calls_bad_are_shown(tmp_path):
    write_subjects(tmp_path, 2)
    folder = tmp_path / "sub-01" / "eeg"
    heading = "name\ttype\tunits\tstatus\n"
    lines = "O1\tEEG\tuV\tbad\nC3\tEEG\tuV\tgood\nX9\tEEG\tuV\tbad\n"
    (folder / "sub-01_task-x_channels.tsv").write_text(heading + lines)
    raw = make_raw(seed=2)
    raw.info["bads"] = ["P4"]
    raw.save(tmp_path / "sub-02" / "eeg" / "sub-02_task-x_eeg.fif", overwrite=True,
             verbose="error")  # fmt: skip
    found = inspect(tmp_path)
    assert [facts.marked_bad for facts in found.files] == [("O1",), ("P4",)]
    (folder / "sub-01_task-x_channels.tsv").write_text("title\nO1\n")
    found = inspect(tmp_path)  # a broken table costs its recording alone
    assert "has no column name" in found.files[0].error
    assert found.files[1].marked_bad == ("P4",)


@pytest.mark.parametrize(("wrong", "factor"), [(1e6, "1e-06"), (1e3, "0.001"), (1e-6, "1e+06")])
def test_volts_that_no_scalp_gives_are_told_with_the_factor_and_kept(tmp_path, wrong, factor):
    write_fif(tmp_path / "a_raw.fif")
    raw = make_raw(seed=1)
    raw._data *= wrong
    raw.save(tmp_path / "b_raw.fif", verbose="error")
    found = inspect(tmp_path)
    [said] = [text for text in found.findings if "which no EEG has" in text]
    assert said.startswith("b_raw.fif: a channel's usual spread is ")
    assert f"values times {factor} would have " in said
    assert inspect(tmp_path / "b_raw.fif").plan.median_spread_uv == pytest.approx(
        inspect(tmp_path / "a_raw.fif").plan.median_spread_uv * wrong, rel=0.2, abs=0.005
    )


def test_usual_volts_are_not_remarked_on(tmp_path):
    write_fif(tmp_path / "a_raw.fif")
    for chain in (Preprocessing(), Preprocessing(low_hz=35, high_hz=45)):
        findings = inspect(tmp_path, chain=chain).findings
        assert not [text for text in findings if "which no EEG has" in text]
