"""Recordings from end to end: a run, its files, later data, answers as marks."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import torch
from tests.recording_files import RATE, make_raw, mne, write_edf, write_fif
from tests.small_decoder import small

from vitreous.cli.app import main
from vitreous.data.recognise import recognise
from vitreous.data.split_table import read_split
from vitreous.data.trial_copies import trial_sketches
from vitreous.errors import DataError, RequestError
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict, write_predictions
from vitreous.runs.predict_trials import errors_said
from vitreous.runs.run import Run
from vitreous.runs.train import train
from vitreous.runs.trials_seen import seen_trials_warning
from vitreous.training.checkpoints import save_tensors


@pytest.fixture(scope="module")
def session(recorded_session):
    return recorded_session


@pytest.fixture(scope="module")
def run(recorded_run) -> Run:
    return recorded_run


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_on_recordings_has_the_files_and_learns(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"run.json", "split.csv", "network.safetensors", "history.csv",
                     "evaluation.json", "predictions.csv", "report.html"}  # fmt: skip
    record = run.record
    assert record.signal == "eeg"
    assert record.network["input"] == {"channels": 1, "height": 10, "width": 100}
    assert record.data.trials["preprocessing"] == {
        "reference": None, "notch_hz": None, "low_hz": 0.5, "high_hz": 40.0, "resample_hz": None,
        "moving_standardisation": False,
    }  # fmt: skip
    metrics = run.evaluation["metrics"]
    assert metrics["accuracy"]["value"] >= 0.8
    assert 0 < metrics["kappa"]["low"] < metrics["kappa"]["value"] <= 1
    assert any("CSP" in name for name in run.evaluation["baselines"])


def test_the_recipe_of_eeg_is_kept_with_the_run(run):
    recipe = run.record.recipe
    assert (recipe["keep"], recipe["recombined_segments"], recipe["batch_size"]) == ("last", 8, 32)
    assert (recipe["learning_rate"], recipe["weight_decay"]) == (3e-3, 1e-3)  # asked for; EEGNet's


def test_pieces_are_put_together_within_a_subject_only(subjects):
    from vitreous.runs.prepare import prepare
    from vitreous.runs.recipes import recipe_of
    from vitreous.runs.request import TrainRequest
    from vitreous.runs.set_up import task_of, training_data
    from vitreous.runs.talk import Talk

    prepared = prepare(subjects, TrainRequest(), Talk(quiet=True))
    task = task_of(prepared)
    data = training_data(prepared, task)
    of = {}
    for sample, kind in zip(prepared.source.samples, data.kinds, strict=True):
        of.setdefault(int(kind), set()).add((sample.group, sample.label))
    assert [len(alike) for alike in of.values()] == [1] * 6
    none = recipe_of(prepared, data, task, TrainRequest(recombine=0), "basenet")
    assert none.recombined_segments == 0
    assert none.learning_rate == 1e-3
    with pytest.raises(RequestError, match="2 to 100 pieces"):
        TrainRequest(recombine=1)


def test_what_is_later_in_time_is_tested_and_nothing_overlaps(run):
    rows = read_split(run.folder / "split.csv")
    onset = {part: [float(r.sample_id.split("#")[1]) for r in rows if r.split == part]
             for part in ("train", "test")}  # fmt: skip
    assert min(onset["test"]) > max(onset["train"])
    assert len(onset["test"]) == 16
    assert "no validation part: the last epoch's weights are kept" in run.record.data.split_how


def test_the_scaling_is_of_training_trials_alone(run, session):
    raw = mne.io.read_raw_edf(session / "a.edf", preload=True, verbose="error")
    from vitreous.data.preprocessing import Preprocessing, preprocess

    values, _ = preprocess(
        raw.get_data(), RATE, raw.ch_names, Preprocessing(low_hz=0.5, high_hz=40.0)
    )
    starts = [
        round(float(row.sample_id.split("#")[1]) * 100)
        for row in read_split(run.folder / "split.csv")
        if row.split == "train"
    ]
    trials = np.stack([values[:, start : start + 100] for start in starts])
    np.testing.assert_allclose(run.scaling.mean, trials.mean(axis=(0, 2)), atol=1e-9)
    np.testing.assert_allclose(run.scaling.std, trials.std(axis=(0, 2)), rtol=1e-4)


def test_the_paragraph_for_the_paper_says_what_was_done_to_the_trials(run):
    page = (run.folder / "report.html").read_text()
    trials = run.record.data.trials
    said = f"Trials: {len(trials['channels'])} channels, 0 to 1 s, 100 Hz, 0.5 to 40 Hz kept; in"
    assert said in page
    assert "one recombined from 8 pieces of its class" in page


def test_the_last_epoch_is_kept_and_nothing_is_validated(run):
    history = rows_of(run.folder / "history.csv")
    assert [row["val_accuracy"] for row in history] == [""] * 12
    assert run.record.best["epoch"] == 12
    assert run.record.calibration == {"temperature": 1.0, "half_width": None}


def test_later_recordings_are_scored_and_answered_alike(run, tmp_path, session):
    later = write_fif(tmp_path / "later_raw.fif", seconds=60.0, rhythm=25.0, seed=9)
    scores = evaluate(Run.load(run.folder, small()), later, quiet=True)
    assert scores["metrics"]["accuracy"]["value"] >= 0.8
    assert scores["metrics"]["kappa"]["value"] > 0.5
    answers = list(predict(Run.load(run.folder, small()), [later]))
    written = {row["sample_id"]: row for row in rows_of(run.folder / "predictions-later_raw.csv")}
    assert len(answers) == scores["n"] == len(written)
    for answer in answers:
        row = written[answer.sample_id]
        assert answer.predicted == row["predicted"]
        assert answer.confidence == pytest.approx(float(row["confidence"]), rel=1e-6)
        assert answer.onset_s is not None
    own = list(predict(Run.load(run.folder, small()), [session / "a.edf"]))
    sealed = {
        row["sample_id"]: float(row["p_left"]) for row in rows_of(run.folder / "predictions.csv")
    }
    found = {item.sample_id: item.probabilities[0] for item in own}
    for name, share in sealed.items():
        assert found[name] == pytest.approx(share, abs=1e-5)


def seen_said(run, path) -> list[str]:
    scores = evaluate(Run.load(run.folder, small()), path, quiet=True)
    return [words for words in scores["warnings"] if "trained on" in words]


def test_trials_that_were_trained_on_are_found_by_content(run, session, tmp_path):
    parts = [row.split for row in read_split(run.folder / "split.csv")]
    trained = parts.count("train")
    assert (trained, len(parts)) == (65, 81)
    shutil.copytree(session, tmp_path / "copy")
    [words] = seen_said(run, tmp_path / "copy")
    assert "of the 81 trials 65 were trained on, such as a.edf#" in words
    assert "scores are flattered" in words
    assert "without DATA" in words
    # under another name and rounded in another format, beside a recording that is new
    (tmp_path / "beside").mkdir()
    raw = mne.io.read_raw_edf(session / "a.edf", preload=True, verbose="error")
    raw.save(tmp_path / "beside" / "x_raw.fif", fmt="single", verbose="error")
    write_fif(tmp_path / "beside" / "y_raw.fif", seconds=60.0, rhythm=25.0, seed=9)
    [words] = seen_said(run, tmp_path / "beside")
    assert "of the 120 trials 65 were trained on, such as x_raw.fif#" in words
    assert seen_said(run, tmp_path / "beside" / "y_raw.fif") == []
    [words] = seen_said(run, session)  # said once, by the trials rather than by the folder
    assert "of the 81 trials 65" in words


def test_what_was_validated_with_is_counted_apart(run, subjects, tmp_path):
    source = recognise(subjects)
    sketches = torch.from_numpy(trial_sketches(source.trials.values, np.arange(78)))
    parts = (
        {"train": sketches[4:5], "val": sketches[2:6]},
        {"train": sketches[:0], "val": sketches[:0]},
    )
    members = []
    for number, tensors in enumerate(parts):
        members.append(Run(tmp_path / str(number), run.record))
        save_tensors(members[-1].folder / "training_trials.safetensors", tensors, {})
    older = Run(tmp_path / "older", run.record)  # has kept nothing, and is not asked
    rows = np.arange(1, 78)
    [words] = seen_trials_warning([older, *members], source, rows)
    assert words.startswith(
        "of the 77 trials 1 was trained on and 3 were validated with by at least one of the 3 runs,"
        f" such as {source.samples[2].sample_id}: the scores are flattered"
    )
    assert seen_trials_warning(members[1:], source, rows) == []
    assert seen_trials_warning(members[:1], source, np.arange(6, 78)) == []


def test_a_run_that_kept_nothing_of_its_trials_goes_by_the_folder(run, session, tmp_path):
    older = Run(tmp_path / "older", run.record)
    shutil.copytree(run.folder, older.folder)
    (older.folder / "training_trials.safetensors").unlink()
    shutil.copytree(session, tmp_path / "copy")
    assert seen_said(older, tmp_path / "copy") == []
    [words] = seen_said(older, session)
    assert "this is the data that the run was trained on" in words


def test_a_recording_without_events_is_answered_window_by_window(run, tmp_path):
    write_edf(tmp_path / "b.edf", seconds=30.0, events=(), seed=4)
    answers = list(predict(Run.load(run.folder, small()), [tmp_path / "b.edf"]))
    assert [answer.onset_s for answer in answers] == pytest.approx(list(range(30)))


def test_answers_become_marks_that_mne_reads(run, tmp_path, session):
    loaded = Run.load(run.folder, small())
    with (tmp_path / "marks.txt").open("w") as file:
        count, errors = write_predictions(
            predict(loaded, [session / "a.edf"]), loaded, file, "annotations"
        )
    marks = mne.read_annotations(tmp_path / "marks.txt")
    assert len(marks) == count == 81
    assert errors == 0
    assert set(marks.description) == {"left", "right"}
    raw = make_raw(seconds=122.0)
    assert np.mean(marks.description == raw.annotations.description) > 0.8
    np.testing.assert_allclose(marks.onset, raw.annotations.onset, atol=1e-6)
    with (tmp_path / "events.tsv").open("w") as file:
        write_predictions(predict(loaded, [session / "a.edf"]), loaded, file, "events")
    heading, first, *_ = (tmp_path / "events.tsv").read_text().splitlines()
    assert heading.split("\t") == ["onset", "duration", "trial_type", "p_left", "p_right"]
    assert len(first.split("\t")) == 5


def test_what_cannot_be_answered_says_why(run, tmp_path):
    (tmp_path / "empty.edf").write_bytes(b"")
    write_edf(tmp_path / "few.edf", channels=("C3", "C4"))
    inputs = [tmp_path / name for name in ("empty.edf", "few.edf", "none.edf")]
    answers = list(predict(Run.load(run.folder, small()), inputs))
    assert len(answers) == 3
    assert "the file is empty" in answers[0].error
    assert "has no channel Fp1" in answers[1].error
    assert "none.edf" in answers[2].error
    with pytest.raises(DataError, match="holds no recording"):
        evaluate(Run.load(run.folder, small()), tmp_path.parent / "nothing", quiet=True)


def test_chosen_channels_are_answered_by_the_reference_they_were_trained_with(session, tmp_path):
    run = train(session, network="eegnet", epochs=1, channels="C3,Cz,C4", reference="average",
                out=tmp_path / "run", precision="float32", compile="no", quiet=True)  # fmt: skip
    assert len(run.record.data.trials["reference_channels"]) == 10
    sealed = {row["sample_id"]: row["p_left"] for row in rows_of(run.folder / "predictions.csv")}
    answers = {
        item.sample_id: item.probabilities[0]
        for item in predict(Run.load(run.folder), [session / "a.edf"])
    }
    for name, share in sealed.items():
        assert answers[name] == pytest.approx(float(share), abs=1e-5)
    few = write_edf(tmp_path / "few.edf", channels=("C3", "Cz", "C4", "P3", "P4", "O1"))
    [answer] = predict(Run.load(run.folder), [few])
    assert "few.edf: has no channel Fp1, F3, F4, O2, which the reference (average)" in answer.error


def test_what_is_advised_to_answers_has_no_flags_of_training(run, tmp_path):
    (tmp_path / "letter.edf").write_bytes(b"a letter to a friend\n" * 100)
    epochs = mne.Epochs(make_raw(seconds=20.0), tmin=0, tmax=1, baseline=None, verbose="error")
    epochs.save(tmp_path / "s1-epo.fif", verbose="error")
    loaded = Run.load(run.folder, small())
    letter, cut = predict(loaded, [tmp_path / "letter.edf", tmp_path / "s1-epo.fif"])
    assert letter.error.endswith("or leave it out")
    assert "no whole wave" in cut.error
    assert "or train with --band none" in cut.error
    (tmp_path / "s1-epo.fif").unlink()
    write_fif(tmp_path / "good_raw.fif", seconds=20.0)
    *_, told = sorted(predict(loaded, [tmp_path]), key=lambda answer: answer.error or "")
    assert told.error.endswith("or leave it out")
    with pytest.raises(DataError, match=r"or leave it out$"):
        evaluate(loaded, tmp_path / "letter.edf", quiet=True)


def test_a_file_too_short_for_the_runs_filter_costs_no_other(run, tmp_path):
    epochs = mne.Epochs(make_raw(seconds=20.0), tmin=0, tmax=1, baseline=None, verbose="error")
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    write_fif(tmp_path / "b_raw.fif", seconds=20.0)
    answers = list(predict(Run.load(run.folder, small()), [tmp_path]))
    failed = [answer for answer in answers if answer.error]
    assert ["no whole wave" in answer.error for answer in failed] == [True]
    assert len(answers) > 5


def test_marks_have_no_room_for_errors_which_are_said(run, tmp_path):
    names = [f"{number:02d}.edf" for number in range(10)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    loaded, said = Run.load(run.folder, small()), []
    found = errors_said(predict(loaded, [tmp_path / name for name in names]), said.append)
    with (tmp_path / "marks.txt").open("w") as file:
        assert write_predictions(found, loaded, file, "annotations") == (10, 10)
    assert said[0].startswith(f"{tmp_path / '00.edf'}: the file is empty")
    assert len(said) == 9
    assert "2 more errors" in said[-1]


def test_the_command_says_why_marks_are_missing(eegnet_study, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty.edf").write_bytes(b"")
    words = [eegnet_study.runs[0].folder, tmp_path / "empty.edf", "--format", "events"]
    monkeypatch.setattr("sys.argv", ["vitreous", "predict", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "empty.edf: the file is empty" in capsys.readouterr().err


def test_a_broken_run_goes_on_to_the_same_weights(session, tmp_path, monkeypatch):
    settings = {"network": small(), "epochs": 4, "precision": "float32", "compile": "no"}
    whole = train(session, **settings, out=tmp_path / "whole", quiet=True)
    from vitreous.training import loop

    real, calls = loop.end_epoch, []

    def stop_after_two(t):
        real(t)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "end_epoch", stop_after_two)
    settings["network"] = small()
    with pytest.raises(KeyboardInterrupt):
        train(session, **settings, out=tmp_path / "broken", quiet=True)
    monkeypatch.setattr(loop, "end_epoch", real)
    again = train(resume=tmp_path / "broken", network=small(), quiet=True)
    one, other = (run.network.state_dict() for run in (whole, again))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)


def test_a_recording_that_is_lost_counts_as_its_trials(subjects, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(subjects, data)
    empty = data / "sub-02" / "eeg" / "sub-02_task-x_eeg.fif"
    empty.write_bytes(b"")
    said = r"1 of 3 recordings and 0 of 52 trials cannot be used \(33\.3%\), more than"
    with pytest.raises(DataError, match=said):
        train(data, network=small(), epochs=1, out=tmp_path / "x", quiet=True)
    run = train(data, network=small(), epochs=1, max_skipped=0.4, out=tmp_path / "y", quiet=True)
    listed = [row for row in read_split(run.folder / "split.csv") if row.split == "skipped"]
    assert [row.path for row in listed] == ["sub-02/eeg/sub-02_task-x_eeg.fif"]


def test_windows_that_fit_nowhere_are_told_with_some_examples(session, tmp_path):
    said = (
        r"no usable trial: (a\.edf#\S+: \w+: runs \S+ s over the recording's end; ){3}and 78 more$"
    )
    with pytest.raises(DataError, match=said):
        train(session, window="0,200", network=small(), out=tmp_path / "x", quiet=True)


def test_settings_are_checked(session, tmp_path):
    for settings, said in (
        ({"protocol": "random"}, "unknown protocol"),
        ({"seeds": 0}, "--seeds 0"),
        ({"folds": 1}, "--folds 1"),
        ({"band": "9"}, "--band '9'"),
        ({"window": "0,200"}, "no usable trial"),
    ):
        with pytest.raises((RequestError, DataError), match=said):
            train(session, network=small(), out=tmp_path / "x", quiet=True, **settings)


def test_inspect_says_what_train_would_do(session, subjects):
    from vitreous.data.recordings import RecordingSettings
    from vitreous.data.recordings.inspect import inspect_recordings

    found = inspect_recordings(subjects, RecordingSettings())
    told = json.loads(json.dumps(found.to_json()))
    assert [one["subject"] for one in told["files"]] == ["sub-01", "sub-02", "sub-03"]
    assert told["events"]["left"]["median_seconds"] == 1.0
    assert told["plan"]["protocol"].startswith("across subjects")
    assert [fold["test"] for fold in told["plan"]["folds"]] == [26, 26, 26]
    assert told["plan"]["network_sees"] == [1, 10, 100]
    assert 1 < told["plan"]["median_spread_uv"] < 100
    assert math.isclose(told["files"][0]["seconds"], 40.0)
    broken = inspect_recordings(subjects, RecordingSettings(events="up=up"))
    assert "no event is 'up' (up)" in broken.plan.error


def test_the_data_of_a_run_are_known_again(run):
    from vitreous.runs.training_data import RunData

    data = RunData.open(Run.load(run.folder, small()))
    assert len(data.rows("test")) == 16
    assert data.inputs(data.rows("train")).std() == pytest.approx(1, abs=0.01)
