"""The report of a study: one page with all folds, seeds and subjects; each run has its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitreous.evaluation.baselines import MAJORITY
from vitreous.files import write_json, write_text
from vitreous.insight.eeg_listening import Listening
from vitreous.report.listening_shown import listening_shown
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import (
    Cell,
    Column,
    bullets,
    facts,
    note,
    paragraph,
    path_words,
    section,
    table,
)
from vitreous.report.render import page
from vitreous.report.sections.listening import TITLE as LISTENING
from vitreous.report.sections.listening import listening_section
from vitreous.report.words import (
    capital,
    count,
    duration,
    interval,
    metric_value,
    metric_words,
    percent,
    whole_subjects_words,
)

FORMAT = 1


def write_study_report(
    folder: Path,
    study: dict[str, Any],
    evaluation: dict[str, Any],
    listening: Listening | None = None,
) -> Path:
    """Write `report.json` and `report.html` of a study; returns the page's path."""
    shown = listening_shown(listening)
    figures = {"format": FORMAT, "study": study, "evaluation": evaluation}
    name = Path(study["data"]["root"]).name
    title = f"{study['network']} on {name or 'recordings'}: {study['protocol']['name']}"
    about = " · ".join(
        [
            f"{len(study['folds'])} folds",
            f"{len(study['seeds'])} seeds",
            f"{len(study['classes'])} classes",
            study["started"][:10],
        ]
    )
    sections = {
        "Answer": ("answer", _answer(study, evaluation)),
        "Folds": ("folds", _folds(study, evaluation)),
    }
    if len(evaluation["study"]["per_subject"]) > 1:  # else the answer is that subject's
        sections["Subjects"] = ("subjects", _subjects(evaluation))
    if heard := listening_section(shown):
        sections[LISTENING] = ("listening", heard)
    sections["Data and division"] = ("data", _data(study))
    head = join([tag("h1", None, title), tag("p", {"class": "about"}, about)])
    write_json(folder / "report.json", figures | {"listening": shown})
    write_text(folder / "report.html", page(title, head, sections, figures))
    return folder / "report.html"


def _answer(study: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    found = evaluation["study"]
    accuracy = evaluation["metrics"]["accuracy"]
    span = interval("accuracy", accuracy)
    seeds = len(study["seeds"])
    mean = f", the mean of {seeds} seeds" if seeds > 1 else ""
    said = f"Accuracy {metric_value('accuracy', accuracy['value'])}{mean}"
    said += f" (95 % interval {span})" if span else ""
    test = found["permutation_test"]
    columns = [Column("metric"), Column(study["network"], numeric=True),
               *(Column(name, numeric=True) for name in evaluation["baselines"])]  # fmt: skip
    rows = [
        [
            metric_words(name),
            with_interval(name, score),
            *(with_interval(name, scores.get(name)) for scores in evaluation["baselines"].values()),
        ]
        for name, score in evaluation["metrics"].items()
    ]
    apart = [
        f"{name}: {_signed(one['accuracy'])}"
        + (f" ({_signed(one['low'])} to {_signed(one['high'])})" if one["low"] is not None else "")
        for name, one in found["differences"].items()
    ]
    return section(
        "answer",
        "Answer",
        paragraph(
            f"{said}, over {count(evaluation['n'])} trials that were each tested once a seed."
        ),
        paragraph(f"Against chance: {test['sentence']}."),
        table("All figures; small ones are 95 % intervals", columns, rows),
        paragraph("Accuracy less each baseline's, paired by trial, in points of a hundred:"),
        bullets(apart),
        *(note(warning) for warning in evaluation["warnings"]),
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def with_interval(name: str, score: Mapping[str, Any] | None) -> Cell:
    """A figure and, small, its interval."""
    if score is None:
        return Cell("-")
    span = interval(name, score)
    value = tag("span", None, metric_value(name, score.get("value")))
    small = tag("small", None, span) if span else None
    return Cell(tag("span", {"class": "with-interval"}, value, small), score.get("value"))


def _folds(study: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Html:
    names = [name for name in evaluation["baselines"] if name != MAJORITY]  # it looks at no trial
    columns = [Column("fold"), Column("trained on", numeric=True), Column("tested", numeric=True),
               Column("accuracy", numeric=True), Column("by seed, %"),
               *(Column(name, numeric=True) for name in names)]  # fmt: skip
    rows = [
        [
            row["name"],
            count(fold["train"]),
            count(row["n"]),
            with_interval("accuracy", {"value": row["accuracy"], **_ends(row)}),
            ", ".join(f"{100 * value:.0f}" for value in row["by_seed"]),
            *(percent(row["baselines"][name]) for name in names),
        ]
        for row, fold in zip(evaluation["study"]["per_fold"], study["folds"], strict=True)
    ]
    return section("folds", "Folds", table("Each fold, tested once a seed", columns, rows))


def _subjects(evaluation: Mapping[str, Any]) -> Html:
    found = evaluation["study"]
    columns = [Column("subject"), Column("trials", numeric=True), Column("accuracy", numeric=True)]
    rows = [
        [
            row["subject"] or "(no name)",
            count(row["n"]),
            with_interval("accuracy", {"value": row["accuracy"], **_ends(row)}),
        ]
        for row in found["per_subject"]
    ]
    mean = found["mean_over_subjects"]
    said = None
    if mean:
        said = paragraph(
            f"Each subject counted alike: {percent(mean['accuracy'])} "
            f"({percent(mean['low'])} to {percent(mean['high'])}, {mean['method']})."
        )
    whole = found.get("whole_subjects")
    together = paragraph(f"{capital(whole_subjects_words(whole))}.") if whole else None
    return section("subjects", "Subjects", table("Each subject", columns, rows), said, together)


def _ends(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"low": row["low"], "high": row["high"]}


def _data(study: Mapping[str, Any]) -> Html:
    data, trials = study["data"], study["data"]["trials"]
    start, stop = trials["window_s"]
    pairs = [
        ("data", path_words(data["root"])),
        ("what was found", data["why"]),
        ("protocol", study["protocol"]["words"]),
        ("channels", ", ".join(trials["channels"])),
        ("window", f"{start:g} to {stop:g} s from the event"),
        ("sampling rate", f"{trials['sampling_rate_hz']:g} Hz"),
        ("equal trials", f"{data['duplicates']} pairs"),
        ("took", duration(study.get("seconds"))),
        ("command", study["command"]),
    ]
    left_out = sum(fold["left_out"] for fold in study["folds"])
    said = f"{left_out} trials were left out of training at the folds' borders." if left_out else ""
    return section("data", "Data and division", facts(pairs), paragraph(said) if said else None)
