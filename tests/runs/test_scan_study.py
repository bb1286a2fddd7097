"""Folds of patients: a run each, scored together, answering together."""

import csv
import json

import nibabel
import numpy as np
import pytest
from tests.made_scans import decathlon
from tests.runs.test_volumes import PLAN
from tests.runs.test_whole_scans import table_of_scans

from vitreous.errors import RequestError
from vitreous.evaluation.volumes import compare_volumes
from vitreous.runs.predict_volumes import predict_scans
from vitreous.runs.study import Study
from vitreous.runs.study_answers import evaluate_study, predict_study
from vitreous.runs.train import train
from vitreous.training import volume_batches

FAST = {"quiet": True, "precision": "float32", "compile": "no"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setenv("VITREOUS_SALT", "a test's own")
        patch.setattr(volume_batches, "FEWEST_BATCHES", 6)
        root = decathlon(folder / "data", cases=12)
        for name in ("imagesTr", "labelsTr"):  # two scans a patient
            for case in range(12):
                path = root / name / f"case_{case:03}.nii.gz"
                path.rename(root / name / f"p{case // 2}_{case % 2}.nii.gz")
        (folder / "plan.toml").write_text(PLAN)
        yield folder


@pytest.fixture(scope="module")
def study(place):
    return train(place / "data", plan=place / "plan.toml", group=r"(p\d)_", folds=3, epochs=2,
                 out=place / "study", **FAST)  # fmt: skip


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_each_scan_is_tested_once_and_no_patient_is_on_two_sides(study):
    assert isinstance(study, Study)
    assert study.finished
    tested = []
    for run in study.runs:
        sides = {}
        for row in rows_of(run.folder / "split.csv"):
            sides.setdefault(row["group"], set()).add(row["split"])
            tested += [row["sample_id"]] * (row["split"] == "test")
        assert len(sides) == 6
        assert all(len(side) == 1 for side in sides.values())
        assert {"train", "val", "test"} == set().union(*sides.values())
    assert len(tested) == len(set(tested)) == 12


def test_scores_are_those_of_all_scans_by_the_run_that_had_not_seen_them(study, place):
    evaluation = study.evaluation
    assert evaluation["n"] == 12
    assert evaluation["n_groups"] == 6
    found = []
    for run in study.runs:
        for name in {row["sample_id"] for row in rows_of(run.folder / "predictions.csv")}:
            truth, answer = (
                np.asarray(nibabel.load(path).dataobj)
                for path in (place / "data" / name.replace("images", "labels"),
                             run.folder / "masks" / name)
            )  # fmt: skip
            found.append(compare_volumes(truth, answer, 3, (1.0, 1.0, 1.0)))
    for place_of, row in enumerate(evaluation["per_class"], start=1):
        dice = np.nanmean([one.dice[place_of] for one in found])
        assert row["dice"]["value"] == pytest.approx(dice, abs=1e-4)
    assert [row["n"] for row in evaluation["study"]["per_fold"]] == [4, 4, 4]
    page = (study.folder / "report.html").read_text()
    assert "fold 3 of 3" in page
    assert json.loads((study.folder / "report.json").read_text())["evaluation"] == evaluation


def test_the_runs_answer_together_with_the_mean_of_what_they_say(study, place, tmp_path):
    scan = str(place / "data/imagesTr/p3_1.nii.gz")
    done = []
    [together] = predict_study(study, [scan], on_progress=lambda *numbers: done.append(numbers))
    assert done[-1][0] == done[-1][1]
    assert [one for one, _ in done] == sorted(one for one, _ in done)
    alone = [next(iter(predict_scans(run, [scan]))) for run in study.runs]
    agreed = (alone[0].mask == alone[1].mask) & (alone[1].mask == alone[2].mask)
    assert agreed.mean() > 0.5
    assert (together.mask == alone[0].mask)[agreed].mean() > 0.995  # the rest are ties of float16
    assert min(one.confidence or 1.0 for one in alone) - 0.2 <= together.confidence <= 1.0
    later = decathlon(tmp_path / "later", cases=3)
    for path in sorted(later.glob("*Tr/*")):  # the pattern of patients is the run's own
        path.rename(path.with_name(path.name.replace("case_00", "p").replace(".nii", "_0.nii")))
    scores = evaluate_study(study, later, quiet=True)
    assert scores["n"] == 3
    assert (study.folder / "evaluation-later.json").is_file()
    path = str(later / "imagesTr/p1_0.nii.gz")
    [again] = predict_study(study, [path])
    kept = nibabel.load(study.folder / "masks-later/imagesTr/p1_0.nii.gz")
    assert np.array_equal(np.asarray(kept.dataobj).transpose(2, 1, 0), again.mask)


def test_a_broken_study_goes_on_with_the_folds_that_are_missing(study, place, monkeypatch, capsys):
    from vitreous.runs import scan_study

    real, begun = scan_study.start, []

    def stop(folder, *rest):
        begun.append(folder.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(folder, *rest)

    settings = {"plan": place / "plan.toml", "group": r"(p\d)_", "folds": 3, "epochs": 2}
    with monkeypatch.context() as patch:
        patch.setattr(scan_study, "start", stop)
        with pytest.raises(KeyboardInterrupt):
            train(place / "data", out=place / "broken", **settings, **{**FAST, "quiet": False})
    assert f"stopped after 1 of 3 runs; go on with `vitreous train --resume {place}/broken`" in (
        capsys.readouterr().err
    )
    assert Study.load(place / "broken").record["status"] == "interrupted"
    again = train(resume=place / "broken", quiet=True)
    assert again.evaluation["metrics"] == study.evaluation["metrics"]


def test_scans_with_a_class_each_are_divided_by_patient_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VITREOUS_SALT", "a test's own")
    table_of_scans(tmp_path / "data", patients=12)
    study = train(tmp_path / "data", folds=2, epochs=2, out=tmp_path / "study", **FAST)
    assert study.evaluation["n"] == 24
    assert study.evaluation["n_groups"] == 12
    assert set(study.evaluation["confusion"]["classes"]) == {"ill", "well"}
    scan = str(tmp_path / "data/scans/p03_v1.nii.gz")
    [together] = predict_study(study, [scan])
    alone = [next(iter(run.predict(scan))).probabilities for run in study.runs]
    assert together.probabilities == pytest.approx(tuple(np.mean(alone, axis=0)))


def test_what_only_recordings_have_is_refused(place, tmp_path):
    with pytest.raises(RequestError, match="--protocol is for recordings"):
        train(place / "data", protocol="across-subjects", out=tmp_path / "a", **FAST)
    with pytest.raises(RequestError, match="--folds 1: use at least 2"):
        train(place / "data", plan=place / "plan.toml", folds=1, out=tmp_path / "b", **FAST)
