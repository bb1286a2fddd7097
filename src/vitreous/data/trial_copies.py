"""Trials that are there twice: equal but for rounding, found among all pairs.

A trial that is trained on and also scored makes the score too good. Equal trials can differ by the
rounding of the files that they lie in, so that they are found in two steps: by a few numbers of
each, all pairs in matrix products; then the few close pairs by all their samples.
"""

from collections.abc import Iterable

import numpy as np

from vitreous.data.leaks import Duplicate

SIGNATURE = 64  # samples looked at of each trial in the first step
CLOSE = 0.999  # correlation of signatures
ROUNDING = 2e-3  # root mean square of the difference over that of the trial: 12 bits, rounded twice
ROWS_AT_ONCE = 1024


def equal_trials(values: np.ndarray, across: np.ndarray | None = None) -> list[Duplicate]:
    """Pairs of equal trials among float32 (n, channels, time); `exact` where no bit differs.

    With `across` (n,) only pairs whose entries differ. A trial that does not move is in no pair.
    """
    signatures, still = _signatures(values)
    found = []
    for start in range(0, len(values), ROWS_AT_ONCE):
        alike = signatures[start : start + ROWS_AT_ONCE] @ signatures.T
        for first, second in np.argwhere(alike > CLOSE) + np.array([start, 0]):
            if first < second and not (still[first] or still[second]):
                if across is not None and across[first] == across[second]:
                    continue
                distance = _distance(values[first], values[second])
                if distance <= ROUNDING:
                    exact = bool((values[first] == values[second]).all())
                    found.append(Duplicate(int(first), int(second), 1.0 - distance, exact))
    return found


def partners(duplicates: Iterable[Duplicate]) -> dict[int, set[int]]:
    """Row -> the rows that are equal to it."""
    found: dict[int, set[int]] = {}
    for pair in duplicates:
        found.setdefault(pair.first, set()).add(pair.second)
        found.setdefault(pair.second, set()).add(pair.first)
    return found


def _signatures(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float32 (n, SIGNATURE) of length 1, and which trials do not move.

    The samples, less the mean of their channel, are spread over all channels and times by the same
    random draw for every trial.
    """
    flat = values.reshape(len(values), -1)
    count = min(SIGNATURE, flat.shape[1])
    places = np.sort(np.random.default_rng(0).choice(flat.shape[1], count, replace=False))
    means = values.mean(axis=2, dtype=np.float64)
    taken = flat[:, places] - means[:, places // values.shape[2]]
    length = np.linalg.norm(taken, axis=1)
    still = length <= 1e-9 * max(float(np.median(length)), 1e-300)
    return (taken / np.where(still, 1.0, length)[:, None]).astype(np.float32), still


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    one, other = first.astype(np.float64), second.astype(np.float64)
    size = np.sqrt(np.mean((one - one.mean(axis=1, keepdims=True)) ** 2))
    return float(np.sqrt(np.mean((one - other) ** 2)) / max(size, 1e-300))
