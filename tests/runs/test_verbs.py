"""predict, evaluate and compare on a finished run."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitreous.cli.app import main
from vitreous.errors import DataError, RequestError
from vitreous.runs.compare import compare
from vitreous.runs.demo import strongest_cell
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict, write_predictions
from vitreous.runs.train import train

from .conftest import digit_pictures, write_digits


@pytest.fixture(scope="module")
def other_run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "run"
    return train(digits, network="lenet5", epochs=1, out=folder, quiet=True)


@pytest.fixture(scope="module")
def later(tmp_path_factory) -> Path:
    """Pictures of the same digits that the run has not seen."""
    folder = tmp_path_factory.mktemp("later") / "digits"
    for label in range(4):
        (folder / str(label)).mkdir(parents=True)
        for number, picture in enumerate(digit_pictures(label, 64)[24:]):
            Image.fromarray(picture).save(folder / str(label) / f"{number}.png")
    return folder


def command(monkeypatch, capsys, *words) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["vitreous", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    found = capsys.readouterr()
    return int(ended.value.code or 0), found.out, found.err


def test_bad_files_are_answers_with_an_error_in_their_place(run, digits, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    whole = (digits / "1" / "000.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    inputs = [digits / "2" / "003.png", tmp_path, tmp_path / "absent.png", digits / "3" / "001.png"]
    answers = list(predict(run, inputs))
    assert [answer.sample_id for answer in answers] == [
        str(digits / "2" / "003.png"),
        str(tmp_path / "empty.png"),
        str(tmp_path / "truncated.png"),
        str(tmp_path / "absent.png"),
        str(digits / "3" / "001.png"),
    ]
    assert [answer.error is None for answer in answers] == [True, False, False, False, True]
    for answer, word in zip(answers[1:4], ("empty", "truncated", "not found"), strict=True):
        assert answer.error is not None
        assert answer.error.startswith(answer.sample_id)
        assert word in answer.error


def test_the_answer_does_not_depend_on_its_company(run, digits):
    alone = next(iter(predict(run, digits / "2" / "003.png")))
    among = {answer.sample_id: answer for answer in predict(run, digits)}
    together = among[str(digits / "2" / "003.png")]
    assert together.predicted == alone.predicted
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)


def test_predict_answers_as_the_test_part_was_answered(run, digits):
    with (run.folder / "predictions.csv").open(newline="") as file:
        scored = {row["sample_id"]: row for row in csv.DictReader(file)}
    answers = {
        Path(answer.sample_id).relative_to(digits).as_posix(): answer
        for answer in predict(run, digits)
    }
    for name, row in scored.items():
        assert answers[name].predicted == row["predicted"]
        assert answers[name].confidence == pytest.approx(float(row["confidence"]), abs=1e-4)


@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_written_answers_can_be_read_again(run, digits, file_format):
    text = io.StringIO()
    inputs = [digits / "0" / "001.png", digits / "0" / "broken.png"]
    assert write_predictions(predict(run, inputs), run, text, file_format) == (2, 1)
    if file_format == "csv":
        good, bad = csv.DictReader(io.StringIO(text.getvalue()))
        shares = [float(good[f"p_{name}"]) for name in run.record.classes]
    else:
        good, bad = json.loads(text.getvalue())
        shares = list(good["probabilities"].values())
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert "not a picture" in bad["error"]


def test_predict_exits_with_1_for_a_bad_file_and_0_without(run, digits, monkeypatch, capsys):
    good = command(monkeypatch, capsys, "predict", run.folder, digits / "0" / "001.png")
    assert good[0] == 0
    assert good[1].startswith("sample_id,predicted,confidence,p_0,")
    bad = command(monkeypatch, capsys, "predict", run.folder, digits / "0")
    assert bad[0] == 1
    assert "24 files, 1 of them with an error" in bad[2] or "25 files, 1 of them" in bad[2]
    none = command(monkeypatch, capsys, "predict", run.folder, digits / "*.tiff")
    assert none[0] == 1


def test_predict_reads_a_list_and_writes_a_file(run, digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{digits}/0/001.png\n{digits}/1/002.png\n"))
    out = tmp_path / "answers.json"
    status, printed, _ = command(monkeypatch, capsys, "predict", run.folder, "-", "--out", out)
    assert (status, printed) == (0, "")
    assert [row["sample_id"] for row in json.loads(out.read_text())] == [
        f"{digits}/0/001.png",
        f"{digits}/1/002.png",
    ]


def test_later_data_are_scored_and_kept_by_name(run, later):
    found = evaluate(run, later, name="march", quiet=True)
    assert found["n"] == 160
    assert found["metrics"]["accuracy"]["value"] > 0.5
    kept = json.loads((run.folder / "evaluation-march.json").read_text())
    assert kept["metrics"] == found["metrics"]
    assert (run.folder / "predictions-march.csv").exists()


def test_data_that_look_different_are_said_to_be(run, later, tmp_path):
    for path in later.rglob("*.png"):
        inverted = tmp_path / "inverted" / path.parent.name / path.name
        inverted.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - np.asarray(Image.open(path))).save(inverted)
    said = " ".join(evaluate(run, tmp_path / "inverted", quiet=True)["warnings"])
    assert "do not look like the training pictures" in said


def test_the_training_data_are_known_again(run, digits):
    said = " ".join(evaluate(run, digits, quiet=True)["warnings"])
    assert "the data that the run was trained on" in said


def test_without_data_the_sealed_scores_are_shown(run):
    assert evaluate(run) == run.evaluation


def test_unknown_classes_are_named(run, tmp_path):
    folder = write_digits(tmp_path / "digits", labels=[2, 3, 5])
    with pytest.raises(DataError, match="class 5 is unknown to"):
        evaluate(run, folder, quiet=True)


def test_compare_is_paired_and_signed(run, other_run):
    found = compare(run, other_run)
    swapped = compare(other_run, run)
    accuracy = found["accuracy"]
    assert accuracy.difference.value == pytest.approx(accuracy.first - accuracy.second)
    assert swapped["accuracy"].difference.value == pytest.approx(-accuracy.difference.value)
    assert accuracy.first == pytest.approx(run.evaluation["metrics"]["accuracy"]["value"])
    for name, item in found.items():
        expected = run.evaluation["metrics"][name]["value"]
        assert item.first == pytest.approx(expected, abs=2e-3), name


def test_compare_on_later_data(run, other_run, later):
    found = compare(run, other_run, later, quiet=True)
    assert found["accuracy"].n == 160
    assert found["accuracy"].better == str(run.folder)


def test_compare_refuses_other_test_parts_and_other_questions(run, digits, tmp_path):
    other_seed = train(digits, network="lenet5", epochs=1, seed=5, out=tmp_path / "s", quiet=True)
    with pytest.raises(RequestError, match="are not the same"):
        compare(run, other_seed)
    folder = write_digits(tmp_path / "digits", labels=[0, 1, 2])
    fewer = train(folder, network="lenet5", epochs=1, out=tmp_path / "t", quiet=True)
    with pytest.raises(RequestError, match="answer other questions"):
        compare(run, fewer)


def test_the_tables_on_the_terminal(run, other_run, monkeypatch, capsys):
    status, out, _ = command(monkeypatch, capsys, "evaluate", run.folder)
    assert status == 0
    assert "accuracy ↑" in out
    assert "majority" in out
    status, out, _ = command(monkeypatch, capsys, "compare", run.folder, other_run.folder)
    assert status == 0
    assert "accuracy ↑" in out
    assert "both right" in out
    status, out, _ = command(monkeypatch, capsys, "compare", run.folder, other_run.folder, "--json")
    assert set(json.loads(out)) == set(run.evaluation["metrics"])


def test_the_strongest_cell_is_the_number_that_the_network_computed(run, digits):
    cell = strongest_cell(run, digits / "3" / "001.png")
    assert cell.node == "features.conv1"
    assert len(cell.sources()) == 25
    assert cell.difference.within
    assert cell.computed > 0


def test_an_answer_is_traced_down_to_a_pixel(run, digits):
    traced = run.trace(digits / "3" / "001.png")
    cell = traced.cell(traced.graph.outputs[0], 3)
    while cell.sources():
        assert cell.difference.within
        cell = traced.follow(next(source for source in cell.sources() if source.index))
    assert cell.node == "input"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/usr/bin/vitreous", "train", "my pictures"], "vitreous train 'my pictures'"),
        (["/lib/vitreous/__main__.py", "train", "x"], "vitreous train x"),
        (["/lib/pytest/__main__.py", "-q"], "Python: __main__.py"),
        (["study.py", "x"], "Python: study.py"),
        ([""], "Python: interactive"),
    ],
)
def test_the_command_is_told_as_one_could_type_it_again(monkeypatch, arguments, told):
    from vitreous.runs.record import command_line

    monkeypatch.setattr("sys.argv", arguments)
    assert command_line() == told
