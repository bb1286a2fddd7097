"""What became of each box from a chosen confidence on: counts that add up.

Every true box is right or missed; every answer is right, or one kind of wrong. The kinds follow D.
Bolya et al., "TIDE: a general toolbox for identifying object detection errors", 2020, with two
changes: they are counted, not turned into average precision, and a true box that is not found
right is missed, also where a misplaced or misnamed answer lies on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.boxes.boxes import Boxes, intersection_over_union
from vitreous.evaluation.box_matching import BoxAnswers, Confidence, counting, surest

KINDS = ("right", "missed", "false", "doubled", "misplaced", "misnamed")
OVERLAP = 0.5  # from here on a box is in its place
TOUCH = 0.1  # from here on a box is meant for a thing, though misplaced


@dataclass(frozen=True)
class BoxOutcomes:
    """What became of one picture's boxes.

    `of_answers` (answers,) and `of_truths` (truths,) are places in `KINDS`; -1 where a box does
    not count: an answer below the threshold or on an ignored thing, a crowd, a difficult thing.
    """

    of_answers: NDArray[np.int64]
    of_truths: NDArray[np.int64]
    counts: NDArray[np.int64]  # (classes, KINDS): answers by their own class, missed by the truth's


def outcomes_of(
    truth: Boxes, answers: BoxAnswers, classes: int, confidence: Confidence
) -> BoxOutcomes:
    """The outcome of each box of a picture, of the answers with at least that `confidence`.

    Right: takes a true box of its class, as COCO matches at an overlap of 0.5. Of the others, in
    this order: doubled, on a true box of its class that is taken; misnamed, on a true box of
    another class; misplaced, touches one of its class (overlap 0.1 to 0.5); false, all else.
    """
    of_answers = np.full(len(answers), -1, np.int64)
    ignored = truth.crowd | truth.difficult
    of_truths = np.where(ignored, -1, KINDS.index("missed"))
    overlaps = intersection_over_union(answers.corners, truth.corners, truth.crowd)
    sure = counting(answers.classes, answers.confidences, confidence)
    for place in range(classes):
        chosen = surest(answers, place)
        chosen = chosen[sure[chosen]]
        own = np.flatnonzero(truth.classes == place)
        _judge(chosen, own, overlaps, ignored, of_answers, of_truths)
    _look_at_other_classes(answers, truth, overlaps, ignored, of_answers)
    counts = np.zeros((classes, len(KINDS)), np.int64)
    judged = of_answers >= 0
    np.add.at(counts, (answers.classes[judged], of_answers[judged]), 1)
    missed = of_truths == KINDS.index("missed")
    np.add.at(counts, (truth.classes[missed], of_truths[missed]), 1)
    return BoxOutcomes(of_answers, of_truths, counts)


def _judge(
    chosen: NDArray[np.int64],
    own: NDArray[np.int64],
    overlaps: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    of_answers: NDArray[np.int64],
    of_truths: NDArray[np.int64],
) -> None:
    """Answers of one class, the surest first, against the true boxes of that class."""
    counting, idle = own[~ignored[own]], own[ignored[own]]
    for answer in chosen:
        free = counting[of_truths[counting] == KINDS.index("missed")]
        if (taken := _best(overlaps[answer], free)) is not None:
            of_answers[answer] = of_truths[taken] = KINDS.index("right")
        elif _best(overlaps[answer], idle) is None:
            beside = overlaps[answer, counting].max(initial=0.0)
            kind = "doubled" if beside >= OVERLAP else "misplaced" if beside >= TOUCH else "false"
            of_answers[answer] = KINDS.index(kind)


def _best(overlap: NDArray[np.float64], among: NDArray[np.int64]) -> int | None:
    """The place with the largest overlap, the last of equals, where it is at least 0.5."""
    if not len(among) or overlap[among].max() < OVERLAP:
        return None
    values = overlap[among][::-1]
    return int(among[::-1][values.argmax()])


def _look_at_other_classes(
    answers: BoxAnswers,
    truth: Boxes,
    overlaps: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    of_answers: NDArray[np.int64],
) -> None:
    """Answers that are false or misplaced by their own class, but lie on a thing of another."""
    other = (truth.classes[None] != answers.classes[:, None]) & ~ignored[None]
    on_other = np.where(other, overlaps, 0.0).max(axis=1, initial=0.0) >= OVERLAP
    wrong = np.isin(of_answers, [KINDS.index("false"), KINDS.index("misplaced")])
    of_answers[wrong & on_other] = KINDS.index("misnamed")


def total_counts(outcomes: Sequence[BoxOutcomes]) -> NDArray[np.int64]:
    """The counts of all pictures together, (classes, KINDS)."""
    return np.sum([outcome.counts for outcome in outcomes], axis=0)
