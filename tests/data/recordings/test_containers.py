"""Trials that come as arrays: `.ts`, `.npz`, `.npy`."""

import numpy as np
import pytest

from vitreous.data.preprocessing import Preprocessing
from vitreous.data.recognise import recognise
from vitreous.data.recordings import (
    RecordingSettings,
    TrialFormat,
    holds_recordings,
    read_recordings,
)
from vitreous.data.recordings.inspect import inspect_recordings
from vitreous.errors import DataError, RequestError

TS = """#a comment
@problemName Fingers
@timeStamps false
@classLabel true left right
@data
1,2,3:4,5,6:left
-1,2.5,3:4,5,6e-1:right
7,8,?:4,5,6:right
0,8,1:4,5,6:left
"""


def read(path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


def test_ts_as_written(tmp_path):
    (tmp_path / "Fingers_TRAIN.ts").write_text(TS)
    (tmp_path / "Fingers_TEST.ts").write_text(TS)
    source = read(tmp_path, sampling_rate_hz=100.0, channels="C3,C4")
    assert source.trials.values.shape == (6, 2, 3)
    np.testing.assert_allclose(source.trials.values[1], [[-1, 2.5, 3], [4, 5, 0.6]])
    assert source.trials.channels == ("C3", "C4")
    assert [sample.split for sample in source.samples] == ["test"] * 3 + ["train"] * 3
    assert source.samples[1].sample_id == "Fingers_TEST.ts#1"
    missing = [item.path for item in source.skipped if not item.harmless]
    assert missing == ["Fingers_TEST.ts#2", "Fingers_TRAIN.ts#2"]


def test_the_sampling_rate_must_be_said(tmp_path):
    (tmp_path / "a.ts").write_text(TS)
    with pytest.raises(RequestError, match="add --sampling-rate"):
        read(tmp_path)


def test_npz_with_subjects(tmp_path):
    random = np.random.default_rng(0)
    values = random.normal(size=(6, 3, 50)).astype(np.float32)
    np.savez(
        tmp_path / "a.npz", X=values, y=np.array(list("aabbab")), sfreq=250.0,
        ch_names=np.array(["C3", "Cz", "C4"]), subjects=np.array([1, 1, 1, 2, 2, 2]),
    )  # fmt: skip
    assert holds_recordings(tmp_path / "a.npz")
    source = read(tmp_path)
    np.testing.assert_array_equal(source.trials.values, values)
    assert source.trials.sampling_rate_hz == 250
    assert [sample.group for sample in source.samples] == ["1"] * 3 + ["2"] * 3
    assert source.trials.channels == ("C3", "Cz", "C4")


def test_npy_beside_its_labels(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 2, 30))
    np.save(tmp_path / "X.npy", values)
    np.save(tmp_path / "y.npy", np.array([0, 1, 1, 0]))
    source = read(tmp_path, sampling_rate_hz=128.0)
    np.testing.assert_allclose(source.trials.values, values, rtol=1e-6)
    assert source.classes == ("0", "1")


def test_an_archive_of_pictures_is_left_to_their_reader(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 0, 1]))
    assert not holds_recordings(tmp_path)


NAMES = ("Fp1", "C3", "Cz", "C4", "O1")


def write_npz(path, count=12, labels="abc", **others):
    random = np.random.default_rng(3)
    values = random.normal(size=(count, 5, 100)).astype(np.float32)
    np.savez(path, X=values, y=np.array([labels[k % len(labels)] for k in range(count)]), **others)
    return values


def test_channels_and_seconds_are_chosen_in_arrays_too(tmp_path):
    values = write_npz(tmp_path / "a.npz", sfreq=100.0, ch_names=np.array(NAMES))
    source = read(tmp_path, channels="c4,EEG Cz-Ref", window="0.2,0.7")
    np.testing.assert_array_equal(source.trials.values, values[:, [3, 2], 20:70])
    assert source.trials.channels == ("C4", "Cz")
    assert source.trials.window_s == (0.2, 0.7)
    chain = Preprocessing("average")
    apart = values.astype(np.float64) - values.mean(axis=1, keepdims=True, dtype=np.float64)
    for settings, wanted in (
        ({"chain": chain}, apart[:, [3, 2]]),
        ({"chain": Preprocessing("o1")}, (values - values[:, [4]])[:, [3, 2]]),
    ):
        found = read(tmp_path, channels="C4,Cz", **settings).trials
        np.testing.assert_allclose(found.values, wanted, atol=1e-6)
    halved = read(tmp_path, window="0.2,0.7", chain=Preprocessing(resample_hz=50)).trials
    assert halved.values.shape == (12, 5, 25)
    with pytest.raises(RequestError, match="unknown channel 'X9'"):
        read(tmp_path, channels="X9")
    for window in ("-0.1,0.5", "0,1.2"):
        with pytest.raises(RequestError, match="last from 0 to 1 s, which --window"):
            read(tmp_path, window=window)


def test_a_channel_of_triggers_in_an_array_is_not_learned_from(tmp_path):
    names = np.array(["C3", "TRIG", "Cz", "EOG left", "C4"])
    values = write_npz(tmp_path / "a.npz", sfreq=100.0, ch_names=names)
    source = read(tmp_path)
    assert source.trials.channels == ("C3", "Cz", "C4")
    np.testing.assert_array_equal(source.trials.values, values[:, [0, 2, 4]])
    assert any("no EEG, so left out: TRIG, EOG left" in said for said in source.warnings)
    assert read(tmp_path, channels="TRIG,C3").trials.channels == ("TRIG", "C3")
    mean = values[:, [0, 2, 4]].mean(axis=1, keepdims=True, dtype=np.float64)
    averaged = read(tmp_path, chain=Preprocessing("average")).trials.values
    np.testing.assert_allclose(averaged, values[:, [0, 2, 4]] - mean, atol=1e-6)
    write_npz(tmp_path / "a.npz", sfreq=100.0, ch_names=np.array([f"EOG {k}" for k in range(5)]))
    with pytest.raises(DataError, match="its channels are no EEG by their names"):
        read(tmp_path)


def test_labels_of_arrays_are_chosen_and_renamed_by_events(tmp_path):
    write_npz(tmp_path / "a.npz", sfreq=100.0)
    source = read(tmp_path, events="one=a,two=c")
    assert [sample.label for sample in source.samples] == ["one", "two"] * 4
    assert [item.path for item in source.skipped] == [f"a.npz#{k}" for k in (1, 4, 7, 10)]
    assert any("4 trials have labels that --events does not name" in s for s in source.warnings)
    with pytest.raises(DataError, match=r"no label is 'two' \(T2\); labels found: 'a' \(4\)"):
        read(tmp_path, events="one=a,two=T2")


def test_what_has_no_meaning_for_arrays_is_refused(tmp_path):
    write_npz(tmp_path / "a.npz", sfreq=100.0)
    for settings, said in (
        ({"sampling_rate_hz": 200.0}, "have 100 samples a second, and --sampling-rate says 200"),
        ({"sampling_rate_hz": 0.0}, "--sampling-rate 0: use a number of Hz above 0"),
        ({"label": "group"}, "--label group is a column"),
        ({"only": "x"}, "--only x is for folders"),
        ({"subject": "(x)"}, "searched in the paths of recordings"),
        ({"channels": "C3,C4"}, "its 5 channels have no names, so --channels must name all"),
    ):
        with pytest.raises(RequestError, match=said.replace("(", r"\(").replace(")", r"\)")):
            read(tmp_path, **settings)
    assert read(tmp_path, sampling_rate_hz=100.0).trials.sampling_rate_hz == 100
    write_npz(tmp_path / "a.npz", sfreq=np.array([100.0, 200.0]))
    with pytest.raises(DataError, match=r"its sampling rate is \[100.0, 200.0\]; one number"):
        read(tmp_path)


def test_arrays_are_cut_at_prediction_as_the_runs_were(tmp_path):
    values = write_npz(tmp_path / "a.npz", sfreq=100.0, ch_names=np.array(NAMES))
    form = TrialFormat(("Cz", "C3"), 50.0, 25, (0.2, 0.7), NAMES)
    like = {"like": form, "for_training": False, "chain": Preprocessing("average")}
    trials = read(
        tmp_path, sampling_rate_hz=50.0, **like
    ).trials  # the run's: the file knows better
    chain = Preprocessing("average", resample_hz=50)
    own = read(tmp_path, channels="Cz,C3", window="0.2,0.7", chain=chain).trials
    np.testing.assert_array_equal(trials.values, own.values)
    upper = np.array([name.upper() for name in NAMES])
    np.savez(tmp_path / "a.npz", X=values[:, ::-1], y=np.zeros(12), sfreq=100.0,
             ch_names=upper[::-1])  # fmt: skip
    np.testing.assert_allclose(read(tmp_path, **like).trials.values, own.values, atol=1e-6)
    np.savez(tmp_path / "a.npz", X=values[:, 1:], y=np.zeros(12), sfreq=100.0, ch_names=NAMES[1:])
    with pytest.raises(DataError, match="no channel Fp1, which the reference"):
        read(tmp_path, **like)
    np.savez(tmp_path / "a.npz", X=values, y=np.zeros(12), sfreq=100.0)
    with pytest.raises(RequestError, match="5 channels that no names tell apart; the run takes 2"):
        read(tmp_path, **like)


def test_labels_at_prediction_may_be_classes_already_or_nothing(tmp_path):
    like = {
        "like": TrialFormat(NAMES, 100.0, 100, (0.0, 1.0), ()),
        "for_training": False,
        "events": "left=T1,right=T2",
    }
    for labels, wanted in (
        (("T1", "T2", "T0"), {"left", "right"}),
        (("left", "right", "rest"), {"left", "right"}),
        (("0", "1"), {"0", "1"}),
    ):
        write_npz(tmp_path / "a.npz", labels=labels, sfreq=100.0, ch_names=np.array(NAMES))
        assert {sample.label for sample in read(tmp_path, **like).samples} == wanted


def test_whoever_says_a_rate_has_trials(tmp_path):
    values = write_npz(tmp_path / "a.npz")
    assert not holds_recordings(tmp_path)
    with pytest.raises(DataError, match="trials of signals\\? say their sampling rate"):
        recognise(tmp_path)
    for path in (tmp_path, tmp_path / "a.npz"):
        source = recognise(path, recordings=RecordingSettings(sampling_rate_hz=100.0))
        np.testing.assert_array_equal(source.trials.values, values)
        found = inspect_recordings(path, RecordingSettings(sampling_rate_hz=100.0))
        assert found.plan.sampling_rate_hz == 100
    np.savez(tmp_path / "a.npz", x_train=values, y_train=np.arange(12) % 2)
    assert holds_recordings(tmp_path, 100.0)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.edf").write_bytes(b"x")  # its recordings count, whatever lies beside
    with pytest.raises(DataError, match=r"a\.edf"):
        read(tmp_path, sampling_rate_hz=100.0)


def test_trials_of_dead_channels_are_left_out_of_arrays_too(tmp_path):
    values = write_npz(tmp_path / "a.npz")
    values[3, 2] = 0.0  # one of five
    values[5, :2] = 7.0
    np.savez(tmp_path / "a.npz", X=values, y=np.arange(12) % 2, sfreq=100.0)
    source = read(tmp_path)
    [left_out] = source.skipped
    assert (left_out.path, left_out.reason) == ("a.npz#5", "2 of 5 channels are constant")
    assert source.trials.facts[3].dead_channels == ("channel 3",)
