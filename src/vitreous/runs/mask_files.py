"""Masks on the disk: index PNG, the table of pixels, COCO's run lengths, and the size of pixels."""

import csv
import io
import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitreous.data.masks.shapes import encode_letters, encode_runs
from vitreous.data.samples import Sample
from vitreous.data.sheet import class_colours
from vitreous.data.windows import WHOLE_PIXELS
from vitreous.errors import RequestError
from vitreous.evaluation.mask_comparison import MaskComparison
from vitreous.files import atomic_path, write_text
from vitreous.tasks import Task

BACKGROUND = "background"
SIZE = re.compile(r"\s*([0-9.]+(?:e-?\d+)?)\s*([^\W\d_]+)\s*")


@dataclass(frozen=True)
class PixelSize:
    """The side of a square pixel, in a unit of length: what makes pixels an area."""

    side: float
    unit: str

    @staticmethod
    def parse(text: str | None) -> "PixelSize | None":
        """The size in a text such as "0.65um". Raises `RequestError` where it is none.

        >>> PixelSize.parse("0.65 um"), PixelSize.parse(None)
        (PixelSize(side=0.65, unit='um'), None)
        """
        if text is None:
            return None
        found = SIZE.fullmatch(text)
        try:
            side = float(found[1]) if found else 0.0
        except ValueError:
            side = 0.0
        if not found or side <= 0:
            said = "write the side of a pixel with its unit, as 0.65um or 2mm"
            raise RequestError(f"--pixel-size {text!r}: {said}")
        return PixelSize(side, found[2])

    @property
    def area_unit(self) -> str:
        """The unit of areas."""
        return f"{self.unit}\N{SUPERSCRIPT TWO}"


def mask_path(folder: Path, sample_id: str) -> Path:
    """Where a sample's answered mask lies: its own path with .png, a container's index in it."""
    stem, _ = posixpath.splitext(sample_id)
    safe = sample_id if "#" in sample_id else stem
    return folder / f"{safe.replace('#', '-')}.png"


def write_mask(path: Path, mask: np.ndarray, task: Task) -> None:
    """An index PNG whose palette has the classes' colours."""
    image = Image.fromarray(mask)
    image.putpalette([part for colour in class_colours(task.outputs) for part in colour])
    with atomic_path(path) as partial:
        image.save(partial, "PNG")


def write_areas(
    path: Path,
    samples: Sequence[Sample],
    classes: Sequence[str],
    comparisons: Sequence[MaskComparison],
) -> None:
    """predictions.csv: a row a sample and class, in their orders; ignored pixels are in none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sample_id", "class", "true_pixels", "pixels", "share", "iou", "dice"])
    for sample, comparison in zip(samples, comparisons, strict=True):
        confusion = comparison.confusion
        true, answered, hits = confusion.sum(1), confusion.sum(0), np.diag(confusion)
        total = max(1, int(confusion.sum()))
        for place, name in enumerate(classes):
            both = int(true[place] + answered[place])
            iou = f"{hits[place] / (both - hits[place]):.6f}" if both else ""
            dice = f"{2 * hits[place] / both:.6f}" if both else ""
            share = f"{answered[place] / total:.6f}"
            writer.writerow(
                [sample.sample_id, name, int(true[place]), int(answered[place]), share, iou, dice]
            )
    write_text(path, text.getvalue())


class CocoFile:
    """COCO's JSON of regions, an annotation a class and picture, written as they come.

    The background is no region. Pictures above 16 million pixels are left out: their run lengths
    would be longer than their masks.
    """

    def __init__(self, path: Path, classes: list[str]) -> None:
        self.path, self.classes = path, classes
        self.images: list[dict[str, Any]] = []
        self.annotations = 0

    def __enter__(self) -> "CocoFile":
        """Open the file that the regions go to."""
        self._partial = self.path.with_suffix(".partial")
        self._file = self._partial.open("w", encoding="utf-8")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Put the file together, unless something went wrong."""
        self._file.close()
        if kind is None:
            categories = [
                {"id": place, "name": name} for place, name in enumerate(self.classes, start=1)
                if name != BACKGROUND
            ]  # fmt: skip
            with atomic_path(self.path) as whole, whole.open("w", encoding="utf-8") as file:
                file.write('{"images": ' + json.dumps(self.images, ensure_ascii=False))
                file.write(',\n"categories": ' + json.dumps(categories, ensure_ascii=False))
                file.write(',\n"annotations": [')
                with self._partial.open(encoding="utf-8") as parts:
                    for line in parts:
                        file.write(line)
                file.write("]}\n")
        self._partial.unlink(missing_ok=True)

    def add(self, sample_id: str, mask: np.ndarray) -> None:
        """The regions of one picture."""
        if mask.size > WHOLE_PIXELS:
            return
        height, width = mask.shape
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": sample_id, "height": height, "width": width})
        for place, name in enumerate(self.classes, start=1):
            region = mask == place - 1
            if name == BACKGROUND or not region.any():
                continue
            self.annotations += 1
            annotation = {
                "id": self.annotations,
                "image_id": number,
                "category_id": place,
                "iscrowd": 0,
                "area": int(region.sum()),
                "bbox": _box(region),
                "segmentation": {
                    "size": [height, width],
                    "counts": encode_letters(encode_runs(region)),
                },
            }
            before = ",\n" if self.annotations > 1 else "\n"
            self._file.write(before + json.dumps(annotation))


def _box(region: np.ndarray) -> list[int]:
    """Left, top, width and height of a region that is not empty."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
