"""From cells and arrays to labels: a class, several classes, or a number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.data.samples import Label, LabelKind
from vitreous.errors import DataError, unknown_name

TASKS = ("classify", "classify-multilabel", "regress", "detect", "segment")
SEPARATOR = "|"  # between several classes in one cell
FEW = 20  # so many different whole numbers may always be names of classes


@dataclass(frozen=True)
class Labels:
    """One label a sample, in the samples' order; None where the data has none."""

    kind: LabelKind
    values: tuple[Label, ...]
    classes: tuple[str, ...]  # as the network will number them; empty for numbers


def check_task(task: str | None) -> None:
    """Raises `RequestError` with the known tasks for any other word."""
    if task is not None and task not in TASKS:
        raise unknown_name("task", task, TASKS)


def class_order(names: set[str]) -> tuple[str, ...]:
    """Class names sorted: as numbers where all are whole numbers, else as text.

    >>> class_order({"10", "9", "0"}), class_order({"bee", "ant", "10"})
    (('0', '9', '10'), ('10', 'ant', 'bee'))
    """
    if all(name.lstrip("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def labels_from_text(cells: Sequence[str], task: str | None, where: str) -> Labels:
    """Labels from a table's cells. `where` (path and column) starts the messages.

    `a|b` anywhere makes every cell a list of classes; an empty one then means none of them.
    Elsewhere an empty cell is no label. Raises `DataError` where cells look like measurements and
    nobody said whether they are.
    """
    check_task(task)
    cells = [cell.strip() for cell in cells]
    if task == "regress":
        return _numbers([number_in(cell) for cell in cells], where)
    if task == "classify-multilabel" or any(SEPARATOR in cell for cell in cells):
        return _several([_parts(cell) for cell in cells])
    if task is None:
        _refuse_measurements(cells, where)
    return Labels("class", tuple(cell or None for cell in cells), class_order({*cells} - {""}))


def labels_from_array(
    labels: np.ndarray, names: Sequence[str] | None, task: str | None, where: str
) -> Labels:
    """Labels from an array: (n,) or (n, 1) numbers or text, or (n, classes) of 0 and 1.

    A matrix with exactly one 1 in each row is one-hot (one class a sample); any other makes each
    sample have several classes. `names` are the classes' names by number.
    """
    check_task(task)
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        return _from_matrix(labels, names, task, where)
    if labels.ndim != 1:
        raise DataError(f"{where}: labels of shape {labels.shape}; one a picture is needed")
    if task == "regress":
        return _numbers([number_in(str(value)) for value in labels.tolist()], where)
    if labels.dtype.kind in "iub":
        return _from_numbers(labels.astype(np.int64), names, where)
    if labels.dtype.kind == "f" and np.all(labels == np.round(labels)):
        return _from_numbers(labels.astype(np.int64), names, where)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    return labels_from_text([str(value) for value in labels.tolist()], task, where)


def _from_numbers(numbers: np.ndarray, names: Sequence[str] | None, where: str) -> Labels:
    present: list[int] = [int(number) for number in np.unique(numbers)]
    if names is not None and present and not 0 <= present[0] <= present[-1] < len(names):
        raise DataError(
            f"{where}: labels {present[0]} to {present[-1]}, but {len(names)} class names (0 to "
            f"{len(names) - 1})"
        )
    shown = {number: names[number] if names is not None else str(number) for number in present}
    values = tuple(shown[number] for number in numbers.tolist())
    return Labels("class", values, tuple(shown.values()))


def _from_matrix(
    matrix: np.ndarray, names: Sequence[str] | None, task: str | None, where: str
) -> Labels:
    if task == "regress" or not np.isin(matrix, (0, 1)).all():
        raise DataError(
            f"{where}: labels of shape {matrix.shape} with other values than 0 and 1; "
            "one column a class is understood, or one label a picture"
        )
    width = matrix.shape[1]
    if names is not None and len(names) != width:
        raise DataError(f"{where}: {width} label columns, but {len(names)} class names")
    shown = list(names) if names else [str(column) for column in range(width)]
    if task != "classify-multilabel" and (matrix.sum(axis=1) == 1).all():
        return _from_numbers(matrix.argmax(axis=1), shown, where)
    rows = tuple(tuple(shown[c] for c in np.flatnonzero(row)) for row in matrix)
    return Labels("classes", rows, tuple(shown))


def _several(rows: list[tuple[str, ...]]) -> Labels:
    return Labels("classes", tuple(rows), class_order({name for row in rows for name in row}))


def _parts(cell: str) -> tuple[str, ...]:
    """Distinct classes of one cell, in order: 'b| a|b' has b and a."""
    return tuple(dict.fromkeys(part.strip() for part in cell.split(SEPARATOR) if part.strip()))


def _numbers(values: list[float | None], where: str) -> Labels:
    if all(value is None for value in values):
        raise DataError(f"{where}: holds no numbers; --task regress needs some")
    return Labels("number", tuple(values), ())


def number_in(cell: str) -> float | None:
    """The finite number that a cell holds, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _refuse_measurements(cells: Sequence[str], where: str) -> None:
    """Ages and weights as 80 classes would be a silent nonsense: ask."""
    distinct = {cell for cell in cells if cell}
    numbers = [number_in(cell) for cell in distinct]
    if not distinct or None in numbers:
        return
    values = sorted(value for value in numbers if value is not None)
    whole = all(value.is_integer() for value in values)
    counted = whole and values[0] in (0, 1) and values[-1] - values[0] + 1 == len(values)
    if whole and (counted or len(values) <= FEW):
        return
    raise DataError(
        f"{where}: holds numbers ({len(values)} different, from {values[0]:g} to {values[-1]:g}); "
        "say --task regress to learn the number, or --task classify to take each as a class"
    )
