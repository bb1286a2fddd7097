"""Segmentation end to end: drawn shapes, trained, scored, predicted and looked at again."""

import csv
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from vitreous.data.augmentation import Augmentation
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict
from vitreous.runs.predict_masks import (
    PixelSize,
    pixels_of_classes,
    write_folder,
    write_table,
)
from vitreous.runs.run import Run
from vitreous.runs.train import train
from vitreous.training import loop, masks
from vitreous.training.recipe import Recipe

SIZE = 64
CLASSES = "ground,disc,bar"


def shape_picture(random, size=(SIZE, SIZE)):
    """Noise with light discs and a bar of the same light; the mask has 255 at the frame."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    y, x = np.mgrid[:height, :width]
    for _ in range(2):
        centre = random.uniform(10, height - 10), random.uniform(10, width - 10)
        mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < random.uniform(5, 9) ** 2] = 1
    top, left = random.integers(0, height - 12), random.integers(0, width - 24)
    mask[top : top + 6, left : left + 22] = 2
    light = np.array([110, 180, 180])[mask] + random.normal(0, 15, size)
    pixels = np.clip(light, 0, 255).astype(np.uint8)
    mask[:2] = 255
    return pixels, mask


def write_shapes(folder: Path, count=30, seed=0, size=(SIZE, SIZE)) -> Path:
    random = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        pixels, mask = shape_picture(random, size)
        Image.fromarray(pixels).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def mask_run(shape_run, tmp_path_factory):
    """A copy of the run that all tests share: here later data are scored into its folder."""
    out = tmp_path_factory.mktemp("runs") / "shapes"
    return Run.load(shutil.copytree(shape_run.folder, out))


@pytest.fixture(scope="module")
def shapes(shape_run) -> Path:
    return Path(shape_run.record.data.given)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_learns_shapes_and_says_how_well(mask_run):
    evaluation = mask_run.evaluation
    assert evaluation["task"] == "segment"
    assert evaluation["metrics"]["iou"]["value"] > 0.6
    assert evaluation["metrics"]["hausdorff95"]["unit"] == "pixels"
    (baseline,) = evaluation["baselines"].values()
    assert 0 < baseline["iou"]["value"] < 1
    assert "hausdorff95" not in baseline
    assert mask_run.record.network["name"] == "unet"
    assert mask_run.record.classes == ["ground", "disc", "bar"]
    history = rows_of(mask_run.folder / "history.csv")
    assert float(history[-1]["val_iou"]) > float(history[0]["val_iou"])
    counts = mask_run.record.data.counts
    assert counts["train"]["disc"] == 21
    assert mask_run.record.calibration["temperature"] > 0


def test_predictions_and_masks_are_those_that_were_scored(mask_run, shapes):
    rows = rows_of(mask_run.folder / "predictions.csv")
    split = rows_of(mask_run.folder / "split.csv")
    tested = {row["sample_id"] for row in split if row["split"] == "test"}
    assert {row["sample_id"] for row in rows} == tested
    hits = np.zeros((3, 2))
    for name in tested:
        answer = np.asarray(Image.open(mask_run.folder / "masks" / name))
        truth = np.asarray(Image.open(shapes / "masks" / Path(name).name))
        for place in range(3):
            both = ((answer == place) & (truth == place)).sum()
            hits[place] += both, ((answer == place) | (truth == place))[truth != 255].sum()
    expected = (hits[:, 0] / hits[:, 1]).mean()
    assert mask_run.evaluation["metrics"]["iou"]["value"] == pytest.approx(expected)


def test_the_report_shows_the_best_and_the_worst(mask_run):
    page = (mask_run.folder / "report.html").read_text()
    assert "Numbers are test pixels." in page
    assert "Worst answers" in page
    assert "Best answers" in page
    assert "mean IoU" in page
    payload = json.loads((mask_run.folder / "report.json").read_text())
    assert {one["kind"] for one in payload["drawn"]} == {"worst", "best"}
    assert payload["drawn"][0]["answer"].startswith("data:image/")


def test_a_loaded_run_answers_as_the_trained_one(mask_run, shapes):
    again = Run.load(mask_run.folder)
    rows = rows_of(mask_run.folder / "predictions.csv")
    name = rows[0]["sample_id"]
    (found,) = predict(again, shapes / name)
    kept = np.asarray(Image.open(mask_run.folder / "masks" / name))
    assert (found.mask == kept).mean() > 0.999  # ties of rounding alone
    assert sum(area.pixels for area in found.areas) == SIZE * SIZE
    assert all(area.confidence is None or 1 / 3 <= area.confidence <= 1 for area in found.areas)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_masks_overlays_run_lengths_and_areas_are_written(mask_run, shapes, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    names = [shapes / "images" / "00.png", shapes / "images" / "01.png", bad]
    out = tmp_path / "answers"
    size = PixelSize.parse("0.5um")
    count, errors = write_folder(predict(mask_run, names), mask_run, out, size)
    assert (count, errors) == (3, 1)
    rows = rows_of(out / "areas.csv")
    assert rows[-1]["error"].endswith("not a picture: text")
    mask = np.asarray(Image.open(out / "masks" / "01.png"))
    of_disc = next(r for r in rows if r["sample_id"].endswith("01.png") and r["class"] == "disc")
    assert int(of_disc["pixels"]) == (mask == 1).sum()
    assert float(of_disc["area"]) == pytest.approx(0.25 * (mask == 1).sum())
    assert of_disc["unit"] == "um²"
    with Image.open(out / "overlays" / "01.png") as overlay:
        assert overlay.size == (SIZE, SIZE)
    coco = json.loads((out / "masks.coco.json").read_text())
    assert [each["file_name"] for each in coco["images"]] == [str(name) for name in names[:2]]
    for one in coco["annotations"]:
        image = np.asarray(Image.open(out / "masks" / f"0{one['image_id'] - 1}.png"))
        assert (coco_mask.decode(one["segmentation"]) == (image == one["category_id"] - 1)).all()
        assert one["area"] == int(coco_mask.area(one["segmentation"]))
        assert one["bbox"] == coco_mask.toBbox(one["segmentation"]).tolist()
    with pytest.raises(RequestError, match="is there already"):
        write_folder(predict(mask_run, names), mask_run, out)


def test_the_table_goes_to_text_and_json(mask_run, shapes, tmp_path):
    for file_format in ("csv", "json"):
        path = tmp_path / f"table.{file_format}"
        with path.open("w", newline="") as file:
            write_table(predict(mask_run, shapes / "images" / "00.png"), file, file_format)
    (answer,) = json.loads((tmp_path / "table.json").read_text())
    rows = rows_of(tmp_path / "table.csv")
    assert [int(row["pixels"]) for row in rows] == [
        one["pixels"] for one in answer["classes"].values()
    ]


def test_later_data_of_other_sizes_are_scored(mask_run, tmp_path):
    later = write_shapes(tmp_path / "later", 4, seed=9, size=(90, 51))
    found = evaluate(mask_run, later, quiet=True)
    assert found["n"] == 4
    assert found["metrics"]["iou"]["value"] > 0.5
    assert (mask_run.folder / "evaluation-later.json").is_file()
    assert len(list((mask_run.folder / "masks-later").rglob("*.png"))) == 4
    source = recognise(later, classes=CLASSES, for_training=False)
    read, turned = source.read_mask, np.array([2, 0, 1, *[255] * 253], np.uint8)
    other_order = replace(source, classes=("disc", "bar", "ground"),
                          read_mask=lambda sample: turned[read(sample)])  # fmt: skip
    again = evaluate(mask_run, other_order, name="turned", quiet=True)
    assert again["metrics"]["iou"] == found["metrics"]["iou"]
    with pytest.raises(DataError, match="class rod is unknown to"):
        evaluate(mask_run, replace(source, classes=("ground", "disc", "rod")), quiet=True)


def test_a_broken_training_goes_on_to_the_same_weights(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "STEPS_AN_EPOCH", 3)
    settings = {"classes": CLASSES, "epochs": 2, "precision": "float32", "compile": "no",
                "network": "unet:resnet", "quiet": True}  # fmt: skip
    whole = train(shapes, out=tmp_path / "whole", **settings)
    step = loop.train_step
    done = []

    def stopping(*arguments):
        if len(done) == 8:
            raise KeyboardInterrupt
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(shapes, out=tmp_path / "broken", **settings)
    monkeypatch.setattr(loop, "train_step", step)
    resumed = train(resume=tmp_path / "broken", quiet=True)
    assert (resumed.folder / "predictions.csv").read_text() == (
        whole.folder / "predictions.csv"
    ).read_text()
    assert whole.record.network["name"] == "unet:resnet"


@pytest.mark.parametrize(("settings", "message"), [
    ({"network": "resnet"}, r"masks need one a pixel; use unet, or unet:resnet"),
    ({"balance": "sampling"}, r"pictures with masks show several: use loss or none"),
    ({"classes": "ground"}, r"--classes 'ground': no such file"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(shapes, tmp_path, settings, message):
    wanted = {"classes": CLASSES, "epochs": 1, "quiet": True} | settings
    with pytest.raises(RequestError, match=message):
        train(shapes, out=tmp_path / "run", **wanted)


def test_a_network_for_masks_is_not_for_classes(digits, tmp_path):
    with pytest.raises(RequestError, match="it is for pictures with masks"):
        train(digits, network="unet", epochs=1, out=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("text", ["0.5", "um", "-1um", "0um", "a b"])
def test_pixel_sizes_need_a_number_and_a_unit(text):
    with pytest.raises(RequestError, match="write the side of a pixel with its unit"):
        PixelSize.parse(text)


def test_an_old_recipe_without_a_crop_is_read():
    value = Recipe(batch_size=4, learning_rate=0.1, augmentation=Augmentation()).to_json()
    del value["augmentation"]["crop"]
    assert Recipe.from_json(value).augmentation.crop is None


def test_pixels_are_counted_in_less_memory_than_the_mask_has():
    mask = np.random.default_rng(0).integers(0, 5, (1500, 2000), dtype=np.uint8)
    tracemalloc.start()
    counts = pixels_of_classes(mask, 7)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts.tolist() == [int((mask == place).sum()) for place in range(7)]
    assert most < mask.nbytes
