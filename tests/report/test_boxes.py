"""What the report shows of a detector: counts that add up, curves, pictures with boxes on them."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vitreous.data.boxes.boxes import Boxes, box_areas
from vitreous.data.sheet import class_colours
from vitreous.evaluation.box_calibration import BoxCalibration
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.evaluation.box_mistakes import KINDS, outcomes_of
from vitreous.evaluation.evaluate_boxes import evaluate_boxes
from vitreous.report.boxes_drawn import (
    MISSED,
    RIGHT,
    WRONG,
    answers_on_picture,
    drawn_bytes,
    fitted,
    judged_picture,
    truth_on_picture,
)
from vitreous.report.sections.boxes import boxes
from vitreous.report.sections.drawn import drawn
from vitreous.report.sections.scores import per_class

CLASSES = ("cell", "<disc>")


def boxes_of(corners, classes):
    corners = np.array(corners, np.float64).reshape(-1, 4)
    nothing = np.zeros(len(corners), bool)
    return Boxes(corners, np.array(classes, np.int64), nothing, nothing, box_areas(corners))


TRUTH = boxes_of([[10, 10, 40, 40], [60, 10, 90, 50], [10, 60, 50, 90]], [0, 1, 0])
ANSWERS = BoxAnswers(
    np.array([[11.0, 10, 40, 41], [61, 11, 90, 50], [70, 70, 95, 95]]),
    np.array([0, 0, 1]),
    np.array([0.9, 0.8, 0.7]),
)


@pytest.fixture(scope="module")
def payload():
    found = evaluate_boxes(
        [TRUTH] * 4,
        [ANSWERS] * 4,
        classes=CLASSES,
        sample_ids=[f"{n}.png" for n in range(4)],
        calibration=BoxCalibration(confidence=(0.5, 0.65)),
        resamples=40,
    )
    evaluation = json.loads(json.dumps(found.to_json()))
    return {"run": {"task": "detect", "classes": CLASSES}, "evaluation": evaluation, "drawn": []}


class Cells(HTMLParser):
    """The texts of a page's table cells, row by row."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_counts_of_the_classes_add_up_to_all(payload):
    page = boxes(payload)
    rows: dict = {}
    for row in Cells(page).rows:
        rows.setdefault(row[0], row[1:])  # the first table
    assert set(rows) >= {"cell", "<disc>", "all"}
    cell, disc, both = (np.array(rows[n][1:7], int) for n in ("cell", "<disc>", "all"))
    assert (cell + disc == both).all()
    assert [rows[name][0] for name in ("cell", "<disc>")] == [
        "50.0\N{NO-BREAK SPACE}%",
        "65.0\N{NO-BREAK SPACE}%",
    ]
    named = dict(zip(KINDS, both, strict=True))
    assert named == {"right": 4, "missed": 8, "false": 4, "doubled": 0, "misplaced": 0,
                     "misnamed": 4}  # fmt: skip
    assert "<disc>" not in page  # escaped


def test_each_class_has_its_curve_and_its_row(payload):
    assert boxes(payload).count("<polyline") == 2
    assert per_class({**payload, "feature_maps": []}).count("<th") > 5
    kinds = [row["kind"] for row in payload["evaluation"]["boxes"]["pictures"]]
    assert kinds == ["worst"] * 4


def test_drawn_pictures_say_what_their_colours_mean(payload):
    one = {"sample_id": "0.png", "kind": "worst", "words": "1 right", "more_words": "3 true boxes",
           "picture": "data:,", "truth": "data:,", "answer": "data:,", "scan": None}  # fmt: skip
    page = drawn({**payload, "drawn": [one]})
    assert "right boxes are green" in page
    assert "1 right" in page


def test_a_task_without_boxes_has_no_such_section():
    assert boxes({"run": {"task": "classify"}, "evaluation": {"metrics": {}}, "drawn": {}}) is None
    assert boxes({"run": {"task": "detect"}, "evaluation": None, "drawn": {}}) is None


def test_drawn_boxes_have_the_colour_of_what_became_of_them():
    pixels = np.full((100, 100, 3), 80, np.uint8)
    outcomes = outcomes_of(TRUTH, ANSWERS, 2, 0.5)
    image = np.asarray(judged_picture(pixels, TRUTH, ANSWERS, outcomes, CLASSES))
    assert tuple(image[30, 11]) == RIGHT  # the left side of the right answer
    assert tuple(image[94, 80]) == WRONG  # the lower side of the false one
    assert (image[60:90, 10] == MISSED).all(axis=1).any()
    assert tuple(image[55, 55]) == (80, 80, 80)


def test_answers_are_drawn_named_and_large_pictures_made_smaller():
    pixels = np.full((100, 100, 1), 80, np.uint8)
    image = answers_on_picture(pixels, ANSWERS, CLASSES)
    assert image.mode == "RGB"
    assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 3
    small, scale = fitted(np.zeros((1000, 1500, 3), np.uint8))
    assert max(small.shape) == 320
    assert scale == pytest.approx(320 / 1500)
    content = drawn_bytes(Image.fromarray(small))
    assert Image.open(io.BytesIO(content)).size == (320, 213)


def test_true_boxes_have_the_colours_of_their_classes():
    pixels = np.full((100, 100, 3), 80, np.uint8)
    image = np.asarray(truth_on_picture(pixels, TRUTH, CLASSES))
    first, second = class_colours(2)
    assert tuple(image[30, 10]) == first
    assert tuple(image[30, 60]) == second
