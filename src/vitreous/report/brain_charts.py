"""Drawings of what a decoder of EEG listens to: responses over bands, values on a head."""

from collections.abc import Sequence

from vitreous.report.charts import whole
from vitreous.report.listening_shown import BandShown, CurveShown, ScalpShown, SpreadShown
from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.svg import LETTER, Frame, dot, drawing, frame, line, polyline, words, x_axis
from vitreous.report.words import MINUS

BAND_LETTERS = {"delta": "δ", "theta": "θ", "alpha": "α", "beta": "β", "gamma": "γ"}
HEAD_RADIUS = 100.0  # of the head's circle, in the drawing's units


def response_chart(
    curves: Sequence[CurveShown],
    frequencies_hz: Sequence[float],
    bands: Sequence[BandShown],
    description: str,
    size: tuple[float, float] = (400, 230),
) -> Html:
    """Gain over frequency, a line a kernel, above the usual bands with their letters."""
    field = _over_bands(frequencies_hz, size)
    parts: list[Content] = [*_bands(field, bands)]
    parts.append(x_axis(field, "frequency (Hz)", whole))
    for one in curves:
        points = [
            (field.x(hz), field.y(gain))
            for hz, gain in zip(frequencies_hz, one["gain"], strict=True)
        ]
        says = f"{one['name']}: peak at {one['peak_hz']:.1f} Hz"
        title = tag("title", None, says)
        style = "line two" if len(curves) == 1 else "line many"
        parts.append(tag("g", None, title, polyline(points, style)))
        peak = max(points, key=lambda point: -point[1])
        parts.append(dot(peak[0], peak[1], 7, "hover", says))
    return drawing(field.width, field.height, description, *parts)


def spread_chart(
    spread: SpreadShown,
    frequencies_hz: Sequence[float],
    bands: Sequence[BandShown],
    description: str,
) -> Html:
    """What half of many kernels let through, their median, and a mark at each one's peak."""
    field = _over_bands(frequencies_hz, (400, 230))
    places = [field.x(hz) for hz in frequencies_hz]
    lower, median, upper = (
        [(x, field.y(gain)) for x, gain in zip(places, spread[name], strict=True)]
        for name in ("lower", "median", "upper")
    )
    outline = "M" + "L".join(f"{x:g} {y:g}" for x, y in [*lower, *reversed(upper)]) + "Z"
    parts: list[Content] = [*_bands(field, bands), x_axis(field, "frequency (Hz)", whole)]
    parts.append(tag("path", {"d": outline, "class": "reach"}))
    parts.append(polyline(median, "line two"))
    for name, peak_hz in spread["peaks"]:
        x, top = field.x(peak_hz), field.y.end
        title = tag("title", None, f"{name}: peak at {peak_hz:.1f} Hz")
        parts.append(tag("g", None, title, line(x, top, x, top + 9, "line many")))
    return drawing(field.width, field.height, description, *parts)


def _over_bands(frequencies_hz: Sequence[float], size: tuple[float, float]) -> Frame:
    """Gains from 0 to 1 over frequency, with room above for the bands' letters."""
    ends = (frequencies_hz[0], frequencies_hz[-1])
    return frame(ends, (0.0, 1.0), size=size, top=24, say=lambda _: "")


def _bands(field: Frame, bands: Sequence[BandShown]) -> list[Html]:
    """A line at each band's beginning, and its letter above where there is room for it."""
    top, bottom = field.y.end, field.y.start
    found = []
    for band in bands:
        low, high = field.x(band["low_hz"]), field.x(min(band["high_hz"], field.x.high))
        if high <= low:
            continue
        found.append(line(low, bottom, low, top - 12, "grid"))
        letter = BAND_LETTERS.get(band["band"], band["band"])
        if high - low >= LETTER:
            found.append(words(letter, (low + high) / 2, top - 6, "note", "middle"))
    return found


def head(shown: ScalpShown, what: str) -> Html:
    """Values on a head seen from above, nose up: the map, the electrodes with names, an outline."""
    outer = HEAD_RADIUS * max(1.16, shown["reach"] + 0.04)
    half = HEAD_RADIUS * shown["reach"]
    box = f"{-outer:.0f} {-outer - 6:.0f} {2 * outer:.0f} {2 * outer + 6:.0f}"
    place = {"x": -half, "y": -half, "width": 2 * half, "height": 2 * half}
    parts: list[Content] = [
        tag("image", {**place, "href": shown["picture"], "preserveAspectRatio": "none"}),
        tag("circle", {"cx": 0, "cy": 0, "r": HEAD_RADIUS, "class": "scalp"}),
        tag("path", {"d": "M-12 -99 Q-4 -113 0 -114 Q4 -113 12 -99", "class": "scalp"}),
        tag("path", {"d": "M-99 -14 Q-112 -16 -109 2 Q-108 20 -98 16", "class": "scalp"}),
        tag("path", {"d": "M99 -14 Q112 -16 109 2 Q108 20 98 16", "class": "scalp"}),
    ]
    for one in shown["electrodes"]:
        x, y = HEAD_RADIUS * one["right"], -HEAD_RADIUS * one["front"]
        says = f"{one['name']}: {signed(one['value'])}"
        parts.append(dot(round(x, 1), round(y, 1), 2.2, "electrode"))
        parts.append(dot(round(x, 1), round(y, 1), 7, "hover", says))
        if one["named"]:
            parts.append(words(one["name"], round(x, 1), round(y - 5, 1), "electrode-name",
                               "middle"))  # fmt: skip
    described = f"{what}, seen from above, nose up; strongest at {strongest_words(shown)}."
    return tag(
        "svg", {"viewBox": box, "role": "img", "aria-label": described, "class": "head"}, *parts
    )


def strongest_words(shown: ScalpShown, most: int = 3) -> str:
    """The strongest channels with their values, largest first.

    >>> strongest_words({"strongest": [("C3", 1.0), ("C4", -0.5)]})
    'C3 (+1.00), C4 (−0.50)'
    """
    return ", ".join(f"{name} ({signed(value)})" for name, value in shown["strongest"][:most])


def signed(value: float) -> str:
    """A value from -1 to 1 with its sign.

    >>> signed(-0.256)
    '−0.26'
    """
    return f"{value:+.2f}".replace("-", MINUS)


def scalp_legend() -> Html:
    """The scale of all heads: the strongest electrode of each is 1."""
    bar = tag("span", {"class": "ramp signed", "aria-hidden": "true"})
    ends = [tag("span", None, text) for text in (f"{MINUS}1", "0", "+1")]
    return tag("span", {"class": "legend"}, join([bar, tag("span", {"class": "ramp-ends"}, *ends)]))
