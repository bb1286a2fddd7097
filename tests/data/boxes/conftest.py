"""Small data sets of boxes, written by the tests themselves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

PHOTOGRAPH = Image.fromarray(load_sample_image("china.jpg"))
SIZE = (60, 80)  # height, width


def picture(path: Path, number: int = 0, size=SIZE) -> Path:
    """A part of a photograph, another one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left, top = 37 * number % 400, 53 * number % 300
    PHOTOGRAPH.crop((left, top, left + size[1], top + size[0])).save(path)
    return path


@pytest.fixture
def photograph() -> Callable[..., Path]:
    """`photograph(path, number)` writes a picture."""
    return picture


@pytest.fixture
def voc(tmp_path) -> Callable[..., Path]:
    """`voc({"a": [("cat", 1, 2, 30, 40)], "b": None})`: a folder in VOC's layout; None: no file."""

    def write(labels: dict, split: dict | None = None, size=SIZE, suffix=".png") -> Path:
        for number, (name, boxes) in enumerate(labels.items()):
            picture(tmp_path / "JPEGImages" / f"{name}{suffix}", number)
            if boxes is not None:
                path = tmp_path / "Annotations" / f"{name}.xml"
                path.parent.mkdir(exist_ok=True)
                path.write_text(xml(boxes, size))
        for part, names in (split or {}).items():
            path = tmp_path / "ImageSets" / "Main" / f"{part}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(names) + "\n")
        return tmp_path

    return write


def xml(boxes, size=SIZE) -> str:
    """VOC's XML with (class, xmin, ymin, xmax, ymax[, difficult]) boxes."""
    objects = "".join(
        f"<object><name>{name}</name><difficult>{rest[0] if rest else 0}</difficult><bndbox>"
        f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        "</bndbox></object>"
        for name, left, top, right, bottom, *rest in boxes
    )
    return (
        f"<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>"
        f"{objects}</annotation>"
    )


@pytest.fixture
def voc_xml() -> Callable[..., str]:
    """`voc_xml([("cat", 1, 2, 30, 40)])`: the text of a VOC file."""
    return xml


@pytest.fixture
def coco(tmp_path) -> Callable[..., Path]:
    """`coco({"a.png": [annotation, ...]})`: pictures and a COCO file; annotations as COCO's."""

    def write(
        labels: dict,
        categories=((1, "cat"), (2, "dog")),
        file="annotations.json",
        folder="images",
        size=SIZE,
        first=0,
        **more,
    ) -> Path:
        images, annotations = [], []
        for number, (name, entries) in enumerate(labels.items()):
            picture(tmp_path / folder / name, first + number)
            images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            annotations += [
                {"id": 100 * number + place, "image_id": number, "iscrowd": 0, **entry}
                for place, entry in enumerate(entries)
            ]
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        value = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for number, name in categories],
        }
        path.write_text(json.dumps({**value, **more}))
        return tmp_path

    return write


@pytest.fixture
def yolo(tmp_path) -> Callable[..., Path]:
    """`yolo({"train/a": "0 .5 .5 .2 .2"})`: images/, labels/ and data.yaml; None: no text file."""

    def write(labels: dict, yaml: str | None = "names: [cat, dog]\n") -> Path:
        for number, (name, lines) in enumerate(labels.items()):
            picture(tmp_path / "images" / f"{name}.jpg", number)
            if lines is not None:
                path = tmp_path / "labels" / f"{name}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(lines)
        if yaml is not None:
            (tmp_path / "data.yaml").write_text(yaml)
        return tmp_path

    return write
