"""What a caller may write for stride, padding and dilation, brought to one form per axis."""

from collections.abc import Sequence
from typing import Literal, cast

from vitreous.errors import RequestError, unknown_name

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES: tuple[PaddingMode, ...] = ("zeros", "reflect", "replicate", "circular")

PerAxis = int | Sequence[int]
"""One whole number for all axes, or one for each."""

Padding = int | str | Sequence[int | tuple[int, int]]
"""One number for all sides; per axis a number or (before, after); "valid" (none); "same"."""

Pads = tuple[tuple[int, int], ...]
"""Cells added (before, after) the input, per axis."""


def per_axis(what: str, value: PerAxis, dimensions: int, minimum: int = 1) -> tuple[int, ...]:
    """`value` for each axis, at least `minimum`. Raises `RequestError` naming `what`.

    >>> per_axis("stride", 2, dimensions=3)
    (2, 2, 2)
    """
    values = (value,) * dimensions if isinstance(value, int) else tuple(value)
    if len(values) != dimensions:
        raise RequestError(
            f"{what} {values}: give one number, or one for each of {dimensions} axes"
        )
    if any(number < minimum for number in values):
        raise RequestError(f"{what} {values}: must be at least {minimum}")
    return values


def window_span(kernel: int, dilation: int = 1) -> int:
    """Cells from the first to the last that a kernel touches along one axis.

    >>> window_span(3, dilation=2)
    5
    """
    return dilation * (kernel - 1) + 1


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Padding (before, after) along one axis for ceil(size / stride) output cells.

    An odd total puts the extra cell after the input, as TensorFlow's "SAME" and PyTorch's
    "same" do; with a stride the padding depends on the size of the input.

    >>> same_padding(5, kernel=3), same_padding(6, kernel=3, stride=2)
    ((1, 1), (0, 1))
    """
    cells = -(-size // stride)
    total = max((cells - 1) * stride + window_span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def pads_per_axis(
    padding: Padding,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    """Padding (before, after) of each axis from any of the forms of `Padding`.

    >>> pads_per_axis([1, (0, 2)], sizes=(8, 8), kernel=(3, 3), stride=(1, 1), dilation=(1, 1))
    ((1, 1), (0, 2))
    """
    if isinstance(padding, str):
        return _named_padding(padding, sizes, kernel, stride, dilation)
    return explicit_pads(padding, len(sizes))


def explicit_pads(padding: int | Sequence[int | tuple[int, int]], dimensions: int) -> Pads:
    """Padding (before, after) of each axis from one number, or a number or a pair per axis."""
    values = (padding,) * dimensions if isinstance(padding, int) else tuple(padding)
    if len(values) != dimensions:
        raise RequestError(
            f"padding {values}: give one number, or a number or (before, after) "
            f"for each of {dimensions} axes"
        )
    pads = tuple((side, side) if isinstance(side, int) else tuple(side) for side in values)
    if any(len(pair) != 2 or min(pair) < 0 for pair in pads):
        raise RequestError(f"padding {values}: each side takes 0 cells or more, as (before, after)")
    return cast(Pads, pads)


def _named_padding(
    name: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    if name == "valid":
        return ((0, 0),) * len(sizes)
    if name == "same":
        axes = zip(sizes, kernel, stride, dilation, strict=True)
        return tuple(same_padding(*axis) for axis in axes)
    raise unknown_name("padding", name, ["valid", "same"])


def check_padding_mode(mode: str, pads: Pads, sizes: Sequence[int]) -> None:
    """Raise `RequestError` where a mode is unknown or has not enough cells to fill the padding."""
    if mode not in PADDING_MODES:
        raise unknown_name("padding mode", mode, PADDING_MODES)
    room = {"reflect": -1, "circular": 0}.get(mode)  # a mirror does not repeat the edge cell
    if room is None:
        return
    for pair, size in zip(pads, sizes, strict=True):
        if max(pair) > size + room:
            raise RequestError(
                f"padding {pair} with mode '{mode}' needs more than the {size} cells there are; "
                f"pad at most {max(size + room, 0)}"
            )


def source_cell(position: int, size: int, mode: str) -> int | None:
    """The input cell whose value stands at `position` along a padded axis; None for a zero.

    `position` counts from the first input cell, so that padding has negative positions, or
    positions from `size` on.

    >>> [source_cell(position, 4, "reflect") for position in (-2, -1, 0, 3, 4)]
    [2, 1, 0, 3, 2]
    >>> source_cell(-1, 4, "circular"), source_cell(-1, 4, "replicate"), source_cell(-1, 4, "zeros")
    (3, 0, None)
    """
    if 0 <= position < size:
        return position
    if mode == "reflect":
        return -position if position < 0 else 2 * (size - 1) - position
    if mode == "replicate":
        return 0 if position < 0 else size - 1
    return position % size if mode == "circular" else None
