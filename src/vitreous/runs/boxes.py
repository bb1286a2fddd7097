"""A detector's run: its boxes on labelled pictures, judged, written and drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.boxes.seen import true_boxes
from vitreous.data.geometry import Size
from vitreous.data.letterbox import match_channels
from vitreous.data.samples import Sample, Source
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.errors import DataError
from vitreous.evaluation.box_calibration import BoxCalibration, fit_box_calibration
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.evaluation.box_mistakes import outcomes_of
from vitreous.evaluation.evaluate_boxes import evaluate_boxes
from vitreous.evaluation.evaluation import Evaluation
from vitreous.evaluation.place_baselines import mean_boxes
from vitreous.files import write_text
from vitreous.inference import PLAIN, Compute
from vitreous.inference.boxes import found_boxes, in_picture
from vitreous.report.boxes_drawn import drawn_bytes, fitted, judged_picture, truth_on_picture
from vitreous.report.extras import Drawn, picture_bytes
from vitreous.runs.box_files import PictureAnswer, boxes_csv, coco_json, counts_csv
from vitreous.tasks.detect import Detect

PICTURES_AT_ONCE = 16


@dataclass(frozen=True)
class BoxRunAnswers:
    """A network's boxes on labelled pictures, in those pictures' own pixels."""

    samples: Sequence[Sample]
    sizes: Sequence[Size]
    found: Sequence[BoxAnswers]  # confidences are the network's scores

    @property
    def truth(self) -> list[Boxes]:
        """The true boxes of each picture."""
        return [true_boxes(sample) for sample in self.samples]

    @property
    def groups(self) -> list[str | None] | None:
        """The samples' groups; None where no sample has one."""
        groups = [sample.group for sample in self.samples]
        return groups if any(group is not None for group in groups) else None

    def calibrated(self, calibration: BoxCalibration) -> Iterator[PictureAnswer]:
        """Each picture's boxes with confidences."""
        for sample, size, found in zip(self.samples, self.sizes, self.found, strict=True):
            yield PictureAnswer(sample.sample_id, size, calibration.of_answers(found))


def box_answers_on(
    network: nn.Module,
    task: Detect,
    pixels: np.ndarray,
    sizes: np.ndarray,
    rows: np.ndarray,
    samples: Sequence[Sample],
    scaling: Scaling | TrialScaling,
    compute: Compute = PLAIN,
) -> BoxRunAnswers:
    """Run the network on rows of decoded pictures; `samples` are those of the rows, in order."""
    own = [(int(height), int(width)) for height, width in sizes[rows]]
    boxes = found_boxes(network, task, _batches(pixels, rows), scaling, compute)
    placed = (in_picture(found, size, task.size) for found, size in zip(boxes, own, strict=True))
    answers = [BoxAnswers(each.corners, each.classes, each.scores) for each in placed]
    return BoxRunAnswers(samples, own, answers)


def _batches(pixels: np.ndarray, rows: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(rows), PICTURES_AT_ONCE):
        part = rows[start : start + PICTURES_AT_ONCE]
        yield torch.from_numpy(np.ascontiguousarray(pixels[part]))


def calibrate_boxes(validation: BoxRunAnswers, task: Detect) -> BoxCalibration:
    """What makes scores confidences, and from which one on an answer counts."""
    if not len(validation.samples):
        return BoxCalibration()
    return fit_box_calibration(validation.truth, validation.found, task.outputs)


def score_boxes(
    answers: BoxRunAnswers,
    task: Detect,
    calibration: BoxCalibration,
    training: BoxRunAnswers | None = None,
    *,
    seed: int,
    name: str = "test",
    split: str = "test",
) -> Evaluation:
    """The answers judged; beside them the mean boxes of `training`, of which only truth is read."""
    baselines = None
    if training is not None:
        mean = mean_boxes(training.truth, training.sizes, task.outputs)
        baselines = {mean.name: [mean.answer(size) for size in answers.sizes]}
    return evaluate_boxes(
        answers.truth,
        answers.found,
        classes=task.classes,
        sample_ids=[sample.sample_id for sample in answers.samples],
        calibration=calibration,
        groups=answers.groups,
        baselines=baselines,
        name=name,
        split=split,
        seed=seed,
    )


def write_box_predictions(
    folder: Path,
    answers: BoxRunAnswers,
    classes: Sequence[str],
    calibration: BoxCalibration,
    name: str = "",
) -> None:
    """predictions.csv (a row a box), predictions.coco.json, and counts.csv beside the truth.

    `name` is put behind the files' names, as that of a later evaluation.
    """
    behind = f"-{name}" if name else ""
    found = list(answers.calibrated(calibration))
    counted = {
        sample.sample_id: np.bincount(
            boxes.classes[~(boxes.crowd | boxes.difficult)], minlength=len(classes)
        ).tolist()
        for sample, boxes in zip(answers.samples, answers.truth, strict=True)
    }
    write_text(folder / f"predictions{behind}.csv", boxes_csv(found, classes))
    write_text(folder / f"predictions{behind}.coco.json", coco_json(found, classes))
    write_text(
        folder / f"counts{behind}.csv", counts_csv(found, classes, calibration.confidence, counted)
    )


def drawn_pictures(
    rows: Sequence[Mapping[str, Any]],
    source: Source,
    answers: BoxRunAnswers,
    classes: Sequence[str],
    calibration: BoxCalibration,
) -> tuple[Drawn, ...]:
    """The pictures that an evaluation names (`BoxSummary.pictures`), with truth and with answer.

    One that can no longer be read is left out.
    """
    place = {sample.sample_id: row for row, sample in enumerate(answers.samples)}
    drawn = []
    for row in rows:
        number = place[row["sample_id"]]
        try:
            picture = source.read(answers.samples[number], None)
        except DataError:
            continue
        truth = true_boxes(answers.samples[number])
        sure = calibration.of_answers(answers.found[number])
        outcomes = outcomes_of(truth, sure, len(classes), calibration.confidence)
        pixels, scale = fitted(match_channels(picture.pixels, 3))
        counts = {kind: n for kind, n in row["counts"].items() if n}
        drawn.append(
            Drawn(
                row["sample_id"],
                row["kind"],
                ", ".join(f"{n} {kind}" for kind, n in counts.items()) or "nothing on it",
                f"{len(truth)} true boxes",
                picture_bytes(pixels.transpose(2, 0, 1)),
                drawn_bytes(truth_on_picture(pixels, truth, classes, scale)),
                drawn_bytes(judged_picture(pixels, truth, sure, outcomes, classes, scale)),
            )
        )
    return tuple(drawn)


def without_answers(samples: Sequence[Sample], sizes: np.ndarray) -> BoxRunAnswers:
    """Pictures of which only the truth is needed: those that baselines are fitted on."""
    nothing = BoxAnswers(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    own = [(int(height), int(width)) for height, width in sizes]
    return BoxRunAnswers(samples, own, [nothing] * len(samples))
