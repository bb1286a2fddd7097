"""Sums and rank statistics under many weightings at once.

A bootstrap resample of n samples is a vector of n multiplicities. Each function here takes a
matrix of such vectors, `weights` (r, n), and answers for all r of them together, so that a
thousand resamples cost a thousand passes over an array and no Python loop over samples.
What is undefined under a weighting (a class that was not drawn) is NaN.
"""

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Values = NDArray[np.float64]


def once(n: int) -> Weights:
    """The weighting that counts each of n samples once, (1, n)."""
    return np.ones((1, n))


def ratio(numerator: Values, denominator: Values) -> Values:
    """Element-wise quotient; NaN where the denominator is zero."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator > 0)


def mean(values: Values, weights: Weights) -> Values:
    """Weighted means (r,) of one number a sample, (n,)."""
    return ratio(weights @ values, weights.sum(axis=1))


def mean_over_defined(values: Values) -> Values:
    """Means over the last axis, leaving NaN out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def sums_by(index: NDArray[np.int64], size: int, weights: Weights) -> Values:
    """Weight that falls to each index, (r, size): `index` (n,) holds a place per sample."""
    resamples = len(weights)
    place = np.arange(resamples)[:, None] * size + index
    sums = np.bincount(place.ravel(), weights=weights.ravel(), minlength=resamples * size)
    return sums.reshape(resamples, size).astype(np.float64, copy=False)


def area_under_roc(positive: NDArray[np.bool_], score: Values, weights: Weights) -> Values:
    """Share of (positive, negative) pairs in which the positive has the higher score, (r,).

    Ties count one half: the Mann-Whitney form of the area under the ROC curve (Hanley and
    McNeil 1982). NaN where there is no positive or no negative.
    """
    found, here, passed, total = _at_positives(positive, score, weights)
    positives = found.sum(axis=1)
    # Counted against all samples first: among themselves, positives win P * P / 2 exactly.
    wins = np.einsum("rt,rt->r", found, passed - here / 2) - positives**2 / 2
    return ratio(wins, positives * (total - positives))


def average_precision(positive: NDArray[np.bool_], score: Values, weights: Weights) -> Values:
    """Mean precision over the positives, walking down the scores, (r,); NaN without positives.

    The step-wise sum of scikit-learn (no interpolation); equal scores enter together.
    """
    found, _, passed, _ = _at_positives(positive, -score, weights)
    precision = np.divide(
        np.cumsum(found, axis=1), passed, out=np.zeros_like(passed), where=passed > 0
    )
    return ratio(np.einsum("rt,rt->r", found, precision), found.sum(axis=1))


def _at_positives(
    positive: NDArray[np.bool_], score: Values, weights: Weights
) -> tuple[Values, Values, Values, Values]:
    """Walk up the scores and stop at each of the t distinct ones that a positive has.

    Returns the weight of the positives there (r, t), of all samples there (r, t), of all passed
    so far including those (r, t), and of all samples (r,).
    """
    order = np.argsort(score, kind="stable")
    is_positive, sorted_score = positive[order], score[order]
    here = weights[:, order]
    starts = np.flatnonzero(np.r_[True, sorted_score[1:] != sorted_score[:-1]])
    if len(starts) == len(order):
        stops = np.flatnonzero(is_positive)
        found = here[:, stops]
    else:
        stops = np.flatnonzero(np.logical_or.reduceat(is_positive, starts))
        found = np.add.reduceat(here * is_positive, starts, axis=1)[:, stops]
        here = np.add.reduceat(here, starts, axis=1)
    passed = np.cumsum(here, axis=1)
    return found, here[:, stops], passed[:, stops], passed[:, -1]
