"""`predict` of a detector: boxes in each picture's own pixels, and the files that a lab wants."""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from vitreous.data.geometry import Size
from vitreous.data.letterbox import letterbox, match_channels
from vitreous.data.listing import list_pictures, printable
from vitreous.data.pictures import read_picture
from vitreous.data.samples import Picture, Skipped
from vitreous.errors import RequestError, VitreousError, unknown_name
from vitreous.evaluation.box_calibration import BoxCalibration
from vitreous.evaluation.box_matching import BoxAnswers, Confidence
from vitreous.files import atomic_path, write_bytes, write_text
from vitreous.inference.boxes import found_boxes, in_picture
from vitreous.report.boxes_drawn import answers_on_picture
from vitreous.runs.box_files import COLUMNS, PictureAnswer, box_rows, voc_xml, write_coco
from vitreous.runs.run import Run
from vitreous.tasks.detect import Detect
from vitreous.training.devices import serving_compute

PICTURES_AT_ONCE = 8
DECODERS = 2
FORMATS = ("csv", "json", "coco")
NOTHING = BoxAnswers(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))

Seen = Callable[[PictureAnswer, Picture], None]
"""What is told of each answered picture, while its pixels are there."""


def predict_boxes(
    run: Run,
    names: Sequence[str],
    *,
    device: str | None = None,
    stdin: Iterable[str] | None = None,
    max_pixels: int | None = None,
    confidence: float | None = None,
    seen: Seen | None = None,
) -> Iterator[PictureAnswer]:
    """The boxes that count for files, folders and globs: from `confidence` on, by default from the
    run's own, which validation chose for each class.

    In their order; what cannot be read is an answer with an `error`. With `seen` pictures are
    decoded in full size. Nothing is collected. Raises `RequestError` for a confidence beyond 0 to
    1, and for a run that is no detector.
    """
    problems: deque[Skipped] = deque()

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    task, calibration = task_of_run(run), BoxCalibration.from_json(run.record.calibration)
    least = counting_from(run, confidence)
    compute = serving_compute(run.record.compute, device)
    network = compute.place(run.network)
    limit = max_pixels or run.record.request["max_pixels"]
    paths = list_pictures(list(names), report, stdin)
    pictures = _decoded(paths, run, limit, whole=seen is not None)
    while group := tuple(islice(pictures, PICTURES_AT_ONCE)):
        while problems:
            yield _unlisted(problems.popleft())
        good = [looked.boxed for _, looked in group if isinstance(looked, _Looked)]
        batches = [torch.from_numpy(np.stack(good))] if good else []
        found = found_boxes(network, task, batches, run.scaling, compute)
        for name, looked in group:
            if isinstance(looked, VitreousError):
                yield PictureAnswer(name, (0, 0), NOTHING, str(looked))
                continue
            placed = in_picture(next(found), looked.size, task.size)
            answers = BoxAnswers(placed.corners, placed.classes, placed.scores)
            answer = PictureAnswer(name, looked.size, calibration.of_answers(answers))
            answer = answer.sure(least)
            if seen is not None and looked.picture is not None:
                seen(answer, looked.picture)
            yield answer
    while problems:
        yield _unlisted(problems.popleft())


def counting_from(run: Run, confidence: float | None) -> Confidence:
    """The confidence from which on a box counts: as asked for, else as the run's validation chose
    it for each class.

    Raises `RequestError` where it is no share.
    """
    if confidence is None:
        return BoxCalibration.from_json(run.record.calibration).confidence
    if not 0 <= confidence <= 1:
        raise RequestError(f"--confidence {confidence:g}: is a share; give a number from 0 to 1")
    return confidence


def task_of_run(run: Run) -> Detect:
    """The run's task. Raises `RequestError` where it is no detector."""
    if not isinstance(run.task, Detect):
        raise RequestError(f"{run.folder}: is a run of {run.record.task}, which finds no boxes")
    return run.task


def write_boxes(answers: Iterable[PictureAnswer], classes: Sequence[str], file: TextIO,
                file_format: str = "csv") -> tuple[int, int]:  # fmt: skip
    """Answers as they come, as csv (a row a box), json (an object a picture) or coco; how many
    pictures there were, and how many of them are errors.
    """
    if file_format not in FORMATS:
        raise unknown_name("format", file_format, FORMATS)
    counted = _Counted(answers)
    if file_format == "coco":
        write_coco(counted, classes, file)
    elif file_format == "json":
        _write_json(counted, classes, file)
    else:
        _write_csv(counted, classes, file)
    return counted.pictures, counted.errors


def write_box_folder(
    run: Run,
    names: Sequence[str],
    folder: Path,
    device: str | None,
    stdin: Iterable[str] | None,
    confidence: float | None = None,
) -> tuple[int, int]:
    """A folder of all that can be made of the boxes: boxes.csv, boxes.coco.json, counts.csv,
    errors.csv, and for each picture an overlay and an XML of Pascal VOC.

    How many pictures there were, and how many of them are errors.
    """
    classes, used = run.record.classes, set[str]()
    counting_from(run, confidence)  # refused before a folder is made
    folder.mkdir(parents=True, exist_ok=True)

    def seen(answer: PictureAnswer, picture: Picture) -> None:
        stem = _own_stem(answer.sample_id, used)
        pixels = match_channels(picture.pixels, 3)
        content = io.BytesIO()
        answers_on_picture(pixels, answer.boxes, classes).save(content, "PNG")
        for place in ("overlays", "annotations"):
            (folder / place).mkdir(exist_ok=True)
        write_bytes(folder / "overlays" / f"{stem}.png", content.getvalue())
        write_text(folder / "annotations" / f"{stem}.xml", voc_xml(answer, classes))

    found = predict_boxes(run, names, device=device, stdin=stdin, confidence=confidence, seen=seen)
    counted = _Counted(found)
    with ExitStack() as stack:
        tables = {}
        for name, header in (
            ("boxes", COLUMNS),
            ("counts", ("sample_id", *classes)),
            ("errors", ("sample_id", "error")),
        ):
            file = stack.enter_context(_opened(folder / f"{name}.csv"))
            tables[name] = csv.writer(file, lineterminator="\n")
            tables[name].writerow(header)

        def each() -> Iterator[PictureAnswer]:
            for answer in counted:
                if answer.error is not None:
                    tables["errors"].writerow([answer.sample_id, answer.error])
                    continue
                tables["boxes"].writerows(box_rows(answer, classes))
                tables["counts"].writerow([answer.sample_id, *answer.counts(len(classes))])
                yield answer

        write_coco(each(), classes, stack.enter_context(_opened(folder / "boxes.coco.json")))
    return counted.pictures, counted.errors


class _Counted:
    """Answers as they pass, counted."""

    def __init__(self, answers: Iterable[PictureAnswer]):
        self.answers = answers
        self.pictures = self.errors = 0

    def __iter__(self) -> Iterator[PictureAnswer]:
        for answer in self.answers:
            self.pictures += 1
            self.errors += answer.error is not None
            yield answer


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """A file that is there whole or not at all."""
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        yield file


def _write_csv(answers: Iterable[PictureAnswer], classes: Sequence[str], file: TextIO) -> None:
    """A row a box; a picture that cannot be answered has a row with its error."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*COLUMNS, "error"])
    for answer in answers:
        if answer.error is not None:
            writer.writerow([answer.sample_id, *[""] * (len(COLUMNS) - 1), answer.error])
        writer.writerows([*row, ""] for row in box_rows(answer, classes))


def _write_json(answers: Iterable[PictureAnswer], classes: Sequence[str], file: TextIO) -> None:
    """A JSON array, one object a picture and line."""
    file.write("[")
    for number, answer in enumerate(answers):
        content = json.dumps(answer.to_json(classes), ensure_ascii=False)
        file.write((",\n " if number else "\n ") + content)
    file.write("\n]\n")


@dataclass(frozen=True)
class _Looked:
    """A decoded picture: what the network sees of it, and itself where it is to be drawn on."""

    size: Size
    boxed: np.ndarray  # uint8 (channels, height, width)
    picture: Picture | None


def _decoded(
    paths: Iterable[Path], run: Run, max_pixels: int, whole: bool
) -> Iterator[tuple[str, _Looked | VitreousError]]:
    """Pictures in order, decoded ahead by a few threads; `whole` ones in full size."""
    channels, seen = run.pixel_format.channels, run.pixel_format.size

    def look(path: Path) -> _Looked:
        picture = read_picture(path, str(path), None if whole else max(seen), max_pixels)
        boxed = letterbox(match_channels(picture.pixels, channels), seen).transpose(2, 0, 1)
        return _Looked(picture.size, boxed, picture if whole else None)

    waiting: deque[tuple[str, Future[_Looked]]] = deque()
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as threads:
        for path in paths:
            waiting.append((printable(str(path)), threads.submit(look, path)))
            if len(waiting) >= 2 * DECODERS:
                yield _settled(*waiting.popleft())
        while waiting:
            yield _settled(*waiting.popleft())


def _settled(name: str, future: "Future[_Looked]") -> tuple[str, _Looked | VitreousError]:
    try:
        return name, future.result()
    except VitreousError as error:
        return name, error


def _unlisted(skipped: Skipped) -> PictureAnswer:
    return PictureAnswer(skipped.path, (0, 0), NOTHING, f"{skipped.path}: {skipped.reason}")


def _own_stem(name: str, used: set[str]) -> str:
    """A file's name for a picture that no other one has: a number behind it where need be."""
    stem = Path(name).stem or "picture"
    own, number = stem, 2
    while own in used:
        own, number = f"{stem}-{number}", number + 1
    used.add(own)
    return own
