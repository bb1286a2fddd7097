"""Behind the score: each class by itself, calibration, and a regression's errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from vitreous.report.charts import reliability_chart, residual_chart, scatter_chart
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import Cell, Column, Row, facts, figure, paragraph, section, table
from vitreous.report.payload import Payload
from vitreous.report.words import (
    count,
    interval,
    metric_value,
    metric_words,
    number,
    percent,
    sample_word,
)

OF_A_CLASS = {"iou": "IoU", "dice": "Dice", "dice_a_picture": "Dice of a picture"}
NOT_SCORES = ("class", "n", "pictures", "counts")
OF_BOXES = ("ap", "ap50", "ap75", "precision", "recall")  # the rest stands with the counts
AMONG = {
    "classify-multilabel": "pairs of a {word} and a class",
    "segment": "pixels",
    "detect": "boxes",
}


def per_class(payload: Payload) -> Html | None:
    """The table of classes, sortable."""
    rows = (payload["evaluation"] or {}).get("per_class") or []
    if not rows:
        return None
    names = [name for name in rows[0] if name not in NOT_SCORES]
    if (payload["evaluation"] or {}).get("boxes"):
        names = list(OF_BOXES)
    columns = [
        Column("class"),
        Column("n", numeric=True),
        *(Column(OF_A_CLASS.get(name) or metric_words(name), numeric=True) for name in names),
    ]
    made = [_class_row(row, names) for row in rows]
    caption = "Each class on the test part"
    if any(isinstance(row[name], Mapping) for row in rows for name in names):
        caption += "; small figures are 95\N{NO-BREAK SPACE}% intervals"
    return section(
        "classes", "Classes", table(caption, columns, made, sortable=True, style="per-class")
    )


def _class_row(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    return [
        str(row["class"]),
        Cell(count(row["n"]), row["n"]),
        *(_score(n, row.get(n)) for n in names),
    ]


def _score(name: str, score: Mapping[str, Any] | float | None) -> Cell:
    if not isinstance(score, Mapping):
        return Cell(metric_value(name, score), score)
    span = interval(name, score)
    value = tag("span", None, metric_value(name, score.get("value")))
    return Cell(
        tag("span", {"class": "with-interval"}, value, tag("small", None, span) if span else None),
        score.get("value"),
    )


def calibration(payload: Payload) -> Html | None:
    """Whether a confidence of 90 % is right nine times of ten."""
    found = (payload["evaluation"] or {}).get("calibration") or {}
    bins = [one for one in found.get("bins") or [] if one.get("n")]
    if not bins:
        return None
    several = payload["run"]["task"] == "classify-multilabel"
    word = sample_word(payload["run"])
    among = AMONG.get(payload["run"]["task"], f"{word}s").format(word=word)
    among = "voxels" if (word, among) == ("scan", "pixels") else among
    should = "have the class" if several else "be right"
    explained = (
        f"Among the {among} that the network answered with about 90 % confidence, about 90 % "
        f"should {should}: the dots should lie on the line. Below it the network is too sure, "
        f"above it not sure enough. A dot's area is the number of {among} in the test part, its "
        "line the 95 % interval."
    )
    if among in ("pixels", "voxels"):  # those of one picture are right or wrong together
        explained = explained.replace(", its line the 95 % interval", "")

    truth = "share that has the class" if several else "share that was right"
    split = payload["split"]
    scaled = split is None or "val" in split["parts"]  # nothing else may set a temperature
    caption = f"Reliability on the test part, {'after scaling' if scaled else 'as answered'}"
    return section(
        "calibration",
        "Calibration",
        tag(
            "div",
            {"class": "beside"},
            figure(reliability_chart(bins, truth), caption),
            tag("div", None, paragraph(explained), _temperature(found, scaled)),
        ),
    )


def _temperature(found: Mapping[str, Any], scaled: bool) -> Html:
    if not scaled:
        said = paragraph(
            "There is no validation part that a temperature could be fitted on: confidence is as "
            "the network gave it."
        )
        return join([said, facts([("ECE", percent(found.get("ece_after")))])])
    return facts(
        [
            ("Temperature, fitted on validation", number(found.get("temperature"))),
            ("ECE before", percent(found.get("ece_before"))),
            ("ECE after", percent(found.get("ece_after"))),
        ]
    )


def regression(payload: Payload) -> Html | None:
    """Predicted against true numbers, and what is left."""
    points = payload["points"]
    if points is None or not points["truth"]:
        return None
    unit = payload["run"].get("unit") or ""
    in_unit = f" in {unit}" if unit else ""
    shown = len(points["truth"])
    some = f" ({shown:,} of {points['n']:,} points)" if shown < points["n"] else ""
    truth, predicted = points["truth"], points["predicted"]
    scatter = scatter_chart(truth, predicted, (f"truth{in_unit}", f"predicted{in_unit}"), unit)
    axes = (f"truth{in_unit}", f"predicted − truth{in_unit}")
    residuals = residual_chart(truth, predicted, axes, unit)
    return section(
        "predictions",
        "Predictions",
        tag(
            "div",
            {"class": "charts"},
            figure(
                scatter, f"Predicted against true numbers, test part{some}; on the line they agree"
            ),
            figure(residuals, f"What is left: predicted minus true{some}"),
        ),
    )
