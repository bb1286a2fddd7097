"""`compare`: which of two runs is better, by how much, on the same samples."""

from pathlib import Path

import numpy as np

from vitreous.data.split_table import read_split
from vitreous.errors import RequestError
from vitreous.evaluation.compare import Comparison, compare_all
from vitreous.runs.evaluate import answers_for, sealed_scores
from vitreous.runs.predict import read_predictions
from vitreous.runs.run import Run
from vitreous.runs.scoring import METRICS, probabilities
from vitreous.runs.talk import Talk


def compare(
    first: Run,
    second: Run,
    data: str | Path | None = None,
    *,
    device: str | None = None,
    quiet: bool = False,
) -> dict[str, Comparison]:
    """Every metric of the task, paired: the first run against the second.

    On the runs' common test part, or on `data`. Raises `RequestError` when the runs have other
    tasks, classes or test parts.
    """
    require_same_task(first, second)
    names = (str(first.folder), str(second.folder))
    if first.record.task == "detect":
        from vitreous.runs.detector import compare_detectors

        return compare_detectors(first, second, data, device, Talk(quiet))
    if data is None:
        truth, answers, groups = on_common_test_part(first, second)
    else:
        talk = Talk(quiet)
        found = [
            answers_for(run, data, group=None, max_skipped=1.0, device=device, talk=talk)[0]
            for run in (first, second)
        ]
        same = [sample.sample_id for sample in found[0].samples] == [
            sample.sample_id for sample in found[1].samples
        ]
        if not same:
            raise RequestError(f"{data}: changed between the two runs' answers; try again")
        truth, groups = found[0].truth, found[0].groups
        answers = [
            probabilities(one, run.task) for one, run in zip(found, (first, second), strict=True)
        ]
    return compare_all(
        truth,
        answers[0],
        answers[1],
        table=METRICS[first.record.task],
        groups=groups,
        names=names,
        unit=first.record.unit,
        seed=0,
    )


def require_same_task(first: Run, second: Run) -> None:
    """Raises `RequestError` when two runs do not answer the same question, or one of masks."""
    if first.record.task == "segment":
        raise RequestError(
            f"{first.folder}: comparing runs on masks is not there yet; "
            f"`vitreous evaluate` shows the intervals of each"
        )
    if first.record.task != second.record.task or first.record.classes != second.record.classes:
        raise RequestError(
            f"{first.folder} ({_question(first)}) and {second.folder} ({_question(second)}) "
            "answer other questions; compare runs of one task and the same classes"
        )


def on_common_test_part(
    first: Run, second: Run
) -> tuple[np.ndarray, list[np.ndarray], list[str | None] | None]:
    """Truth, both runs' answers and groups on the test part, which must be the same."""
    tables = []
    for run in (first, second):
        sealed_scores(run)
        rows = read_predictions(run.folder / "predictions.csv")
        tables.append({row["sample_id"]: row for row in rows})
    ids = sorted(tables[0])
    if ids != sorted(tables[1]) or any(
        tables[0][name]["truth"] != tables[1][name]["truth"] for name in ids
    ):
        shared = len(tables[0].keys() & tables[1].keys())
        raise RequestError(
            f"the test parts of {first.folder} ({len(tables[0])} samples) and {second.folder} "
            f"({len(tables[1])}) are not the same ({shared} in common); "
            "name labelled data to compare them on"
        )
    truth = _truth(first, [tables[0][name]["truth"] for name in ids])
    answers = [_answers(first, [table[name] for name in ids]) for table in tables]
    return truth, answers, _groups(first, ids)


def _question(run: Run) -> str:
    classes = run.record.classes
    return f"{run.record.task} {', '.join(classes[:5])}{'...' if len(classes) > 5 else ''}".strip()


def _truth(run: Run, labels: list[str]) -> np.ndarray:
    place = {name: index for index, name in enumerate(run.record.classes)}
    if run.record.task == "classify":
        return np.array([place[label] for label in labels])
    if run.record.task == "regress":
        return np.array([float(label) for label in labels])
    truth = np.zeros((len(labels), len(place)), bool)
    for row, label in enumerate(labels):
        truth[row, [place[name] for name in label.split("|") if name]] = True
    return truth


def _answers(run: Run, rows: list[dict[str, str]]) -> np.ndarray:
    if run.record.task == "regress":
        return np.array([float(row["predicted"]) for row in rows])
    return np.array([[float(row[f"p_{name}"]) for name in run.record.classes] for row in rows])


def _groups(run: Run, ids: list[str]) -> list[str | None] | None:
    group_of = {row.sample_id: row.group or None for row in read_split(run.folder / "split.csv")}
    groups = [group_of.get(name) for name in ids]
    return groups if any(group is not None for group in groups) else None
