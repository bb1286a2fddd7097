"""Answers as files: read back by the very readers that read labels."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.geometry import fit, place_corners
from vitreous.data.recognise import recognise
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.inference.boxes import in_picture
from vitreous.runs.box_files import PictureAnswer, boxes_csv, coco_json, counts_csv, voc_xml
from vitreous.tasks.detect import FoundBoxes

CLASSES = ("cell", "disc, large")


@pytest.fixture
def answers():
    corners = np.array([[3.0, 4.0, 20.0, 30.0], [0.0, 0.0, 40.0, 60.0], [7.25, 9.5, 12.5, 14.75]])
    boxes = BoxAnswers(corners, np.array([0, 1, 0]), np.array([0.9, 0.8, 0.3]))
    nothing = BoxAnswers(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    return [
        PictureAnswer("one.png", (60, 40), boxes),
        PictureAnswer("none.png", (60, 40), nothing),
        PictureAnswer("bad.png", (0, 0), nothing, "bad.png: truncated"),
    ]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_a_box_with_pixels_of_the_picture(answers):
    rows = rows_of(boxes_csv(answers, CLASSES))
    assert len(rows) == 3
    assert rows[1]["class"] == "disc, large"
    assert [float(rows[2][side]) for side in ("left", "top", "right", "bottom")] == [
        7.25,
        9.5,
        12.5,
        14.75,
    ]


def test_counts_hold_sure_boxes_and_pictures_without_any(answers):
    truth = {"one.png": [2, 1], "none.png": [0, 0]}
    rows = rows_of(counts_csv(answers, CLASSES, 0.5, truth))
    assert [row["cell"] for row in rows] == ["1", "0"]
    assert [row["true_cell"] for row in rows] == ["2", "0"]
    assert "true_cell" not in rows_of(counts_csv(answers, CLASSES, 0.5))[0]


def pictures(folder):
    folder.mkdir()
    for name in ("one.png", "none.png"):
        Image.new("RGB", (40, 60)).save(folder / name)


def test_coco_json_is_read_back_as_it_was_written(answers, tmp_path):
    pictures(tmp_path / "data")
    (tmp_path / "data" / "_annotations.coco.json").write_text(coco_json(answers, CLASSES))
    source = recognise(tmp_path / "data", for_training=False)
    assert source.classes == CLASSES
    found = {sample.path: sample.label for sample in source.samples}
    assert isinstance(found["one.png"], Boxes)
    np.testing.assert_allclose(found["one.png"].corners, answers[0].boxes.corners, atol=0.01)
    assert found["one.png"].classes.tolist() == [0, 1, 0]
    scores = [each["score"] for each in json.loads(coco_json(answers, CLASSES))["annotations"]]
    assert scores == [0.9, 0.8, 0.3]


def test_voc_xml_is_read_back_in_whole_pixels(answers, tmp_path):
    pictures(tmp_path / "JPEGImages")
    (tmp_path / "Annotations").mkdir()
    for answer in answers[:2]:
        name = answer.sample_id.replace(".png", ".xml")
        (tmp_path / "Annotations" / name).write_text(voc_xml(answer, CLASSES))
    source = recognise(tmp_path, for_training=False)
    found = {sample.path.rpartition("/")[2]: sample.label for sample in source.samples}
    order = [CLASSES[place] for place in answers[0].boxes.classes]
    assert [source.classes[place] for place in found["one.png"].classes] == order
    np.testing.assert_allclose(found["one.png"].corners, answers[0].boxes.corners.round(), atol=0)


@pytest.mark.parametrize("picture", [(60, 40), (480, 640), (33, 200), (64, 64)])
def test_boxes_go_back_to_where_they_lie_in_the_picture(picture):
    seen = (64, 96)
    random = np.random.default_rng(0)
    low = random.random((5, 2)) * np.array(picture[::-1]) * 0.6
    corners = np.hstack([low, low + np.array(picture[::-1]) * 0.3])
    placed = place_corners(fit(picture, seen), corners)
    found = FoundBoxes(placed, np.arange(5), np.ones(5))
    np.testing.assert_allclose(in_picture(found, picture, seen).corners, corners, atol=1e-9)


def test_what_lies_in_the_border_alone_is_no_answer():
    border = FoundBoxes(
        np.array([[0.0, 0, 10, 64], [20, 10, 60, 50]]), np.zeros(2, int), np.ones(2)
    )
    kept = in_picture(border, (64, 64), (64, 96))  # the picture fills x from 16 to 80
    assert len(kept.scores) == 1
    np.testing.assert_allclose(kept.corners, [[4, 10, 44, 50]])
