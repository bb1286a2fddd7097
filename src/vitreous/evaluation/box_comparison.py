"""Which of two detectors finds the same pictures' boxes better: COCO's averages, paired."""

from collections.abc import Sequence

import numpy as np

from vitreous.data.boxes.boxes import Boxes
from vitreous.errors import RequestError
from vitreous.evaluation import intervals
from vitreous.evaluation.box_matching import BoxAnswers, ClassMatches, match_pictures
from vitreous.evaluation.compare import Comparison, better_of, verdict_of
from vitreous.evaluation.detection import AVERAGES, class_averages
from vitreous.evaluation.resampling import RESAMPLES, Grouping, grouping, resample
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values, Weights, mean_over_defined

COMPARED = ("ap", "ap50", "ap75")


def compare_boxes(
    truth: Sequence[Boxes],
    first: Sequence[BoxAnswers],
    second: Sequence[BoxAnswers],
    classes: Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    names: tuple[str, str] = ("first", "second"),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Comparison]:
    """Each of `COMPARED`, by a paired bootstrap over groups of pictures: each resample weighs the
    same pictures for both, so that what is hard for both cancels out.

    Raises `RequestError` where the two do not answer for the same pictures.
    """
    if not len(truth) == len(first) == len(second):
        raise RequestError(
            f"{len(first)} and {len(second)} answers for {len(truth)} pictures; answers to compare "
            "must be for the same ones"
        )
    grouped = grouping(groups, len(truth))
    matched = [match_pictures(truth, answers, len(classes)) for answers in (first, second)]
    drawn = resample(
        lambda weights: np.hstack([_means(matches, weights) for matches in matched]),
        grouped,
        resamples=resamples,
        seed=seed,
    )
    k = len(COMPARED)
    differences = drawn.turned(lambda values: values[:, :k] - values[:, k:])
    found = {}
    for place, metric in enumerate(COMPARED):
        values = [float(drawn.estimate[place + k * which]) for which in (0, 1)]
        variance = float(differences.variance[place])
        difference = _difference(float(differences.estimate[place]), variance, grouped)
        better = better_of(difference, names)
        found[metric] = Comparison(
            metric=metric,
            n=len(truth),
            n_groups=grouped.count if grouped.given else None,
            first=None if np.isnan(values[0]) else values[0],
            second=None if np.isnan(values[1]) else values[1],
            difference=difference,
            better=better,
            agreement=None,
            verdict=verdict_of(metric, difference, better, names, len(truth)),
        )
    return found


def _means(matches: Sequence[ClassMatches], weights: Weights) -> Values:
    """Means over the classes of the compared averages, (r, COMPARED)."""
    by_class = np.stack([class_averages(of_class, weights) for of_class in matches], axis=2)
    places = [AVERAGES.index(name) for name in COMPARED]
    return mean_over_defined(by_class[:, places])


def _difference(value: float, variance: float, groups: Grouping) -> Score:
    if not np.isfinite(value):
        return undefined("no true box", intervals.LEVEL, True)
    if groups.count < 2:
        method = "no interval: all samples are of one group"
        return Score(value, None, None, intervals.LEVEL, method, True)
    low, high = intervals.around(value, variance, groups.count)
    return Score(value, low, high, intervals.LEVEL, f"paired; {intervals.STUDENT}", True)
