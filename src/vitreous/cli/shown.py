"""How results look on a terminal: one way for all verbs."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vitreous.evaluation.compare import Comparison

PERCENT = {"accuracy", "balanced_accuracy", "exact_match"}


def print_result(evaluation: dict[str, Any], what: str) -> None:
    """Scores with their intervals beside the baselines, then what to be careful about."""
    console = Console(highlight=False)
    groups = evaluation.get("n_groups")
    of_groups = f" in {groups} groups" if groups else ""
    baselines = evaluation.get("baselines", {})
    table = Table(
        title=f"{what}: {evaluation['n']:,} samples{of_groups}",
        title_justify="left",
        caption="95 % intervals; the arrow says which way is better.",
        caption_justify="left",
    )
    table.add_column("metric")
    table.add_column("network", justify="right")
    for name in baselines:
        table.add_column(name, justify="right", max_width=24)
    for name, score in evaluation["metrics"].items():
        arrow = "↑" if score["higher_is_better"] else "↓"
        others = [shown_score(name, metrics.get(name), False) for metrics in baselines.values()]
        table.add_row(f"{name.replace('_', ' ')} {arrow}", shown_score(name, score), *others)
    console.print(table)
    for warning in evaluation.get("warnings", []):
        console.print(f"note: {warning}", soft_wrap=True)


def shown_score(name: str, score: dict[str, Any] | None, interval: bool = True) -> str:
    """A score for people: `97.2 % (95.0 to 98.5)` or `0.123 (0.101 to 0.140)`.

    >>> shown_score("accuracy", {"value": 0.972, "low": 0.95, "high": 0.985, "unit": None})
    '97.2 % (95.0 to 98.5)'
    """
    if score is None or score["value"] is None:
        return "-"
    percent = name in PERCENT
    scale, digits = (100.0, 1) if percent else (1.0, 3)
    unit = " %" if percent else f" {score['unit']}" if score.get("unit") else ""
    shown = f"{scale * score['value']:.{digits}f}{unit}"
    if not interval or score.get("low") is None:
        return shown
    return f"{shown} ({scale * score['low']:.{digits}f} to {scale * score['high']:.{digits}f})"


def print_comparisons(found: "dict[str, Comparison]", first: str, second: str) -> None:
    """Both values and their paired difference by metric, then the verdict in words."""
    console = Console(highlight=False)
    n = next(iter(found.values())).n
    table = Table(
        title=f"{n:,} samples, paired",
        title_justify="left",
        caption="Difference: first minus second, with its 95 % interval.",
        caption_justify="left",
    )
    table.add_column("metric")
    table.add_column(first, justify="right", overflow="fold")
    table.add_column(second, justify="right", overflow="fold")
    table.add_column("difference", justify="right")
    table.add_column("better")
    for name, item in found.items():
        arrow = "↑" if item.difference.higher_is_better else "↓"
        values = [
            shown_score(name, {"value": value, "unit": item.difference.unit}, False)
            for value in (item.first, item.second)
        ]
        difference = shown_score(name, item.difference.to_json())
        table.add_row(
            f"{name.replace('_', ' ')} {arrow}", *values, difference, item.better or "not shown"
        )
    console.print(table)
    main = next(iter(found.values()))
    console.print(main.verdict, soft_wrap=True)
    if main.agreement:
        counts = main.agreement
        p = "" if counts.p is None else f"; exact McNemar p = {counts.p:.3g}"
        console.print(
            f"both right {counts.both:,}, only the first {counts.only_first:,}, only the second "
            f"{counts.only_second:,}, neither {counts.neither:,}{p}",
            soft_wrap=True,
        )
