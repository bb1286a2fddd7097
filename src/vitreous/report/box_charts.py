"""Charts of a detector, each from plain numbers to one SVG drawing."""

from collections.abc import Mapping
from typing import Any

from vitreous.report.charts import share_tick
from vitreous.report.markup import Content, Html
from vitreous.report.svg import dot, drawing, frame, polyline, words, x_axis, y_axis
from vitreous.report.words import percent

HOVERED = 40  # points that say their numbers while the pointer rests on them


def precision_recall_chart(curve: Mapping[str, Any], chosen: float) -> Html:
    """One class's precision (y) at each recall (x), with the place of the `chosen` confidence."""
    field = frame((0, 1), (0, 1), size=(320, 260), say=share_tick)
    points = list(zip(curve["recall"], curve["precision"], curve["confidence"], strict=True))
    parts: list[Content] = [
        x_axis(field, "recall", share_tick),
        y_axis(field, "precision", share_tick),
        polyline([(field.x(r), field.y(p)) for r, p, _ in points], "line two"),
    ]
    step = max(1, len(points) // HOVERED)
    parts += [
        dot(field.x(recall), field.y(precision), 4, "hover",
            f"confidence {percent(confidence)}: recall {percent(recall)}, "
            f"precision {percent(precision)}")
        for recall, precision, confidence in points[::step]
    ]  # fmt: skip
    counted = [point for point in points if point[2] >= chosen]
    said = f"Precision and recall of {curve['class']}"
    if counted:
        recall, precision, _ = counted[-1]
        says = f"chosen: recall {percent(recall)}, precision {percent(precision)}"
        parts.append(dot(field.x(recall), field.y(precision), 5, "point own", says))
        late = recall > 0.5
        x, y = field.x(recall) + (-8 if late else 8), field.y(precision) + 18
        parts.append(words("chosen", x, y, "note", "end" if late else "start"))
        said += f"; at the chosen confidence {percent(recall)} and {percent(precision)}"
    return drawing(field.width, field.height, f"{said}.", *parts)
