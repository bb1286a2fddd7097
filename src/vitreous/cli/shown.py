"""How results look on a terminal: one way for all verbs."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vitreous.evaluation.compare import Comparison

MOST_BESIDE = 2  # baselines, or figures of them, that fit into a terminal of 80 columns
PERCENT = {"accuracy", "balanced_accuracy", "exact_match", "pixel_accuracy"}
SHORT = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auroc": "AUROC",
    "ece": "calibration error",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "iou": "mean IoU",
    "dice": "mean Dice",
    "dice_a_picture": "Dice a picture",
    "boundary_f1": "boundary F1",
    "hausdorff95": "95 % Hausdorff",
}


def print_result(evaluation: dict[str, Any], what: str) -> None:
    """Scores with their intervals beside the baselines, then what to be careful about."""
    console = Console(highlight=False, markup=False)
    groups = evaluation.get("n_groups")
    of_groups = f" in {groups} groups" if groups else ""
    baselines = evaluation.get("baselines", {})
    console.print(f"{what}: {evaluation['n']:,} samples{of_groups}", style="bold", soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption="95 % intervals. ↑ more is better, ↓ less is better.",
        caption_justify="left",
    )
    table.add_column("metric", no_wrap=True)
    table.add_column("network", justify="right", no_wrap=True)
    table.add_column("interval", justify="right", no_wrap=True)
    beside = baselines if len(baselines) <= MOST_BESIDE else {}
    for name in beside:
        table.add_column(name, justify="right", max_width=14)
    for name, score in evaluation["metrics"].items():
        arrow = "↑" if score["higher_is_better"] else "↓"
        others = [shown_score(name, metrics.get(name)) for metrics in beside.values()]
        label = f"{SHORT.get(name, name.replace('_', ' '))} {arrow}"
        table.add_row(label, shown_score(name, score), shown_interval(name, score), *others)
    console.print(table)
    if not beside and baselines:
        console.print(_baselines_below(baselines, list(evaluation["metrics"])[:MOST_BESIDE]))
    for warning in evaluation.get("warnings", []):
        console.print(f"note: {warning}", soft_wrap=True)


def _baselines_below(baselines: dict[str, Any], names: list[str]) -> Table:
    """A row a baseline, where they are too many to stand beside the network."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("baseline", no_wrap=True)
    for name in names:
        table.add_column(SHORT.get(name, name.replace("_", " ")), justify="right")
    for title, metrics in baselines.items():
        table.add_row(title, *(shown_score(name, metrics.get(name)) for name in names))
    return table


def shown_score(name: str, score: dict[str, Any] | None) -> str:
    """A score's value for people, shares in percent.

    >>> shown_score("accuracy", {"value": 0.972, "unit": None}), shown_score("auroc", None)
    ('97.2 %', '-')
    """
    if score is None or score["value"] is None:
        return "-"
    unit = " %" if name in PERCENT else f" {score['unit']}" if score.get("unit") else ""
    return f"{_number(name, score['value'])}{unit}"


def shown_interval(name: str, score: dict[str, Any]) -> str:
    """A score's interval for people, in the score's own unit.

    >>> shown_interval("accuracy", {"low": 0.95, "high": 0.985})
    '95.0 to 98.5'
    >>> shown_interval("ece", {"low": None, "high": None, "by_chance": 0.02})
    'chance: to 0.020'
    """
    if score.get("by_chance") is not None:
        return f"chance: to {_number(name, score['by_chance'])}"
    if score.get("low") is None or score.get("high") is None:
        return "-"
    return f"{_number(name, score['low'])} to {_number(name, score['high'])}"


def _number(name: str, value: float) -> str:
    return f"{100 * value:.1f}" if name in PERCENT else f"{value:.3f}"


def print_comparisons(found: "dict[str, Comparison]", first: str, second: str) -> None:
    """Both values and their paired difference by metric, then the verdict in words."""
    console = Console(highlight=False, markup=False)
    n = next(iter(found.values())).n
    console.print(f"first:  {first}\nsecond: {second}\n{n:,} samples, paired", soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption="Difference: first minus second, with its 95 % interval. –: it cannot be told.",
        caption_justify="left",
    )
    for column in ("metric", "first", "second", "difference", "interval", "better"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    for name, item in found.items():
        arrow = "↑" if item.difference.higher_is_better else "↓"
        values = [
            shown_score(name, {"value": value, "unit": item.difference.unit})
            for value in (item.first, item.second)
        ]
        better = {first: "first", second: "second"}.get(item.better or "", "–")
        table.add_row(
            f"{SHORT.get(name, name.replace('_', ' '))} {arrow}",
            *values,
            shown_score(name, item.difference.to_json()),
            shown_interval(name, item.difference.to_json()),
            better,
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
