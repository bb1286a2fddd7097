"""The bootstrap over groups: whole groups are drawn again and again, and measured each time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.evaluation.weighted import Values, Weights, once

Statistic = Callable[[Weights], Values]
"""Weightings (r, n) to values (r,) or (r, m): one number, or m numbers at once."""

RESAMPLES = 1000
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
    """m numbers on the sample itself, `estimate` (m,), and on resamples of it."""

    estimate: Values  # (m,)
    resampled: Values  # (resamples, m)
    n_groups: int

    @property
    def variance(self) -> Values:
        """Sampling variance (m,) by the bootstrap, over the resamples where a number is defined.

        The factor undoes the shrinkage of the plug-in variance, g / (g - 1) for g groups.
        """
        return _variance(self.resampled) * self.n_groups / max(self.n_groups - 1, 1)

    def columns(self, start: int, stop: int) -> "Resampled":
        """The numbers `start` to `stop` (left out) alone."""
        part = slice(start, stop)
        return Resampled(self.estimate[part], self.resampled[:, part], self.n_groups)


def resample(
    statistic: Statistic, groups: Grouping, *, resamples: int = RESAMPLES, seed: int = 0
) -> Resampled:
    """Draw whole groups with replacement, as many as there are, and measure each draw.

    Samples that belong together (a patient's pictures) come and go together. Groups are drawn as
    they come, not by class: how many samples a class has is chance in a test set, and the
    interval has to say so. Deterministic by `seed`, whatever the size of the chunks.
    """
    rows = max(1, CHUNK_NUMBERS // len(groups.numbers))
    measured = [
        _two_dimensional(statistic(multiplicities[:, groups.numbers]))
        for multiplicities in draws(groups.count, resamples, rows, seed)
    ]
    estimate = _two_dimensional(statistic(once(len(groups.numbers))))[0]
    return Resampled(estimate, np.concatenate(measured), groups.count)


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


def _two_dimensional(values: Values) -> Values:
    return values[:, None] if values.ndim == 1 else values
