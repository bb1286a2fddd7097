"""Folds of samples by patient: each is tested once, and no patient is on two sides."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vitreous.data.folds import Fold
from vitreous.data.samples import Sample
from vitreous.data.splits import folds, plan_splits
from vitreous.errors import RequestError

FEWEST = 2


def patient_folds(
    samples: Sequence[Sample],
    k: int,
    *,
    seed: int,
    usable: np.ndarray | None = None,
    together: Iterable[Sequence[int]] = (),
) -> list[Fold]:
    """K divisions by group (and `together`, rows that are copies), stratified by class.

    Each part is tested once; of the others 15 % are the validation part. A split that the data
    give is not used. Raises `RequestError` for fewer than two folds, `DataError` where there are
    too few groups.
    """
    if k < FEWEST:
        raise RequestError(f"--folds {k}: use at least {FEWEST}")
    sets = [list(rows) for rows in together]
    free = [replace(sample, split=None) for sample in samples]
    part = folds(free, k, seed=seed, usable=usable, together=sets)
    found = []
    for number in range(k):
        given = [
            replace(sample, split="test" if of == number else "train")
            for sample, of in zip(free, part, strict=True)
        ]
        plan = plan_splits(given, seed=seed, usable=usable, together=sets)
        found.append(Fold(f"fold {number + 1} of {k}", plan.split, {}))
    return found
