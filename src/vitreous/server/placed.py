"""Answers that say what is where, as the browser gets them: areas of classes, or boxes."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from vitreous.data.listing import printable
from vitreous.data.sheet import class_colours, covered
from vitreous.data.volumes.sheet import covered as covered_scan
from vitreous.errors import RequestError
from vitreous.evaluation.box_calibration import BoxCalibration
from vitreous.evaluation.box_matching import BoxAnswers, counting
from vitreous.insight.attribution import CellOf, PixelOf
from vitreous.insight.colours import png_bytes
from vitreous.report.boxes_drawn import answers_on_picture
from vitreous.runs.run import Run
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.tasks.detect import Detect

TASKS = ("segment", "detect")


@dataclass(frozen=True)
class Placed:
    """One of a picture's answers, and where it is."""

    place: PixelOf | CellOf
    words: str
    mark: tuple[float, float, float, float]  # left, top, right, bottom in the picture as shown
    target: int | None = None  # of a box: its class
    slice: int | None = None  # of a voxel: where it is marked


def is_placed(run: Run) -> bool:
    """Whether the run's answers say what is where."""
    return run.record.task in TASKS


def placed_answer(explorer: Explorer, sample_id: str) -> schemas.Answer:
    """What the one plain pass that is shown answers for a picture: areas or boxes."""
    areas, boxes = [], []
    if explorer.run.record.task == "segment":
        areas = _areas(explorer, sample_id)
        present = [area.name for area in areas if area.share > 0]
        said = ", ".join(present)
    else:
        boxes = _boxes(explorer, sample_id)
        names = [box.name for box in boxes]
        said = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    return schemas.Answer(
        sample=explorer.samples.row(sample_id),
        predicted=said or "no boxes",
        probabilities=[],
        value=None,
        low=None,
        high=None,
        temperature=explorer.run.temperature,
        views=1,
        number_format="float32",
        plain_gap=0.0,
        areas=areas,
        boxes=boxes,
    )


def answer_picture(explorer: Explorer, sample_id: str, plane: int | None = None) -> bytes:
    """The picture as the network gets it under what it answers, as PNG; of a scan one slice."""
    if explorer.run.of_scans:
        return _answered_slice(explorer, sample_id, plane)
    pixels = np.ascontiguousarray(explorer.samples.seen(sample_id).transpose(1, 2, 0))
    classes = explorer.run.record.classes
    if explorer.run.record.task == "segment":
        shown = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
        mask, _ = _mask(explorer, sample_id)
        drawn = covered(Image.fromarray(shown), mask, class_colours(len(classes)))
    elif explorer.run.record.task == "detect":
        found = _found(explorer, sample_id)[0]
        drawn = answers_on_picture(pixels, found, [printable(name) for name in classes])
    else:
        raise RequestError("this run gives one answer a picture: there is nothing to draw on it")
    return png_bytes(np.asarray(drawn))


def _answered_slice(explorer: Explorer, sample_id: str, plane: int | None) -> bytes:
    """A slice under the structures that were found in it; what is class 0 is left free."""
    grey = explorer.samples.plane(sample_id, plane)[0]
    mask, _ = _mask(explorer, sample_id)
    own = mask[len(mask) // 2 if plane is None else plane]
    shown = covered_scan(np.repeat(grey[..., None], 3, 2), own, len(explorer.run.record.classes))
    return png_bytes(shown)


def placed_at(explorer: Explorer, sample_id: str, text: str) -> Placed:
    """The place that was asked for: "x,y" in the picture as shown, "x,y,z" in the piece of a scan,
    or a box's number from 1.

    Without one the picture's middle, or the surest box. Raises `RequestError` for what is not
    there.
    """
    parts = [part for part in text.split(",") if part]
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise RequestError(f"place: '{text}' is no whole numbers") from None
    if explorer.run.of_scans:
        return _voxel(explorer, numbers)
    if explorer.run.record.task == "segment":
        return _pixel(explorer, numbers)
    return _box(explorer, sample_id, numbers)


def _voxel(explorer: Explorer, numbers: list[int]) -> Placed:
    depth, height, width = explorer.input_shape[1:]
    x, y, z = numbers if len(numbers) == 3 else (width // 2, height // 2, depth // 2)
    inside = 0 <= x < width and 0 <= y < height and 0 <= z < depth
    if numbers and (len(numbers) != 3 or not inside):
        raise RequestError(f"place: name a voxel x,y,z of {width} x {height} x {depth}, from 0,0,0")
    words = f"voxel {x}, {y}, {z}"
    return Placed(PixelOf((z, y, x)), words, (x, y, x + 1, y + 1), slice=z)


def _pixel(explorer: Explorer, numbers: list[int]) -> Placed:
    height, width = explorer.run.seen_size
    x, y = numbers if len(numbers) == 2 else (width // 2, height // 2)
    if numbers and (len(numbers) != 2 or not (0 <= x < width and 0 <= y < height)):
        raise RequestError(f"place: name a pixel x,y of {width} x {height}, from 0,0")
    return Placed(PixelOf((y, x)), f"pixel {x}, {y}", (x, y, x + 1, y + 1))


def _box(explorer: Explorer, sample_id: str, numbers: list[int]) -> Placed:
    found, cells = _found(explorer, sample_id)
    number = numbers[0] if numbers else 1
    if not len(found):
        raise RequestError("the answer has no box here that could be explained")
    if len(numbers) > 1 or not 1 <= number <= len(found):
        raise RequestError(f"place: name one box, from 1 to {len(found)}")
    at, task = number - 1, explorer.run.task
    name = printable(explorer.run.record.classes[int(found.classes[at])])
    return Placed(
        CellOf(int(cells[at]), task.outputs),
        f"box {number}, {name}",
        tuple(float(side) for side in found.corners[at]),  # type: ignore[arg-type]
        int(found.classes[at]),
    )


def _outputs(explorer: Explorer, sample_id: str) -> torch.Tensor:
    """The plain pass's answer, a batch of one."""
    return torch.from_numpy(explorer.trace(sample_id).array(explorer.graph.outputs[0]))[None]


def _mask(explorer: Explorer, sample_id: str) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each pixel, uint8, and its calibrated probability."""
    run = explorer.run
    sure, mask = run.task.answers(_outputs(explorer, sample_id), run.temperature)[0].max(dim=0)
    return mask.to(torch.uint8).numpy(), sure.double().numpy()


def _areas(explorer: Explorer, sample_id: str) -> list[schemas.Area]:
    """All classes, the largest first; those of one size in their order."""
    mask, sure = _mask(explorer, sample_id)
    names = explorer.run.record.classes
    counts = np.bincount(mask.ravel(), minlength=len(names))
    sums = np.bincount(mask.ravel(), sure.ravel(), len(names))
    colours = class_colours(len(names))
    return [
        schemas.Area(
            name=printable(names[place]),
            number=int(place),
            colour="#{:02x}{:02x}{:02x}".format(*colours[place]),
            share=float(counts[place] / mask.size),
            confidence=float(sums[place] / counts[place]) if counts[place] else None,
        )
        for place in np.argsort(-counts, kind="stable")
    ]


def _boxes(explorer: Explorer, sample_id: str) -> list[schemas.FoundBox]:
    found, cells = _found(explorer, sample_id)
    names = explorer.run.record.classes
    return [
        schemas.FoundBox(
            name=printable(names[int(place)]),
            confidence=float(confidence),
            corners=[float(side) for side in corners],
            layer=explorer.graph.outputs[0],
            cell=[int(cell), int(place)],
        )
        for corners, place, confidence, cell in zip(
            found.corners, found.classes, found.confidences, cells, strict=True
        )
    ]


def _found(explorer: Explorer, sample_id: str) -> tuple[BoxAnswers, np.ndarray]:
    """The boxes that count, in the picture as shown, and the head's cell of each."""
    task, calibration = explorer.run.task, BoxCalibration.from_json(explorer.run.record.calibration)
    assert isinstance(task, Detect)
    (found,) = task.answers(_outputs(explorer, sample_id))
    confidences = calibration.calibrated(found.scores)
    sure = counting(found.classes, confidences, calibration.confidence)
    assert found.cells is not None
    answers = BoxAnswers(found.corners[sure], found.classes[sure], confidences[sure])
    return answers, found.cells[sure]
