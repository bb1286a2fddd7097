"""How sure a box's score may be taken: fitted on the validation part, never on the test part."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from vitreous.data.boxes.boxes import Boxes
from vitreous.evaluation.box_matching import (
    BoxAnswers,
    ClassMatches,
    Confidence,
    match_pictures,
)
from vitreous.evaluation.weighted import Values

SMALLEST = 1e-6  # scores are kept off 0 and 1, where logits have no end
LARGEST = 20.0  # of the temperature and of the shift
CONFIDENCES = np.linspace(0.01, 0.99, 99)  # of which one is chosen
USUAL = 0.5  # where validation cannot say
ENOUGH = 10  # true boxes of a class on validation, from which on it has a confidence of its own
AS_GOOD = 0.01  # of F1: confidences so near to the best one's are chosen from by their counts
NAMED = 6  # classes whose confidences are said one by one


@dataclass(frozen=True)
class BoxCalibration:
    """From a score to the share of such answers that are right, and from where on they count.

    `sigmoid(logit(score) / temperature + shift)`: J. Platt, "Probabilistic outputs for support
    vector machines", 1999, on the logits. An answer is right as COCO matches it at an overlap of
    0.5. The order of answers, and with it average precision, stays.
    """

    temperature: float = 1.0
    shift: float = 0.0
    confidence: Confidence = USUAL  # one for all classes, or one a class

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, as run.json keeps them."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "BoxCalibration":
        """What `to_json` wrote; runs of before had one confidence for all classes."""
        confidence = value["confidence"]
        if isinstance(confidence, list):
            confidence = tuple(confidence)
        return BoxCalibration(value["temperature"], value["shift"], confidence)

    def calibrated(self, scores: Values) -> Values:
        """Confidences (n,) of scores (n,)."""
        within = np.clip(scores, SMALLEST, 1 - SMALLEST)
        return expit(logit(within) / self.temperature + self.shift)

    def of_answers(self, answers: BoxAnswers) -> BoxAnswers:
        """The answers, their scores made confidences."""
        return replace(answers, confidences=self.calibrated(answers.confidences))


def fit_box_calibration(
    truth: Sequence[Boxes], answers: Sequence[BoxAnswers], classes: int
) -> BoxCalibration:
    """Fitted on pictures with true boxes and answers whose confidences are the network's scores.

    Each class has its own confidence (`class_confidences`). Without a right and a wrong answer
    scores stay as they are.
    """
    matches = match_pictures(truth, answers, classes)
    scores, right = answer_outcomes(matches)
    fitted = _platt(scores, right)
    sure = [replace(each, confidences=fitted.calibrated(each.confidences)) for each in matches]
    return replace(fitted, confidence=class_confidences(sure))


def answer_outcomes(matches: Sequence[ClassMatches]) -> tuple[Values, NDArray[np.bool_]]:
    """Confidence of each answer that counts and whether it is right at an overlap of 0.5."""
    counted = [~each.ignored[0, 0] for each in matches]
    confidences = [m.confidences[which] for m, which in zip(matches, counted, strict=True)]
    right = [m.right[0, 0][which] for m, which in zip(matches, counted, strict=True)]
    return (
        np.concatenate([*confidences, np.zeros(0)]),
        np.concatenate([*right, np.zeros(0, bool)]),
    )


def best_confidence(matches: Sequence[ClassMatches]) -> float:
    """The confidence with the highest mean F1 over the classes that have true boxes; the middle
    one of several that are equal. `USUAL` where no answer is right.
    """
    curves = [
        f1_by_confidence(each) for each in matches if each.truths[0].sum() and len(each.right[0, 0])
    ]
    if not curves or not np.any(curves):
        return USUAL
    mean = np.mean(curves, axis=0)
    best = np.flatnonzero(mean >= mean.max() - 1e-12)
    return float(CONFIDENCES[best[len(best) // 2]])


def class_confidences(matches: Sequence[ClassMatches]) -> tuple[float, ...]:
    """The confidence from which on answers of each class count.

    The one with the highest F1 of the class; of those that come within `AS_GOOD` of it, the one
    whose counts a picture are nearest to the true ones. F1 hardly changes around its highest place,
    where the number of answers still does. A class with less than `ENOUGH` true boxes, or without a
    right answer, has `best_confidence`, that of all classes.
    """
    of_all = best_confidence(matches)
    return tuple(_own_confidence(each, of_all) for each in matches)


def _own_confidence(matches: ClassMatches, otherwise: float) -> float:
    f1 = f1_by_confidence(matches)
    if matches.truths[0].sum() < ENOUGH or not f1.any():
        return otherwise
    good = np.flatnonzero(f1 >= f1.max() - AS_GOOD)
    errors = count_errors(matches)[good]
    best = good[errors <= errors.min() + 1e-12]
    return float(CONFIDENCES[best[len(best) // 2]])


def count_errors(matches: ClassMatches) -> Values:
    """Mean of |answered - true| boxes a picture, of the answers from each of `CONFIDENCES` on,
    (99,).
    """
    counted = ~matches.ignored[0, 0]
    reached = np.searchsorted(CONFIDENCES, matches.confidences[counted], side="right")
    pictures = len(matches.truths[0])
    answered = np.zeros((len(CONFIDENCES) + 1, pictures))
    np.add.at(answered, (reached, matches.pictures[counted]), 1)
    from_each_on = answered[:0:-1].cumsum(axis=0)[::-1]
    return np.abs(from_each_on - matches.truths[0]).sum(axis=1) / max(pictures, 1)


def confidence_words(confidence: Confidence, classes: Sequence[str]) -> str:
    """From which confidence on answers count, for people.

    >>> confidence_words((0.35, 0.5), ["cell", "dust"]), confidence_words(0.5, ["cell"])
    ('0.35 (cell) and 0.50 (dust)', '0.50')
    """
    each = np.broadcast_to(confidence, len(classes)).tolist()
    if len(set(each)) == 1:
        return f"{each[0]:.2f}"
    if len(each) > NAMED:
        return f"{min(each):.2f} to {max(each):.2f}, by class"
    said = [f"{least:.2f} ({name})" for name, least in zip(classes, each, strict=True)]
    return ", ".join(said[:-1]) + f" and {said[-1]}"


def f1_by_confidence(matches: ClassMatches) -> Values:
    """F1 at overlap 0.5 of the answers from each of `CONFIDENCES` on, (99,)."""
    counted = ~matches.ignored[0, 0]
    sure = matches.confidences[counted][None] >= CONFIDENCES[:, None]
    answered = sure.sum(axis=1)
    right = (sure & matches.right[0, 0][counted]).sum(axis=1)
    return 2 * right / np.maximum(answered + matches.truths[0].sum(), 1)


def _platt(scores: Values, right: NDArray[np.bool_]) -> BoxCalibration:
    positive, negative = int(right.sum()), int((~right).sum())
    if not positive or not negative:
        return BoxCalibration()
    logits = logit(np.clip(scores, SMALLEST, 1 - SMALLEST))
    # Platt's targets, a little inside of 0 and 1: separable data would have no best place
    targets = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(numbers: Values) -> tuple[float, Values]:
        steepness = np.exp(numbers[0])
        raw = logits * steepness + numbers[1]
        off = expit(raw) - targets
        value = float(np.mean(np.logaddexp(0, raw) - targets * raw))
        return value, np.array([np.mean(off * logits) * steepness, np.mean(off)])

    limit = np.log(LARGEST)
    bounds = [(-limit, limit), (-LARGEST, LARGEST)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return BoxCalibration(temperature=float(np.exp(-found.x[0])), shift=float(found.x[1]))
