"""The bootstrap over groups: whole groups are drawn again and again, and measured each time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.weighted import Values, Weights

Statistic = Callable[[Weights], Values]
"""Weightings (r, n) to values (r,) or (r, m): one number, or m numbers at once."""

RESAMPLES = 1000
MOST_LEFT_OUT = 200  # groups; with more, bootstrap and jackknife agree
CHUNK_NUMBERS = 300_000  # weights held at once: 2.4 MB, so that passes over them stay in cache


@dataclass(frozen=True)
class Grouping:
    """Which samples belong together: `numbers` (n,) gives each one's group, 0 ... count-1."""

    numbers: NDArray[np.int64]
    count: int
    given: bool  # False where no groups were named and every sample stands for itself

    @property
    def single(self) -> bool:
        """Whether no two samples share a group."""
        return self.count == len(self.numbers)

    def count_with(self, member: NDArray[np.bool_]) -> int:
        """How many groups have at least one sample marked in `member` (n,)."""
        return len(np.unique(self.numbers[member]))


def grouping(groups: Sequence[str | None] | None, n: int) -> Grouping:
    """Number the groups of n samples; a sample whose group is None is a group of its own.

    >>> grouping(["anna", None, "anna", "bert"], 4).numbers.tolist()
    [0, 1, 0, 2]
    """
    if groups is None or all(group is None for group in groups):
        return Grouping(np.arange(n), n, given=False)
    number: dict[tuple[str, str | int], int] = {}
    keys = [("row", row) if group is None else ("group", group) for row, group in enumerate(groups)]
    numbers = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)
    return Grouping(numbers, len(number), given=True)


@dataclass(frozen=True)
class Resampled:
    """m numbers on the sample itself, on resamples of it, and without one group each.

    `left_out` has no row where there are too many groups to leave each one out.
    """

    estimate: Values  # (m,)
    resampled: Values  # (resamples, m)
    left_out: Values  # (groups or 0, m)
    n_groups: int

    @property
    def variance(self) -> Values:
        """Sampling variance (m,): the bootstrap's, or the jackknife's where that is larger.

        Both leave out resamples in which a number is undefined. The factor g / (g - 1) undoes the
        shrinkage of the plug-in variance of g groups. With few groups the bootstrap is too sure of
        a curved figure such as the AUROC; the jackknife errs to the other side (Efron and Stein
        1981).
        """
        g = self.n_groups
        bootstrap = _variance(self.resampled) * g / max(g - 1, 1)
        if len(self.left_out) == 0:
            return bootstrap
        return np.fmax(bootstrap, _variance(self.left_out) * (g - 1))

    def columns(self, start: int, stop: int) -> "Resampled":
        """The numbers `start` to `stop` (left out) alone."""
        return self.turned(lambda values: values[:, start:stop])

    def turned(self, function: Callable[[Values], Values]) -> "Resampled":
        """Other numbers made of these: `function` takes (r, m) to (r, other m)."""
        return Resampled(
            function(self.estimate[None])[0],
            function(self.resampled),
            function(self.left_out),
            self.n_groups,
        )


def resample(
    statistic: Statistic, groups: Grouping, *, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Draw whole groups with replacement, as many as there are, and measure each draw.

    Samples that belong together (a patient's pictures) come and go together. Groups are drawn as
    they come, not by class: how many samples a class has is chance in a test set, and the
    interval has to say so. Deterministic by `seed`, whatever the size of the chunks.
    """
    rows = max(1, CHUNK_NUMBERS // len(groups.numbers))
    left_out = 1 - np.eye(groups.count if groups.count <= MOST_LEFT_OUT else 0, groups.count)
    chunks = [left_out[start : start + rows] for start in range(0, len(left_out), rows)]
    estimate = _measure(statistic, groups, [np.ones((1, groups.count))])
    return Resampled(
        estimate[0],
        _measure(statistic, groups, draws(groups.count, resamples, rows, seed)),
        _measure(statistic, groups, chunks) if chunks else estimate[:0],
        groups.count,
    )


def _measure(statistic: Statistic, groups: Grouping, times: Iterable[Weights]) -> Values:
    """The statistic (r, m) where the groups are there so many times, chunk by chunk."""
    measured = [statistic(each[:, groups.numbers]) for each in times]
    return np.concatenate([each[:, None] if each.ndim == 1 else each for each in measured])


def draws(n_groups: int, resamples: int, rows: int, seed: int) -> Iterator[Weights]:
    """How often each group is drawn, (rows or fewer, n_groups) at a time."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        place = random.integers(n_groups, size=(count, n_groups))
        place += np.arange(count)[:, None] * n_groups
        times = np.bincount(place.ravel(), minlength=count * n_groups)
        yield times.reshape(count, n_groups).astype(np.float64)


def _variance(values: Values) -> Values:
    """Variance over the first axis, leaving NaN out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    n = np.maximum(defined.sum(axis=0), 1)
    middle = np.where(defined, values, 0.0).sum(axis=0) / n
    squares = np.where(defined, (values - middle) ** 2, 0.0).sum(axis=0) / n
    return np.where(defined.any(axis=0), squares, np.nan)
