"""The scores of boxes and masks on real answers, beside pycocotools and torchmetrics.

A detector and a segmenter are trained for two minutes each on real pictures; what they wrote about
the sealed test part is judged again by the other libraries.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.beside_pycocotools import by_pycocotools
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.functional.segmentation import dice_score, mean_iou

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.recognise import recognise
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.evaluation.detection import AVERAGES, detection_figures
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling

from .test_bad_labels import STREETS
from .test_pictures import vitreous

pytestmark = [pytest.mark.data, pytest.mark.acceptance, pytest.mark.timeout(1800)]
TIME = os.environ.get("VITREOUS_ACCEPTANCE_TIME", "2m")


def weights(real_data: Path) -> Path:
    return next((real_data / "weights_efficientnet_lite0").glob("*.pth"))


def answers_by_picture(path: Path, classes: tuple[str, ...]) -> dict[str, BoxAnswers]:
    rows: dict[str, list[list[float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            sides = [float(row[side]) for side in ("left", "top", "right", "bottom")]
            numbers = [*sides, classes.index(row["class"]), float(row["confidence"])]
            rows.setdefault(row["sample_id"], []).append(numbers)
    found = {name: np.array(each) for name, each in rows.items()}
    return {
        name: BoxAnswers(each[:, :4], each[:, 4].astype(np.int64), each[:, 5])
        for name, each in found.items()
    }


def test_boxes_on_blood_cells(real_data, tmp_path):
    run = tmp_path / "run"
    vitreous("train", real_data / "bccd", "--weights", weights(real_data), "--time", TIME,
             "--out", run, "--quiet")  # fmt: skip
    source = recognise(real_data / "bccd")
    test = [s for s in source.samples if s.split == "test" and isinstance(s.label, Boxes)]
    found = answers_by_picture(run / "predictions.csv", source.classes)
    nothing = BoxAnswers(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    truth = [sample.label for sample in test]
    answers = [found.get(sample.sample_id, nothing) for sample in test]
    once = Sampling(grouping(None, len(test)), resamples=20)
    ours = detection_figures(truth, answers, source.classes, once, confidence=0.5)

    theirs = by_pycocotools(truth, answers, len(source.classes)).stats
    for name, expected in zip(AVERAGES, theirs, strict=True):
        value = ours.metrics[name].value
        assert (value is None) == (expected == -1), name
        assert value is None or value == pytest.approx(expected, abs=1e-9), name

    # its own thresholds are rounded to float32: a recall of exactly 0.07 does not reach them
    metric = MeanAveragePrecision(
        backend="pycocotools", class_metrics=True,
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )  # fmt: skip
    metric.warn_on_many_detections = False  # after 100 a picture both leave out the least sure
    metric.update(
        [{"boxes": torch.tensor(a.corners), "scores": torch.tensor(a.confidences),
          "labels": torch.tensor(a.classes)} for a in answers],
        [{"boxes": torch.tensor(t.corners), "labels": torch.tensor(t.classes),
          "area": torch.tensor(t.areas)} for t in truth],
    )  # fmt: skip
    others = metric.compute()
    for name, other in (("ap", "map"), ("ap50", "map_50"), ("ap75", "map_75"), ("ar", "mar_100")):
        assert ours.metrics[name].value == pytest.approx(float(others[other]), abs=1e-6), name
    per_class = [row.averages["ap"].value for row in ours.per_class]
    assert per_class == pytest.approx(others["map_per_class"].tolist(), abs=1e-6)

    # the table has six digits, so that two boxes may change places
    kept = json.loads((run / "evaluation.json").read_text())["metrics"]
    assert kept["ap50"]["value"] > 0.2  # something was learned: these answers are no noise
    for name in AVERAGES:
        if kept[name]["value"] is not None:
            assert kept[name]["value"] == pytest.approx(ours.metrics[name].value, abs=1e-3), name


def test_masks_of_streets(real_data, tmp_path):
    """Every ninth street to learn from, every fifth to test on: the answers need not be good."""
    folder, run = tmp_path / "streets", tmp_path / "run"
    for part, step in (("train", 6), ("val", 9), ("test", 5)):
        for picture in sorted((real_data / "camvid" / part).glob("*.jpg"))[::step]:
            for suffix, ending in (("", ".jpg"), ("annot", ".png")):
                target = folder / f"{part}{suffix}" / f"{picture.stem}{ending}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(
                    real_data / "camvid" / f"{part}{suffix}" / f"{picture.stem}{ending}", target
                )
    vitreous("train", folder, "--classes", STREETS, "--weights", weights(real_data), "--time", TIME,
             "--out", run, "--quiet")  # fmt: skip
    source = recognise(folder, classes=STREETS)
    kept = json.loads((run / "evaluation.json").read_text())
    truths, answers = [], []
    for sample in source.samples:
        if sample.split == "test":
            truths.append(source.read_mask(sample))
            path = (run / "masks" / sample.path).with_suffix(".png")
            answers.append(np.asarray(Image.open(path)))
    truth, answer = (torch.tensor(np.stack(each)).long().flatten() for each in (truths, answers))
    valid = truth != IGNORE
    flat = [each[valid][None] for each in (answer, truth)]
    options = {"num_classes": len(source.classes), "input_format": "index"}
    iou = mean_iou(*flat, per_class=True, **options)[0]
    dice = dice_score(*flat, average="none", **options)[0]
    assert kept["metrics"]["iou"]["value"] > 0.15
    assert kept["metrics"]["iou"]["value"] == pytest.approx(float(iou.mean()), abs=1e-6)
    for place, row in enumerate(kept["per_class"]):
        assert row["iou"]["value"] == pytest.approx(float(iou[place]), abs=1e-6)
        assert row["dice"]["value"] == pytest.approx(float(dice[place]), abs=1e-6)
