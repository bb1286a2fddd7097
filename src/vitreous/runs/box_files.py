"""A detector's answers as files: CSV, COCO JSON, Pascal VOC XML, counts, and overlays."""

import csv
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, TextIO
from xml.etree import ElementTree

import numpy as np

from vitreous.data.geometry import Size
from vitreous.evaluation.box_matching import BoxAnswers, Confidence, counting

IN_MEMORY = 2**24  # bytes of boxes, before they wait on the disk
COLUMNS = ("sample_id", "class", "confidence", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class PictureAnswer:
    """One picture's boxes, in its own pixels and with calibrated confidences, or why none."""

    sample_id: str
    size: Size  # height, width
    boxes: BoxAnswers
    error: str | None = None

    def sure(self, confidence: Confidence) -> "PictureAnswer":
        """The answer with the boxes of at least that confidence alone."""
        found = self.boxes
        kept = counting(found.classes, found.confidences, confidence)
        boxes = BoxAnswers(found.corners[kept], found.classes[kept], found.confidences[kept])
        return replace(self, boxes=boxes)

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """One object, as `predict --format json` prints it."""
        if self.error is not None:
            return {"sample_id": self.sample_id, "error": self.error}
        counts = dict(zip(classes, self.counts(len(classes)), strict=True))
        boxes = [
            {
                "class": classes[place],
                "confidence": round(float(confidence), 6),
                **{
                    side: round(float(at), 2)
                    for side, at in zip(("left", "top", "right", "bottom"), corners, strict=True)
                },
            }
            for corners, place, confidence in zip(
                self.boxes.corners, self.boxes.classes, self.boxes.confidences, strict=True
            )
        ]
        return {"sample_id": self.sample_id, "counts": counts, "boxes": boxes}

    def counts(self, classes: int) -> list[int]:
        """How many boxes each class has."""
        return np.bincount(self.boxes.classes, minlength=classes).tolist()


def box_rows(answer: PictureAnswer, classes: Sequence[str]) -> list[list[str]]:
    """The rows of one picture, by the columns of `COLUMNS`, the surest box first."""
    boxes = answer.boxes
    return [
        [answer.sample_id, str(classes[place]), f"{confidence:.6f}", *(f"{c:.2f}" for c in corners)]
        for corners, place, confidence in zip(
            boxes.corners, boxes.classes, boxes.confidences, strict=True
        )
    ]


def boxes_csv(answers: Iterable[PictureAnswer], classes: Sequence[str]) -> str:
    """A row a box; coordinates are pixels of the upright picture, from its top-left corner."""
    return _table(COLUMNS, (row for answer in answers for row in box_rows(answer, classes)))


def counts_csv(
    answers: Iterable[PictureAnswer],
    classes: Sequence[str],
    confidence: Confidence,
    truth: Mapping[str, Sequence[int]] | None = None,
) -> str:
    """A row a picture: how many boxes of each class have at least that confidence.

    With `truth` (sample_id -> true boxes a class) those stand beside it.
    """
    header = ["sample_id", *classes, *(f"true_{name}" for name in classes if truth is not None)]
    rows = []
    for answer in answers:
        if answer.error is not None:
            continue
        found = answer.sure(confidence).counts(len(classes))
        true = [] if truth is None else truth[answer.sample_id]
        rows.append([answer.sample_id, *map(str, found), *map(str, true)])
    return _table(header, rows)


def coco_json(answers: Iterable[PictureAnswer], classes: Sequence[str]) -> str:
    """COCO's own form of boxes, as `write_coco` writes it."""
    text = io.StringIO()
    write_coco(answers, classes, text)
    return text.getvalue()


def write_coco(answers: Iterable[PictureAnswer], classes: Sequence[str], file: TextIO) -> None:
    """COCO's own form, with images and categories; `score` is the confidence.

    `bbox` is left, top, width, height. The numbers of pictures and classes are counted from 1.
    Pictures are written as they come; the boxes wait on the disk where they are many.
    """
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(classes)]
    file.write(f'{{"categories": {json.dumps(categories, ensure_ascii=False)},\n"images": [')
    with SpooledTemporaryFile(IN_MEMORY, mode="w+", encoding="utf-8") as boxes:
        pictures = number = 0
        for answer in answers:
            if answer.error is not None:
                continue
            height, width = answer.size
            image = {"id": pictures + 1, "file_name": answer.sample_id, "height": height,
                     "width": width}  # fmt: skip
            file.write((",\n" if pictures else "\n") + json.dumps(image, ensure_ascii=False))
            pictures += 1
            for box in _coco_boxes(answer):
                whole = {"id": number + 1, "image_id": pictures, **box}
                boxes.write((",\n" if number else "\n") + json.dumps(whole))
                number += 1
        file.write('],\n"annotations": [')
        boxes.seek(0)
        shutil.copyfileobj(boxes, file)
    file.write("]}\n")


def _coco_boxes(answer: PictureAnswer) -> Iterator[dict[str, Any]]:
    found = answer.boxes
    for corners, place, confidence in zip(
        found.corners, found.classes, found.confidences, strict=True
    ):
        left, top, right, bottom = (round(float(corner), 2) for corner in corners)
        width, height = round(right - left, 2), round(bottom - top, 2)
        yield {
            "category_id": int(place) + 1,
            "bbox": [left, top, width, height],
            "area": round(width * height, 2),
            "iscrowd": 0,
            "score": round(float(confidence), 6),
        }


def voc_xml(answer: PictureAnswer, classes: Sequence[str], channels: int = 3) -> str:
    """One picture's boxes as Pascal VOC writes them: whole pixels counted from 1, the last inside.

    Each object has a `confidence` besides.
    """
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = Path(answer.sample_id).name
    size = ElementTree.SubElement(root, "size")
    height, width = answer.size
    for name, value in (("width", width), ("height", height), ("depth", channels)):
        ElementTree.SubElement(size, name).text = str(value)
    boxes = answer.boxes
    for corners, place, confidence in zip(
        boxes.corners, boxes.classes, boxes.confidences, strict=True
    ):
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = str(classes[place])
        ElementTree.SubElement(thing, "confidence").text = f"{confidence:.6f}"
        box = ElementTree.SubElement(thing, "bndbox")
        left, top, right, bottom = (round(float(corner)) for corner in corners)
        inside = {
            "xmin": left + 1,
            "ymin": top + 1,
            "xmax": max(right, left + 1),
            "ymax": max(bottom, top + 1),
        }
        for name, value in inside.items():
            ElementTree.SubElement(box, name).text = str(value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
