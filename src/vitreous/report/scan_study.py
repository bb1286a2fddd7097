"""The report of a cross-validation of scans: all folds together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitreous.files import write_json, write_text
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import (
    Column,
    facts,
    note,
    paragraph,
    path_words,
    section,
    table,
)
from vitreous.report.render import page
from vitreous.report.study import FORMAT, with_interval
from vitreous.report.words import count, duration, metric_words

STRUCTURES = ("dice", "surface_dice", "hausdorff95", "volume_error")


def write_scan_study_report(
    folder: Path, study: dict[str, Any], evaluation: dict[str, Any]
) -> Path:
    """Write `report.json` and `report.html`; returns the page's path."""
    figures = {"format": FORMAT, "study": study, "evaluation": evaluation}
    name = Path(study["data"]["root"]).name
    title = f"{study['network']} on {name or 'scans'}: {len(study['folds'])} folds of patients"
    about = " · ".join(
        [f"{count(evaluation['n'])} scans", f"{len(study['classes'])} classes",
         study["started"][:10]]
    )  # fmt: skip
    sections = {"Answer": ("answer", _answer(evaluation))}
    if "dice" in evaluation["metrics"]:
        sections["Structures"] = ("structures", _structures(evaluation))
    sections["Folds"] = ("folds", _folds(study, evaluation))
    sections["Data and division"] = ("data", _data(study))
    head = join([tag("h1", None, title), tag("p", {"class": "about"}, about)])
    write_json(folder / "report.json", figures)
    write_text(folder / "report.html", page(title, head, sections, figures))
    return folder / "report.html"


def _answer(evaluation: Mapping[str, Any]) -> Html:
    columns = [Column("metric"), Column("all folds", numeric=True)]
    rows = [
        [metric_words(name), with_interval(name, score)]
        for name, score in evaluation["metrics"].items()
    ]
    patients = evaluation["n_groups"]
    of = f" of {count(patients)} patients" if patients else ""
    said = f"{count(evaluation['n'])} scans{of}, each answered by the run that had not seen it."
    return section(
        "answer",
        "Answer",
        paragraph(said),
        table("All figures; small ones are 95 % intervals", columns, rows),
        *(note(warning) for warning in evaluation["warnings"]),
    )


def _structures(evaluation: Mapping[str, Any]) -> Html:
    columns = [Column("structure"), Column("scans", numeric=True),
               *(Column(metric_words(name), numeric=True) for name in STRUCTURES)]  # fmt: skip
    rows = [
        [row["class"], count(row["n"]), *(with_interval(name, row[name]) for name in STRUCTURES)]
        for row in evaluation["per_class"]
    ]
    return section("structures", "Structures", table("Each structure", columns, rows))


def _folds(study: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    found = evaluation["study"]["per_fold"]
    name = found[0]["metric"]
    columns = [Column("fold"), Column("trained on", numeric=True), Column("tested", numeric=True),
               Column(metric_words(name), numeric=True), Column("run")]  # fmt: skip
    rows = [
        [row["name"], count(fold["train"]), count(row["n"]), with_interval(name, row), members[0]]
        for row, fold, members in zip(found, study["folds"], study["members"], strict=True)
    ]
    return section("folds", "Folds", table("Each fold", columns, rows))


def _data(study: Mapping[str, Any]) -> Html:
    data = study["data"]
    pairs = [
        ("data", path_words(data["root"])),
        ("what was found", data["why"]),
        ("division", study["protocol"]["words"]),
        ("equal scans", f"{data['duplicates']} pairs"),
        ("took", duration(study.get("seconds"))),
        ("command", study["command"]),
    ]
    return section("data", "Data and division", facts(pairs))
