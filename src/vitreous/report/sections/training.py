"""Curves: what happened epoch by epoch."""

from collections.abc import Mapping
from typing import Any

from vitreous.report.charts import Line, line_chart, share_tick, whole
from vitreous.report.markup import Html, tag
from vitreous.report.parts import figure, paragraph, section
from vitreous.report.payload import Payload
from vitreous.report.words import (
    capital,
    is_share,
    metric_value,
    metric_words,
    of_these,
    plain_metric,
    sample_word,
)

History = Mapping[str, list[float | None]]

NOT_CURVES = {"step", "epoch", "seconds", "train_loss", "val_loss", "lr", "pictures_per_second"}


def training(payload: Payload) -> Html:
    """Loss, each validation metric and the learning rate."""
    history, run = payload["history"], payload["run"]
    steps = [step for step in history.get("epoch", []) if step is not None]
    if not steps or len(steps) != len(history["epoch"]):
        return section("training", "Training", paragraph("No epoch was completed."))
    best = (run.get("best") or {}).get("epoch")
    marked = (float(best), f"kept: epoch {best}") if best is not None else None
    word = sample_word(run)
    charts = [_losses(history, steps, marked, word)]
    charts += [_metric(name, history, steps, marked, word) for name in _metrics(history)]
    charts.append(_learning_rate(history, steps))
    return section(
        "training",
        "Training",
        paragraph(_in_words(run, history)),
        tag("div", {"class": "charts"}, *charts),
    )


def _in_words(run: Mapping[str, Any], history: History) -> str:
    best, planned = run.get("best") or {}, run.get("planned_steps")
    last = (history.get("step") or [None])[-1]
    said = f"{of_these(len(history['epoch']), 'epoch')} were trained"
    if planned and last is not None and last < planned:
        said += f", {last:,.0f} of {planned:,} planned steps"
        if run.get("status") != "interrupted":
            said += ": training stopped early because validation no longer improved"
    if best.get("value") is not None:
        value = metric_value(best["metric"], best["value"], run.get("unit"))
        kept = f"of epoch {best['epoch']}" if best["epoch"] else "from before the first epoch"
        said += f". The weights {kept} were kept: "
        said += f"{metric_words(best['metric'])} on validation {value}"
    return said + "."


def _losses(
    history: History, steps: list[float], marked: tuple[float, str] | None, word: str
) -> Html | None:
    known = {"train_loss": ("training", "one"), "val_loss": ("validation", "two")}
    lines = [
        Line(name, history[column], style)
        for column, (name, style) in known.items()
        if _has_values(history.get(column))
    ]
    if not lines:
        return None
    chart = line_chart(lines, steps, axes=("epoch", "loss"), marked=marked)
    return figure(
        chart,
        f"Loss. That of training is the one that is minimised: measured on changed {word}s and, "
        "where the recipe says so, with smoothed labels, it may lie above that of validation.",
    )


def _metrics(history: History) -> list[str]:
    columns = [n for n in history if n.startswith("val_") and n not in NOT_CURVES]
    return [name for name in columns if _has_values(history[name])]


def _metric(
    name: str,
    history: History,
    steps: list[float],
    marked: tuple[float, str] | None,
    word: str,
) -> Html:
    words = metric_words(name)
    lines = [Line("validation", history[name], "two")]
    on_training = f"train_{plain_metric(name)}"
    if _has_values(history.get(on_training)):
        lines.insert(0, Line("training", history[on_training], "one"))
    chart = line_chart(
        lines,
        steps,
        axes=("epoch", words),
        say=lambda value: metric_value(name, value),
        tick=share_tick if is_share(name) else whole,
        marked=marked,
    )
    return figure(chart, f"{capital(words)} on validation {word}s")


def _learning_rate(history: History, steps: list[float]) -> Html | None:
    if not _has_values(history.get("lr")):
        return None
    chart = line_chart([Line("", history["lr"], "two")], steps, axes=("epoch", "learning rate"))
    return figure(chart, "Learning rate")


def _has_values(column: list[float | None] | None) -> bool:
    return any(value is not None for value in column or [])
