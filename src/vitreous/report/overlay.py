"""A signed map on its picture: blue against, orange for, nothing where the map says nothing."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitreous.data.transforms import LUMA
from vitreous.insight.colours import NEGATIVE, POSITIVE, signed_pixels, symmetric_limit

INK, MUTED = "#1c2733", "#5b6875"
DARKEST, RANGE = 120, 135  # the picture behind the map is light and grey, so that colours are seen
SIDE_INCHES = 3.0
SMALL = 0.04  # of the picture's side: a mark that is smaller is a cross
STYLE: Any = {"font.family": "sans-serif", "font.size": 9, "text.color": INK}


def overlaid(picture: np.ndarray, values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Uint8 (height, width, 3): the map over the picture in light grey.

    `picture` is uint8 (1 or 3, height, width), `values` float (height, width); `limit` is the size
    that is drawn opaque, by default the largest.
    """
    grey = picture[0] if len(picture) == 1 else np.tensordot(np.array(LUMA), picture, axes=1)
    paper = (DARKEST + RANGE * grey.astype(np.float64) / 255)[..., None]
    colours = signed_pixels(values, symmetric_limit(values) if limit is None else limit)
    opacity = colours[..., 3:].astype(np.float64) / 255
    return np.rint(colours[..., :3] * opacity + paper * (1 - opacity)).astype(np.uint8)


def overlay_png(
    picture: np.ndarray,
    values: np.ndarray,
    captions: Sequence[str],
    marks: Sequence[tuple[float, float, float, float]] = (),
) -> bytes:
    """A PNG with the picture, the map over it, the scale, and the captions.

    `marks` are boxes (left, top, right, bottom) in the picture's pixels, whose answer is explained;
    a single pixel is drawn as a cross.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = values.shape
    limit = symmetric_limit(values)
    tall = SIDE_INCHES * max(0.4, min(2.0, height / width))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * SIDE_INCHES + 0.95, tall + 0.22 * len(captions) + 0.35))
        FigureCanvasAgg(figure)
        top = 1 - (0.22 * len(captions) + 0.12) / figure.get_figheight()
        share = tall / figure.get_figheight()
        panels = [
            figure.add_axes((left / figure.get_figwidth(), top - share - 0.01,
                             SIDE_INCHES / figure.get_figwidth(), share))
            for left in (0.08, 0.16 + SIDE_INCHES)
        ]  # fmt: skip
        shown = np.moveaxis(picture, 0, -1)
        panels[0].imshow(shown[..., 0] if len(picture) == 1 else shown, cmap="gray", vmin=0,
                         vmax=255, interpolation="nearest")  # fmt: skip
        panels[1].imshow(overlaid(picture, values, limit), interpolation="nearest")
        for panel in panels:
            for mark in marks:
                _marked(panel, mark, max(height, width))
            panel.set_axis_off()
        _scale(figure, limit, top - share - 0.01, share)
        for number, words in enumerate(captions):
            figure.text(
                0.08 / figure.get_figwidth(),
                1 - (0.2 + 0.22 * number) / figure.get_figheight(),
                _fitting(words),
                fontweight="bold" if number == 0 else "normal",
            )
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()


def _marked(panel: Any, mark: tuple[float, float, float, float], side: int) -> None:
    """A box in ink on a light edge; one that would hardly be seen is a cross around its place."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = (at - 0.5 for at in mark)  # the first pixel's middle is at 0
    edges = ((3.0, "white"), (1.2, INK))
    if max(right - left, bottom - top) < SMALL * side:
        x, y, arm = (left + right) / 2, (top + bottom) / 2, SMALL * side
        for wide, colour in edges:
            for near, far in ((0.4, 1.0), (-0.4, -1.0)):
                panel.plot([x + near * arm, x + far * arm], [y, y], color=colour, linewidth=wide)
                panel.plot([x, x], [y + near * arm, y + far * arm], color=colour, linewidth=wide)
        return
    for wide, colour in edges:
        size = (right - left, bottom - top)
        panel.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=colour, linewidth=wide))


def _scale(figure: Any, limit: float, bottom: float, share: float) -> None:
    """The colours beside the map: what is against, nothing, and for."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = [np.array(each) / 255 for each in (NEGATIVE, (240, 240, 240), POSITIVE)]
    left = (2 * SIDE_INCHES + 0.24) / figure.get_figwidth()
    axes = figure.add_axes((left, bottom, 0.13 / figure.get_figwidth(), share))
    ramp = np.linspace(1, -1, 256)[:, None]
    axes.imshow(ramp, cmap=LinearSegmentedColormap.from_list("signed", colours), aspect="auto",
                vmin=-1, vmax=1, extent=(0, 1, -1, 1))  # fmt: skip
    axes.set_xticks([])
    axes.yaxis.tick_right()
    size = f"{limit:.2g}"
    axes.set_yticks([-1, 0, 1], [f"−{size}\nagainst", "0", f"{size}\nfor"], fontsize=7.5)
    axes.tick_params(length=0, pad=2, colors=MUTED)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _fitting(words: str, length: int = 100) -> str:
    return words if len(words) <= length else f"{words[: length - 1]}…"
