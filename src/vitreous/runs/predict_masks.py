"""Masks for files: index PNG, overlays, COCO run lengths, and a table of pixels and areas."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vitreous.data.letterbox import resized
from vitreous.data.listing import list_pictures, printable
from vitreous.data.masks.store import scaled
from vitreous.data.samples import Skipped
from vitreous.data.sheet import class_colours, covered
from vitreous.data.transforms import Scaling
from vitreous.data.windows import Shrunk, WholePicture, Windows, open_windows
from vitreous.errors import RequestError, VitreousError
from vitreous.files import atomic_path, write_text
from vitreous.inference import Compute
from vitreous.inference.dense import logit_slabs
from vitreous.runs.mask_files import CocoFile, PixelSize, write_mask
from vitreous.runs.run import Run
from vitreous.runs.score_masks import in_size, mirrored_in
from vitreous.training.devices import serving_compute

OVERLAY_SIDE = 1600  # pixels of an overlay's longer side, at most
ROWS_AT_ONCE = 64  # whose probabilities are in memory


@dataclass(frozen=True)
class ClassArea:
    """One class on one picture."""

    name: str
    pixels: int
    share: float  # of the picture
    confidence: float | None  # mean calibrated probability of its pixels; None where it has none


@dataclass(frozen=True)
class MaskPrediction:
    """The answer for one file, or why there is none."""

    sample_id: str  # the path as it was given
    areas: tuple[ClassArea, ...] = ()
    mask: np.ndarray | None = None  # uint8 (height, width): the class's place in the run's classes
    overlay: np.ndarray | None = None  # uint8 (height, width, 3), large pictures made smaller
    error: str | None = None

    def to_json(self, pixel_size: PixelSize | None = None) -> dict[str, Any]:
        """One object, as `predict --format json` prints it; the mask is in files."""
        if self.error is not None:
            return {"sample_id": self.sample_id, "error": self.error}
        return {
            "sample_id": self.sample_id,
            "classes": {one.name: area_json(one, pixel_size) for one in self.areas},
        }


def area_json(area: ClassArea, pixel_size: PixelSize | None) -> dict[str, Any]:
    """Pixels, share, mean confidence, and the area where the pixels' size is known."""
    found: dict[str, Any] = {"pixels": area.pixels, "share": area.share,
                             "confidence": area.confidence}  # fmt: skip
    if pixel_size is not None:
        found |= {"area": area.pixels * pixel_size.side**2, "unit": pixel_size.area_unit}
    return found


def predict_masks(
    run: Run,
    names: list[str],
    device: str | None = None,
    stdin: Iterable[str] | None = None,
    max_pixels: int | None = None,
) -> Iterator[MaskPrediction]:
    """Masks for files, folders and globs, in their order, in constant memory.

    A large TIFF is read by windows, whatever its size; what cannot be read is an answer whose
    `error` says why.
    """
    problems: list[Skipped] = []

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    compute = serving_compute(run.record.compute, device)
    network = compute.place(run.network)
    limit = max_pixels or run.record.request["max_pixels"]
    for path in list_pictures(names, report, stdin):
        while problems:
            yield _unlisted(problems.pop(0))
        name = printable(str(path))
        try:
            yield answer_file(run, network, compute, path, name, limit)
        except VitreousError as error:
            yield MaskPrediction(name, error=str(error))
    while problems:
        yield _unlisted(problems.pop(0))


def _unlisted(skipped: Skipped) -> MaskPrediction:
    return MaskPrediction(skipped.path, error=f"{skipped.path}: {skipped.reason}")


def answer_file(
    run: Run, network: nn.Module, compute: Compute, path: Path, name: str, max_pixels: int
) -> MaskPrediction:
    """The mask of one file, in the picture's own size. Raises `DataError` where it is unreadable.

    `network` is the run's, where `compute.place` put it.
    """
    picture = open_windows(path, name, run.pixel_format.channels, max_pixels)
    return answer_picture(run, network, compute, picture, name)


def answer_picture(
    run: Run, network: nn.Module, compute: Compute, picture: Windows, name: str
) -> MaskPrediction:
    """The mask of a picture that is read part by part."""
    scale = run.pixel_format.scale or 1.0
    seen = at_scale(picture, scale)
    classes, scaling = run.record.classes, run.scaling
    assert isinstance(scaling, Scaling)
    mask = np.zeros(seen.size, np.uint8)
    sure = np.zeros(len(classes))
    slabs = logit_slabs(network, seen, scaling, compute, mirrored_axes=mirrored_in(run.views))
    for rows, logits in slabs:
        for first in range(0, logits.shape[1], ROWS_AT_ONCE):
            part = logits[:, first : first + ROWS_AT_ONCE]
            best, answer = sure_answer(part, run.temperature)
            start = rows.start + first
            mask[start : start + part.shape[1]] = answer
            sure += np.bincount(answer.ravel(), best.ravel(), len(classes))[: len(classes)]
    seen_counts = pixels_of_classes(mask, len(classes))
    mask = in_size(mask, picture.size)
    counts = pixels_of_classes(mask, len(classes))
    areas = tuple(
        ClassArea(
            str(class_name),
            int(counts[place]),
            float(counts[place] / mask.size),
            float(sure[place] / seen_counts[place]) if seen_counts[place] else None,
        )
        for place, class_name in enumerate(classes)
    )
    return MaskPrediction(name, areas, mask, overlay_of(picture, mask, len(classes)))


def pixels_of_classes(mask: np.ndarray, classes: int) -> np.ndarray:
    """The pixels of each class, band by band: counting takes eight bytes a pixel meanwhile."""
    bands = (mask[top : top + ROWS_AT_ONCE] for top in range(0, len(mask), ROWS_AT_ONCE))
    return sum(np.bincount(band.ravel(), minlength=classes) for band in bands)  # type: ignore


def sure_answer(logits: Tensor, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated probability of the likeliest class, and that class, of each pixel."""
    best, answer = torch.softmax(logits / temperature, dim=0).max(dim=0)
    return best.numpy(), answer.to(torch.uint8).numpy()


def at_scale(picture: Windows, scale: float) -> Windows:
    """The picture as the network is to see it."""
    if scale == 1.0:
        return picture
    size = scaled(picture.size, scale)
    if isinstance(picture, WholePicture):
        rows = np.ascontiguousarray(picture.pixels.transpose(1, 2, 0))
        return WholePicture(resized(rows, size).transpose(2, 0, 1))
    return Shrunk(picture, size)


def overlay_of(picture: Windows, mask: np.ndarray, classes: int) -> np.ndarray:
    """The picture under its mask's colours, uint8 (height, width, 3); of large ones every k-th
    pixel.
    """
    height, width = picture.size
    step = -(-max(height, width) // OVERLAY_SIDE)
    band = step * max(1, 512 // step)  # rows read at once
    rows = [
        picture.read(top, 0, min(top + band, height), width)[:, ::step, ::step]
        for top in range(0, height, band)
    ]
    pixels = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(covered(image, mask[::step, ::step], class_colours(classes)))


def write_table(
    predictions: Iterable[MaskPrediction],
    file: TextIO,
    file_format: str = "csv",
    pixel_size: PixelSize | None = None,
) -> tuple[int, int]:
    """A row a picture and class, as they come; how many pictures, and how many with an error."""
    write = _write_csv if file_format == "csv" else _write_json
    return write(predictions, file, pixel_size)


def _write_csv(
    predictions: Iterable[MaskPrediction], file: TextIO, pixel_size: PixelSize | None
) -> tuple[int, int]:
    writer = csv.writer(file, lineterminator="\n")
    sized = ["area", "unit"] if pixel_size else []
    writer.writerow(["sample_id", "class", "pixels", "share", "confidence", *sized, "error"])
    count = errors = 0
    for item in predictions:
        count, errors = count + 1, errors + (item.error is not None)
        if item.error is not None:
            writer.writerow([item.sample_id, "", "", "", "", *([""] * len(sized)), item.error])
        for one in item.areas:
            sure = "" if one.confidence is None else f"{one.confidence:.6f}"
            size = [] if pixel_size is None else [
                f"{one.pixels * pixel_size.side**2:.9g}", pixel_size.area_unit]  # fmt: skip
            writer.writerow(
                [item.sample_id, one.name, one.pixels, f"{one.share:.6f}", sure, *size, ""]
            )
    return count, errors


def _write_json(
    predictions: Iterable[MaskPrediction], file: TextIO, pixel_size: PixelSize | None
) -> tuple[int, int]:
    count = errors = 0
    file.write("[")
    for item in predictions:
        line = json.dumps(item.to_json(pixel_size), ensure_ascii=False)
        file.write((",\n " if count else "\n ") + line)
        count, errors = count + 1, errors + (item.error is not None)
    file.write("\n]\n")
    return count, errors


def write_folder(
    predictions: Iterable[MaskPrediction],
    run: Run,
    folder: Path,
    pixel_size: PixelSize | None = None,
) -> tuple[int, int]:
    """areas.csv, masks/, overlays/ and masks.coco.json in a folder; pictures and errors counted.

    Files are named after the pictures; the same name twice gets a number. Raises `RequestError`
    where the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"--out {folder}: is there already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    taken: set[str] = set()
    with CocoFile(folder / "masks.coco.json", list(run.record.classes)) as coco:

        def written() -> Iterator[MaskPrediction]:
            for item in predictions:
                if item.mask is not None:
                    name = _own_name(item.sample_id, taken)
                    write_mask(folder / "masks" / f"{name}.png", item.mask, run.task)
                    with atomic_path(folder / "overlays" / f"{name}.png") as partial:
                        assert item.overlay is not None
                        Image.fromarray(item.overlay).save(partial, "PNG")
                    coco.add(item.sample_id, item.mask)
                yield item

        found = write_table(written(), table, "csv", pixel_size)
    write_text(folder / "areas.csv", table.getvalue())
    return found


def _own_name(sample_id: str, taken: set[str]) -> str:
    stem = Path(sample_id).stem or "picture"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
