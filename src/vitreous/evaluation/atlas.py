"""The simplest answer to scans: what usually lies there, by place alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.mask_label import IGNORE

SIDE = 48  # cells along each axis of a scan, whatever its size


@dataclass(frozen=True)
class Atlas:
    """The class that most training scans have at each relative place, uint8 (SIDE, SIDE, SIDE)."""

    usual: NDArray[np.uint8]
    classes: int

    def answer(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        """The usual classes of a scan of that shape."""
        return self.usual[np.ix_(*(_cells(side, SIDE) for side in shape))]


def fit_atlas(masks: Iterable[NDArray[np.uint8]], classes: int) -> Atlas:
    """The atlas of training masks (depth, height, width) of any sizes, all laid to RAS."""
    votes = np.zeros((classes, SIDE, SIDE, SIDE), np.int64)
    for mask in masks:
        small = mask[np.ix_(*(_cells(SIDE, side) for side in mask.shape))]
        for place in range(classes):
            votes[place] += (small == place) & (small != IGNORE)
    return Atlas(votes.argmax(axis=0).astype(np.uint8), classes)


def _cells(wanted: int, have: int) -> NDArray[np.int64]:
    """For each of `wanted` cells the one of `have` that lies at the same share of the side."""
    return np.minimum(((np.arange(wanted) + 0.5) * have / wanted).astype(np.int64), have - 1)
