"""Trials as they come out of files, compared with slices of the recordings themselves."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.recording_files import (
    CHANNELS,
    MICROVOLT,
    make_raw,
    mne,
    write_edf,
    write_fif,
    write_subjects,
)

from vitreous.data.preprocessing import Preprocessing
from vitreous.data.recordings import RecordingSettings, holds_recordings, read_recordings
from vitreous.data.recordings.inspect import inspect_recordings
from vitreous.errors import DataError, RequestError

PLAIN = RecordingSettings()


def read(path: Path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


def reasons(source) -> list[str]:
    return [item.reason for item in source.skipped if not item.harmless]


def export(path: Path, raw) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.name.endswith(".fif"):
            raw.save(path, verbose="error")
        else:
            options = {} if path.suffix == ".vhdr" else {"physical_range": "channelwise"}
            mne.export.export_raw(path, raw, verbose="error", **options)
    return path


@pytest.mark.parametrize(
    ("name", "closest_uv"), [("a.edf", 0.01), ("a.vhdr", 0.06), ("a_raw.fif", 1e-5)]
)
def test_trials_are_slices_of_the_recording(tmp_path, name, closest_uv):
    raw = make_raw(date=True)
    source = read(export(tmp_path / name, raw))
    trials = source.trials
    assert trials.channels == CHANNELS
    assert trials.sampling_rate_hz == 100
    assert source.classes == ("left", "right")
    assert trials.window_s == (0.0, 1.0)
    values = raw.get_data()
    for sample, fact, trial in zip(source.samples, trials.facts, trials.values, strict=True):
        start = round(fact.onset_s * 100)
        assert np.abs(trial - values[:, start : start + 100]).max() < closest_uv * MICROVOLT
        assert sample.sample_id.startswith(f"{name}#")
        assert float(sample.sample_id.split("#")[1]) == pytest.approx(fact.onset_s, abs=1e-6)
    given = [name for _, _, name in zip(raw.annotations.onset, raw.annotations.duration,
                                        raw.annotations.description, strict=True)]  # fmt: skip
    assert [sample.label for sample in source.samples] == given


def test_a_cropped_recording_keeps_its_events_in_place(tmp_path):
    raw = make_raw(date=True).crop(tmin=10.0)
    source = read(export(tmp_path / "late_raw.fif", raw), window="0,1")
    values = raw.get_data()
    for fact, trial in zip(source.trials.facts, source.trials.values, strict=True):
        start = round(fact.onset_s * 100)
        np.testing.assert_allclose(trial, values[:, start : start + 100].astype(np.float32))
    assert min(fact.onset_s for fact in source.trials.facts) < 2


def test_epochs_are_taken_as_they_are(tmp_path):
    raw = make_raw()
    events, codes = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(
        raw, events, codes, -0.2, 0.79, baseline=None, preload=True, verbose="error"
    )
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    source = read(tmp_path / "a-epo.fif")
    np.testing.assert_allclose(source.trials.values, epochs.get_data(copy=False).astype(np.float32))
    assert source.trials.window_s[0] == pytest.approx(-0.2)
    assert {sample.label for sample in source.samples} == {"left", "right"}
    # the name says nothing: the content does
    (tmp_path / "b").mkdir()
    (tmp_path / "a-epo.fif").rename(tmp_path / "b" / "a.fif")
    assert len(read(tmp_path / "b").samples) == len(source.samples)


def test_an_eeglab_file_is_read(tmp_path):
    from scipy.io import savemat

    values = np.random.default_rng(0).normal(size=(3, 3000)).astype(np.float32)
    chanlocs = np.array([(name,) for name in ("C3", "Cz", "C4")], dtype=[("labels", object)])
    event = np.array(
        [("left", 101.0), ("right", 801.0), ("left", 1501.0), ("right", 2001.0)],
        dtype=[("type", object), ("latency", object)],
    )
    eeg = {
        "data": values, "srate": 100.0, "nbchan": 3, "pnts": 3000, "trials": 1, "xmin": 0.0,
        "xmax": 29.99, "chanlocs": chanlocs, "event": event, "epoch": [], "setname": "x",
        "ref": "common", "icawinv": [], "icaweights": [], "icasphere": [], "icachansind": [],
    }  # fmt: skip
    savemat(tmp_path / "a.set", {"EEG": eeg}, appendmat=False)
    source = read(tmp_path / "a.set", window="0,1")
    assert [sample.label for sample in source.samples] == ["left", "right", "left", "right"]
    # EEGLAB keeps microvolts, and counts samples from 1
    np.testing.assert_allclose(
        source.trials.values[0], values[:, 100:200] * np.float32(1e-6), rtol=1e-5
    )


def test_events_beside_a_recording_count_before_its_own(tmp_path):
    write_edf(tmp_path / "sub-1_eeg.edf")
    (tmp_path / "sub-1_events.tsv").write_text(
        "onset\tduration\ttrial_type\n1.0\t2.0\ta\n5.0\t2.0\tb\n9.0\t2.0\ta\n13\t2.0\tb\n15\t1\tn/a\n"
    )
    source = read(tmp_path)
    assert [sample.label for sample in source.samples] == ["a", "b", "a", "b"]
    assert source.trials.values.shape[2] == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("onset\tduration\ttrial_type\n1.0\t2.0\n", "line 2 has 2 cells for 3"),
        ("onset\tduration\ttrial_type\nsoon\t2.0\ta\n", "line 2: onset 'soon'"),
        ("time\tname\n1.0\ta\n", "no column onset"),
        ("", "empty"),
    ],
)
def test_a_broken_events_table_is_named(tmp_path, text, said):
    write_edf(tmp_path / "sub-1_eeg.edf")
    table = tmp_path / "sub-1_events.tsv"
    table.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read(tmp_path)
    assert str(table) in str(error.value)


def test_events_of_a_stimulus_channel(tmp_path):
    raw = make_raw(events=())
    codes = np.zeros((1, raw.n_times))
    codes[0, [300, 900, 1500, 2100]] = [769, 770, 769, 770]
    stim = mne.io.RawArray(codes, mne.create_info(["STI 014"], 100.0, "stim"), verbose="error")
    raw.add_channels([stim], force_update_info=True)
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    source = read(tmp_path, events="left=769,right=770", window="-0.5,1")
    assert [sample.label for sample in source.samples] == ["left", "right"] * 2
    np.testing.assert_allclose(
        source.trials.values[1], raw.get_data()[:10, 850:1000].astype(np.float32)
    )


def test_windows_that_do_not_fit_are_listed_with_their_reason(tmp_path):
    events = ((0.2, 0, "left"), (5, 0, "right"), (9, 0, "left"), (14, 0, "right"), (17, 0, "left"),
              (39.5, 0, "left"), (20.0, 3.0, "BAD blink"), (21, 0, "right"))  # fmt: skip
    write_fif(tmp_path / "a_raw.fif", events=events)
    source = read(tmp_path, events="left,right", window="-0.5,1")
    assert [fact.onset_s for fact in source.trials.facts] == [5, 9, 14, 17]
    said = {item.path: item.reason for item in source.skipped if not item.harmless}
    assert said == {
        "a_raw.fif#0.2": "left: begins 0.30 s before the recording",
        "a_raw.fif#39.5": "left: runs 0.50 s over the recording's end",
        "a_raw.fif#21": "right: in a stretch marked 'BAD blink'",
    }


def test_trials_with_missing_values_are_left_out_and_others_stay(tmp_path):
    raw = make_raw()
    raw._data[3, 660:680] = np.nan
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    whole = read(write_fif(tmp_path / "whole" / "b_raw.fif"))
    for chain in (Preprocessing(), Preprocessing(low_hz=1.0, high_hz=30.0)):
        source = read(tmp_path / "a_raw.fif", chain=chain)
        assert [reason for reason in reasons(source) if "C3" in reason] == reasons(source)
        assert 0 < len(reasons(source)) <= 2
        assert np.isfinite(source.trials.values).all()
        assert len(source.samples) + len(reasons(source)) == len(whole.samples)


def test_a_dead_channel_is_made_from_its_neighbours(tmp_path):
    raw = make_raw(rhythm=0)
    common = np.sin(2 * np.pi * 3 * raw.times) * 30 * MICROVOLT  # the same everywhere
    raw._data += common
    raw._data[4] = 0.0
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    source = read(tmp_path)
    assert any("Cz were made from their neighbours" in said for said in source.warnings)
    made = source.trials.values[:, 4]
    start = round(source.trials.facts[0].onset_s * 100)
    assert np.corrcoef(made[0], common[start : start + 100])[0, 1] > 0.8


def test_electrodes_that_were_off_in_a_trial_are_told_and_too_many_are_refused(tmp_path):
    raw = make_raw()
    raw._data[4, 200:300] = 0.0  # one channel of ten
    raw._data[2:8, 350:450] = 0.0  # six of ten
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    source = read(tmp_path)
    assert reasons(source) == ["right: 6 of 10 channels are constant"] or reasons(source) == [
        "left: 6 of 10 channels are constant"
    ]
    dead = [fact.dead_channels for fact in source.trials.facts if fact.dead_channels]
    assert dead == [("Cz",)]
    assert any("1 channels are constant in 1 trials" in said for said in source.warnings)


def test_other_names_rates_and_channels_are_brought_together(tmp_path):
    write_edf(tmp_path / "s1" / "a.edf")
    other = ("EEG FP1-Ref", "F3..", "f4", "C3", "CZ", "C4.", "EOG left", "P3", "P4", "O1")
    write_edf(tmp_path / "s2" / "b.edf", channels=other, rate=200.0)
    source = read(tmp_path)
    assert source.trials.channels == ("Fp1", "F3", "F4", "C3", "Cz", "C4", "P3", "P4", "O1")
    assert source.trials.sampling_rate_hz == 100
    said = " ".join(source.warnings)
    assert "not in all recordings, so left out: O2" in said
    assert "sampling rates differ (100, 200 Hz): all are brought to 100 Hz" in said
    assert {fact.subject for fact in source.trials.facts} == {"s1", "s2"}
    assert np.isfinite(source.trials.positions_m).all()
    one = read(tmp_path, channels="c3,EEG Cz-Ref")
    assert one.trials.channels == ("C3", "Cz")
    with pytest.raises(RequestError, match="unknown channel 'X9'"):
        read(tmp_path, channels="X9")


def test_nothing_in_common_is_an_error_with_names(tmp_path):
    write_edf(tmp_path / "a.edf", channels=("C3", "C4"))
    write_edf(tmp_path / "b.edf", channels=("O1", "O2"))
    with pytest.raises(DataError, match=r"no EEG channel is in all 2 recordings.*C3.*O1"):
        read(tmp_path)


def test_the_label_of_a_subject(tmp_path):
    write_subjects(tmp_path, 4, events=())
    source = read(tmp_path, label="group", window="0,2")
    assert source.classes == ("control", "patient")
    assert len(source.samples) == 4 * 20  # windows side by side
    assert source.trials.of_subjects
    pairs = zip(source.trials.facts, source.samples, strict=True)
    assert {(fact.subject, sample.label) for fact, sample in pairs} == {
        ("sub-01", "control"), ("sub-02", "patient"), ("sub-03", "control"), ("sub-04", "patient"),
    }  # fmt: skip
    ages = read(tmp_path, label="age", window="0,2", task="regress")
    assert {sample.label for sample in ages.samples} == {31.0, 32.0, 33.0, 34.0}
    with pytest.raises(RequestError, match=r"--label sex: .*participant_id, group, age"):
        read(tmp_path, label="sex", window="0,2")
    with pytest.raises(RequestError, match="has no events; say how long"):
        read(tmp_path, label="group")


def go_no_go(*names: str):
    return tuple((0.5 + 1.5 * at, 1.0, names[at % len(names)]) for at in range(24))


def test_events_that_are_set_aside_are_said_with_how_to_have_them(tmp_path):
    events = (*go_no_go("go", "nogo", "stop"), (37.0, 0.5, "BAD_jump"))
    write_fif(tmp_path / "a_raw.fif", events=events)
    source = read(tmp_path)
    assert source.classes == ("go", "nogo")
    (said,) = [text for text in source.warnings if "set aside" in text]
    assert "'stop' (8), 'BAD_jump' (1)" in said
    assert "--events go,nogo,stop" in said
    assert any(said in text for text in inspect_recordings(tmp_path, RecordingSettings()).findings)
    assert read(tmp_path, events="go,nogo,stop").classes == ("go", "nogo", "stop")
    assert not any("set aside" in text for text in read(tmp_path, events="go,nogo").warnings)
    assert not any("set aside" in text for text in read(tmp_path, for_training=False).warnings)


def test_one_class_left_says_which_events_were_set_aside(tmp_path):
    write_fif(tmp_path / "a_raw.fif", events=go_no_go("go", "stop"))
    with pytest.raises(DataError, match=r"all 12 trials are 'go'.*'stop' \(12\).*--events go,stop"):
        read(tmp_path)
    assert read(tmp_path, events="go,stop").classes == ("go", "stop")
    assert "'stop' (12)" in inspect_recordings(tmp_path, RecordingSettings()).plan.error


def test_a_task_called_test_is_no_part(tmp_path):
    for name, seed in (("sub-01_task-test_eeg.fif", 1), ("sub-02_task-test_eeg.fif", 2)):
        write_fif(tmp_path / name.split("_")[0] / name, seconds=8.0, seed=seed)
    source = read(tmp_path)
    assert {sample.split for sample in source.samples} == {None}
    assert "no split is given" in source.why


def test_parts_in_names_are_kept_and_one_alone_is_none(tmp_path):
    write_fif(tmp_path / "s1_test_raw.fif", seconds=8.0)
    source = read(tmp_path)
    assert {sample.split for sample in source.samples} == {None}
    assert "only a test part is there, so it is split anew" in source.why
    write_fif(tmp_path / "s2_train_raw.fif", seconds=8.0, seed=1)
    source = read(tmp_path)
    assert {sample.split for sample in source.samples} == {"train", "test"}
    assert "parts are given: test, train" in source.why


def name_subjects(root: Path, of: dict[str, str], paths: dict[str, str]) -> None:
    """A participants.tsv with a group a name, and a recording of 4 s for each subject's path."""
    lines = ["participant_id\tgroup", *(f"{name}\t{group}" for name, group in of.items())]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    for number, path in enumerate(paths.values()):
        write_fif(root / path, seconds=4.0, events=(), seed=number)


@pytest.mark.parametrize(
    ("of", "paths"),
    [
        ({"anna": "a", "bert": "b"}, {"anna": "anna/x_raw.fif", "bert": "bert/x_raw.fif"}),
        ({"Anna": "a", "Bert": "b"}, {"anna": "anna/x_raw.fif", "bert": "bert/x_raw.fif"}),
        ({"S001": "a", "S002": "b"}, {"S001": "S001R01_raw.fif", "S002": "S002R01_raw.fif"}),
        ({"sub-S001": "a", "2": "b"}, {"S001": "S001R01_raw.fif", "S002": "S002R01_raw.fif"}),
        ({"1": "a", "2": "b"}, {"sub-01": "sub-01_eeg.fif", "sub-02": "sub-02_eeg.fif"}),
        ({"01": "a", "sub-2": "b"}, {"sub-01": "sub-01_eeg.fif", "sub-02": "sub-02_eeg.fif"}),
        # each has its own row: 1 is not the second's though it could be read so
        ({"sub-1": "a", "sub-01": "b"}, {"sub-1": "sub-1_eeg.fif", "sub-01": "sub-01_eeg.fif"}),
    ],
)
def test_participants_may_be_written_shorter_than_recordings(tmp_path, of, paths):
    name_subjects(tmp_path, of, paths)
    source = read(tmp_path, label="group", window="0,1")
    pairs = zip(source.trials.facts, source.samples, strict=True)
    assert {(fact.subject, one.label) for fact, one in pairs} == set(zip(paths, "ab", strict=True))


@pytest.mark.parametrize(
    ("of", "paths", "said"),
    [
        (
            {"1": "a", "001": "b"},
            {"": "sub-01_eeg.fif"},
            "rows '1', '001' could each be of 'sub-01'",
        ),
        ({"1": "a"}, {"p": "P1/x_raw.fif", "c": "C1/x_raw.fif"}, "could each be of 'C1', 'P1'"),
        ({"p1": "a"}, {"c": "c1/x_raw.fif", "d": "d/x_raw.fif"}, "none of .* 'c1', 'd'.* has 'p1'"),
        (
            {"1": "a"},
            {"x": "x.fif", "y": "y.fif"},
            r"do not say whose they are \(x\.fif\).*--group",
        ),
    ],
)
def test_participants_that_may_be_another_are_not_guessed(tmp_path, of, paths, said):
    name_subjects(tmp_path, of, paths)
    with pytest.raises(DataError, match=said):
        read(tmp_path, label="group", window="0,1")


def test_a_participant_who_is_there_twice(tmp_path):
    name_subjects(tmp_path, {"sub-1": "a"}, {"": "sub-1_eeg.fif"})
    with (tmp_path / "participants.tsv").open("a") as file:
        file.write("sub-1\tb\n")
    with pytest.raises(
        DataError, match="line 3: 'sub-1' is there twice, with the group 'a' and 'b'"
    ):
        read(tmp_path, label="group", window="0,1")


def test_trials_laid_end_to_end_are_found_out_and_a_long_night_is_not(tmp_path):
    parts = [make_raw(seconds=1.0, events=(), seed=k).get_data() for k in range(24)]
    parts = [part + 40 * MICROVOLT * (-1) ** k for k, part in enumerate(parts)]
    marks = tuple((float(k), 1.0, ("left", "right")[k % 2]) for k in range(24))
    laid = make_raw(seconds=24.0, events=marks)
    laid._data[:] = np.concatenate(parts, axis=1)
    laid.save(tmp_path / "laid_raw.fif", verbose="error")
    source = read(tmp_path / "laid_raw.fif", usual_band=True)
    assert not source.trials.contiguous
    assert source.trials.preprocessing == Preprocessing()  # too short to take drift away
    night = make_raw(seconds=24.0, events=marks)
    night.save(tmp_path / "night_raw.fif", verbose="error")
    source = read(tmp_path / "night_raw.fif", usual_band=True)
    assert source.trials.contiguous
    assert source.trials.preprocessing == Preprocessing(low_hz=0.5, high_hz=40.0)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"events": "left=T1"}, DataError, "no event is 'left' \\(T1\\); events found: 'left'"),
        (
            {"events": "left,right,rest=T9"},
            DataError,
            "no event is 'rest' \\(T9\\); events found: 'left'",
        ),
        ({"events": "a=left"}, DataError, "all .* trials are 'a'; at least two classes"),
        ({"events": "=left"}, RequestError, "write CLASS=EVENT"),
        ({"window": "4,1"}, RequestError, "must end after it starts"),
        ({"window": "long"}, RequestError, "two numbers of seconds"),
        ({"only": "xyz"}, RequestError, "fits none of 1 recordings"),
        ({"only": "("}, RequestError, "no regular expression"),
    ],
)
def test_what_is_asked_wrongly_is_said(tmp_path, settings, error, said):
    write_edf(tmp_path / "data" / "a.edf")
    with pytest.raises(error, match=said):
        read(tmp_path / "data", **settings)


def test_events_without_duration_need_a_window(tmp_path):
    write_edf(tmp_path / "a.edf", events=((1, 0, "left"), (5, 0, "right"), (9, 0, "left")))
    with pytest.raises(RequestError, match="no duration; say which window"):
        read(tmp_path)


def test_no_events_at_all(tmp_path):
    write_edf(tmp_path / "a.edf", events=())
    with pytest.raises(DataError, match=r"a\.edf: no event to learn from; events found: none"):
        read(tmp_path)


def test_what_is_no_recording_is_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert not holds_recordings(tmp_path)
    write_edf(tmp_path / "deep" / "er" / "a.edf")
    assert holds_recordings(tmp_path / "deep")
    with pytest.raises(DataError):
        read_recordings(tmp_path / "a.png", PLAIN)


def test_pictures_with_a_recording_among_them_are_pictures(tmp_path):
    write_edf(tmp_path / "one.edf")
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(b"x")
    (tmp_path / "program.ts").write_text("const x = 1;")
    assert not holds_recordings(tmp_path)
