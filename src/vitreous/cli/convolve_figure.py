"""The picture that `vitreous convolve` writes: input, kernel and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitreous.cli.convolve_input import FeatureMap, Input, Kernel
from vitreous.cli.convolve_signal_figure import draw_signal
from vitreous.cli.convolve_style import BLUE, FRAME, INK, MUTED, ORANGE, STYLE, number, short
from vitreous.cli.convolve_table import cell_texts
from vitreous.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

LARGEST_SIDE = 1400  # pixels of a drawn picture; larger ones are averaged down
MANY_CELLS = 2000  # a larger map has colours for all but its rare extremes
SATURATED = 0.995  # share of the cells whose size lies within these
NUMBERED_SIDE = 12  # cells of a picture or map whose values are written in
OUTLINED_SIDE = 64  # cells of a picture where the window is outlined, not ringed


@dataclass(frozen=True)
class Scale:
    """The colours of a map: a name or a colour map, its limits, and whether values lie beyond."""

    colours: object
    low: float
    high: float
    extend: str
    remark: str


def write_figure(
    path: Path,
    given: Input,
    kernel: Kernel,
    result: FeatureMap,
    at: tuple[int, ...] | None,
    words: str,
) -> None:
    """Draw and write the PNG, atomically. `words` say how it was made, below the panels."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), atomic_path(path) as partial:
        draw = _draw_picture if given.kind == "picture" else draw_signal
        figure = draw(Figure, given, kernel, result, at)
        figure.text(
            0.2 / figure.get_figwidth(),
            0.16 / figure.get_figheight(),
            words,
            fontsize=8.5,
            color=MUTED,
            va="bottom",
        )
        FigureCanvasAgg(figure).print_figure(partial, format="png", dpi=150)


def _draw_picture(
    make: type[Figure],
    given: Input,
    kernel: Kernel,
    result: FeatureMap,
    at: tuple[int, ...] | None,
) -> Figure:
    height, width = given.shown.shape[:2]
    shape = min(max(height / width, 0.4), 1.8)  # beyond, the panel keeps some white
    wide = 5.2 if shape <= 1 else 3.9
    high, kernel_side = wide * shape, min(2.6, wide * shape)
    figure = make(figsize=(2 * wide + kernel_side + 2.0, high + 1.25))
    left = _place(figure, 0.2, wide, high)
    middle = _place(figure, wide + 0.6, kernel_side, kernel_side, lift=high - kernel_side)
    right = _place(figure, wide + kernel_side + 1.0, wide, high)
    _show_input(left, given)
    _show_kernel(middle, kernel)
    scale = scale_of(result.values, kernel.values)
    extent = _extent(result.values)
    drawn = right.imshow(
        _smaller(result.values),
        cmap=scale.colours,  # type: ignore
        vmin=scale.low,
        vmax=scale.high,
        extent=extent,
    )
    rows, columns = result.values.shape
    right.set_title(f"Feature map  {rows} × {columns}")
    right.set_xlabel(scale.remark, fontsize=9)
    bar = right.inset_axes((1.025, 0.0, 0.028, 1.0))
    colorbar = figure.colorbar(drawn, cax=bar, extend=scale.extend)
    colorbar.outline.set_edgecolor(FRAME)  # type: ignore
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    if max(rows, columns) <= NUMBERED_SIDE:
        _write_numbers(right, result.values, 11 * wide / max(rows, columns), 4, drawn)
    if at is not None:
        corner = [place - before for place, (before, _) in zip(at, result.pads, strict=True)]
        outlined = max(height, width) <= OUTLINED_SIDE
        _mark(left, corner, kernel.values.shape, (height, width), outlined)
        _mark(right, list(at), (1, 1), (rows, columns), outlined)
    return figure


def _place(figure: Figure, x: float, width: float, height: float, lift: float = 0.0) -> Axes:
    """A panel by its place in inches; the space below is for what is said about it."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = 0.8 + lift
    return figure.add_axes(
        (x / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def _show_input(axes: Axes, given: Input) -> None:
    height, width = given.shown.shape[:2]
    in_colour = given.shown.shape[2] == 3 and len(given.values) == 3
    pixels = given.shown if in_colour else given.values[0]
    shown = _smaller(pixels.astype(float))
    if in_colour:
        axes.imshow(np.rint(shown).astype(np.uint8), extent=_extent(pixels))
    else:
        drawn = axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=_extent(pixels))
        if max(height, width) <= NUMBERED_SIDE:
            _write_numbers(axes, pixels, 11 * 5 / max(height, width), 4, drawn)
    seen = "" if in_colour or given.shown.shape[2] == 1 else ", as grey"
    axes.set_title(f"{short(given.path.name)}  {height} × {width}{seen}")
    axes.set_xlabel("grey levels 0 to 255" if not in_colour else "red, green, blue 0 to 255")


def _show_kernel(axes: Axes, kernel: Kernel) -> None:
    values = kernel.values
    limit = float(np.abs(values).max()) or 1.0
    # paler than the map's scale, so that the numbers on it stay readable
    axes.imshow(values, cmap=_diverging(), vmin=-1.6 * limit, vmax=1.6 * limit)
    rows, columns = values.shape
    axes.set_title(f"{short(kernel.name, 22)}  {rows} × {columns}")
    axes.set(xticks=[], yticks=[])
    if max(rows, columns) <= 7:
        axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        size = 15 if max(rows, columns) <= 3 else 46 / max(rows, columns) + 1.5
        _write_numbers(axes, values, size, digits=3)
        axes.set_xlabel(f"sum of the weights {number(values.sum())}")
    else:
        axes.set_xlabel(f"weights {number(values.min())} to {number(values.max())}")


def _write_numbers(
    axes: Axes, values: np.ndarray, size: float, digits: int, drawn: AxesImage | None = None
) -> None:
    """Each value in its cell, all with as many decimals; white where `drawn` is dark."""
    shown = cell_texts(values, digits)
    for (row, column), value in np.ndenumerate(values):
        colour = INK
        if drawn is not None:
            red, green, blue, _ = drawn.to_rgba(np.array([value]))[0]
            colour = INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        axes.text(
            column,
            row,
            shown[row][column].replace("-", "−"),
            ha="center",
            va="center",
            fontsize=size,
            color=colour,
        )


def scale_of(values: np.ndarray, weights: np.ndarray) -> Scale:
    """Diverging around zero for kernels that measure differences, else grey levels."""
    balanced = abs(weights.sum()) < 1e-6 * np.abs(weights).sum()
    finite = values[np.isfinite(values)]
    if balanced or (finite < 0).mean() > 0.2:
        largest = float(np.abs(finite).max()) or 1.0
        usual = float(np.quantile(np.abs(finite), SATURATED)) or largest
        limit = usual if finite.size > MANY_CELLS else largest
        extend = _beyond(finite, -limit, limit)
        remark = "blue below 0, white 0, orange above"
        return Scale(_diverging(), -limit, limit, extend, remark)
    high = 255.0 if finite.max() <= 2 * 255 else float(finite.max())
    remark = f"black 0, white {number(high)}"
    return Scale("gray", 0.0, high, _beyond(finite, 0.0, high), remark)


def _beyond(values: np.ndarray, low: float, high: float) -> str:
    slack = 1e-6 * (high - low)
    below, above = values.min() < low - slack, values.max() > high + slack
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[int(below), int(above)]


def _diverging():
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blue-white-orange", [BLUE, "white", ORANGE])


def _mark(
    axes: Axes,
    corner: list[int],
    window: tuple[int, ...],
    size: tuple[int, int],
    outlined: bool,
) -> None:
    """An outline around the window's cells in a map of `size`, or a ring; seen on any grey."""
    from matplotlib.patches import Rectangle

    top, left = (max(first, 0) - 0.5 for first in corner)
    bottom, right = (
        min(first + length, end) - 0.5
        for first, length, end in zip(corner, window, size, strict=True)
    )
    centre = [(left + right) / 2], [(top + bottom) / 2]
    for width, outer in ((4.5, True), (2.2, False)):
        if outlined:
            box = Rectangle((left, top), right - left, bottom - top, fill=False, zorder=3)
            box.set(edgecolor="black" if outer else ORANGE, linewidth=width, clip_on=False)
            axes.add_patch(box)
        else:
            colour = "black" if outer else "white"
            axes.plot(*centre, "o", ms=17, mfc="none", mec=colour, mew=width, clip_on=False)


def _smaller(pixels: np.ndarray) -> np.ndarray:
    """Means of square blocks, where a picture is larger than it is drawn."""
    factor = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    if factor == 1:
        return pixels
    rows, columns = (n // factor * factor for n in pixels.shape[:2])
    cut = pixels[:rows, :columns]
    blocks = cut.reshape(rows // factor, factor, columns // factor, factor, *pixels.shape[2:])
    return blocks.mean(axis=(1, 3))


def _extent(pixels: np.ndarray) -> tuple[float, float, float, float]:
    return -0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5
