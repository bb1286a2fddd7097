"""Which of two studies is better: the same trials, each answered by all networks of both."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitreous.data.split_table import read_split
from vitreous.errors import RequestError
from vitreous.evaluation.compare import Comparison, compare_rights
from vitreous.runs.predict import read_predictions
from vitreous.runs.study import Study

Rights = dict[str, list[bool]]
"""sample_id -> whether each seed's network was right about it."""


def compare_studies(first: Study, second: Study) -> dict[str, Comparison]:
    """Accuracy of the first against the second, mean over seeds, paired by trial.

    The interval is over subjects where there are several, else over trials. Raises `RequestError`
    where a study is not finished, or they tested other trials.
    """
    tables = [_rights(study) for study in (first, second)]
    ids = sorted(tables[0])
    if ids != sorted(tables[1]) or first.record["classes"] != second.record["classes"]:
        shared = len(tables[0].keys() & tables[1].keys())
        raise RequestError(
            f"{first.folder} and {second.folder} did not test the same trials ({len(ids)} and "
            f"{len(tables[1])}, {shared} in common); train both on the same events and windows"
        )
    found = compare_rights(
        _stacked(tables[0], ids),
        _stacked(tables[1], ids),
        groups=_groups(first, ids),
        names=(str(first.folder), str(second.folder)),
    )
    return {found.metric: found}


def two_studies(first: Path, second: Path, studies: Sequence[bool]) -> tuple[Study, Study]:
    """Both as studies. Raises `RequestError` where one of them is none."""
    if not all(studies):
        study, run = (first, second) if studies[0] else (second, first)
        raise RequestError(
            f"{study} is a study, {run} is none: compare two studies, or two runs such as "
            f"{study / 'fold-0-seed-0'}"
        )
    return Study.load(first), Study.load(second)


def _rights(study: Study) -> Rights:
    if not study.finished:
        raise RequestError(
            f"{study.folder}: is {study.record['status']}; go on with "
            f"`vitreous train --resume {study.folder}`"
        )
    if study.record.get("kind") == "scans":
        raise RequestError(
            f"{study.folder}: comparing studies of scans is not there yet; evaluation.json has the "
            "intervals of each"
        )
    found: Rights = {}
    for names in study.record["members"]:
        for name in names:
            for row in read_predictions(study.folder / name / "predictions.csv"):
                found.setdefault(row["sample_id"], []).append(row["truth"] == row["predicted"])
    return found


def _stacked(rights: Rights, ids: Sequence[str]) -> np.ndarray:
    return np.array([rights[name] for name in ids]).T


def _groups(study: Study, ids: Sequence[str]) -> list[str | None]:
    path = study.folder / study.record["members"][0][0] / "split.csv"
    group_of = {row.sample_id: row.group or None for row in read_split(path)}
    return [group_of.get(name) for name in ids]
