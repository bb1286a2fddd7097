"""Every figure of a detector's boxes, with its interval by a bootstrap over groups of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.boxes.boxes import Boxes
from vitreous.errors import RequestError
from vitreous.evaluation.box_matching import (
    SIZES,
    THRESHOLDS,
    BoxAnswers,
    ClassMatches,
    Confidence,
    match_pictures,
)
from vitreous.evaluation.box_mistakes import KINDS, BoxOutcomes, outcomes_of
from vitreous.evaluation.box_precision import average_precisions, recalls
from vitreous.evaluation.resampling import Resampled, resample
from vitreous.evaluation.scored import (
    Sampling,
    affordable,
    bounded_score,
    mean_of_classes,
    mean_score,
)
from vitreous.evaluation.scores import Score
from vitreous.evaluation.weighted import Values, Weights, ratio

AVERAGES = (  # COCO's twelve, in its order
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
NUMBERS_AT_ONCE = 1_000_000  # weights of answers held at once: 8 MB an array
A_PICTURE = "boxes a picture"


@dataclass(frozen=True)
class BoxClassScores:
    """One row of the table of classes; `n` counts the true boxes that are asked for."""

    name: str
    n: int
    averages: dict[str, Score]  # by the names of `AVERAGES`
    precision: Score  # at the chosen confidence, as the three that follow
    recall: Score
    counts: dict[str, int]  # by the names of `KINDS`
    count_error: Score  # mean of |answered - true| boxes a picture

    def to_json(self) -> dict[str, Any]:
        """The row as `evaluation.json` has it."""
        return {
            "class": self.name,
            "n": self.n,
            **{name: score.to_json() for name, score in self.averages.items()},
            "precision": self.precision.to_json(),
            "recall": self.recall.to_json(),
            "counts": dict(self.counts),
            "count_error": self.count_error.to_json(),
        }


@dataclass(frozen=True)
class BoxFigures:
    """All figures of one set of answers, and what they were made from."""

    metrics: dict[str, Score]
    per_class: tuple[BoxClassScores, ...]
    confidence: Confidence  # from here on an answer counts for precision, recall and the counts
    counts: dict[str, int]  # kind -> boxes, over all classes
    a_picture: dict[str, Score]  # kind -> mean number a picture
    matches: tuple[ClassMatches, ...]  # one a class: curves are drawn from them
    outcomes: tuple[BoxOutcomes, ...]  # one a picture: for drawing each box as what it is


def detection_figures(
    truth: Sequence[Boxes],
    answers: Sequence[BoxAnswers],
    classes: Sequence[str],
    sampling: Sampling,
    *,
    confidence: Confidence,
) -> BoxFigures:
    """COCO's averages, and from `confidence` on precision, recall and what became of each box.

    `truth` and `answers` are one a picture, in one order; the sampling's groups are of pictures.
    Matching is done once a picture; a resample only weighs the pictures anew. Means over classes
    leave out classes without a true box. Raises `RequestError` where the two do not fit together.
    """
    _require_fit(truth, answers, len(classes))
    matches = match_pictures(truth, answers, len(classes))
    total = sum(len(given) for given in answers)
    drawn = resample(
        lambda weights: _averages(matches, weights),
        sampling.groups,
        **affordable(sampling, total * len(THRESHOLDS) * len(SIZES), 1),
    )
    outcomes = [
        outcomes_of(boxes, given, len(classes), confidence)
        for boxes, given in zip(truth, answers, strict=True)
    ]
    counts = np.stack([outcome.counts for outcome in outcomes]).astype(np.float64)
    rates = resample(
        lambda weights: _rates(counts, weights),
        sampling.groups,
        **affordable(sampling, len(truth), len(classes) * len(KINDS)),
    )
    errors = np.abs(_answered(counts) - _true(counts))
    parts = _Parts(drawn, rates, _groups_of_classes(matches, sampling), len(classes), sampling)
    rows = tuple(
        parts.row(place, name, matches[place], counts[:, place].sum(axis=0), errors[:, place])
        for place, name in enumerate(classes)
    )
    metrics = {name: parts.macro(drawn, place) for place, name in enumerate(AVERAGES)}
    metrics["precision"] = parts.macro(rates, 0)
    metrics["recall"] = parts.macro(rates, 1)
    metrics["count_error"] = mean_score(False, errors.mean(axis=1), sampling, A_PICTURE)
    of_all = counts.sum(axis=1)
    return BoxFigures(
        metrics=metrics,
        per_class=rows,
        confidence=confidence,
        counts=_named(of_all.sum(axis=0)),
        a_picture={
            kind: mean_score(kind == "right", of_all[:, place], sampling, A_PICTURE)
            for place, kind in enumerate(KINDS)
        },
        matches=tuple(matches),
        outcomes=tuple(outcomes),
    )


def _require_fit(truth: Sequence[Boxes], answers: Sequence[BoxAnswers], classes: int) -> None:
    if len(truth) != len(answers) or not truth:
        raise RequestError(
            f"{len(truth)} pictures with true boxes, {len(answers)} with answers; give one of "
            "each for every picture"
        )
    for picture, (boxes, given) in enumerate(zip(truth, answers, strict=True)):
        for what, found in (("true boxes", boxes.classes), ("answers", given.classes)):
            if len(found) and not 0 <= int(found.min()) <= int(found.max()) < classes:
                raise RequestError(
                    f"picture {picture}: {what} with the class numbers {found.min()} to "
                    f"{found.max()}, but there are {classes} classes"
                )
        if not (np.isfinite(given.corners).all() and np.isfinite(given.confidences).all()):
            raise RequestError(f"picture {picture}: answers with corners that are no numbers")


def _averages(matches: Sequence[ClassMatches], weights: Weights) -> Values:
    """All averages of all classes, (r, AVERAGES * classes): a block of classes an average."""
    most = max((len(of_class.pictures) for of_class in matches), default=1)
    rows = max(1, NUMBERS_AT_ONCE // max(most, 1))
    parts = []
    for start in range(0, len(weights), rows):
        some = weights[start : start + rows]
        by_class = np.stack([class_averages(of_class, some) for of_class in matches], axis=2)
        parts.append(by_class.reshape(len(some), -1))
    return np.concatenate(parts)


def class_averages(matches: ClassMatches, weights: Weights) -> Values:
    """The averages of one class under weightings of the pictures, (r, AVERAGES)."""
    of_all = average_precisions(matches, weights)
    at75 = int(np.argmin(np.abs(THRESHOLDS - 0.75)))
    sized = [size for size in SIZES if size != "all"]
    columns = [of_all.mean(axis=1), of_all[:, 0], of_all[:, at75]]
    columns += [average_precisions(matches, weights, size).mean(axis=1) for size in sized]
    columns += [recalls(matches, weights, most=most).mean(axis=1) for most in (1, 10, 100)]
    columns += [recalls(matches, weights, size).mean(axis=1) for size in sized]
    return np.stack(columns, axis=1)


def _answered(counts: Values) -> Values:
    """Answers that count, from counts (..., KINDS)."""
    return counts.sum(axis=-1) - counts[..., KINDS.index("missed")]


def _true(counts: Values) -> Values:
    """True boxes that count."""
    return counts[..., KINDS.index("right")] + counts[..., KINDS.index("missed")]


def _rates(counts: Values, weights: Weights) -> Values:
    """Precision and recall of each class, (r, 2 * classes); `counts` (pictures, classes, KINDS)."""
    totals = np.einsum("rp,pck->rck", weights, counts)
    right = totals[..., KINDS.index("right")]
    return np.hstack([ratio(right, _answered(totals)), ratio(right, _true(totals))])


def _groups_of_classes(matches: Sequence[ClassMatches], sampling: Sampling) -> Values:
    """How many groups have a true box of each class, at least 1."""
    counted = [sampling.groups.count_with(of_class.truths[0] > 0) for of_class in matches]
    return np.maximum(np.array(counted, np.float64), 1.0)


def _named(counts: NDArray[np.float64]) -> dict[str, int]:
    return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}


@dataclass(frozen=True)
class _Parts:
    """Blocks of one column a class, drawn together."""

    averages: Resampled
    rates: Resampled
    groups: Values  # (classes,)
    classes: int
    sampling: Sampling

    def block(self, drawn: Resampled, place: int) -> Resampled:
        return drawn.columns(place * self.classes, (place + 1) * self.classes)

    def macro(self, drawn: Resampled, place: int) -> Score:
        return mean_of_classes(
            self.block(drawn, place), self.groups, self.sampling, True, "no true box of this kind"
        )

    def one(self, drawn: Resampled, block: int, place: int, reason: str) -> Score:
        column = self.block(drawn, block).columns(place, place + 1)
        return bounded_score(True, column, self.sampling, int(self.groups[place]), reason)

    def row(
        self, place: int, name: str, matches: ClassMatches, counts: Values, errors: Values
    ) -> BoxClassScores:
        absent = f"no true box of class '{name}'"
        return BoxClassScores(
            name,
            int(matches.truths[0].sum()),
            {
                average: self.one(self.averages, block, place, f"{absent} of this size")
                for block, average in enumerate(AVERAGES)
            },
            precision=self.one(self.rates, 0, place, "never answered"),
            recall=self.one(self.rates, 1, place, absent),
            counts=_named(counts),
            count_error=mean_score(False, errors, self.sampling, A_PICTURE),
        )
