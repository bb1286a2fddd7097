"""The report's charts, each from plain numbers to one SVG drawing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.svg import (
    Frame,
    Scale,
    bar,
    dot,
    drawing,
    frame,
    line,
    padded,
    polyline,
    words,
    x_axis,
    y_axis,
)
from vitreous.report.words import count, number, of_these, percent

Say = Callable[[float], str]

SMALLEST_GAP = 14  # between two labels at the ends of lines


@dataclass(frozen=True)
class Line:
    """A line of a line chart: its name stands at its end; None where there is no value."""

    name: str
    values: Sequence[float | None]
    style: str  # CSS class: "one" (solid) or "two" (dashed)


def whole(value: float) -> str:
    """A tick's label: no digits that say nothing.

    >>> whole(5.0), whole(0.25), whole(-1.0)
    ('5', '0.25', '−1')
    """
    return f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")


def share_tick(value: float) -> str:
    """A share as a tick's label.

    >>> share_tick(0.25), share_tick(0.905)
    ('25\\xa0%', '90.5\\xa0%')
    """
    return f"{100 * value:.6g}\N{NO-BREAK SPACE}%"


def line_chart(
    lines: Sequence[Line],
    steps: Sequence[float],
    *,
    axes: tuple[str, str],
    say: Say = number,
    tick: Say = whole,
    marked: tuple[float, str] | None = None,
) -> Html:
    """Lines over epochs, each named at its end; `marked` is a place on the x axis and its name."""
    values = [value for one in lines for value in one.values if value is not None]
    first, last = min(steps), max(steps)
    field = frame(
        (first, last if last > first else first + 1),
        padded(min(values), max(values)),
        top=22,
        right=78,
        say=tick,
    )
    parts: list[Content] = [x_axis(field, axes[0], whole), y_axis(field, axes[1], tick)]
    if marked:
        parts.append(_mark(field, *marked))
    parts += [_line(field, one, steps, say, axes[0]) for one in lines]
    parts.append(_end_labels(field, lines))
    return drawing(field.width, field.height, _lines_in_words(lines, axes, say), *parts)


def _mark(field: Frame, place: float, name: str) -> Html:
    x = field.x(place)
    late = x > (field.x.start + field.x.end) / 2
    label = words(name, x, field.y.end - 8, "mark-label", "end" if late else "start")
    return join([line(x, field.y.start, x, field.y.end - 4, "mark"), label])


def _line(field: Frame, one: Line, steps: Sequence[float], say: Say, axis: str) -> Html:
    found = [(s, v) for s, v in zip(steps, one.values, strict=True) if v is not None]
    points = [(field.x(step), field.y(value)) for step, value in found]
    radius = 7 if len(points) <= 60 else 4
    dots = [
        dot(x, y, radius, "hover", f"{one.name}, {axis} {whole(step)}: {say(value)}")
        for (x, y), (step, value) in zip(points, found, strict=True)
    ]
    if len(points) == 1:
        dots.append(dot(*points[0], 3, f"dot {one.style}"))
    return join([polyline(points, f"line {one.style}"), *dots])


def _end_labels(field: Frame, lines: Sequence[Line]) -> Html:
    ends = [
        (field.y(found[-1]), one)
        for one in lines
        if (found := [value for value in one.values if value is not None])
    ]
    labels, lowest = [], -1e9
    for y, one in sorted(ends, key=lambda end: end[0]):
        lowest = max(y, lowest + SMALLEST_GAP)
        labels.append(words(one.name, field.x.end + 7, lowest + 4, f"line-label {one.style}"))
    return join(labels)


def _lines_in_words(lines: Sequence[Line], axes: tuple[str, str], say: Say) -> str:
    ends = []
    for one in lines:
        values = [value for value in one.values if value is not None]
        if values:
            ends.append(f"{one.name} from {say(values[0])} to {say(values[-1])}")
    return f"Line chart of {axes[1]} by {axes[0]}: {'; '.join(ends)}."


def interval_strip(
    span: tuple[float, float], value: float, low: float | None, high: float | None, own: bool
) -> Html:
    """A small strip for a table's cell: the value, and its interval as a line with ends."""
    field = Scale(*span, 6, 234)
    parts: list[Content] = [line(6, 14, 234, 14, "grid")]
    style = "own" if own else "other"
    if low is not None and high is not None:
        left, right = field(low), field(high)
        parts += [line(left, 14, right, 14, f"whisker {style}")]
        parts += [line(end, 9, end, 19, f"whisker {style}") for end in (left, right)]
    parts.append(dot(field(value), 14, 5, f"point {style}"))
    box = {"viewBox": "0 0 240 28", "class": "strip", "aria-hidden": "true"}
    return tag("svg", box, *parts)


def reliability_chart(bins: Sequence[dict], truth: str) -> Html:
    """How often the network is right (y, named `truth`) among the answers of one confidence (x).

    A bin of `n` answers is a disc whose area grows with `n`, with its 95 % interval where it has
    `accuracy_low` and `accuracy_high`; a perfectly calibrated network lies on the diagonal.
    """
    field = frame((0, 1), (0, 1), size=(400, 330), say=share_tick)
    most = max(one["n"] for one in bins)
    parts: list[Content] = [
        x_axis(field, "confidence of the network", share_tick),
        y_axis(field, truth, share_tick),
        line(field.x(0), field.y(0), field.x(1), field.y(1), "diagonal"),
        words("dashed: perfectly calibrated", field.x(0.99), field.y(0.03), "note", "end"),
    ]
    for one in bins:
        x, y = field.x(one["confidence"]), field.y(one["accuracy"])
        if one.get("accuracy_low") is not None:
            ends = field.y(one["accuracy_low"]), field.y(one["accuracy_high"])
            parts.append(line(x, ends[0], x, ends[1], "whisker own"))
        says = f"confidence {percent(one['confidence'])}: right {percent(one['accuracy'])}, "
        says += of_these(one["n"], "answer")
        parts.append(dot(x, y, round(3 + 7 * sqrt(one["n"] / most), 1), "disc", says))
    description = "Reliability diagram: " + "; ".join(
        f"confidence {percent(one['confidence'])}, right {percent(one['accuracy'])}, n {one['n']}"
        for one in bins
    )
    return drawing(field.width, field.height, description, *parts)


def scatter_chart(
    truth: Sequence[float], predicted: Sequence[float], axes: tuple[str, str], unit: str
) -> Html:
    """Predicted against true values, with the line on which they are equal."""
    both = padded(min(*truth, *predicted), max(*truth, *predicted))
    field = frame(both, both, size=(400, 360), say=whole)
    low, high = both
    parts: list[Content] = [
        x_axis(field, axes[0], whole),
        y_axis(field, axes[1], whole),
        line(field.x(low), field.y(low), field.x(high), field.y(high), "diagonal"),
        _dots(field, truth, predicted, unit),
    ]
    description = f"Scatter plot of {axes[1]} against {axes[0]} for {len(truth)} pictures."
    return drawing(field.width, field.height, description, *parts)


def residual_chart(
    truth: Sequence[float], predicted: Sequence[float], axes: tuple[str, str], unit: str
) -> Html:
    """What is left (predicted minus true) against the true value, around the line of zero."""
    left = [p - t for t, p in zip(truth, predicted, strict=True)]
    reach = max(abs(value) for value in left) or 1.0
    bound = padded(-reach, reach)
    field = frame(padded(min(truth), max(truth)), bound, size=(400, 360), say=whole)
    zero = field.y(0)
    parts: list[Content] = [
        x_axis(field, axes[0], whole),
        y_axis(field, axes[1], whole),
        line(field.x.start, zero, field.x.end, zero, "diagonal"),
        _dots(field, truth, left, unit),
    ]
    description = f"Residuals (predicted minus true) of {len(truth)} pictures against {axes[0]}."
    return drawing(field.width, field.height, description, *parts)


def _dots(field: Frame, x: Sequence[float], y: Sequence[float], unit: str) -> Html:
    unit = f" {unit}" if unit else ""
    style = "disc" if len(x) <= 300 else "disc many"
    radius = 4 if len(x) <= 300 else 2.5
    return join(
        dot(field.x(a), field.y(b), radius, style, f"{number(a)}{unit}, {number(b)}{unit}")
        for a, b in zip(x, y, strict=True)
    )


def class_bars(counts: dict[str, int]) -> Html:
    """How many samples each class has, as a row of thin bars, largest class full height."""
    most = max(counts.values(), default=0) or 1
    width = 240 / max(1, len(counts))
    gap = 1 if width > 3 else 0
    bars = [
        bar(
            round(i * width, 2),
            30 - 28 * n / most,
            width - gap,
            28 * n / most,
            "bar",
            f"{name}: {count(n)}",
        )
        for i, (name, n) in enumerate(counts.items())
    ]
    box = {"viewBox": "0 0 240 30", "class": "strip", "aria-hidden": "true"}
    return tag("svg", box, *bars)


def confusion_picture(matrix: Sequence[Sequence[int]], level: Callable[[int, int], int]) -> Html:
    """A matrix too large for labels: right answers blue, wrong ones orange, by level 1 to 5."""
    size = len(matrix)
    squares: dict[str, list[str]] = {}
    for i, row in enumerate(matrix):
        for j, n in enumerate(row):
            if n:
                style = f"{'right' if i == j else 'wrong'}-{level(n, sum(row))}"
                squares.setdefault(style, []).append(f"M{j} {i}h1v1h-1z")
    paths = [tag("path", {"d": "".join(p), "class": c}) for c, p in sorted(squares.items())]
    box = {
        "viewBox": f"0 0 {size} {size}",
        "role": "img",
        "class": "confusion-picture",
        "shape-rendering": "crispEdges",
        "aria-label": f"Confusion matrix of {size} classes: rows are the truth, columns the "
        "answer; the most confused pairs stand in the table beside it.",
    }
    return tag("svg", box, *paths)
