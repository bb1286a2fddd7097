"""Judge a detector's boxes: COCO's figures with intervals, what became of each box, and where."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vitreous.data.boxes.boxes import Boxes
from vitreous.errors import DataError
from vitreous.evaluation.box_calibration import BoxCalibration, answer_outcomes
from vitreous.evaluation.box_matching import BoxAnswers, ClassMatches, match_pictures
from vitreous.evaluation.box_mistakes import KINDS
from vitreous.evaluation.box_precision import precision_recall_curve
from vitreous.evaluation.box_summary import BoxSummary
from vitreous.evaluation.calibration import calibrate
from vitreous.evaluation.detection import BoxFigures, detection_figures
from vitreous.evaluation.evaluate import evaluation_warnings
from vitreous.evaluation.evaluation import Evaluation
from vitreous.evaluation.resampling import RESAMPLES, grouping
from vitreous.evaluation.scored import Sampling

CURVE_POINTS = 200
WORST, BEST = 12, 6  # pictures that are named


def evaluate_boxes(
    truth: Sequence[Boxes],
    answers: Sequence[BoxAnswers],
    *,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    calibration: BoxCalibration,
    groups: Sequence[str | None] | None = None,
    baselines: Mapping[str, Sequence[BoxAnswers]] | None = None,
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge boxes in pixels of the pictures themselves, one `Boxes` and `BoxAnswers` a picture.

    The answers' confidences are the network's scores; `calibration` is from the validation part.
    Baselines' confidences are taken as they are. Raises `DataError` without pictures, and
    `RequestError` where truth and answers do not fit together.
    """
    if not truth:
        raise DataError("nothing to evaluate: the part has no sample")
    grouped = grouping(groups, len(truth))
    sampling = Sampling(grouped, seed, resamples)
    sure = [calibration.of_answers(each) for each in answers]
    figures = detection_figures(truth, sure, classes, sampling, confidence=calibration.confidence)
    compared = {
        label: detection_figures(truth, each, classes, sampling, confidence=0.0).metrics
        for label, each in (baselines or {}).items()
    }
    counts = {row.name: row.n for row in figures.per_class}
    before = answer_outcomes(match_pictures(truth, answers, len(classes)))
    after = answer_outcomes(figures.matches)
    return Evaluation(
        name=name,
        split=split,
        task="detect",
        n=len(truth),
        n_groups=grouped.count if grouped.given else None,
        metrics=figures.metrics,
        per_class=figures.per_class,
        baselines=compared,
        calibration=calibrate(before, after, calibration.temperature) if len(after[0]) else None,
        warnings=evaluation_warnings(grouped, figures.metrics, split, counts),
        boxes=_summary(figures, classes, sample_ids),
    )


def _summary(figures: BoxFigures, classes: Sequence[str], sample_ids: Sequence[str]) -> BoxSummary:
    confidence = np.broadcast_to(figures.confidence, len(classes)).tolist()
    return BoxSummary(
        dict(zip(classes, confidence, strict=True)),
        figures.counts,
        figures.a_picture,
        tuple(
            _curve(name, matches) for name, matches in zip(classes, figures.matches, strict=True)
        ),
        _named_pictures(figures, sample_ids),
    )


def _curve(name: str, matches: ClassMatches) -> dict[str, Any]:
    """A class's precision-recall curve at an overlap of 0.5, at most `CURVE_POINTS` of it."""
    columns = precision_recall_curve(matches)
    n = len(columns[0])
    places = np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).astype(int)) if n else []
    recall, precision, confidence = (
        [round(float(value), 6) for value in column[places]] if n else [] for column in columns
    )
    return {"class": name, "recall": recall, "precision": precision, "confidence": confidence}


def _named_pictures(figures: BoxFigures, sample_ids: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The pictures with most boxes missed or wrongly answered; then those with all but none."""
    counts = np.stack([outcome.counts.sum(axis=0) for outcome in figures.outcomes])
    right = counts[:, KINDS.index("right")]
    wrong = counts.sum(axis=1) - right
    order = np.lexsort((-wrong / np.maximum(right + wrong, 1), -wrong))
    worst = [row for row in order if wrong[row]][:WORST]
    best = [row for row in np.lexsort((-right, wrong)) if right[row] and row not in worst][:BEST]
    return tuple(
        {
            "sample_id": sample_ids[row],
            "kind": "worst" if row in worst else "best",
            "counts": {kind: int(n) for kind, n in zip(KINDS, counts[row], strict=True)},
        }
        for row in (*worst, *best)
    )
