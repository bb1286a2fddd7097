"""More trials from the ones there are: pieces of several put together, and pieces cut out.

Both depend on the seed, the epoch and the trial's row alone (`augmentation.random_table`).
"""

import itertools

import numpy as np


def recombined(
    trials: np.ndarray,
    kinds: np.ndarray,
    train_rows: np.ndarray,
    rows: np.ndarray,
    random: np.ndarray,
) -> np.ndarray:
    """One new trial for each of `rows`, of pieces of training trials of its kind.

    Segmentation and recombination: F. Lotte, "Signal processing approaches to minimize or suppress
    calibration time in oscillatory activity-based brain-computer interfaces", Proceedings of the
    IEEE 103, 2015. Time is cut into as many nearly equal segments as `random` (n, segments), in
    [0, 1), has columns; each segment comes, at its own time, from a training trial drawn for it.

    `trials` is (n, ..., time), `kinds` int (n,) what may be mixed: of one class and one head,
    `random` has a row a trial. The result is (len(rows), ..., time), of the kinds of `rows`.
    """
    segments = random.shape[1]
    borders = np.linspace(0, trials.shape[-1], segments + 1).round().astype(int)
    result = np.empty((len(rows), *trials.shape[1:]), trials.dtype)
    sources = _drawn(kinds, train_rows, rows, random[rows])
    for column, (first, last) in enumerate(itertools.pairwise(borders)):
        result[..., first:last] = trials[sources[:, column], ..., first:last]
    return result


def _drawn(
    kinds: np.ndarray, train_rows: np.ndarray, rows: np.ndarray, random: np.ndarray
) -> np.ndarray:
    """For each row and column a training row of the same kind: int (rows, columns)."""
    drawn = np.empty(random.shape, np.int64)
    of_rows, of_training = kinds[rows], kinds[train_rows]
    for kind in np.unique(of_rows):
        alike = train_rows[of_training == kind]
        here = of_rows == kind
        # in float64: the largest float32 below 1 times their number would be their number
        drawn[here] = alike[(random[here].astype(np.float64) * len(alike)).astype(np.int64)]
    return drawn


def random_crops(trials: np.ndarray, length: int, random: np.ndarray) -> np.ndarray:
    """A piece of `length` samples of each trial (n, ..., time); random (n,), in [0, 1), says where.

    Cropped training: R. Schirrmeister et al. 2017, "Deep learning with convolutional neural
    networks for EEG decoding and visualization".
    """
    starts = (random.astype(np.float64) * (trials.shape[-1] - length + 1)).astype(np.int64)
    places = starts[:, None] + np.arange(length)
    shape = (len(trials), *(1,) * (trials.ndim - 2), length)
    return np.take_along_axis(trials, places.reshape(shape), axis=-1)


def crop_starts(time: int, length: int, stride: int) -> list[int]:
    """Where the pieces begin whose answers are averaged: every `stride`, and one at the very end.

    >>> crop_starts(1125, 1000, 50), crop_starts(1000, 1000, 50)
    ([0, 50, 100, 125], [0])
    """
    last = time - length
    return sorted({*range(0, last + 1, stride), last})
