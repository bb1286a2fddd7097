"""What an evaluation found: everything that `evaluation.json` holds."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.box_summary import BoxSummary
from vitreous.evaluation.calibration import Calibration
from vitreous.evaluation.detection import BoxClassScores
from vitreous.evaluation.figures import ClassScores
from vitreous.evaluation.scores import Score
from vitreous.evaluation.segmentation import MaskClassScores

WHOLE = "all of it"  # the "split" of an evaluation that is of all samples of later data

TaskName = Literal["classify", "classify-multilabel", "regress", "segment", "detect"]


@dataclass(frozen=True)
class Confusion:
    """Counts of answers, int (classes, classes): a row is a true class, a column an answer."""

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """The matrix as `evaluation.json` has it."""
        return {"classes": list(self.classes), "matrix": self.matrix.tolist()}


@dataclass(frozen=True)
class WrongAnswer:
    """A sample that was answered wrongly, and how sure the network was (None for a number).

    Of several labels, `truth` and `predicted` are joined by `|`, and `confidence` is that of the
    worst label.
    """

    sample_id: str
    truth: str | float
    predicted: str | float
    confidence: float | None

    def to_json(self) -> dict[str, Any]:
        """The answer as `evaluation.json` has it."""
        return dict(vars(self))


@dataclass(frozen=True)
class DoubtfulLabel:
    """A sample that is likely labelled wrongly; `score` is the margin of the suggested class."""

    sample_id: str
    given: str
    suggested: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """The label as `evaluation.json` has it."""
        return dict(vars(self))


@dataclass(frozen=True)
class PictureScore:
    """How well one picture was answered, where answers say what is where on it."""

    sample_id: str
    kind: str  # worst or best: what it is shown as
    dice: float  # mean over the classes that are there or were answered
    accuracy: float  # share of its pixels that are right
    weakest: str  # class
    weakest_dice: float

    def to_json(self) -> dict[str, Any]:
        """The score as `evaluation.json` has it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluation:
    """One set of answers judged. Parts that a task has not got are None or empty."""

    name: str  # "test", or what a later evaluation was called
    split: str
    task: TaskName
    n: int
    n_groups: int | None  # None where no groups were given
    metrics: dict[str, Score]
    per_class: tuple[ClassScores | MaskClassScores | BoxClassScores, ...] = ()
    baselines: dict[str, dict[str, Score]] | None = None
    confusion: Confusion | None = None
    calibration: Calibration | None = None
    most_wrong: tuple[WrongAnswer, ...] = ()
    label_errors: tuple[DoubtfulLabel, ...] = ()
    pictures: tuple[PictureScore, ...] = ()  # worst and best ones of masks
    warnings: tuple[str, ...] = ()
    boxes: BoxSummary | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        of_places = {"pictures": [one.to_json() for one in self.pictures]} if self.pictures else {}
        return {
            "format": 1,
            "name": self.name,
            "split": self.split,
            "task": self.task,
            "n": self.n,
            "n_groups": self.n_groups,
            "metrics": _scores(self.metrics),
            "per_class": [row.to_json() for row in self.per_class],
            "baselines": {name: _scores(found) for name, found in (self.baselines or {}).items()},
            "confusion": self.confusion.to_json() if self.confusion else None,
            "calibration": self.calibration.to_json() if self.calibration else None,
            "most_wrong": [answer.to_json() for answer in self.most_wrong],
            "label_errors": [label.to_json() for label in self.label_errors],
            "warnings": list(self.warnings),
            **of_places,
            **({} if self.boxes is None else {"boxes": self.boxes.to_json()}),
        }


def _scores(scores: dict[str, Score]) -> dict[str, Any]:
    return {name: score.to_json() for name, score in scores.items()}
