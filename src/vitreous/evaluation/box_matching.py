"""Which answered box is which true one: COCO's rule, decided once a picture.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014, and its evaluation code's
rules: class by class, answers in the order of their confidence each take the free true box that
they overlap most, at every threshold of overlap by itself; the 100 surest of a picture and class
count. A true box that is ignored (a crowd, difficult, or of another size than is asked about) is
taken only where no other fits, and the answer on it counts neither as right nor as wrong; an
unmatched answer of another size does not count either. Crowds and difficult boxes may be taken
again and again. (COCO knows no `difficult`: this is Pascal VOC's meaning of it.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.boxes.boxes import Boxes, box_areas, intersection_over_union

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of intersection over union
MOST_ANSWERS = 100  # of one class on one picture
Confidence = float | Sequence[float]
"""From which on an answer counts: one for all classes, or one a class."""

SIZES = {  # square pixels, both ends within
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True, eq=False)
class BoxAnswers:
    """A network's boxes for one picture, n of them, in any order; corners as in `Boxes`."""

    corners: NDArray[np.float64]  # (n, 4)
    classes: NDArray[np.int64]  # (n,)
    confidences: NDArray[np.float64]  # (n,)

    def __len__(self) -> int:
        return len(self.classes)


def counting(
    classes: NDArray[np.int64], confidences: NDArray[np.float64], least: Confidence
) -> NDArray[np.bool_]:
    """Which answers (n,) are as sure as is asked for of their class."""
    asked = np.asarray(least, np.float64)
    return confidences >= (asked[classes] if asked.ndim else asked)


@dataclass(frozen=True)
class ClassMatches:
    """All answers and true boxes of one class, over all pictures.

    Answers come picture by picture, the surest of a picture first; `sizes` are those of `SIZES` in
    order, `thresholds` those of `THRESHOLDS`.
    """

    pictures: NDArray[np.int64]  # (answers,): the picture of each
    ranks: NDArray[np.int64]  # (answers,): 0 for the surest of its picture
    confidences: NDArray[np.float64]  # (answers,)
    right: NDArray[np.bool_]  # (sizes, thresholds, answers): takes a true box that counts
    ignored: NDArray[np.bool_]  # (sizes, thresholds, answers): counts neither way
    truths: NDArray[np.int64]  # (sizes, pictures): true boxes that count


@dataclass(frozen=True)
class _PictureMatches:
    confidences: NDArray[np.float64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truths: NDArray[np.int64]


def match_pictures(
    truth: Sequence[Boxes], answers: Sequence[BoxAnswers], classes: int
) -> list[ClassMatches]:
    """The matches of each class over pictures that have true boxes and answers in one order."""
    found = [
        [_match_class(boxes, given, place) for boxes, given in zip(truth, answers, strict=True)]
        for place in range(classes)
    ]
    return [_joined(of_class) for of_class in found]


def _joined(parts: list[_PictureMatches]) -> ClassMatches:
    numbers = [len(part.confidences) for part in parts]
    return ClassMatches(
        pictures=np.repeat(np.arange(len(parts)), numbers),
        ranks=np.concatenate([np.arange(n) for n in numbers] or [np.zeros(0, np.int64)]),
        confidences=np.concatenate([p.confidences for p in parts] or [np.zeros(0)]),
        right=np.concatenate([p.right for p in parts] or [_nothing(0)], axis=2),
        ignored=np.concatenate([p.ignored for p in parts] or [_nothing(0)], axis=2),
        truths=np.stack([p.truths for p in parts], axis=1)
        if parts
        else np.zeros((len(SIZES), 0), np.int64),
    )


def _nothing(answers: int) -> NDArray[np.bool_]:
    return np.zeros((len(SIZES), len(THRESHOLDS), answers), bool)


def surest(answers: BoxAnswers, place: int) -> NDArray[np.int64]:
    """The places of a class's answers that count, the surest first; equal ones as they came."""
    own = np.flatnonzero(answers.classes == place)
    return own[np.argsort(-answers.confidences[own], kind="stable")][:MOST_ANSWERS]


def _match_class(truth: Boxes, answers: BoxAnswers, place: int) -> _PictureMatches:
    chosen = surest(answers, place)
    true = truth.chosen(truth.classes == place)
    corners = answers.corners[chosen]
    low, high = np.array(list(SIZES.values())).T[:, :, None]
    always = true.crowd | true.difficult
    ignored_truths = always | (true.areas < low) | (true.areas > high)  # (sizes, truths)
    overlaps = intersection_over_union(corners, true.corners, true.crowd)
    right, taken_ignored = _take(overlaps, ignored_truths, always)
    own_areas = box_areas(corners)
    of_other_size = (own_areas < low) | (own_areas > high)  # (sizes, answers)
    free = ~(right | taken_ignored)
    return _PictureMatches(
        answers.confidences[chosen],
        right,
        taken_ignored | (free & of_other_size[:, None]),
        (~ignored_truths).sum(axis=1),
    )


def _take(
    overlaps: NDArray[np.float64],
    ignored: NDArray[np.bool_],
    again: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Each answer in turn takes a true box: whether it is one that counts, or an ignored one.

    `overlaps` (answers, truths); `ignored` (sizes, truths); `again` (truths,) those that stay free.
    Both results (sizes, thresholds, answers). Of equal overlaps the last one is taken, as COCO's
    code does.
    """
    answers, truths = overlaps.shape
    right, on_ignored = _nothing(answers), _nothing(answers)
    if not truths:
        return right, on_ignored
    shape = (len(SIZES), len(THRESHOLDS), truths)
    taken = np.zeros(shape, bool)
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[None, :, None]
    counts = np.broadcast_to(~ignored[:, None], shape)
    for answer in np.flatnonzero(overlaps.max(axis=1) >= least.min()):
        overlap = overlaps[answer]
        fits = (overlap >= least) & (~taken | again)
        first = fits & counts
        best, some = _last_best(first, overlap)
        other, others = _last_best(fits & ~counts, overlap)
        choice = np.where(some, best, other)
        right[..., answer] = some
        on_ignored[..., answer] = ~some & others
        size, threshold = np.nonzero(some | others)
        taken[size, threshold, choice[size, threshold]] = True
    return right, on_ignored


def _last_best(
    fits: NDArray[np.bool_], overlap: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The place of the largest overlap among those that fit, the last of equals; whether any."""
    values = np.where(fits, overlap, -1.0)[..., ::-1]
    return overlap.shape[0] - 1 - values.argmax(axis=-1), np.asarray(fits.any(axis=-1))
