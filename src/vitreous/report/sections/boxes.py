"""What a detector did with each box: counts, curves, and pictures with truth and answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from vitreous.report.box_charts import precision_recall_chart
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import (
    Cell,
    Column,
    figure,
    paragraph,
    section,
    table,
)
from vitreous.report.payload import Payload
from vitreous.report.words import count, interval, number, percent

KINDS = ("right", "missed", "false", "doubled", "misplaced", "misnamed")
CURVES = 12  # classes whose curves are drawn
MEANING = {
    "right": "overlaps a true box of its class by half or more",
    "missed": "true boxes that no answer takes",
    "false": "answers where nothing is",
    "doubled": "a second answer on one thing",
    "misplaced": "overlaps its thing by less than half",
    "misnamed": "in the place of a thing of another class",
}


def boxes(payload: Payload) -> Html | None:
    """The section of a detector; None for other tasks."""
    evaluation = payload["evaluation"] or {}
    found = evaluation.get("boxes")
    if not found:
        return None
    return section(
        "boxes",
        "Boxes",
        paragraph(
            "An answer counts below from its class's confidence on: on the validation part that "
            "had the best F1, and of those about as good the best counts. Every true box is right "
            "or missed; every answer is right, or wrong in one way."
        ),
        _what_became(found, evaluation.get("per_class") or []),
        _counting(evaluation.get("per_class") or []),
        _curves(found),
    )


def _what_became(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Html:
    columns = [
        Column("class"),
        Column("counts from a confidence of", numeric=True),
        *(Column(tag("span", {"title": MEANING[kind]}, kind), numeric=True) for kind in KINDS),
    ]
    made = [
        [
            str(row["class"]),
            percent(found["confidence"][row["class"]]),
            *(Cell(count(row["counts"][kind]), row["counts"][kind]) for kind in KINDS),
        ]
        for row in rows
    ]
    made.append(["all", "", *(count(found["counts"][kind]) for kind in KINDS)])
    a_picture = [
        f"{number(score['value'])} ({interval(kind, score) or 'no interval'})"
        for kind, score in ((kind, found["a_picture"][kind]) for kind in KINDS)
    ]
    made.append(["a picture, with 95\N{NO-BREAK SPACE}% interval", "", *a_picture])
    said = "; ".join(f"{kind}: {words}" for kind, words in MEANING.items())
    return join([
        table("What became of each box of the test part", columns, made),
        paragraph(tag("small", None, f"{said}.")),
    ])  # fmt: skip


def _counting(rows: Sequence[Mapping[str, Any]]) -> Html | None:
    if not rows:
        return None
    columns = [
        Column("class"),
        Column("true boxes", numeric=True),
        Column("answered", numeric=True),
        Column("mean error of the count, a picture", numeric=True),
        Column("95\N{NO-BREAK SPACE}% interval", numeric=True),
    ]
    made = [
        [
            str(row["class"]),
            count(row["n"]),
            count(sum(row["counts"].values()) - row["counts"]["missed"]),
            number(row["count_error"]["value"]),
            interval("count_error", row["count_error"]) or "",
        ]
        for row in rows
    ]
    return table("Counting: |answered − true| boxes of a class, a picture", columns, made)


def _curves(found: Mapping[str, Any]) -> Html | None:
    curves = [curve for curve in found["curves"] if curve["recall"]]
    if not curves:
        return None
    shown = sorted(curves, key=lambda curve: -len(curve["recall"]))[:CURVES]
    charts = [
        figure(
            precision_recall_chart(curve, found["confidence"][curve["class"]]), str(curve["class"])
        )
        for curve in curves
        if curve in shown
    ]
    return join([
        tag("h3", None, "Precision and recall"),
        paragraph(
            "Of each class at an overlap of 0.5, on the test part; along a line the confidence "
            "from which an answer counts falls."
        ),
        tag("div", {"class": "charts"}, *charts),
    ])  # fmt: skip
