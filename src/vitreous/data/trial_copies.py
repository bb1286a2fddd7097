"""Trials that are there twice: equal but for rounding, found among all pairs.

A trial that is trained on and also scored makes the score too good. Equal trials can differ by the
rounding of the files that they lie in, so that they are found in two steps: by a few numbers of
each, all pairs in matrix products; then the few close pairs by all their samples. Where the other
trials are not at hand any more, their sketches are: the few numbers, exact enough for both steps.
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


def trial_sketches(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A few samples of some trials by which they are known again, float32 (n, SIGNATURE or fewer).

    Each sample is less the mean of its channel, over the size of the trial; a trial that does not
    move has zeros.
    """
    places = _places(values)
    found = np.zeros((len(rows), len(places)))
    sizes = np.zeros(len(rows))
    for place, row in enumerate(rows):  # one by one: a copy of all would be large
        centred = _centred(values[row].astype(np.float64))
        found[place], sizes[place] = centred.reshape(-1)[places], _root_mean_square(centred)
    still = _still(sizes)
    return np.where(still, 0.0, found.T / np.where(still, 1.0, sizes)).T.astype(np.float32)


def known_again(sketches: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the trials with these sketches are equal to one of the `known` ones; bool (n,).

    Trials of another shape are not.
    """
    found = np.zeros(len(sketches), bool)
    if not len(sketches) or not len(known) or sketches.shape[1] != known.shape[1]:
        return found
    signatures, kept = _of_length_one(sketches), _of_length_one(known)
    for start in range(0, len(sketches), ROWS_AT_ONCE):
        alike = signatures[start : start + ROWS_AT_ONCE] @ kept.T
        for row, other in np.argwhere(alike > CLOSE) + np.array([start, 0]):
            if _root_mean_square(sketches[row] - known[other]) <= ROUNDING:
                found[row] = True
    return found


def _signatures(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float32 (n, SIGNATURE) of length 1, and which trials do not move.

    The samples, less the mean of their channel, are spread over all channels and times by the same
    random draw for every trial.
    """
    flat = values.reshape(len(values), -1)
    places = _places(values)
    means = values.mean(axis=2, dtype=np.float64)
    taken = flat[:, places] - means[:, places // values.shape[2]]
    length = np.linalg.norm(taken, axis=1)
    still = _still(length)
    return (taken / np.where(still, 1.0, length)[:, None]).astype(np.float32), still


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    one, other = first.astype(np.float64), second.astype(np.float64)
    return _root_mean_square(one - other) / max(_root_mean_square(_centred(one)), 1e-300)


def _places(values: np.ndarray) -> np.ndarray:
    """Where in a trial, laid out flat, is looked: alike for all trials of a shape, also later."""
    total = values.shape[1] * values.shape[2]
    count = min(SIGNATURE, total)
    return np.sort(np.random.default_rng(0).choice(total, count, replace=False))


def _still(sizes: np.ndarray) -> np.ndarray:
    """Which trials do not move, beside the others."""
    return sizes <= 1e-9 * max(float(np.median(sizes)) if len(sizes) else 0.0, 1e-300)


def _of_length_one(sketches: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(sketches, axis=1, keepdims=True)
    return sketches / np.where(length > 0, length, 1.0)


def _centred(trial: np.ndarray) -> np.ndarray:
    return trial - trial.mean(axis=1, keepdims=True)


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
