"""The boxes of one picture, and how much two boxes have in common."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Boxes:
    """The true boxes of one picture, n of them; none means that nothing is on it.

    Coordinates are pixels of the upright picture, x to the right and y down, from its top-left
    corner: a box that is the whole picture is 0, 0, width, height.
    """

    corners: NDArray[np.float64]  # (n, 4): left, top, right, bottom
    classes: NDArray[np.int64]  # (n,): place in the source's classes
    difficult: NDArray[np.bool_]  # (n,): Pascal VOC's mark of what is neither asked for nor wrong
    crowd: NDArray[np.bool_]  # (n,): COCO's mark of one box around many things
    areas: NDArray[
        np.float64
    ]  # (n,): pixels of the thing itself where the file says, else the box's

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Boxes":
        """Some of the boxes, by places or by a mark for each."""
        return Boxes(
            self.corners[which],
            self.classes[which],
            self.difficult[which],
            self.crowd[which],
            self.areas[which],
        )


NO_BOXES = Boxes(
    np.zeros((0, 4)),
    np.zeros(0, np.int64),
    np.zeros(0, bool),
    np.zeros(0, bool),
    np.zeros(0),
)


def box_areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width times height of boxes (n, 4) in square pixels, (n,)."""
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def intersections(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that each of n boxes shares with each of m, (n, m), in square pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.maximum(high - low, 0.0), axis=2)


def intersection_over_union(
    answers: NDArray[np.float64],
    truth: NDArray[np.float64],
    crowd: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Shared area by joined area of n answers and m true boxes, (n, m); 0 where both are nothing.

    With a true box that stands for a `crowd` (m,), the answer's own area takes the place of the
    joined one, as COCO has it: an answer within a crowd is not too small.

    >>> intersection_over_union(np.array([[0., 0, 2, 2]]), np.array([[1., 0, 3, 2]])).round(3)
    array([[0.333]])
    """
    shared = intersections(answers, truth)
    own = box_areas(answers)[:, None]
    joined = own + box_areas(truth)[None] - shared
    if crowd is not None:
        joined = np.where(crowd[None], own, joined)
    return np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)
