"""`predict`: answers for files, in constant memory; a bad file becomes an answer with an error."""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import torch

from vitreous.data.listing import list_pictures, printable
from vitreous.data.pictures import read_picture
from vitreous.data.samples import Picture, Skipped
from vitreous.data.transforms import letterbox, match_channels
from vitreous.errors import DataError, RequestError, VitreousError, unknown_name
from vitreous.inference import Compute, outputs_of
from vitreous.runs.run import Run
from vitreous.training.devices import serving_compute

BATCH = 64
DECODERS = 2

Format = Literal["csv", "json", "annotations", "events"]
FORMATS = ("csv", "json", "annotations", "events")
MARKS = ("annotations", "events")  # of trials in a recording


@dataclass(frozen=True)
class Prediction:
    """The answer for one file, or why there is none."""

    sample_id: str  # the path as it was given
    classes: tuple[str, ...]
    probabilities: tuple[float, ...] = ()  # one a class; empty for a number or an error
    value: float | None = None  # the predicted number, where the task is regression
    error: str | None = None
    several: bool = False  # multi-label: each class above one half is an answer
    recording: str | None = None  # of a trial: its file, and where it begins in it
    onset_s: float | None = None
    duration_s: float | None = None

    @property
    def predicted(self) -> str | float | None:
        """The most probable class, all classes above one half joined by `|`, or the number."""
        if self.error is not None:
            return None
        if self.value is not None:
            return self.value
        if self.several:
            pairs = zip(self.classes, self.probabilities, strict=True)
            return "|".join(name for name, probability in pairs if probability >= 0.5)
        return self.classes[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float | None:
        """Probability of the most probable class."""
        return max(self.probabilities) if self.probabilities else None

    def to_json(self) -> dict[str, Any]:
        """One object, as `predict --format json` prints it."""
        if self.error is not None:
            return {"sample_id": self.sample_id, "error": self.error}
        answer: dict[str, Any] = {"sample_id": self.sample_id, "predicted": self.predicted}
        if self.value is None:
            answer["confidence"] = self.confidence
            answer["probabilities"] = dict(zip(self.classes, self.probabilities, strict=True))
        if self.onset_s is not None:
            answer |= {"onset_s": self.onset_s, "duration_s": self.duration_s}
        return answer

    def _repr_html_(self) -> str:
        if self.error is not None:
            return f"<p>{escape(self.error)}</p>"
        shown = f"<b>{escape(str(self.predicted))}</b>"
        if self.confidence is not None:
            shown += f" ({self.confidence:.1%})"
        return f"<p>{escape(self.sample_id)}: {shown}</p>"


def predict(
    run: Run,
    inputs: str | Path | Iterable[str | Path],
    *,
    device: str | None = None,
    stdin: Iterable[str] | None = None,
    max_pixels: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    viewed: bool = False,
) -> Iterator[Any]:
    """Answers for files, folders (all pictures below) and globs, in their order.

    They are `Prediction`s, of a run on masks `predict_masks.MaskPrediction`s. `on_progress` is
    told of the planes of a scan that is answered with a mask, which takes long; with `viewed`
    such an answer has what a page shows of the scan.

    What cannot be read is an answer whose `error` says why. Nothing is collected: a million
    files take as much memory as a hundred.
    """
    names = [str(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if run.of_scans and run.task.name != "segment":
        from vitreous.runs.whole_scans import predict_whole_scans

        yield from predict_whole_scans(run, names, device)
        return
    if run.of_scans:
        from vitreous.runs.predict_volumes import predict_scans

        found = predict_scans(run, names, device, on_progress, viewed=viewed)
        yield from found  # type: ignore[misc]  # of its own kind
        return
    if run.task.name == "segment":
        from vitreous.runs.predict_masks import predict_masks

        yield from predict_masks(run, names, device, stdin, max_pixels)
        return
    if run.of_trials:
        from vitreous.runs.predict_trials import predict_recordings

        yield from predict_recordings(run, names, device)
        return
    if run.record.task == "detect":
        raise RequestError(f"{run.folder}: answers with boxes; ask for them with run.boxes(...)")
    problems: deque[Skipped] = deque()

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    compute = serving_compute(run.record.compute, device)
    network = compute.place(run.network)
    limit = max_pixels or run.record.request["max_pixels"]
    paths = list_pictures(names, report, stdin)
    pictures = decoded(paths, run, limit)
    while group := tuple(islice(pictures, BATCH)):
        while problems:
            yield _unlisted(run, problems.popleft())
        yield from _answers(run, network, compute, group)
    while problems:
        yield _unlisted(run, problems.popleft())


def write_predictions(
    predictions: Iterable[Prediction], run: Run, file: TextIO, file_format: str = "csv"
) -> tuple[int, int]:
    """Write answers as they come; how many there were, and how many of them are errors."""
    if file_format not in FORMATS:
        raise unknown_name("format", file_format, FORMATS)
    if file_format in MARKS:
        from vitreous.runs.predict_trials import write_marks

        return write_marks(predictions, run.record.classes, file, file_format)
    write = _write_csv if file_format == "csv" else _write_json
    return write(predictions, run, file)


def decoded(
    paths: Iterable[Path], run: Run, max_pixels: int
) -> Iterator[tuple[str, np.ndarray | VitreousError]]:
    """Letterboxed pictures in order, decoded ahead by a few threads."""
    waiting: deque[tuple[str, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as threads:
        for path in paths:
            waiting.append(
                (printable(str(path)), threads.submit(letterboxed, path, run, max_pixels))
            )
            if len(waiting) >= 2 * BATCH:
                yield _settled(*waiting.popleft())
        while waiting:
            yield _settled(*waiting.popleft())


def _settled(name: str, future: "Future[np.ndarray]") -> tuple[str, np.ndarray | VitreousError]:
    try:
        return name, future.result()
    except VitreousError as error:
        return name, error


def letterboxed(path: Path, run: Run, max_pixels: int) -> np.ndarray:
    """A picture as the run's cache holds it: uint8 (channels, height, width)."""
    return boxed(read_picture(path, str(path), max(run.pixel_format.size), max_pixels), run)


def boxed(picture: Picture, run: Run) -> np.ndarray:
    """A decoded picture as the run's cache holds it: uint8 (channels, height, width)."""
    pixel_format = run.pixel_format
    pixels = letterbox(match_channels(picture.pixels, pixel_format.channels), pixel_format.size)
    return np.moveaxis(pixels, -1, 0)


def answer_for(
    run: Run, network: torch.nn.Module, compute: Compute, name: str, pixels: np.ndarray
) -> Prediction:
    """The answer for one picture as the run's cache holds it: uint8 (channels, height, width).

    `network` is the run's, or a copy, where `compute.place` put it.
    """
    return next(_answers(run, network, compute, ((name, pixels),)))


def _answers(
    run: Run, network: torch.nn.Module, compute: Compute, group: tuple[tuple[str, Any], ...]
) -> Iterator[Prediction]:
    good = [(name, pixels) for name, pixels in group if not isinstance(pixels, VitreousError)]
    answers: Iterator[np.ndarray] = iter(())
    if good:
        batch = torch.from_numpy(np.stack([pixels for _, pixels in good]))
        outputs = next(outputs_of(network, [batch], run.scaling, compute, run.views))
        answers = iter(run.task.answers(outputs, run.temperature).double().numpy())
    for name, pixels in group:
        if isinstance(pixels, VitreousError):
            yield _failed(run, str(pixels), name)
        else:
            yield _answer(run, name, next(answers))


def _answer(run: Run, name: str, answer: np.ndarray) -> Prediction:
    classes = tuple(run.record.classes)
    if run.task.name == "regress":
        return Prediction(name, classes, value=float(answer[0]))
    several = run.task.name == "classify-multilabel"
    return Prediction(name, classes, tuple(float(p) for p in answer), several=several)


def _failed(run: Run, reason: str, name: str) -> Prediction:
    return Prediction(name, tuple(run.record.classes), error=reason)


def _unlisted(run: Run, skipped: Skipped) -> Prediction:
    return _failed(run, f"{skipped.path}: {skipped.reason}", skipped.path)


def _write_csv(predictions: Iterable[Prediction], run: Run, file: TextIO) -> tuple[int, int]:
    columns = [f"p_{name}" for name in run.record.classes]
    writer = csv.writer(file, lineterminator="\n")
    times = ["onset_s", "duration_s"] if run.of_trials else []
    writer.writerow(["sample_id", "predicted", "confidence", *columns, *times, "error"])
    count = errors = 0
    for item in predictions:
        numbers = [f"{p:.6f}" for p in item.probabilities] or [""] * len(columns)
        confidence = "" if item.confidence is None else f"{item.confidence:.6f}"
        predicted = "" if item.predicted is None else item.predicted
        places = [item.onset_s, item.duration_s] if times else []
        writer.writerow(
            [item.sample_id, predicted, confidence, *numbers, *places, item.error or ""]
        )
        count, errors = count + 1, errors + (item.error is not None)
    return count, errors


def _write_json(predictions: Iterable[Prediction], run: Run, file: TextIO) -> tuple[int, int]:
    """A JSON array, one object a line."""
    del run
    count = errors = 0
    file.write("[")
    for item in predictions:
        file.write((",\n " if count else "\n ") + json.dumps(item.to_json(), ensure_ascii=False))
        count, errors = count + 1, errors + (item.error is not None)
    file.write("\n]\n")
    return count, errors


def read_predictions(path: Path) -> list[dict[str, str]]:
    """Rows of a predictions.csv. Raises `DataError` with the path when it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable ({error})") from None
