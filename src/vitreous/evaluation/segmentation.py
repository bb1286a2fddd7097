"""Every figure of answered masks, with its interval by a bootstrap over groups of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import RequestError
from vitreous.evaluation import intervals
from vitreous.evaluation.mask_comparison import MaskComparison
from vitreous.evaluation.resampling import Grouping, Resampled, resample
from vitreous.evaluation.scored import (
    Sampling,
    affordable,
    bounded_score,
    mean_of_classes,
    mean_score,
    scored,
    without_interval,
)
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values, Weights, mean_over_defined, ratio

BLOCKS = ("iou", "dice", "precision", "recall", "dice_a_picture", "boundary_f1")


@dataclass(frozen=True)
class MaskClassScores:
    """One row of the table of classes; `n` counts its true pixels, `pictures` where it is."""

    name: str
    n: int
    pictures: int
    scores: dict[str, Score]  # by the names of `BLOCKS`, and hausdorff95

    def to_json(self) -> dict[str, Any]:
        """The row as `evaluation.json` has it."""
        scores = {name: score.to_json() for name, score in self.scores.items()}
        return {"class": self.name, "n": self.n, "pictures": self.pictures, **scores}


@dataclass(frozen=True)
class MaskFigures:
    """All figures of one set of answers."""

    metrics: dict[str, Score]
    per_class: tuple[MaskClassScores, ...]
    confusion: NDArray[np.int64]  # (classes, classes): pixels, a row a true class
    dice: Values  # (pictures, classes): NaN where a class is neither there nor answered


def segmentation_figures(
    pictures: Sequence[MaskComparison],
    classes: Sequence[str],
    sampling: Sampling,
    *,
    background: int | None = None,
    unit: str = "pixels",
) -> MaskFigures:
    """Figures of compared pictures or volumes, whose groups are the sampling's.

    By class, and their mean over the classes but `background` (a place, where there is one):

    - `iou` and `dice`: of the pixels of all pictures together; IoU's mean is the usual "mIoU";
    - `precision` and `recall` of the pixels, likewise;
    - `dice_a_picture`: the mean over the pictures in which the class is there or answered;
    - `boundary_f1`: F1 of the border within the tolerance, likewise (Csurka et al., "What is a
      good evaluation measure for semantic segmentation?", BMVC 2013);
    - `hausdorff95` in `unit`: likewise.

    `pixel_accuracy` is over all classes. Raises `RequestError` where there is no picture.
    """
    if not pictures:
        raise RequestError("no picture to score; give at least one pair of masks")
    confusions = np.stack([picture.confusion for picture in pictures])
    hits = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    true, answered = confusions.sum(axis=2), confusions.sum(axis=1)
    dice = ratio(2 * hits, (true + answered).astype(np.float64))
    boundary = _boundary_f1(pictures)
    pixels = (hits, true.astype(np.float64), answered.astype(np.float64))

    def statistic(weights: Weights) -> Values:
        return np.hstack([*_of_pixels(pixels, weights), _means(dice, weights),
                          _means(boundary, weights), _accuracy(pixels, weights)])  # fmt: skip

    k = len(classes)
    drawn = resample(
        statistic, sampling.groups, **affordable(sampling, len(pictures), len(BLOCKS) * k)
    )
    distances = np.stack([picture.hausdorff for picture in pictures])
    parts = _Parts(drawn, true > 0, distances, k, sampling, unit)
    chosen = np.array([place for place in range(k) if place != background])
    metrics = {name: parts.macro(place, chosen) for place, name in enumerate(BLOCKS)}
    metrics["pixel_accuracy"] = bounded_score(
        True, drawn.columns(len(BLOCKS) * k, len(BLOCKS) * k + 1), sampling,
        sampling.groups.count, "every pixel is ignored",
    )  # fmt: skip
    metrics["hausdorff95"] = parts.mean_distance(chosen)
    rows = tuple(
        MaskClassScores(
            name, int(true[:, place].sum()), int((true[:, place] > 0).sum()), parts.row(place, name)
        )
        for place, name in enumerate(classes)
    )
    return MaskFigures(metrics, rows, confusions.sum(axis=0), dice)


def _boundary_f1(pictures: Sequence[MaskComparison]) -> Values:
    """F1 of the border of each class on each picture; NaN where neither side has a border.

    The harmonic mean of two shares with denominators of their own.
    """
    precision, recall = (
        ratio(*(np.stack([getattr(p, name) for p in pictures]).astype(np.float64) for name in pair))
        for pair in (("answer_near", "answer_border"), ("truth_near", "truth_border"))
    )
    one_sided = np.isnan(precision) != np.isnan(recall)  # missed, or made up
    f1 = ratio(2 * precision * recall, precision + recall)
    neither_found = (precision + recall) == 0
    return np.where(one_sided | neither_found, 0.0, f1)


def _of_pixels(pixels: tuple[Values, Values, Values], weights: Weights) -> list[Values]:
    """IoU, Dice, precision and recall of all pixels together, each (r, classes)."""
    hits, true, answered = (weights @ each for each in pixels)
    return [
        ratio(hits, true + answered - hits),
        ratio(2 * hits, true + answered),
        ratio(hits, answered),
        ratio(hits, true),
    ]


def _means(values: Values, weights: Weights) -> Values:
    """Means over the pictures where a figure is defined, (r, classes)."""
    defined = ~np.isnan(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))


def _accuracy(pixels: tuple[Values, Values, Values], weights: Weights) -> Values:
    hits, true, _ = (weights @ each.sum(axis=1) for each in pixels)
    return ratio(hits, true)[:, None]


@dataclass(frozen=True)
class _Parts:
    """Blocks of one column a class, drawn together, and the distances of each picture."""

    drawn: Resampled
    there: NDArray[np.bool_]  # (pictures, classes)
    distances: Values  # (pictures, classes)
    classes: int
    sampling: Sampling
    unit: str

    def block(self, place: int) -> Resampled:
        return self.drawn.columns(place * self.classes, (place + 1) * self.classes)

    def groups(self, places: NDArray[np.int64]) -> Values:
        count = self.sampling.groups.count_with
        return np.array([max(1, count(self.there[:, place])) for place in places], np.float64)

    def macro(self, block: int, places: NDArray[np.int64]) -> Score:
        chosen = self.block(block).turned(lambda values: values[:, places])
        return mean_of_classes(
            chosen, self.groups(places), self.sampling, True, "no class is there"
        )

    def row(self, place: int, name: str) -> dict[str, Score]:
        absent = f"class '{name}' is neither there nor answered"
        fewest = int(self.groups(np.array([place]))[0])
        scores = {
            block: bounded_score(
                True, self.block(number).columns(place, place + 1), self.sampling, fewest, absent
            )
            for number, block in enumerate(BLOCKS)
        }
        scores["hausdorff95"] = self.distance(place, absent)
        return scores

    def distance(self, place: int, reason: str) -> Score:
        """The mean distance of one class over the pictures that have one."""
        values = self.distances[:, place]
        defined = ~np.isnan(values)
        if not defined.any():
            return undefined(reason, self.sampling.level, False, self.unit)
        return mean_score(
            False, values[defined], sampling_of_those(self.sampling, defined), self.unit
        )

    def mean_distance(self, places: NDArray[np.int64]) -> Score:
        """The mean of the classes' mean distances."""
        values = self.distances[:, places]
        drawn = resample(
            lambda weights: mean_over_defined(_means(values, weights)),
            self.sampling.groups,
            **affordable(self.sampling, len(values), len(places)),
        )
        value = float(drawn.estimate[0])
        if not np.isfinite(value):
            return undefined("no class is there", self.sampling.level, False, self.unit)
        if drawn.n_groups < 2:
            return without_interval(False, value, self.sampling, self.unit)
        low, high = intervals.around(
            value, float(np.nan_to_num(drawn.variance[0])), drawn.n_groups, self.sampling.level
        )
        ends = (max(0.0, low), high)
        return scored(False, value, ends, intervals.STUDENT, self.sampling, self.unit)


def sampling_of_those(sampling: Sampling, which: NDArray[np.bool_]) -> Sampling:
    """The sampling of some of the pictures alone, their groups numbered anew."""
    numbers = sampling.groups.numbers[which]
    present, renumbered = np.unique(numbers, return_inverse=True)
    groups = Grouping(renumbered, len(present), sampling.groups.given)
    return replace(sampling, groups=groups)
