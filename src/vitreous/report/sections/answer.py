"""The answer: the score with its interval, beside the baselines, in words for a paper."""

from collections.abc import Mapping
from typing import Any

from vitreous.report.charts import interval_strip
from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.parts import (
    Column,
    bullets,
    facts,
    note,
    paragraph,
    section,
    strong,
    table,
)
from vitreous.report.payload import Payload
from vitreous.report.sections.paper import for_the_paper
from vitreous.report.svg import padded
from vitreous.report.words import (
    capital,
    interval,
    is_share,
    method_words,
    metric_value,
    metric_words,
    number,
    of_these,
    plain_metric,
    sample_word,
    undefined_words,
)

DEFAULTS = {
    "classify": "accuracy",
    "classify-multilabel": "mean_average_precision",
    "regress": "mae",
    "segment": "iou",
    "detect": "ap",
}

Score = Mapping[str, Any]


def answer(payload: Payload) -> Html:
    """The first section; without an evaluation it says what is missing and why."""
    evaluation = payload["evaluation"]
    if evaluation is None or not evaluation.get("metrics"):
        return section("answer", "Answer", _no_answer(payload), _remarks(payload))
    name = headline_metric(payload["run"], evaluation)
    return section(
        "answer",
        "Answer",
        _headline(name, payload),
        _remarks(payload),
        _against_baselines(name, payload),
        _all_metrics(payload),
        for_the_paper(name, payload),
    )


def headline_metric(run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """What the run was chosen by, where that is a score; else the task's usual metric."""
    defined = [
        name for name, score in evaluation["metrics"].items() if score.get("value") is not None
    ]
    chosen_by = plain_metric((run.get("best") or {}).get("metric") or "")
    if chosen_by in defined and chosen_by not in ("log_loss", "ece"):
        return chosen_by
    usual = DEFAULTS.get(run["task"], "")
    return usual if usual in defined else next(iter(defined), next(iter(evaluation["metrics"])))


def _headline(name: str, payload: Payload) -> Html:
    evaluation = payload["evaluation"] or {}
    score = evaluation["metrics"][name]
    unit = score.get("unit")
    span = interval(name, score, unit)
    level = f"{100 * score.get('level', 0.95):g}\N{NO-BREAK SPACE}%"
    figure = tag(
        "p",
        {"class": "score"},
        tag("span", {"class": "score-value"}, metric_value(name, score["value"], unit)),
        tag("span", {"class": "score-name"}, f"{metric_words(name)} on the test part"),
        tag("span", {"class": "score-interval"}, f"{level} interval {span}" if span else None),
    )
    return join([figure, paragraph(*_in_words(name, payload), style="lead")])


def _in_words(name: str, payload: Payload) -> list[Content]:
    evaluation = payload["evaluation"] or {}
    score = evaluation["metrics"][name]
    unit = score.get("unit")
    value = strong(metric_value(name, score["value"], unit))
    test = of_these(evaluation["n"], f"test {sample_word(payload['run'])}")
    if evaluation.get("n_groups") and evaluation["n_groups"] != evaluation["n"]:
        group = "patient" if sample_word(payload["run"]) == "scan" else "group"
        test += f" from {of_these(evaluation['n_groups'], group)}"
    verb = "On " + test + " that took no part in training or in any choice, "
    if name == "accuracy":
        said: list[Content] = [verb, "the network was right in ", value]
    else:
        said = [verb, f"the network's {metric_words(name)} is ", value]
    if span := interval(name, score, unit):
        method = method_words(score.get("method"))
        level = f"{100 * score.get('level', 0.95):g}\N{NO-BREAK SPACE}%"
        said.append(f" ({level} interval {span}{', ' + method if method else ''})")
    return [*said, ". ", *_verdict(name, payload)]


def _verdict(name: str, payload: Payload) -> list[Content]:
    """One sentence on what the network adds to the best baseline."""
    evaluation = payload["evaluation"] or {}
    own = evaluation["metrics"][name]
    unit = own.get("unit")
    best = best_baseline(name, evaluation)
    if best is None:
        return []
    title, score = best
    sign = 1 if own.get("higher_is_better", True) else -1
    gain = sign * (own["value"] - score["value"])
    size = _difference(name, abs(gain), unit)
    against = f"the best baseline, {title} ({metric_value(name, score['value'], unit)})"
    if gain == 0:
        return [strong("It only equals "), against, "."]
    if gain < 0:
        return [strong("It does not beat "), against, f": it is {size} worse."]
    if _overlap(own, score):
        return [
            f"It is {size} better than {against}, but the two intervals overlap: ",
            f"this many test {sample_word(payload['run'])}s cannot settle the difference by "
            "themselves.",
        ]
    return [f"It is {size} better than {against}, and the two intervals do not overlap."]


def best_baseline(name: str, evaluation: Mapping[str, Any]) -> tuple[str, Score] | None:
    """The baseline that does best by this metric, where any was measured by it."""
    scores = {
        title: metrics[name]
        for title, metrics in (evaluation.get("baselines") or {}).items()
        if (metrics.get(name) or {}).get("value") is not None
    }
    if not scores:
        return None
    sign = 1 if evaluation["metrics"][name].get("higher_is_better", True) else -1
    return max(scores.items(), key=lambda item: sign * item[1]["value"])


def _difference(name: str, size: float, unit: str | None) -> str:
    if is_share(name, unit):
        return f"{100 * size:.1f} percentage points"
    return f"{number(size)}{' ' + unit if unit else ''}"


def _overlap(one: Score, other: Score) -> bool:
    if None in (one.get("low"), other.get("low"), one.get("high"), other.get("high")):
        return False
    return one["low"] <= other["high"] and other["low"] <= one["high"]


def _against_baselines(name: str, payload: Payload) -> Html | None:
    evaluation = payload["evaluation"] or {}
    unit = evaluation["metrics"][name].get("unit")
    scores = {"this network": evaluation["metrics"][name]}
    for title, metrics in (evaluation.get("baselines") or {}).items():
        if (metrics.get(name) or {}).get("value") is not None:
            scores[title] = metrics[name]
    span = _span(name, list(scores.values()), unit)
    rows = [
        (
            strong(title) if index == 0 else title,
            interval_strip(span, score["value"], score.get("low"), score.get("high"), index == 0),
            metric_value(name, score["value"], unit),
            interval(name, score, unit) or "",
        )
        for index, (title, score) in enumerate(scores.items())
    ]
    ends = [tag("span", None, metric_value(name, end, unit)) for end in span]
    columns = [
        Column("answered by"),
        Column(tag("span", {"class": "ends"}, *ends)),
        Column(metric_words(name), numeric=True),
        Column("95\N{NO-BREAK SPACE}% interval", numeric=True),
    ]
    better = "more" if evaluation["metrics"][name].get("higher_is_better", True) else "less"
    caption = f"{capital(metric_words(name))} beside the baselines, same test part; "
    return table(f"{caption}{better} is better", columns, rows, style="strips")


def _span(name: str, scores: list[Score], unit: str | None) -> tuple[float, float]:
    if is_share(name, unit) or name in ("auroc", "mean_average_precision", "ap", "ap50", "ap75"):
        return 0.0, 1.0
    ends = [score.get(end) for score in scores for end in ("value", "low", "high")]
    known = [end for end in ends if end is not None]
    return padded(min(0.0, *known), max(known))


def _all_metrics(payload: Payload) -> Html | None:
    evaluation = payload["evaluation"] or {}
    metrics, baselines = evaluation["metrics"], evaluation.get("baselines") or {}
    columns = [
        Column("metric"),
        Column("this network", numeric=True),
        Column("interval", numeric=True),
        *(Column(title, numeric=True) for title in baselines),
        Column("interval by", wide=True),
    ]
    rows = []
    for name, score in metrics.items():
        unit = score.get("unit")
        rows.append(
            (
                _with_direction(name, score),
                strong(metric_value(name, score.get("value"), unit)),
                interval(name, score, unit) or undefined_words(score) or "",
                *(
                    metric_value(name, (found.get(name) or {}).get("value"), unit)
                    for found in baselines.values()
                ),
                tag("small", None, method_words(score.get("method")) or ""),
            )
        )
    caption = "All metrics on the test part, with 95\N{NO-BREAK SPACE}% intervals"
    return table(caption, columns, rows, style="metrics")


def _with_direction(name: str, score: Score) -> Html:
    less = None if score.get("higher_is_better", True) else tag("small", None, " less is better")
    return join([capital(metric_words(name)), less])


def _no_answer(payload: Payload) -> Html:
    status = payload["run"].get("status") or ""
    words = {
        "interrupted": "Training was interrupted before the test part was scored.",
        "running": "Training is still running; the test part has not been scored.",
    }.get(status, "The test part has not been scored.")
    best = payload["run"].get("best") or {}
    rows: list[tuple[str, Content]] = []
    if best.get("value") is not None:
        name = best["metric"]
        value = metric_value(name, best["value"], None)
        rows = [("Best on validation", f"{metric_words(name)} {value}, epoch {best['epoch']}")]
    return join(
        [
            note(
                strong(words),
                " There is no score to report yet; the rest of this page shows "
                "what there is. A figure on validation is not a test score: the weights were "
                "chosen by it.",
                style="warning",
            ),
            facts(rows) if rows else None,
        ]
    )


def _remarks(payload: Payload) -> Html | None:
    run, evaluation = payload["run"], payload["evaluation"] or {}
    said = [*((run.get("data") or {}).get("warnings") or []), *(evaluation.get("warnings") or [])]
    if run.get("status") == "interrupted" and evaluation:
        said.insert(0, "Training was interrupted; the score is that of the best weights so far.")
    if not said:
        return None
    return note(strong("To keep in mind"), bullets(dict.fromkeys(said)), style="warning")
