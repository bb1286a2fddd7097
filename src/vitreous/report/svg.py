"""The parts of every chart: scales, round ticks, axes, labels. Colours come from the page's CSS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from vitreous.report.markup import Content, Html, join, tag

LETTER = 6.6  # the width of a digit in a tick's label


@dataclass(frozen=True)
class Scale:
    """A straight line from values (`low` to `high`) to places in the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of `value`, to a tenth of a unit; values outside stay at the border."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


@dataclass(frozen=True)
class Frame:
    """A chart's field: the drawing's size and the two scales that place values in it."""

    width: float
    height: float
    x: Scale
    y: Scale


def frame(
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    size: tuple[float, float] = (400, 260),
    top: float = 14,
    right: float = 16,
    say: Callable[[float], str] = str,
) -> Frame:
    """A field of `size` (width, height); on the left there is room for the labels `say` makes."""
    width, height = size
    bottom, left = 44, 34 + LETTER * max(len(say(value)) for value in ticks(*y))
    return Frame(width, height, Scale(*x, left, width - right), Scale(*y, height - bottom, top))


def round_step(span: float, about: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that cuts `span` into about `about` parts.

    >>> round_step(1.0, about=5), round_step(37, about=4)
    (0.2, 10)
    """
    rough = span / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return int(step) if step >= 1 else step


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within `low` to `high`.

    >>> ticks(0, 1), ticks(3, 41, about=4)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [10, 20, 30, 40])
    """
    step = round_step(high - low, about)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    digits = max(0, -floor(log10(step)))
    return [round(k * step, digits) if digits else k * step for k in range(first, last + 1)]


def padded(low: float, high: float) -> tuple[float, float]:
    """A range with round ends around the values, never empty.

    >>> padded(0.13, 0.97), padded(5, 5)
    ((0.0, 1.0), (4, 6))
    """
    if not high > low:
        margin = abs(low) * 0.2 or 1
        return (low - 1, low + 1) if abs(low) >= 1 else (low - margin, low + margin)
    step = round_step(high - low, 5)
    digits = max(0, -floor(log10(step)))
    return round(floor(low / step) * step, digits), round(ceil(high / step) * step, digits)


def words(content: str, x: float, y: float, style: str = "", anchor: str = "start") -> Html:
    """A text whose baseline starts (or is centred, or ends) at x, y."""
    place = {"x": x, "y": y, "class": style or None}
    if anchor != "start":
        place["text-anchor"] = anchor
    return tag("text", place, content)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    """A straight line."""
    return tag("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": style})


def polyline(points: Sequence[tuple[float, float]], style: str) -> Html:
    """A line through points."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return tag("polyline", {"points": path, "class": style})


def dot(x: float, y: float, radius: float, style: str, says: str | None = None) -> Html:
    """A disc; `says` is shown while the pointer rests on it."""
    place = {"cx": x, "cy": y, "r": radius, "class": style}
    return tag("circle", place, tag("title", None, says)) if says else tag("circle", place)


def bar(
    x: float, y: float, width: float, height: float, style: str, says: str | None = None
) -> Html:
    """A rectangle; `says` is shown while the pointer rests on it."""
    place = {"x": x, "y": y, "width": round(width, 1), "height": round(height, 1), "class": style}
    return tag("rect", place, tag("title", None, says)) if says else tag("rect", place)


def x_axis(field: Frame, title: str, say: Callable[[float], str], about: int = 5) -> Html:
    """The lower axis: a line, ticks with labels, the title below."""
    bottom, last = field.y.start, field.x.end
    marks: list[Content] = [line(field.x.start, bottom, last, bottom, "axis")]
    for value in ticks(field.x.low, field.x.high, about):
        place = field.x(value)
        marks.append(line(place, bottom, place, bottom + 4, "axis"))
        marks.append(words(say(value), place, bottom + 17, "tick", "middle"))
    middle = (field.x.start + last) / 2
    return join([*marks, words(title, middle, bottom + 36, "axis-title", "middle")])


def y_axis(field: Frame, title: str, say: Callable[[float], str], about: int = 5) -> Html:
    """The left axis: light lines across with labels, the title along the side."""
    left, right = field.x.start, field.x.end
    marks: list[Content] = []
    for value in ticks(field.y.low, field.y.high, about):
        place = field.y(value)
        marks.append(line(left, place, right, place, "grid"))
        marks.append(words(say(value), left - 7, round(place + 4, 1), "tick", "end"))
    middle = (field.y.start + field.y.end) / 2
    turned = {"transform": f"translate(12 {middle:g}) rotate(-90)", "class": "axis-title"}
    turned["text-anchor"] = "middle"
    return join([*marks, tag("text", turned, title)])


def drawing(width: float, height: float, description: str, *content: Content) -> Html:
    """The whole picture, with a description for those who cannot see it."""
    box = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-label": description,
        "class": "chart",
    }
    return tag("svg", {**box, "style": f"max-width:{1.25 * width:g}px"}, *content)
