"""An input cut into about 64 parts, which are taken away and put back; and how ranks agree."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import mean as mean_by_label
from scipy.stats import rankdata

REGIONS = 64


def regions_of(space: Sequence[int], count: int = REGIONS) -> np.ndarray:
    """The part that each place belongs to, int (*space), from 0: boxes as equal as can be.

    As many along each axis: 64 in one dimension, 8 x 8, 4 x 4 x 4; fewer where an axis is short.

    >>> regions_of((2, 4), 4).tolist()
    [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    along = max(1, round(count ** (1 / len(space))))
    numbers = np.zeros(tuple(space), np.int64)
    for axis, size in enumerate(space):
        parts = min(along, size)
        place = np.arange(size) * parts // size
        shape = [1] * len(space)
        shape[axis] = size
        numbers = numbers * parts + place.reshape(shape)
    return numbers


def region_means(values: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The mean of each part, float64 (parts,)."""
    parts = np.arange(regions.max() + 1)
    return np.asarray(mean_by_label(np.asarray(values, np.float64), regions, parts))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's, of signed values; None where one of them is the same everywhere."""
    ranks = [rankdata(np.asarray(values, np.float64).ravel()) for values in (first, second)]
    if any(np.ptp(each) == 0 for each in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])
