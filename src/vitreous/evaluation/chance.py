"""Agreement beyond chance, and whether a score could be chance: kappa and permutation tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation import intervals, weighted
from vitreous.evaluation.metrics import Metric, class_counts
from vitreous.evaluation.resampling import Grouping, resample
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.weighted import Values, Weights

PERMUTATIONS = 9_999
EXACT_UP_TO = 20_000  # arrangements that are all tried


def kappa(truth: NDArray[Any], predicted: NDArray[Any], weights: Weights) -> Values:
    """Cohen's kappa (1960): (accuracy - chance) / (1 - chance), chance from both margins."""
    hits, actual, answered = class_counts(truth, predicted, weights)
    total = weights.sum(axis=1)
    observed = weighted.ratio(hits.sum(axis=1), total)
    chance = weighted.ratio((actual * answered).sum(axis=1), total**2)
    return weighted.ratio(observed - chance, 1 - chance)


KAPPA = Metric(kappa, higher_is_better=True)


def kappa_score(
    truth: NDArray[np.int64], predicted: Values, groups: Grouping, *, seed: int = 0
) -> Score:
    """Kappa of probabilities (n, classes); its interval from the bootstrap over groups."""
    value = KAPPA.value(truth, predicted)
    if not np.isfinite(value):
        return undefined("one class alone, in truth and answers", intervals.LEVEL, True)
    if groups.count < 2:
        why = "no interval: all samples are of one group"
        return Score(value, None, None, intervals.LEVEL, why, True)
    drawn = resample(lambda weights: kappa(truth, predicted, weights), groups, seed=seed)
    variance = float(np.nan_to_num(drawn.variance[0]))
    # of two equal classes kappa is 2 * accuracy - 1: taken as that share, it keeps to its bounds
    low, high = intervals.effective_share(
        (1 + value) / 2, variance / 4, groups.count, groups.count, intervals.LEVEL
    )
    low, high = min(2 * low - 1, value), max(2 * high - 1, value)
    method = f"of (1 + kappa) / 2: {intervals.EFFECTIVE}"
    return Score(value, low, high, intervals.LEVEL, method, True)


@dataclass(frozen=True)
class PermutationTest:
    """Accuracy against what it is when labels are exchanged: the share that is as good or better.

    `chance` is the mean accuracy under exchange. Exact where all arrangements were tried.
    """

    accuracy: float
    chance: float
    p: float
    arrangements: int
    exact: bool
    what: str  # is exchanged, in words

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return dict(vars(self))

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        how = "all" if self.exact else "random"
        return (
            f"accuracy {self.accuracy:.3f}; {self.chance:.3f} when labels are exchanged "
            f"({self.what}, {self.arrangements:,} {how} arrangements): p = {self.p:.2g}"
        )


def permutation_test(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    *,
    strata: Sequence[str],
    units: Sequence[str] | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> PermutationTest:
    """Whether answers go with the labels, the answers held fixed (Ojala and Garriga 2010, test 1).

    `truth` int (n,), `answers` int (seeds, n): what each of several networks answered. Labels are
    exchanged within a stratum (subject and session), so that a difference between strata proves
    nothing. Where labels belong to `units` (subjects), whole units exchange theirs, whatever the
    stratum; all arrangements are tried where they are few.
    """
    answers = np.atleast_2d(answers)
    hits = np.zeros((len(truth), int(max(truth.max(), answers.max())) + 1))
    for one in answers:  # share of the networks that answer a class, by sample
        hits[np.arange(len(truth)), one] += 1 / len(answers)
    if units is not None:
        return _of_units(truth, hits, list(units), seed, permutations)
    generator = np.random.default_rng(seed)
    numbers = np.unique(np.asarray(strata), return_inverse=True)[1]
    order = np.argsort(numbers, kind="stable")
    observed = float(hits[np.arange(len(truth)), truth].mean())
    found = np.empty(permutations)
    for draw in range(permutations):
        # sorted by (stratum, random number): a random order within each stratum
        mixed = np.lexsort((generator.random(len(truth)), numbers))
        exchanged = np.empty_like(truth)
        exchanged[order] = truth[mixed]
        found[draw] = hits[np.arange(len(truth)), exchanged].mean()
    p = (1 + int((found >= observed - 1e-12).sum())) / (permutations + 1)
    what = "within each session" if len(set(strata)) > 1 else "among all trials"
    return PermutationTest(observed, float(found.mean()), p, permutations, False, what)


def _of_units(
    truth: NDArray[np.int64],
    hits: NDArray[np.float64],
    units: list[str],
    seed: int,
    permutations_wanted: int,
) -> PermutationTest:
    names, place = np.unique(np.asarray(units), return_inverse=True)
    label = np.array([truth[np.flatnonzero(place == unit)[0]] for unit in range(len(names))])
    by_unit = np.stack([hits[place == unit].sum(axis=0) for unit in range(len(names))])
    total = len(truth)

    def accuracy(labels: NDArray[np.int64]) -> float:
        return float(by_unit[np.arange(len(names)), labels].sum() / total)

    counts = np.bincount(label)
    arrangements = factorial(len(label)) // prod(factorial(int(count)) for count in counts)
    observed = accuracy(label)
    if arrangements <= EXACT_UP_TO and len(label) <= 20:
        found = np.array([accuracy(np.array(one)) for one in _arrangements(label)])
        p = float((found >= observed - 1e-12).mean())
        return PermutationTest(observed, float(found.mean()), p, len(found), True, "between units")
    generator = np.random.default_rng(seed)
    found = np.array([accuracy(generator.permutation(label)) for _ in range(permutations_wanted)])
    p = (1 + int((found >= observed - 1e-12).sum())) / (permutations_wanted + 1)
    return PermutationTest(
        observed, float(found.mean()), p, permutations_wanted, False, "between units"
    )


def _arrangements(labels: NDArray[np.int64]):
    """Each distinct order of labels once."""
    if len(labels) <= 7:
        yield from sorted(set(permutations(labels.tolist())))
        return
    yield from _distinct(np.bincount(labels).tolist(), len(labels))


def _distinct(left: list[int], length: int):
    if length == 0:
        yield ()
        return
    for label, count in enumerate(left):
        if count:
            left[label] -= 1
            for rest in _distinct(left, length - 1):
                yield (label, *rest)
            left[label] += 1
