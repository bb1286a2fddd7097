"""Reference and repair go by all electrodes that were recorded, whichever are chosen."""

import numpy as np
import pytest
from tests.recording_files import CHANNELS, MICROVOLT, make_raw, mne, write_fif

from vitreous.data.preprocessing import Preprocessing
from vitreous.data.recordings import RecordingSettings, TrialFormat, read_recordings
from vitreous.data.recordings.selection import interpolated
from vitreous.errors import DataError, RequestError

CHOSEN = "C3,Cz,C4"
ROWS = [CHANNELS.index(name) for name in CHOSEN.split(",")]


def read(path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


def like(trials, **changed):
    """The settings of prediction by a run that was trained on such trials."""
    made = trials.format_json() | changed
    kept = made.get("reference_channels")
    form = TrialFormat(
        tuple(made["channels"]),
        made["sampling_rate_hz"],
        trials.values.shape[2],
        tuple(made["window_s"]),
        None if kept is None else tuple(kept),
    )
    return {"chain": trials.preprocessing, "like": form, "for_training": False}


def saved(folder, raw):
    raw.save(folder / "a_raw.fif", verbose="error")
    return folder / "a_raw.fif"


@pytest.mark.parametrize("reference", ["average", "p3", "EEG O2-Ref"])
def test_chosen_channels_are_referenced_as_among_all(tmp_path, reference):
    path = write_fif(tmp_path / "a_raw.fif")
    recorded = read(path).trials.values.astype(np.float64)
    source = read(path, channels=CHOSEN, chain=Preprocessing(reference))
    named = {"p3": "P3", "EEG O2-Ref": "O2"}.get(reference)
    against = recorded[:, [CHANNELS.index(named)]] if named else recorded.mean(1, keepdims=True)
    np.testing.assert_allclose(source.trials.values, (recorded - against)[:, ROWS], atol=1e-11)
    assert source.trials.preprocessing.reference == (named or "average")
    assert source.trials.reference_channels == ((named,) if named else CHANNELS)
    assert any("average of all 10 EEG channels" in said for said in source.warnings) != bool(named)
    again = read(path, **like(source.trials)).trials
    np.testing.assert_array_equal(again.values, source.trials.values)


def test_a_run_that_kept_no_reference_channels_is_answered_as_it_was_trained(tmp_path):
    raw = make_raw()
    raw.info["bads"] = ["Cz"]
    path = saved(tmp_path, raw)
    chosen = ("C3", "Cz", "C4", "P3", "P4")
    chain = Preprocessing("average")
    trials = read(path, channels=",".join(chosen), chain=chain).trials
    old = read(path, **like(trials, reference_channels=None)).trials
    rows = [CHANNELS.index(name) for name in chosen]
    five = interpolated(raw.get_data()[rows], 100.0, chosen, ["Cz"])
    start = round(old.facts[0].start_s * 100)
    wanted = (five - five.mean(axis=0))[:, start : start + 100]
    np.testing.assert_allclose(old.values[0], wanted, atol=1e-11)
    assert np.abs(old.values - trials.values).max() > MICROVOLT


def test_a_recording_without_the_references_electrodes_is_refused(tmp_path):
    trials = read(write_fif(tmp_path / "a_raw.fif"), channels=CHOSEN).trials
    few = write_fif(tmp_path / "few_raw.fif", channels=("C3", "Cz", "C4", "P3"))
    assert read(few, **like(trials)).trials.values.shape[1] == 3  # nothing else is needed
    for reference, said in (("average", "Fp1, F3, F4, P4, O1, O2"), ("O1", "O1")):
        chain = Preprocessing(reference)
        trials = read(tmp_path / "a_raw.fif", channels=CHOSEN, chain=chain).trials
        with pytest.raises(DataError, match=f"has no channel {said}, which the reference") as error:
            read(few, **like(trials))
        assert str(error.value).startswith(str(few))
    with pytest.raises(DataError, match=r"few_raw\.fif: has no channel O1 of --reference"):
        read(tmp_path, channels=CHOSEN, chain=Preprocessing("O1"))
    with pytest.raises(RequestError, match="unknown reference 'X9'"):
        read(tmp_path, channels=CHOSEN, chain=Preprocessing("X9"))


def test_chosen_channels_are_repaired_from_all(tmp_path):
    raw = make_raw()
    raw.info["bads"] = ["C3", "F4"]
    path = saved(tmp_path, raw)
    whole = read(path)
    source = read(path, channels=CHOSEN)
    assert [item for item in source.skipped if not item.harmless] == []
    np.testing.assert_allclose(source.trials.values, whole.trials.values[:, ROWS], atol=1e-11)
    said = [text for text in source.warnings if "bad channels" in text]
    assert said == ["a_raw.fif: bad channels C3 were made from their neighbours"]


def test_trials_in_a_file_are_repaired_and_referenced_as_in_a_recording(tmp_path):
    raw = make_raw()
    raw._data[CHANNELS.index("Cz")] = 0.0
    (tmp_path / "whole").mkdir()
    chain = Preprocessing("average")
    whole = read(saved(tmp_path / "whole", raw), channels=CHOSEN, chain=chain)
    events, ids = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(raw, events, ids, 0.0, 0.99, baseline=None, preload=True, verbose="error")
    epochs.save(tmp_path / "a-epo.fif", fmt="double", verbose="error")
    source = read(tmp_path / "a-epo.fif", channels=CHOSEN, chain=chain)
    np.testing.assert_allclose(source.trials.values, whole.trials.values, atol=1e-11)
    assert any("Cz were made from their neighbours" in said for said in source.warnings)


def test_why_a_bad_channel_is_zero(tmp_path):
    raw = make_raw(channels=("C3", "Cz", "C4", "lead 7", "lead 8", "lead 9"))
    raw.info["bads"] = ["C3"]
    source = read(saved(tmp_path, raw))
    assert any("as zero: too few good channels are around" in said for said in source.warnings)
    raw.info["bads"] = ["lead 7"]
    raw.save(tmp_path / "a_raw.fif", overwrite=True, verbose="error")
    source = read(tmp_path)
    assert any("as zero: their places are not known" in said for said in source.warnings)
    with pytest.raises(DataError, match="the reference lead 7 is bad, and cannot be made"):
        read(tmp_path, channels="C3,Cz", chain=Preprocessing("lead 7"))


def test_what_is_missing_in_the_reference_is_missing_in_the_trial(tmp_path):
    raw = make_raw()
    onset = raw.annotations.onset[2]
    raw._data[CHANNELS.index("O1"), round(onset * 100) + 20] = np.nan
    path = saved(tmp_path, raw)
    assert len(read(path, channels=CHOSEN).samples) == len(raw.annotations)
    source = read(path, channels=CHOSEN, chain=Preprocessing("average"))
    [left_out] = [item for item in source.skipped if not item.harmless]
    assert left_out.path == f"a_raw.fif#{onset:g}"
    assert "in a channel that the reference is taken from" in left_out.reason
    raw.info["bads"] = ["Cz"]  # made from others, O1 among them
    raw.save(path, overwrite=True, verbose="error")
    [left_out] = [item for item in read(path, channels=CHOSEN).skipped if not item.harmless]
    assert "values are missing (not a number) in 1 channels: Cz" in left_out.reason


def test_noise_on_one_electrode_is_no_part_of_the_average_of_others(tmp_path):
    """The average is of EEG alone: what a trigger or the eyes' channel shows is not in it."""
    raw = make_raw(channels=(*CHANNELS, "EOG left"))
    raw._data[-1] *= 1000
    source = read(saved(tmp_path, raw), channels=CHOSEN, chain=Preprocessing("average"))
    assert source.trials.reference_channels == CHANNELS
    assert source.trials.values.std() < 100 * MICROVOLT
