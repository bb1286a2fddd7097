"""Runs of a study trained side by side: the same scores, one study, and errors that are heard."""

import csv
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from tests.recording_files import write_subjects

from vitreous.errors import VitreousError
from vitreous.files import read_json, write_json
from vitreous.runs import together
from vitreous.runs.request import TrainRequest
from vitreous.runs.study import Study
from vitreous.runs.talk import Talk
from vitreous.runs.train import train

SETTINGS = {"network": "eegnet", "epochs": 2, "protocol": "across-subjects", "quiet": True,
            "precision": "float32", "compile": "no"}  # fmt: skip


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "bids"
    return write_subjects(folder, 3, rhythm=25.0, seconds=20.0)


@pytest.fixture(scope="module")
def study(subjects, tmp_path_factory) -> Study:
    """Three folds: the first alone, the others in two processes, stopped and gone on with."""
    out = tmp_path_factory.mktemp("runs") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "processes_for", lambda *_: 2)
        patch.setattr(together, "WORTH_SECONDS", 0.0)
        real = together._watch

        def interrupted(*arguments) -> None:
            real(*arguments)
            raise KeyboardInterrupt  # when all are trained, and before they are scored together

        patch.setattr(together, "_watch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(subjects, out=out, **SETTINGS)
        stopped = Study.load(out)
        assert stopped.record["status"] == "interrupted"
        assert stopped.evaluation is None
        patch.setattr(together, "_watch", real)
        return train(resume=out, quiet=True)


def answers(study: Study) -> dict[str, float]:
    found = {}
    for fold in range(3):
        with (study.folder / f"fold-{fold}-seed-0" / "predictions.csv").open(newline="") as file:
            found |= {row["sample_id"]: float(row["p_left"]) for row in csv.DictReader(file)}
    return found


def test_they_are_what_one_after_the_other_makes(study, subjects, tmp_path, monkeypatch):
    assert study.finished
    made = [read_json(run.folder / "run.json")["compute"]["threads"] for run in study.runs]
    assert made[1:] == [1, 1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        monkeypatch.setattr(together, "processes_for", lambda *_: 1)
        plain = train(subjects, out=tmp_path / "plain", **SETTINGS)
    finally:
        torch.set_num_threads(threads)
    one, other = answers(plain), answers(study)
    assert one.keys() == other.keys()
    assert all(one[name] == pytest.approx(other[name], abs=1e-4) for name in one)


def test_a_process_says_what_is_wrong(study, subjects, tmp_path, monkeypatch, capsys):
    """In this process, whose threads, words and signals are put back."""
    changed = tmp_path / "study"
    changed.mkdir()
    record = read_json(study.folder / "study.json")
    record["data"]["fingerprint"] = "another"
    write_json(changed / "study.json", record)
    monkeypatch.setattr(together, "_end_with_the_other", lambda: None)
    monkeypatch.setattr(sys, "argv", sys.argv)
    threads, before = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    try:
        assert together.main([str(changed), str(subjects), "fold-1-seed-0", ""]) == 1
    finally:
        torch.set_num_threads(threads)
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == f"{subjects}: changed while the study was trained; start a new one"


def test_what_a_process_says_is_heard_and_the_others_end(study, subjects, monkeypatch):
    started = []

    def failing(folder, data, names, log, said):
        del folder, data, log
        said.write(b"a warning\n" + names[0].encode() + b": is broken\n")
        said.flush()
        what = "raise SystemExit(1)" if not started else "import sys; sys.stdin.read()"
        started.append(subprocess.Popen([sys.executable, "-c", what], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr(together, "_started", failing)
    monkeypatch.setattr(together, "missing", lambda _: [["a"], ["b"]])
    with pytest.raises(VitreousError, match="b: is broken"):
        together.train_together(study, subjects, 2, None, Talk(quiet=True))
    assert [process.returncode for process in started] == [1, 0]


def test_a_process_that_is_asked_to_end_saves_first(study, subjects, tmp_path):
    """Its input ends, as it does when the process that started it is gone: nothing is left over."""
    begun = tmp_path / "study"
    shutil.copytree(study.folder, begun)
    for fold in (1, 2):
        shutil.rmtree(begun / f"fold-{fold}-seed-0")
    with (tmp_path / "said").open("wb") as said:
        process = together._started(begun, subjects, ["fold-1-seed-0"], None, said)
        together._end([process])
    assert process.returncode == together.STOPPED
    assert not together.is_finished(begun / "fold-1-seed-0")


@pytest.mark.parametrize(
    ("seconds", "trained"), [(0.0, ["alone", "together"]), (1e6, ["alone", "alone"])]
)
def test_processes_are_started_where_that_is_worth_it(monkeypatch, study, seconds, trained):
    done = []
    monkeypatch.setattr(together, "missing", lambda _: [["a", "b"], ["c"]])
    monkeypatch.setattr(together, "processes_for", lambda *_: 2)
    monkeypatch.setattr(together, "WORTH_SECONDS", seconds)
    monkeypatch.setattr(together, "train_members", lambda *_: done.append("alone"))
    monkeypatch.setattr(together, "train_together", lambda *_: done.append("together"))
    rest = [None] * 6
    together.train_missing(study, study.folder, None, TrainRequest(), *rest[1:4], None, None)
    assert done == trained


def test_what_cannot_be_had_elsewhere_is_trained_here(subjects):
    asked = TrainRequest()
    assert together.processes_for(subjects, asked, torch.nn.Identity()) == 1
    assert together.processes_for(subjects, asked, None) == torch.get_num_threads()
