"""How a study's scores look on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from vitreous.cli.shown import print_result
from vitreous.report.words import whole_subjects_words


def print_study(evaluation: dict[str, Any], what: str) -> None:
    """All folds together, then fold by fold, over seeds and subjects, and against chance."""
    print_result(evaluation, what)
    found = evaluation["study"]
    console = Console(highlight=False, markup=False)
    if "permutation_test" not in found:  # of scans
        for row in found["per_fold"]:
            console.print(f"{row['name']}: {row['metric']} {row['value']:.3f} of {row['n']} scans")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), title="Folds", title_justify="left")
    table.add_column("tested")
    table.add_column("trials", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("interval", justify="right")
    table.add_column("by seed", justify="right")
    for row in found["per_fold"]:
        by_seed = " ".join(f"{100 * value:.0f}" for value in row["by_seed"])
        table.add_row(
            row["name"],
            f"{row['n']:,}",
            f"{100 * row['accuracy']:.1f} %",
            f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
            by_seed,
        )
    console.print(table)
    seeds = found["per_seed"]
    if seeds["standard_deviation"] is not None:
        console.print(
            f"over seeds: {100 * seeds['mean']:.1f} % with a standard deviation of "
            f"{100 * seeds['standard_deviation']:.1f} points"
        )
    mean = found["mean_over_subjects"]
    if mean:
        console.print(
            f"each subject counted alike: {100 * mean['accuracy']:.1f} % "
            f"({100 * mean['low']:.1f} to {100 * mean['high']:.1f})"
        )
    if whole := found.get("whole_subjects"):
        console.print(whole_subjects_words(whole), soft_wrap=True)
    for name, one in found["differences"].items():
        ends = (
            f" ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
            if one["low"] is not None
            else ""
        )
        console.print(f"less {name}: {100 * one['accuracy']:+.1f} points{ends}", soft_wrap=True)
    console.print(f"chance: {found['permutation_test']['sentence']}", soft_wrap=True)
