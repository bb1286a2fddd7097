"""One box against its picture: what can be used of it, and what is wrong with it, by name."""

import math
from dataclasses import dataclass

from vitreous.data.boxes.annotations import Annotation

ROUNDING = 1.0  # pixels: farther outside, a box is wrong; nearer, it was rounded

NOT_A_NUMBER = "corner that is no number"
ZERO_AREA = "zero area"
SWAPPED = "swapped corners"
OUTSIDE = "outside the picture"
PARTLY_OUTSIDE = "partly outside the picture"
REPEATED = "the same box twice"

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Checked:
    """The corners to use, None where there is no box, and what was found: (kind, reason)."""

    corners: Corners | None
    found: tuple[tuple[str, str], ...] = ()


def check_box(box: Annotation, size: tuple[int, int], normalised: bool = False) -> Checked:
    """A box in pixels of a picture of `size` (height, width), mended where its meaning is plain.

    Swapped corners are put in order; a box over the border is cut off there (within a pixel
    without a word: files round). Without area, outside, or without numbers there is no box.
    """
    height, width = size
    given = (box.left, box.top, box.right, box.bottom)
    if not all(math.isfinite(corner) for corner in given):
        return Checked(
            None, ((NOT_A_NUMBER, f"{_said(given)}: left out; draw it anew or remove it"),)
        )
    corners = given
    if normalised:
        corners = (box.left * width, box.top * height, box.right * width, box.bottom * height)
    left, top, right, bottom = corners
    found: list[tuple[str, str]] = []
    if left > right or top > bottom:
        left, right, top, bottom = *sorted((left, right)), *sorted((top, bottom))
        reason = f"{_said(corners)}: taken the other way round; put the smaller number first"
        found.append((SWAPPED, reason))
    if left == right or top == bottom:
        reason = f"{_said(corners)}: left out; draw it anew or remove it"
        return Checked(None, (*found, (ZERO_AREA, reason)))
    where = f"the picture is {width} wide and {height} high"
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        hint = "; are these pixels? this file takes shares of width and height" if (
            normalised and max(map(abs, given)) > 2
        ) else "; draw it anew or remove it"  # fmt: skip
        reason = f"{_said(given if normalised else corners)}, but {where}: left out{hint}"
        return Checked(None, (*found, (OUTSIDE, reason)))
    cut = max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
    over = max(abs(a - b) for a, b in zip(cut, (left, top, right, bottom), strict=True))
    if over > ROUNDING:
        reason = f"{_said((left, top, right, bottom))}, but {where}: cut off there; correct it"
        found.append((PARTLY_OUTSIDE, reason))
    return Checked(cut, tuple(found))


def _said(corners: Corners) -> str:
    left, top, right, bottom = corners
    return f"left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g}"
