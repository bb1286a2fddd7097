"""A run in a notebook: a small fragment of HTML that carries its own style."""

from collections.abc import Mapping
from typing import Any

from vitreous.report.markup import Html, join, tag
from vitreous.report.sections.answer import best_baseline, headline_metric
from vitreous.report.words import (
    count,
    duration,
    interval,
    metric_value,
    metric_words,
    of_these,
    sample_word,
    short_count,
)

# Inherits the notebook's own colours, so that it fits light and dark ones.
BOX = "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:12px 16px;max-width:34rem"
LARGE = "font-size:1.7em;font-weight:600;font-variant-numeric:tabular-nums"
QUIET = "margin:.35em 0 0;font-size:.92em"


def summary_html(run: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> Html:
    """`run.json` and `evaluation.json` (None where not scored yet) as a few lines of HTML."""
    score = _score(run, evaluation) if evaluation and evaluation.get("metrics") else _no_score(run)
    return tag("div", {"style": BOX}, score, tag("div", {"style": QUIET}, _about(run)))


def _score(run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    name = headline_metric(run, evaluation)
    score = evaluation["metrics"][name]
    unit = score.get("unit") or None
    span = interval(name, score, unit)
    beside = f" {metric_words(name)}" + (f", 95 % interval {span}" if span else "")
    value = tag("span", {"style": LARGE}, metric_value(name, score["value"], unit))
    tested = of_these(evaluation["n"], f"test {sample_word(run)}")
    lines = [f"{tested}, scored once"]
    if best := best_baseline(name, evaluation):
        lines.append(f"best baseline ({best[0]}): {metric_value(name, best[1]['value'], unit)}")
    return join([tag("div", None, value, beside), tag("div", {"style": QUIET}, "; ".join(lines))])


def _no_score(run: Mapping[str, Any]) -> Html:
    return tag("div", None, tag("strong", None, f"Run {run.get('status', '')}: no test score yet"))


def _about(run: Mapping[str, Any]) -> str:
    network = run.get("network") or {}
    parts = [
        run.get("task"),
        f"{count(len(run['classes']))} classes" if run.get("classes") else None,
        network.get("name"),
        f"{short_count(network['parameters'])} parameters" if network.get("parameters") else None,
        duration((run.get("seconds") or {}).get("total")) if run.get("seconds") else None,
    ]
    return " · ".join(part for part in parts if part)
