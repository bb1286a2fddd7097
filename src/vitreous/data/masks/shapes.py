"""COCO's two ways to write down a region: polygons, and lengths of runs.

The run lengths and their letters are as COCO's mask API has them (T.-Y. Lin and P. Dollar): down
the columns, from the left, first the pixels outside; six bits a letter from "0" on, five of them
digits, the sixth for more to come, each length from the fourth on as the difference to the last but
one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError

Region = NDArray[np.bool_]


def fill_polygon(corners: Sequence[float], size: tuple[int, int]) -> Region:
    """The pixels (height, width) whose middle lies within a polygon x, y, x, y, ... (even-odd).

    Raises `DataError` (without a path) where there are fewer than three corners.
    """
    points = np.asarray(corners, np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise DataError(
            f"a polygon of {np.size(points)} numbers; x and y of three corners at least"
        )
    height, width = size
    x, y = points[0::2], points[1::2]
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    low = np.ceil(np.minimum(y, next_y) - 0.5).clip(0, height).astype(np.int64)
    high = np.ceil(np.maximum(y, next_y) - 0.5).clip(0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(x)), high - low)  # once for each row whose middle it crosses
    row = np.arange(len(edge)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    row += low[edge]
    share = (row + 0.5 - y[edge]) / (next_y - y)[edge]
    crossing = x[edge] + share * (next_x - x)[edge]
    column = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)
    turns = np.zeros((height, width + 1), np.int64)
    np.add.at(turns, (row, column), 1)
    return np.cumsum(turns[:, :width], axis=1) % 2 == 1


def fill_polygons(polygons: Iterable[Sequence[float]], size: tuple[int, int]) -> Region:
    """The pixels of any of some polygons: the parts of one thing."""
    filled = np.zeros(size, bool)
    for corners in polygons:
        filled |= fill_polygon(corners, size)
    return filled


def decode_runs(counts: Sequence[int], size: tuple[int, int]) -> Region:
    """Pixels (height, width) from lengths of runs, outside and inside in turn, down the columns.

    Raises `DataError` (without a path) where they do not add up to the size.
    """
    lengths = np.asarray(counts, np.int64)
    height, width = size
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise DataError(f"run lengths that do not add up to {height} x {width} pixels")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def encode_runs(region: Region) -> list[int]:
    """The lengths that `decode_runs` reads.

    >>> encode_runs(np.array([[True, False], [True, True]]))
    [0, 2, 1, 1]
    """
    flat = region.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends.tolist(), len(flat)]).tolist()
    return [0, *lengths] if len(flat) and flat[0] else lengths


def decode_letters(letters: str | bytes) -> list[int]:
    """Lengths of runs from COCO's letters. Raises `DataError` where they end in the middle."""
    text = letters.encode() if isinstance(letters, str) else letters
    lengths: list[int] = []
    value, shift, whole = 0, 0, True
    for byte in text:
        digits = byte - 48
        if not 0 <= digits < 64:
            raise DataError(f"run lengths with the letter {chr(byte)!r}, which is none of COCO's")
        value |= (digits & 31) << shift
        shift += 5
        whole = not digits & 32
        if whole:
            if digits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value, shift = 0, 0
    if not whole:
        raise DataError("run lengths that end in the middle of a number")
    return lengths


def encode_letters(lengths: Sequence[int]) -> str:
    """COCO's letters for lengths of runs."""
    letters = bytearray()
    for place, length in enumerate(lengths):
        value = length - (lengths[place - 2] if place > 2 else 0)
        while True:
            digits = value & 31
            value >>= 5
            more = value != (-1 if digits & 16 else 0)
            letters.append(48 + digits + (32 if more else 0))
            if not more:
                break
    return letters.decode()


def region_of(segmentation: object, size: tuple[int, int]) -> Region:
    """The pixels of an annotation's `segmentation`: polygons, run lengths, or their letters.

    Raises `DataError` (without a path) where it is none of them, or of another size.
    """
    if isinstance(segmentation, list) and segmentation:
        return fill_polygons(segmentation, size)
    if isinstance(segmentation, dict) and "counts" in segmentation:
        counts, given = segmentation["counts"], segmentation.get("size")
        if given is not None and tuple(given) != size:
            raise DataError(f"a region of {given[0]} x {given[1]}, the picture is {size[0]} x "
                            f"{size[1]}")  # fmt: skip
        lengths = decode_letters(counts) if isinstance(counts, str | bytes) else counts
        return decode_runs(lengths, size)
    raise DataError("a segmentation that is neither polygons nor run lengths")
