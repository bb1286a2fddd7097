"""A study asked about later recordings: the mean of its runs, in Python and on the command line."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from tests.recording_files import mne, write_edf, write_fif

from vitreous.cli.app import main
from vitreous.errors import DataError, RequestError
from vitreous.files import read_json
from vitreous.runs.predict import predict
from vitreous.runs.run import Run
from vitreous.runs.study import Study
from vitreous.runs.study_answers import evaluate_study, first_run, predict_study
from vitreous.runs.train import train


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """A fourth subject, recorded in another format, that no run has seen."""
    folder = tmp_path_factory.mktemp("later")
    return write_fif(folder / "sub-09_eeg.fif", seconds=50.0, rhythm=25.0, seed=91)


@pytest.fixture
def vitreous(monkeypatch, capsys):
    """Runs the command line; gives status, standard output and standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitreous", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out, found.err

    return call


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_answers_by_the_mean_of_its_runs(eegnet_study, later):
    found = list(predict_study(eegnet_study, [later]))
    single = [list(predict(run, [later])) for run in eegnet_study.runs]
    assert len(single) == 3
    assert len(found) == len(single[0]) == 33
    for row, answer in enumerate(found):
        each = np.array([one[row].probabilities for one in single])
        np.testing.assert_allclose(answer.probabilities, each.mean(axis=0), rtol=1e-9)
        assert {one[row].sample_id for one in single} == {answer.sample_id}
        assert answer.predicted == answer.classes[int(np.argmax(answer.probabilities))]


def test_a_study_listens_by_its_own_interval(eegnet_study):
    """What the alarm says goes with the interval on the same page."""
    evaluation = eegnet_study.evaluation
    low = evaluation["metrics"]["accuracy"]["low"]
    counts = [row["n"] for row in evaluation["per_class"]]
    shown = read_json(eegnet_study.folder / "report.json")["listening"]
    said = shown["alarm"] or shown["no_alarm"]
    assert ("guessing" in said) == (low <= max(counts) / sum(counts))


def test_what_a_study_cannot_answer_says_why_and_the_rest_is_answered(
    eegnet_study, later, tmp_path
):
    (tmp_path / "empty.edf").write_bytes(b"")
    few = write_edf(tmp_path / "few.edf", channels=("C3", "C4"))
    found = list(predict_study(eegnet_study, [tmp_path / "empty.edf", later, few]))
    assert "the file is empty" in found[0].error
    assert all(answer.error is None for answer in found[1:-1])
    assert len(found[1:-1]) == 33
    assert "has no channel" in found[-1].error


def test_later_recordings_are_scored_by_the_averaged_networks(eegnet_study, later):
    found = evaluate_study(eegnet_study, later, quiet=True)
    answers = list(predict_study(eegnet_study, [later]))
    written = rows_of(eegnet_study.folder / "predictions-sub-09_eeg.csv")
    assert found["n"] == len(written) == len(answers)
    for row, answer in zip(written, answers, strict=True):
        assert row["sample_id"] == answer.sample_id
        assert float(row["p_left"]) == pytest.approx(answer.probabilities[0], abs=1e-5)
    right = np.mean([row["truth"] == row["predicted"] for row in written])
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(right)
    kept = json.loads((eegnet_study.folder / "evaluation-sub-09_eeg.json").read_text())
    assert kept["metrics"] == json.loads(json.dumps(found["metrics"]))
    assert kept["metrics"]["kappa"]["value"] <= 1
    # without data: what was found on the folds, unchanged
    assert evaluate_study(eegnet_study) == eegnet_study.evaluation


def test_a_trial_that_any_run_of_a_study_trained_on_is_found(
    eegnet_study, subjects, later, tmp_path
):
    def said(path) -> list[str]:
        found = evaluate_study(eegnet_study, path, quiet=True)
        return [words for words in found["warnings"] if "trained on" in words]

    # the first run has never seen subject 1, the others have
    copied = "sub-01/eeg/sub-01_task-x_eeg.fif"
    assert eegnet_study.record["folds"][0]["name"] == "subject sub-01"
    folder = tmp_path / "copied"
    (folder / copied).parent.mkdir(parents=True)
    shutil.copy(subjects / copied, folder / copied)
    shutil.copy(later, folder / "sub-09_eeg.fif")
    [words] = said(folder)
    assert "of the 59 trials 26 were trained on by at least one of the 3 runs" in words
    assert "scores are flattered" in words
    assert said(later) == []


def test_a_study_without_a_finished_run_sends_back_to_training(eegnet_study, later, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(eegnet_study.folder / "study.json", begun)
    study = Study.load(begun)
    with pytest.raises(RequestError, match="none of its runs is finished; go on with"):
        first_run(study)
    with pytest.raises(RequestError, match="go on with"):
        evaluate_study(study)
    with pytest.raises(RequestError, match="none of its runs is finished"):
        list(predict_study(study, [later]))
    with pytest.raises(DataError, match=r"study\.json"):
        Study.load(tmp_path)


def test_verbs_on_a_study(vitreous, eegnet_study, later, tmp_path):
    folder = eegnet_study.folder
    status, out, err = vitreous("evaluate", folder)
    assert status == 0, err
    for said in ("sub-02", "CSP and linear discriminant", "p = ", "kappa"):
        assert said in out
    status, out, _ = vitreous("evaluate", folder, "--json")
    assert json.loads(out)["study"]["per_fold"][0]["name"] == "subject sub-01"
    status, out, err = vitreous("evaluate", folder, later, "--json", "--quiet")
    assert status == 0, err
    assert json.loads(out)["n"] == 33
    _, _, err = vitreous("evaluate", folder, later, "--name", "again")
    assert f"written to {folder / 'evaluation-again.json'}" in err
    status, _, err = vitreous("predict", folder, later, "--format", "annotations", "--out",
                              tmp_path / "marks.csv")  # fmt: skip
    assert (status, (tmp_path / "marks.csv").exists()) == (1, False)
    assert "MNE reads such text from .txt" in err
    marks = tmp_path / "marks.txt"
    status, out, err = vitreous("predict", folder, later, "--format", "annotations", "--out", marks)
    assert status == 0, err
    assert err.startswith("33 trials")
    assert set(mne.read_annotations(marks).description) <= {"left", "right"}
    status, out, _ = vitreous("predict", folder, tmp_path / "none.edf")
    assert status == 1
    assert "none.edf" in out
    (tmp_path / "none").mkdir()
    status, out, err = vitreous("evaluate", folder, tmp_path / "none")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_study_from_weights_says_what_they_have_seen(eegnet_study, subjects, tmp_path):
    weights = eegnet_study.folder / "fold-0-seed-0"
    study = train(subjects, network="eegnet", weights=str(weights), protocol="across-subjects",
                  epochs=1, out=tmp_path / "study", precision="float32", quiet=True)  # fmt: skip
    [said] = [said for said in study.evaluation["warnings"] if "flattered" in said]
    assert str(weights) in said
    with pytest.raises(DataError, match="is a study; give one of its runs"):
        train(subjects, weights=str(eegnet_study.folder), out=tmp_path / "no", quiet=True)


def test_verbs_on_recordings(vitreous, subjects, tmp_path):
    status, out, err = vitreous("inspect", subjects)
    assert status == 0, err
    for said in ("sub-03", "10 EEG channels", "across subjects", "left", "network sees"):
        assert said in out
    status, out, _ = vitreous("inspect", subjects, "--json", "--window", "0,0.5")
    assert json.loads(out)["plan"]["network_sees"] == [1, 10, 50]
    made = [tmp_path / name for name in ("one", "two")]
    for seed, folder in enumerate(made):
        status, out, err = vitreous("train", subjects, "--epochs", 2, "--seed", seed, "--out",
                                    folder, "--quiet", "--precision", "float32")  # fmt: skip
        assert status == 0, err
        assert "CSP" in out
    status, out, err = vitreous("compare", *made)
    assert status == 0, err
    assert "accuracy" in out
    status, out, err = vitreous("evaluate", made[0], subjects / "sub-02", "--json", "--quiet")
    assert status == 0, err
    assert json.loads(out)["n"] == 26
    status, out, err = vitreous("predict", made[0], subjects / "sub-02")
    assert status == 0, err
    assert err.startswith("26 trials")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 26
    assert {row["sample_id"].split("#")[0] for row in rows} == {"eeg/sub-02_task-x_eeg.fif"}
    assert float(rows[0]["onset_s"]) == 0.5
    status, out, err = vitreous("train", subjects, "--events", "up=UP", "--out", tmp_path / "x")
    assert (status, out) == (1, "")
    assert "no event is 'up' (UP)" in err
    assert "Traceback" not in err


def test_two_studies_are_compared_trial_by_trial(vitreous, eegnet_study, study, tmp_path):
    status, out, err = vitreous("compare", eegnet_study.folder, study.folder, "--json")
    assert status == 0, err
    found = json.loads(out)["accuracy"]
    values = [one.evaluation["metrics"]["accuracy"]["value"] for one in (eegnet_study, study)]
    assert found["difference"]["value"] == pytest.approx(values[0] - values[1], abs=1e-9)
    assert found["n"] == 78
    assert found["n_groups"] == 3
    assert found["difference"]["low"] <= found["difference"]["value"]
    status, out, err = vitreous("compare", eegnet_study.folder, eegnet_study.runs[0].folder)
    assert (status, out) == (1, "")
    assert "is a study" in err


def test_a_table_as_moabb_has_it(eegnet_study):
    rows = rows_of(eegnet_study.folder / "results.csv")
    assert list(rows[0]) == ["score", "time", "samples", "subject", "session", "channels",
                             "n_sessions", "dataset", "pipeline"]  # fmt: skip
    pipelines = {row["pipeline"] for row in rows}
    assert "eegnet" in pipelines
    assert "CSP and linear discriminant" in pipelines
    assert len(rows) == 3 * len(pipelines)
    pytest.importorskip("moabb")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas
        from moabb.analysis.meta_analysis import collapse_session_scores

        table = pandas.read_csv(eegnet_study.folder / "results.csv", keep_default_na=False)
        scores = collapse_session_scores(table)
    assert len(scores) == len(rows)
    assert scores["score"].between(0, 1).all()


def test_a_run_of_a_study_is_a_run(eegnet_study, later):
    run = Run.load(eegnet_study.runs[0].folder)
    assert len(list(run.predict([later]))) == 33
    state = run.network.state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())
