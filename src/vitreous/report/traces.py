"""A trial as traces: for a page (drawn small, without paper), and under a map of why."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.insight.colours import (
    NEGATIVE,
    POSITIVE,
    png_bytes,
    signed_pixels,
    symmetric_limit,
)

INK, MUTED, GREY = "#1c2733", "#5b6875", (120, 130, 140)
ROW = 20  # pixels of a channel
NARROWEST, WIDEST = 600, 1600  # pixels
USUAL_SIZE = 0.99  # of the samples are drawn within their row
STYLE: Any = {"font.family": "sans-serif", "font.size": 9, "text.color": INK}


@dataclass(frozen=True)
class TrialAxes:
    """What the rows and columns of a trial are: channels by name, and seconds from the event."""

    channels: tuple[str, ...]
    window_s: tuple[float, float]


def traces_png(trial: np.ndarray) -> bytes:
    """A PNG without borders of a trial (channels, time): a row a channel, no colour but the line.

    The paper is transparent, so that it fits light and dark pages.
    """
    return png_bytes(trace_pixels(trial))


def trace_pixels(trial: np.ndarray) -> np.ndarray:
    """Uint8 (channels x 20, width, 4): each channel around its median, all on one scale."""
    shares = row_shares(trial)
    channels, samples = shares.shape
    if samples < NARROWEST:  # straight lines between samples
        places = np.linspace(0, samples - 1, NARROWEST)
        shares = np.stack([np.interp(places, np.arange(samples), row) for row in shares])
        samples = NARROWEST
    columns = min(samples, WIDEST)
    starts = np.searchsorted(np.arange(samples) * columns // samples, np.arange(columns))
    low, high = (reduce.reduceat(shares, starts, axis=1) for reduce in (np.minimum, np.maximum))
    following = np.concatenate([shares[:, starts[1:]], shares[:, -1:]], axis=1)  # lines join
    low, high = np.minimum(low, following), np.maximum(high, following)
    middle = (ROW - 1) / 2
    top, bottom = (np.rint(middle - middle * ends)[:, None] for ends in (high, low))
    rows = np.arange(ROW)[None, :, None]
    drawn = ((rows >= top) & (rows <= bottom)).reshape(channels * ROW, columns)
    pixels = np.zeros((channels * ROW, columns, 4), np.uint8)
    pixels[drawn] = (*GREY, 255)
    return pixels


def row_shares(trial: np.ndarray) -> np.ndarray:
    """Float64 (channels, time) from -1 to 1: around the channels' medians, on one scale."""
    return np.clip(_centred(trial) / row_reach(trial), -1.0, 1.0)


def row_reach(trial: np.ndarray) -> float:
    """How far a row reaches up and down from its channel's median, in the trial's own unit."""
    return float(np.quantile(np.abs(_centred(trial)), USUAL_SIZE)) or 1.0


def _centred(trial: np.ndarray) -> np.ndarray:
    values = np.asarray(trial, np.float64)
    return values - np.median(values, axis=1, keepdims=True)


def trial_map_png(
    trial: np.ndarray, values: np.ndarray, captions: Sequence[str], axes: TrialAxes
) -> bytes:
    """A PNG with a signed map (channels, time) under the traces of its trial, and its two sums.

    Above, the map summed over channels by second; beside it, over time by channel.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    channels, samples = values.shape
    limit, (first, last) = symmetric_limit(values), axes.window_s
    times = first + (last - first) * (np.arange(samples) + 0.5) / samples
    tall = min(10.0, max(2.2, 0.17 * channels))
    high = tall + 1.75 + 0.22 * len(captions)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, high))
        FigureCanvasAgg(figure)
        bottom = 0.62 / high
        main = figure.add_axes((0.09, bottom, 0.7, tall / high))
        above = figure.add_axes((0.09, bottom + (tall + 0.08) / high, 0.7, 0.6 / high))
        beside = figure.add_axes((0.8, bottom, 0.17, tall / high))
        main.imshow(signed_pixels(values, limit), aspect="auto", interpolation="nearest",
                    extent=(first, last, channels - 0.5, -0.5))  # fmt: skip
        for row, shares in enumerate(row_shares(trial)):
            main.plot(times, row - 0.45 * shares, color=INK, linewidth=0.45)
        main.set_xlim(first, last)
        main.set_ylim(channels - 0.5, -0.5)
        main.set_yticks(range(channels), axes.channels, fontsize=8 if channels <= 40 else 5)
        main.set_xlabel("seconds from the event", color=MUTED)
        _filled(above, times, values.sum(0, dtype=np.float64))
        above.set_xlim(first, last)
        above.set_xticks([])
        above.set_ylabel("sum", color=MUTED, fontsize=8)
        by_channel = values.sum(1, dtype=np.float64)
        beside.barh(range(channels), by_channel, color=[_colour(each) for each in by_channel])
        beside.axvline(0, color=MUTED, linewidth=0.6)
        beside.set_ylim(channels - 0.5, -0.5)
        beside.set_yticks([])
        beside.set_xlabel("sum over time", color=MUTED)
        for panel in (main, above, beside):
            panel.tick_params(length=2, colors=MUTED)
            for side in ("top", "right"):
                panel.spines[side].set_visible(False)
        lines = [*captions, f"orange: for, blue: against; the deepest colour is {limit:.2g}"]
        for number, words in enumerate(lines):
            figure.text(0.02, 1 - (0.2 + 0.22 * number) / high, words,
                        fontweight="bold" if number == 0 else "normal")  # fmt: skip
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png")
    return buffer.getvalue()


def _filled(axes: Any, times: np.ndarray, values: np.ndarray) -> None:
    """A curve whose area is coloured by its sign."""
    for sign in (-1.0, 1.0):
        part = np.clip(values, *((0, None) if sign > 0 else (None, 0)))
        axes.fill_between(times, part, color=_colour(sign), linewidth=0)
    axes.axhline(0, color=MUTED, linewidth=0.6)


def _colour(value: float) -> tuple[float, ...]:
    return tuple(part / 255 for part in (POSITIVE if value > 0 else NEGATIVE))
