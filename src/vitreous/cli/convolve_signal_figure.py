"""The picture of a convolved signal: it, the kernel with its frequency response, the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitreous.cli.convolve_input import FeatureMap, Input, Kernel
from vitreous.cli.convolve_style import BLUE, FRAME, ORANGE, number, short
from vitreous.convolution import frequency_response

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
SHOWN_SAMPLES, SHOWN_CHANNELS = 4000, 8


def draw_signal(
    make: type[Figure],
    given: Input,
    kernel: Kernel,
    result: FeatureMap,
    at: tuple[int, ...] | None,
) -> Figure:
    """Input above, kernel and frequency response between, output below; a few channels."""
    channels = _shown_channels(len(given.values), at)
    traces = 1.5 + 0.4 * len(channels)
    heights, gap, above, below = (traces, 2.0, traces), 0.95, 0.45, 0.95  # inches
    tall = sum(heights) + 2 * gap + above + below
    figure = make(figsize=(12, tall))
    grid = figure.add_gridspec(3, 2, height_ratios=heights)
    figure.subplots_adjust(
        left=0.1,
        right=0.975,
        top=1 - above / tall,
        bottom=below / tall,
        hspace=gap / (sum(heights) / 3),
        wspace=0.2,
    )
    first, last = _shown_samples(given.values.shape[1], at)
    offset = -result.pads[0][0] + (len(kernel.values) - 1) / 2  # of an output cell in the input
    top = figure.add_subplot(grid[0, :])
    marked = None if at is None else (at[0], at[1] + offset)
    _show_traces(top, given, given.values, channels, (first, last), 0.0, marked)
    top.set_title(_signal_title(given, (first, last), len(channels)))
    _show_taps(figure.add_subplot(grid[1, 0]), given, kernel)
    _show_response(figure.add_subplot(grid[1, 1]), given, kernel)
    bottom = figure.add_subplot(grid[2, :], sharex=top)
    _show_traces(bottom, given, result.values, channels, (first, last), offset, marked)
    samples = result.values.shape[1]
    bottom.set_title(f"Output  {len(result.values)} × {samples:,} samples")
    return figure


def _signal_title(given: Input, span: tuple[int, int], shown: int) -> str:
    channels, samples = given.values.shape
    parts = [f"{short(given.path.name)}  {channels} × {samples:,} samples"]
    if span != (0, samples):
        rate = given.sampling_rate_hz
        part = f"samples {span[0]:,} to {span[1]:,}"
        parts.append(f"{span[0] / rate:g} to {span[1] / rate:g} s" if rate else part)
    if shown < channels:
        parts.append(f"{shown} of {channels} channels")
    return ", ".join(parts)


def _shown_channels(channels: int, at: tuple[int, ...] | None) -> list[int]:
    first = 0 if at is None else min(max(at[0] - SHOWN_CHANNELS // 2, 0), channels)
    first = max(min(first, channels - SHOWN_CHANNELS), 0)
    return list(range(first, min(first + SHOWN_CHANNELS, channels)))


def _shown_samples(samples: int, at: tuple[int, ...] | None) -> tuple[int, int]:
    first = 0 if at is None else at[1] - SHOWN_SAMPLES // 2
    first = max(min(first, samples - SHOWN_SAMPLES), 0)
    return first, min(first + SHOWN_SAMPLES, samples)


def _show_traces(
    axes: Axes,
    given: Input,
    values: np.ndarray,
    channels: list[int],
    span: tuple[int, int],
    offset: float,
    marked: tuple[int, float] | None,
) -> None:
    """One line a channel, all to one scale, the first one on top.

    `offset` is where the first value stands on the input's axis; `marked` a channel and a place.
    """
    rate = given.sampling_rate_hz
    first = max(int(np.ceil(span[0] - offset)), 0)
    cells = np.arange(first, min(int(span[1] - offset), values.shape[1]))
    rows = values[channels][:, cells]
    alone = len(channels) == 1
    middle = np.zeros(1) if alone else np.median(rows, axis=1)
    step = 1.0 if alone else _spacing(rows - middle[:, None])
    for place, row in enumerate(rows):
        line = row - middle[place] - place * step
        axes.plot((cells + offset) / (rate or 1.0), line, BLUE, lw=1)
        if marked is not None and channels[place] == marked[0]:
            value = np.interp(marked[1], cells + offset, line)
            axes.axvline(marked[1] / (rate or 1.0), color=ORANGE, lw=1)
            axes.plot(
                [marked[1] / (rate or 1.0)], [value], "o", ms=8, mfc=ORANGE, mec="white", mew=1.5
            )
    if not alone:
        names = [short(given.channel_names[channel], 12) for channel in channels]
        axes.set_yticks(-step * np.arange(len(channels)), names)
        axes.set_ylabel(f"{number(step)} from line to line", fontsize=9)
    else:
        axes.set_ylabel("value")
    edges = np.array(span) - [0, 1]
    axes.set_xlim(*(edges / (rate or 1.0)))
    axes.set_xlabel("time in seconds" if rate else "sample")
    _light(axes)


def _spacing(rows: np.ndarray) -> float:
    """Room for a line: a round number that nearly all of it fits into."""
    reach = float(np.quantile(np.abs(rows), 0.99)) * 1.9
    if reach <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(reach))
    return float(next(round_ * power for round_ in ROUND if round_ * power >= reach))


def _show_taps(axes: Axes, given: Input, kernel: Kernel) -> None:
    taps, rate = kernel.values, given.sampling_rate_hz
    places = (np.arange(len(taps)) - (len(taps) - 1) / 2) / (rate or 1.0)
    axes.axhline(0, color=FRAME, linewidth=1)
    if len(taps) <= 31:
        axes.vlines(places, 0, taps, color=BLUE, linewidth=2)
        axes.plot(places, taps, "o", color=BLUE, ms=6)
    else:
        axes.plot(places, taps, BLUE, lw=1)
    if len(taps) <= 9:
        for place, tap in zip(places, taps, strict=True):
            axes.annotate(
                number(tap),
                (place, tap),
                xytext=(0, 7 if tap >= 0 else -15),
                textcoords="offset points",
                ha="center",
            )
        axes.margins(x=0.12, y=0.28)
    length = f", {number(len(taps) / rate)} s" if rate else ""
    axes.set_title(f"{short(kernel.name, 22)}  {len(taps):,} samples{length}")
    axes.set_xlabel("seconds from the middle" if rate else "samples from the middle")
    axes.set_ylabel("weight")
    _light(axes)


def _show_response(axes: Axes, given: Input, kernel: Kernel) -> None:
    rate = given.sampling_rate_hz or 1.0
    frequencies = np.linspace(0, rate / 2, 2000)
    gain = frequency_response(kernel.values, frequencies, rate)
    strong = frequencies[gain > 0.01 * gain.max()]  # what lies above is left out of the picture
    end = min(rate / 2, 1.6 * strong[-1]) if len(strong) else rate / 2
    axes.fill_between(frequencies, gain, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(frequencies, gain, BLUE, lw=1.5)
    axes.set_xlim(0, end)
    axes.set_ylim(0, None)
    axes.set_title("Frequency response")
    axes.set_xlabel("frequency in Hz" if given.sampling_rate_hz else "cycles per sample")
    axes.set_ylabel("gain")
    _light(axes)


def _light(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FRAME, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
