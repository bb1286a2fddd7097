"""The run folder's tables (CSV), read and condensed for the report."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from math import isfinite
from pathlib import Path
from typing import TypedDict

from vitreous.errors import DataError

SKIPPED_SHOWN = 50
MOST_POINTS = 2000


class PartSummary(TypedDict):
    """One part of the data: how many samples and groups, and how the labels are spread."""

    n: int
    groups: int | None  # None where the data has no groups
    labels: dict[str, int]  # class -> samples; empty for numbers
    label_range: list[float] | None  # smallest, mean and largest number; None for classes


class SplitSummary(TypedDict):
    """`split.csv` in short."""

    parts: dict[str, PartSummary]  # train, val, test
    skipped: int
    skipped_files: list[dict[str, str]]  # path and reason, the first 50
    skipped_reasons: dict[str, int]
    left_out: dict[str, int]  # reason -> files that were left out on purpose


class Points(TypedDict):
    """Truth and answer of each test sample, for a regression; `n` where some were left out."""

    n: int
    truth: list[float]
    predicted: list[float]


class Answer(TypedDict):
    """One sample and what the network said about it; several classes are a list."""

    sample_id: str
    truth: str | list[str]
    predicted: str | list[str]
    confidence: float | None


def read_history(path: Path) -> dict[str, list[float | None]]:
    """`history.csv` by column; what is empty or not finite is None. Absent: no columns."""
    columns: dict[str, list[float | None]] = defaultdict(list)
    for row in _rows(path):
        for name, value in row.items():
            columns[name].append(_number(value))
    return dict(columns)


def summarise_split(
    path: Path, task: str, on_purpose: Set[str] = frozenset()
) -> SplitSummary | None:
    """Counts of each part, and what was skipped and why. None where the file is absent.

    What has a reason `on_purpose` could be used, so it is told apart from what could not.
    """
    if not path.exists():
        return None
    labels: dict[str, list[str]] = defaultdict(list)
    groups: dict[str, set[str]] = defaultdict(set)
    skipped: list[dict[str, str]] = []
    left_out: Counter[str] = Counter()
    for row in _rows(path):
        if row["split"] == "skipped" and row["reason"] in on_purpose:
            left_out[row["reason"]] += 1
            continue
        if row["split"] == "skipped":
            skipped.append({"path": row["path"], "reason": row["reason"]})
            continue
        labels[row["split"]].append(row["label"])
        if row["group"]:
            groups[row["split"]].add(row["group"])
    return SplitSummary(
        parts={
            part: _part(labels[part], groups[part], task)
            for part in ("train", "val", "test")
            if labels[part]
        },
        skipped=len(skipped),
        skipped_files=skipped[:SKIPPED_SHOWN],
        skipped_reasons=dict(Counter(row["reason"] for row in skipped).most_common(10)),
        left_out=dict(left_out.most_common(10)),
    )


def read_points(path: Path) -> Points | None:
    """Truth and prediction of a regression; of more than 2,000 every k-th. None where absent."""
    if not path.exists():
        return None
    pairs = [
        (truth, predicted)
        for row in _rows(path)
        if (truth := _number(row["truth"])) is not None
        and (predicted := _number(row["predicted"])) is not None
    ]
    shown = pairs[:: -(-len(pairs) // MOST_POINTS) or 1]
    return Points(n=len(pairs), truth=[t for t, _ in shown], predicted=[p for _, p in shown])


def right_answers(path: Path, task: str, among: Set[str] | None, most: int) -> list[Answer]:
    """Right answers of `predictions.csv`, the classes in turn, so that each is seen.

    `among` restricts them to these sample ids. A regression has no right answers, only near ones:
    none are given.
    """
    if task not in ("classify", "classify-multilabel"):
        return []
    of_class: dict[str, list[Answer]] = defaultdict(list)
    for row in _rows(path):
        found = of_class[row["truth"]]
        if (
            len(found) < most
            and row["truth"] == row["predicted"]
            and (among is None or row["sample_id"] in among)
        ):
            found.append(_answer(row, task))
    return _in_turn(list(of_class.values()), most)


def _answer(row: dict[str, str], task: str) -> Answer:
    several = task == "classify-multilabel"
    return Answer(
        sample_id=row["sample_id"],
        truth=split_label(row["truth"]) if several else row["truth"],
        predicted=split_label(row["predicted"]) if several else row["predicted"],
        confidence=_number(row.get("confidence")),
    )


def split_label(label: str) -> list[str]:
    """The classes in a multi-label cell.

    >>> split_label("cat|dog"), split_label("")
    (['cat', 'dog'], [])
    """
    return [name for name in label.split("|") if name]


def _in_turn(queues: list[list[Answer]], most: int) -> list[Answer]:
    longest = max(map(len, queues), default=0)
    turns = (queue[turn] for turn in range(longest) for queue in queues if turn < len(queue))
    return [row for row, _ in zip(turns, range(most), strict=False)]


def _part(labels: list[str], groups: set[str], task: str) -> PartSummary:
    numbers = [float(label) for label in labels if label] if task == "regress" else []
    classes = Counter[str]()
    if task == "classify":
        classes.update(labels)
    elif task == "classify-multilabel":
        classes.update(name for label in labels for name in split_label(label))
    return PartSummary(
        n=len(labels),
        groups=len(groups) or None,
        labels=dict(sorted(classes.items())),
        label_range=[min(numbers), sum(numbers) / len(numbers), max(numbers)] if numbers else None,
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.exists():
        return
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            yield from csv.DictReader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not readable as a table ({error})") from None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if isfinite(number) else None
