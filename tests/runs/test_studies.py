"""Studies of recordings from end to end: folds, seeds, stopping, and what is refused."""

import csv
import shutil

import numpy as np
import pytest
from tests.recording_files import write_fif
from tests.small_decoder import small

from vitreous.data.split_table import read_split
from vitreous.errors import DataError, RequestError
from vitreous.files import read_json
from vitreous.runs.study import Study
from vitreous.runs.train import train


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_tests_each_subject_by_networks_that_never_saw_it(study, subjects):
    assert isinstance(study, Study)
    assert study.finished
    assert len(study.runs) == 6
    for k, name in enumerate(("sub-01", "sub-02", "sub-03")):
        for seed in (0, 1):
            rows = read_split(study.folder / f"fold-{k}-seed-{seed}" / "split.csv")
            of = {part: {row.path.split("/")[0] for row in rows if row.split == part}
                  for part in ("train", "val", "test")}  # fmt: skip
            assert of["test"] == {name}
            assert name not in of["train"]
            assert not of["val"]


def test_the_scores_of_a_study_are_those_of_its_answers(study):
    found = study.evaluation
    by_seed = []
    for seed in (0, 1):
        rights = []
        for k in range(3):
            rows = rows_of(study.folder / f"fold-{k}-seed-{seed}" / "predictions.csv")
            rights += [row["truth"] == row["predicted"] for row in rows]
        by_seed.append(np.mean(rights))
    assert found["study"]["per_seed"]["accuracy"] == pytest.approx(by_seed)
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(np.mean(by_seed))
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert found["n"] == len(rights)
    assert found["n_groups"] == 3
    assert sum(row["n"] for row in found["study"]["per_fold"]) == found["n"]
    assert [row["subject"] for row in found["study"]["per_subject"]] == [
        "sub-01",
        "sub-02",
        "sub-03",
    ]
    assert found["study"]["permutation_test"]["p"] < 0.01
    assert found["metrics"]["kappa"]["value"] > 0.3
    for name, apart in found["study"]["differences"].items():
        baseline = found["baselines"][name]["accuracy"]["value"]
        assert apart["accuracy"] == pytest.approx(accuracy["value"] - baseline, abs=1e-9)
    page = (study.folder / "report.html").read_text()
    assert "sub-02" in page
    assert "p = " in page


def test_seeds_start_from_other_numbers_and_share_their_division(study):
    splits = [(study.folder / f"fold-1-seed-{seed}" / "split.csv").read_bytes() for seed in (0, 1)]
    assert splits[0] == splits[1]
    assert read_json(study.folder / "fold-1-seed-1" / "run.json")["seed"] == 1


def test_a_stopped_study_goes_on_where_it_was(subjects, tmp_path, monkeypatch, study, capsys):
    from vitreous.runs import study as module

    real, begun = module.start, []

    def stop_at_the_third(*args, **how):
        begun.append(args[0].name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return real(*args, **how)

    monkeypatch.setattr(module, "start", stop_at_the_third)
    out = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        train(subjects, network=small(), epochs=8, seeds=2, protocol="across-subjects", out=out,
              precision="float32", compile="no")  # fmt: skip
    assert f"stopped after 2 of 6 runs; go on with `vitreous train --resume {out}`" in (
        capsys.readouterr().err
    )
    assert Study.load(out).record["status"] == "interrupted"
    assert not (out / "evaluation.json").exists()
    again = train(resume=out, network=small(), quiet=True)
    assert begun == ["fold-0-seed-0", "fold-0-seed-1", "fold-1-seed-0", "fold-1-seed-0",
                     "fold-1-seed-1", "fold-2-seed-0", "fold-2-seed-1"]  # fmt: skip
    assert again.finished
    assert again.evaluation["metrics"] == study.evaluation["metrics"]


def test_a_study_that_its_data_refuse_leaves_nothing_to_go_on_with(subjects, tmp_path, capsys):
    out = tmp_path / "study"
    with pytest.raises(RequestError, match="deep4 needs trials of at least"):
        train(subjects, network="deep4", protocol="across-subjects", out=out)
    assert not out.exists()
    assert "go on with" not in capsys.readouterr().err


def test_a_study_of_other_data_is_not_gone_on_with(study, subjects, tmp_path):
    copied = tmp_path / "data"
    shutil.copytree(subjects, copied)
    write_fif(copied / "sub-01" / "eeg" / "sub-01_task-x_eeg.fif", seed=77)
    changed = tmp_path / "study"
    shutil.copytree(study.folder, changed)
    with pytest.raises(DataError, match="is not the data"):
        train(copied, resume=changed, network=small(), quiet=True)


def test_the_given_split_of_a_subjects_label_is_refused(tmp_path):
    for name in ("sub-01", "sub-02", "sub-03", "sub-04"):
        for part, seed in (("train", 1), ("test", 2)):
            write_fif(
                tmp_path / name / f"{name}_acq-{part}_eeg.fif", seed=seed + int(name[-1]) * 10
            )
    lines = ["participant_id\tgroup"] + [f"sub-0{k}\t{'ab'[k % 2]}" for k in range(1, 5)]
    (tmp_path / "participants.tsv").write_text("\n".join(lines))
    out = tmp_path / "out"
    with pytest.raises(
        RequestError, match=r"same subjects in train and test.*--accept-subject-leak"
    ):
        train(tmp_path, label="group", protocol="given", network=small(), out=out, quiet=True)
    run = train(tmp_path, label="group", network=small(), epochs=1, out=out, quiet=True)
    assert "the given split is not used" in run.record.data.split_how
    assert "each" not in run.record.data.split_how  # a single run tests some of them
    rows = read_split(out / "split.csv")
    assert {row.label for row in rows if row.split == "test"} == {"a", "b"}
    sides = {part: {row.group for row in rows if row.split == part} for part in ("train", "test")}
    assert not sides["train"] & sides["test"]


def test_pictures_have_no_study(digits, tmp_path):
    with pytest.raises(RequestError, match="are for recordings"):
        train(digits, seeds=2, out=tmp_path / "x", quiet=True)
