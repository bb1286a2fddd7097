"""A detector from a folder of labelled pictures to scored, written and drawn boxes."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitreous
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError
from vitreous.evaluation.box_calibration import BoxCalibration, confidence_words
from vitreous.runs.run import Run

from .test_verbs import command

CLASSES = ("disc", "ring")


def paint(folder, n, seed, size=(48, 64)):
    """Pictures with bright rectangles of two colours, and a table that says where they are."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(n):
        pixels = random.integers(0, 50, (*size, 3), np.uint8)
        for place, name in enumerate(CLASSES):
            if number % 5 == 4 and place:
                continue  # not on every picture
            width, height = random.integers(12, 30, 2) * (size[0] // 48)
            left, top = random.integers(size[1] - width), random.integers(size[0] - height)
            pixels[top : top + height, left : left + width, 2 * place] = 240
            part = "test" if number % 4 == 3 else "train"
            rows.append([f"images/{number:02d}.png", name, left, top, left + width, top + height,
                         part])  # fmt: skip
        Image.fromarray(pixels).save(folder / "images" / f"{number:02d}.png")
    with (folder / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "xmin", "ymin", "xmax", "ymax", "split"])
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def run(box_run, tmp_path_factory):
    """A copy of the run that all tests share: here later data are scored into its folder."""
    out = tmp_path_factory.mktemp("run") / "out"
    return Run.load(shutil.copytree(box_run.folder, out))


@pytest.fixture(scope="module")
def data(box_run) -> Path:
    return Path(box_run.record.data.given).parent


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_learns_keeps_its_record_and_scores_once(run, data):
    assert run.finished
    record = json.loads((run.folder / "run.json").read_text())
    assert record["task"] == "detect"
    assert record["network"]["name"] == "detect:resnet"
    assert record["task_settings"]["size"] == [48, 64]
    source = recognise(data / "boxes.csv")
    test = [sample for sample in source.samples if sample.split == "test"]
    counts = record["data"]["counts"]["test"]
    assert sum(counts.values()) == sum(len(sample.label) for sample in test)
    evaluation = run.evaluation
    assert evaluation["n"] == len(test) == 8
    assert evaluation["metrics"]["ap50"]["value"] > 0.5
    assert evaluation["metrics"]["ap50"]["low"] <= evaluation["metrics"]["ap50"]["value"]
    baseline = evaluation["baselines"]["each class's mean box at its mean place"]["ap50"]["value"]
    assert baseline < evaluation["metrics"]["ap50"]["value"]
    history = table(run.folder / "history.csv")
    assert len(history) == 10
    assert float(history[-1]["val_ap50"]) > 0.3
    calibration = BoxCalibration.from_json(run.record.calibration)
    assert list(calibration.confidence) == list(evaluation["boxes"]["confidence"].values())
    assert set(evaluation["boxes"]["confidence"]) == set(CLASSES)


def test_what_is_written_agrees_with_itself(run):
    boxes, counts = table(run.folder / "predictions.csv"), table(run.folder / "counts.csv")
    confidence = run.evaluation["boxes"]["confidence"]
    for row in counts:
        own = [b for b in boxes if b["sample_id"] == row["sample_id"]]
        for name in CLASSES:
            sure = [
                b for b in own if b["class"] == name and float(b["confidence"]) >= confidence[name]
            ]
            assert abs(len(sure) - int(row[name])) <= 1  # the table has six digits
    errors = [abs(int(row[n]) - int(row[f"true_{n}"])) for n in CLASSES for row in counts]
    per_class = {row["class"]: row["count_error"]["value"] for row in run.evaluation["per_class"]}
    assert np.mean(errors) == pytest.approx(np.mean(list(per_class.values())))
    for side, most in (("right", 64), ("bottom", 48)):
        assert all(0 < float(row[side]) <= most for row in boxes)
    whole = json.loads((run.folder / "predictions.coco.json").read_text())
    assert len(whole["annotations"]) == len(boxes)


def test_the_report_shows_truth_and_answer(run):
    page = (run.folder / "report.html").read_text()
    assert "Detection of" in page
    assert "What became of each box" in page
    assert page.count("drawn-picture") >= 3
    assert "No answer on the test part was wrong" not in page


def test_later_data_are_scored_with_their_own_size_and_order_of_classes(run, tmp_path):
    later = paint(tmp_path / "later", 8, 7, size=(96, 128))
    evaluation = run.evaluate(later / "boxes.csv")
    assert evaluation["n"] == 8
    assert (run.folder / "evaluation-boxes.json").is_file()
    assert (run.folder / "counts-boxes.csv").is_file()
    one = tmp_path / "one"
    paint(one, 4, 8)
    rows = [row for row in table(one / "boxes.csv") if row["class"] == "ring"]
    with (one / "boxes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "split": ""} for row in rows)
    found = run.evaluate(one / "boxes.csv")
    by_class = {row["class"]: row for row in found["per_class"]}
    assert (by_class["disc"]["n"], by_class["ring"]["n"]) == (0, len(rows))
    (one / "boxes.csv").write_text("path,class,xmin,ymin,xmax,ymax\nimages/00.png,cat,1,2,9,9\n")
    with pytest.raises(DataError, match="class cat is unknown"):
        run.evaluate(one / "boxes.csv")


def test_boxes_of_new_pictures_lie_in_their_own_pixels(run, tmp_path):
    folder = paint(tmp_path / "new", 3, 9, size=(96, 128))
    (folder / "images" / "broken.png").write_bytes(b"no picture")
    answers = list(run.boxes(folder / "images"))
    assert [answer.error is None for answer in answers] == [True, True, True, False]
    corners = np.concatenate([answer.boxes.corners for answer in answers])
    assert corners[:, 2].max() > 64  # beyond what the network's picture would hold
    least = np.array([run.evaluation["boxes"]["confidence"][name] for name in run.record.classes])
    for answer in answers:
        assert (answer.boxes.confidences >= least[answer.boxes.classes]).all()
    with pytest.raises(RequestError, match=r"run\.boxes"):
        list(run.predict(folder / "images"))


def test_the_confidence_from_which_on_boxes_count_can_be_asked_for(
    run, tmp_path, monkeypatch, capsys
):
    folder = paint(tmp_path / "new", 4, 12)
    chosen = run.evaluation["boxes"]["confidence"]
    lowest, highest = min(chosen.values()), max(chosen.values())
    usual, many, few = (
        [len(answer.boxes) for answer in run.boxes(folder / "images", confidence=least)]
        for least in (None, 0.0, min(0.999, highest + 0.3))
    )
    again = list(run.boxes(folder / "images", confidence=lowest))
    least = np.array([chosen[name] for name in run.record.classes])
    kept = [a.boxes.confidences >= least[a.boxes.classes] for a in again]
    assert usual == [int(each.sum()) for each in kept]
    assert sum(many) > sum(usual) >= sum(few)
    call = ["predict", run.folder, folder / "images"]
    status, printed, said = command(monkeypatch, capsys, *call, "--confidence", "0")
    assert status == 0
    assert len(printed.splitlines()) == 1 + sum(many)
    assert "boxes from a confidence of 0.00 on (--confidence)" in said
    status, printed, said = command(monkeypatch, capsys, *call)
    assert len(printed.splitlines()) == 1 + sum(usual)
    words = confidence_words([chosen[name] for name in run.record.classes], run.record.classes)
    assert f"boxes from a confidence of {words} on (as validation chose" in said
    out = tmp_path / "out"
    status, _, said = command(monkeypatch, capsys, *call, "--confidence", "0", "--out", out)
    assert len(table(out / "boxes.csv")) == sum(many)
    status, _, said = command(monkeypatch, capsys, *call, "--confidence", "1.5")
    assert (status, said.count("\n")) == (1, 1)
    assert "give a number from 0 to 1" in said


def test_the_command_line_writes_a_table_or_a_folder_of_everything(
    run, tmp_path, monkeypatch, capsys
):
    folder = paint(tmp_path / "new", 3, 11)
    (folder / "images" / "broken.png").write_bytes(b"no picture")
    call = ["predict", run.folder, folder / "images"]
    status, printed, _ = command(monkeypatch, capsys, *call, "--quiet")
    assert status == 1  # one file is broken
    header = "sample_id,class,confidence,left,top,right,bottom,error"
    assert printed.splitlines()[0] == header
    out = tmp_path / "everything"
    status, _, _ = command(monkeypatch, capsys, *call, "--out", out, "--quiet")
    assert status == 1
    assert {path.name for path in out.iterdir()} == {
        *("boxes.csv", "counts.csv", "errors.csv", "boxes.coco.json", "overlays", "annotations")
    }
    assert len(table(out / "counts.csv")) == 3
    assert len(table(out / "errors.csv")) == 1
    assert len(list((out / "overlays").iterdir())) == 3
    with Image.open(out / "overlays" / "00.png") as overlay:
        assert overlay.size == (64, 48)
    _, printed, _ = command(monkeypatch, capsys, *call, "--format", "coco", "--quiet")
    assert {each["name"] for each in json.loads(printed)["categories"]} == set(CLASSES)
    status, _, said = command(monkeypatch, capsys, *call, "--format", "xml")
    assert status == 1
    assert "unknown format" in said


def test_a_run_beside_itself_shows_no_difference(run):
    found = run.compare(Run.load(run.folder))
    assert found["ap"].difference.value == 0
    assert found["ap"].first == pytest.approx(run.evaluation["metrics"]["ap"]["value"], abs=2e-3)


def test_a_picture_of_boxes_is_traced(run, data):
    assert run.trace(data / "images" / "03.png").graph.outputs


def test_nothing_to_learn_is_said_before_training(data, tmp_path):
    folder = tmp_path / "none"
    (folder / "images").mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (64, 64)).save(folder / "images" / f"{number}.png")
    whole = {
        "images": [{"id": n, "file_name": f"images/{n}.png", "height": 64, "width": 64}
                   for n in range(12)],
        "annotations": [],
        "categories": [{"id": 1, "name": "cell"}],
    }  # fmt: skip
    (folder / "_annotations.coco.json").write_text(json.dumps(whole))
    with pytest.raises((DataError, RequestError), match=r"box|learn"):
        vitreous.train(folder, epochs=1, out=tmp_path / "out", quiet=True)
