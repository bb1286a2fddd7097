"""The wrong answers worth looking at first: those given with the most confidence."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.evaluation import WrongAnswer
from vitreous.evaluation.metrics import top_label
from vitreous.evaluation.weighted import Values

SHOWN = 50


def most_wrong_classes(
    truth: NDArray[np.int64],
    probabilities: Values,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    most: int = SHOWN,
) -> tuple[WrongAnswer, ...]:
    """Wrong answers of a single-label task, `probabilities` (n, classes), the surest first."""
    answer, confidence = top_label(probabilities), probabilities.max(axis=1)
    return tuple(
        WrongAnswer(
            sample_ids[row],
            classes[int(truth[row])],
            classes[int(answer[row])],
            float(confidence[row]),
        )
        for row in _worst(np.where(answer == truth, -np.inf, confidence), most)
    )


def most_wrong_labels(
    truth: NDArray[np.bool_],
    probabilities: Values,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    most: int = SHOWN,
) -> tuple[WrongAnswer, ...]:
    """Samples with a wrong label, (n, classes), by the confidence in their worst one."""
    answer = probabilities >= 0.5
    confidence = np.where(answer, probabilities, 1 - probabilities)
    worst = np.where(answer == truth, -np.inf, confidence).max(axis=1)
    return tuple(
        WrongAnswer(
            sample_ids[row],
            joined(truth[row], classes),
            joined(answer[row], classes),
            float(worst[row]),
        )
        for row in _worst(worst, most)
    )


def most_wrong_numbers(
    truth: Values, predicted: Values, sample_ids: Sequence[str], most: int = SHOWN
) -> tuple[WrongAnswer, ...]:
    """The predicted numbers (n,) furthest from the true ones."""
    error = np.abs(predicted - truth)
    return tuple(
        WrongAnswer(sample_ids[row], float(truth[row]), float(predicted[row]), None)
        for row in _worst(np.where(error > 0, error, -np.inf), most)
    )


def joined(member: NDArray[np.bool_], classes: Sequence[str]) -> str:
    """The names of the labels that are set in `member` (classes,).

    >>> joined(np.array([True, False, True]), ["cat", "dog", "owl"])
    'cat|owl'
    """
    return "|".join(name for name, is_set in zip(classes, member, strict=True) if is_set)


def _worst(score: Values, most: int) -> list[int]:
    """Rows of the highest finite scores, highest first; the earlier row of equals."""
    order = np.argsort(-score, kind="stable")[:most]
    return [int(row) for row in order if np.isfinite(score[row])]
