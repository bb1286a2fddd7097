"""Numbers learned from trials: with a validation part, and without, as few trials have it."""

import csv

import numpy as np
import pytest
import torch
from tests.recording_files import CHANNELS, write_subjects
from tests.small_decoder import Small

from vitreous.errors import RequestError
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict
from vitreous.runs.run import Run
from vitreous.runs.train import train

PLAIN = {"precision": "float32", "compile": "no", "quiet": True}


def one_number() -> Small:
    torch.manual_seed(0)
    return Small(outputs=1)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ages(tmp_path_factory):
    """Ten subjects of four trials each; their ages are in participants.tsv."""
    return write_subjects(tmp_path_factory.mktemp("data") / "bids", 10, seconds=6.5)


@pytest.fixture(scope="module")
def run(ages, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "ages"
    return train(ages, network=one_number(), task="regress", label="age", epochs=2, out=out,
                 **PLAIN)  # fmt: skip


def test_few_trials_have_no_interval_and_it_is_said(run, ages, capsys):
    assert {row["split"] for row in rows_of(run.folder / "split.csv")} == {"train", "test"}
    assert run.record.calibration["half_width"] is None
    assert run.evaluation["metrics"]["mae"]["value"] is not None
    (said,) = [text for text in run.evaluation["warnings"] if "not calibrated" in text]
    assert "no validation part" in said
    assert said in (run.folder / "report.html").read_text()
    assert {row["low"] + row["high"] for row in rows_of(run.folder / "predictions.csv")} == {""}
    loaded = Run.load(run.folder, one_number())
    assert evaluate(loaded, ages, quiet=True)["n"] == 40
    answers = list(predict(loaded, [ages / "sub-03"]))
    assert [answer.error for answer in answers] == [None] * 4
    assert all(20 < answer.value < 60 for answer in answers)


def test_subjects_numbers_vary_in_the_test_part(run):
    tested = [row for row in rows_of(run.folder / "split.csv") if row["split"] == "test"]
    assert len({row["label"] for row in tested}) == 2


def test_a_study_of_numbers_is_refused_with_what_to_leave_out(ages, tmp_path):
    with pytest.raises(RequestError, match="without --protocol, --folds and --seeds"):
        train(ages, network=one_number(), task="regress", label="age", folds=2,
              out=tmp_path / "study", **PLAIN)  # fmt: skip


def test_many_trials_have_an_interval_from_their_validation_part(tmp_path):
    random = np.random.default_rng(0)
    levels = random.uniform(1, 3, 800)
    trials = random.normal(size=(800, len(CHANNELS), 60)) * levels[:, None, None]
    np.savez(tmp_path / "levels.npz", X=trials.astype(np.float32), y=levels, sfreq=100.0,
             ch_names=np.array(CHANNELS))  # fmt: skip
    run = train(tmp_path / "levels.npz", network=one_number(), task="regress", epochs=4,
                out=tmp_path / "run", **PLAIN)  # fmt: skip
    parts = [row["split"] for row in rows_of(run.folder / "split.csv")]
    assert parts.count("val") >= 60
    assert run.record.calibration["half_width"] > 0
    assert not [text for text in run.evaluation["warnings"] if "not calibrated" in text]
    rows = rows_of(run.folder / "predictions.csv")
    held = [float(row["low"]) <= float(row["truth"]) <= float(row["high"]) for row in rows]
    assert np.mean(held) > 0.85
