"""Recordings of the data packs: what is known of them is what is read."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

mne = pytest.importorskip("mne")

from vitreous.data.folds import make_folds  # noqa: E402
from vitreous.data.protocols import Dataset, choose_protocol  # noqa: E402
from vitreous.data.recordings import RecordingSettings, read_recordings  # noqa: E402
from vitreous.data.trial_copies import (  # noqa: E402
    equal_trials,
    known_again,
    partners,
    trial_sketches,
)
from vitreous.errors import RequestError  # noqa: E402

pytestmark = [pytest.mark.data]


def read(path: Path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


def test_fists_of_the_motor_imagery_set(real_data):
    folder = real_data / "physionet_eegbci_s001"
    source = read(folder, only="R(04|08|12)", events="left=T1,right=T2", usual_band=True)
    assert Counter(sample.label for sample in source.samples) == {"left": 23, "right": 22}
    trials = source.trials
    assert trials.sampling_rate_hz == 160
    assert trials.channels[:3] == ("FC5", "FC3", "FC1")
    assert len(trials.channels) == 64
    assert np.isfinite(trials.positions_m).all()
    assert {fact.subject for fact in trials.facts} == {"S001"}
    assert {fact.run for fact in trials.facts} == {"R04", "R08", "R12"}
    assert trials.contiguous
    assert trials.preprocessing.low_hz == 0.5
    data = Dataset(source.samples, trials.facts)
    assert choose_protocol(data)[0].name == "within-session"


def test_trials_laid_end_to_end_with_copies_across_the_border(real_data):
    source = read(real_data / "uci_eeg_alcoholism", label="group", usual_band=True)
    trials = source.trials
    assert not trials.contiguous
    assert trials.preprocessing.low_hz is None
    assert {fact.subject for fact in trials.facts} == {
        "sub-a364", "sub-a365", "sub-a368", "sub-a369",
        "sub-c337", "sub-c338", "sub-c339", "sub-c340",
    }  # fmt: skip
    assert len(trials.channels) == 61
    pairs = equal_trials(trials.values)
    splits = [sample.split for sample in source.samples]
    across = [pair for pair in pairs if splits[pair.first] != splits[pair.second]]
    assert len(across) == 24
    # sketches of one side find the same copies, and no other trial
    tested = np.array([split == "test" for split in splits])
    test_rows = np.flatnonzero(tested)
    known = trial_sketches(trials.values, np.flatnonzero(~tested))
    found = test_rows[known_again(trial_sketches(trials.values, test_rows), known)]
    assert set(found) == {p.first if tested[p.first] else p.second for p in across}
    dead = [fact for fact in trials.facts if fact.dead_channels]
    assert {fact.subject for fact in dead} == {"sub-a368"}
    assert [fact.dead_channels for fact in dead] == [("Cz",)] * 5
    refused = [item for item in source.skipped if "are constant" in item.reason]
    assert len(refused) == 1  # the one with 35 dead channels
    data = Dataset(source.samples, trials.facts, partners(pairs), trials.of_subjects)
    protocol, why = choose_protocol(data)
    assert protocol.name == "across-subjects"
    assert "the given split is not used" in why
    with pytest.raises(RequestError, match="--accept-subject-leak"):
        choose_protocol(data, "given")
    assert len(make_folds(protocol, data)) == 8


def test_the_stimulus_label_keeps_the_given_split_without_its_copies(real_data):
    source = read(real_data / "uci_eeg_alcoholism", events="S1=S1 obj,S2=S2*")
    data = Dataset(
        source.samples, source.trials.facts, partners(equal_trials(source.trials.values))
    )
    protocol, _ = choose_protocol(data)
    assert protocol.name == "given"
    (fold,) = make_folds(protocol, data)
    assert len(fold.left_out) == 24
    assert all("equal to" in reason for reason in fold.left_out.values())


def test_finger_movements(real_data):
    source = read(real_data / "fingermovements_eeg", sampling_rate_hz=100.0)
    assert source.trials.values.shape == (416, 28, 50)
    counts = Counter((sample.split, sample.label) for sample in source.samples)
    assert counts == {("train", "left"): 159, ("train", "right"): 157, ("test", "left"): 49,
                      ("test", "right"): 51}  # fmt: skip


def test_a_real_recording_cut_short_is_said(real_data, tmp_path):
    original = real_data / "physionet_eegbci_s001" / "S001" / "S001R04.edf"
    content = original.read_bytes()
    whole = len(read(original, events="left=T1,right=T2").samples)
    (tmp_path / "S001R04.edf").write_bytes(content[: int(0.6 * len(content))])
    source = read(tmp_path / "S001R04.edf", events="left=T1,right=T2")
    lost = [item for item in source.skipped if not item.harmless]
    assert len(source.samples) < whole
    assert source.warnings or len(lost) + len(source.samples) == whole
    shutil.copy(original, tmp_path / "S001R08.edf")
    assert len(read(tmp_path, events="left=T1,right=T2").samples) > whole
