"""The names of a mask's classes, with their numbers or colours: from a file, or as given.

Understood are a name a line (`classes.txt`), CSV with a name and a number or red, green and blue
(`class_dict.csv`, `_classes.csv`), CamVid's `red green blue<tab>name`, and CVAT's `labelmap.txt`
(`name:red,green,blue::`).
"""

import csv
import io
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitreous.data.masks.mask_label import MOST_CLASSES
from vitreous.data.pictures import read_file
from vitreous.errors import DataError, RequestError

TABLE_NAMES = frozenset(
    ("classes.txt", "class_names.txt", "labels.txt", "labelmap.txt", "label_colors.txt",
     "class_dict.csv", "_classes.csv", "classes.csv", "labels.csv", "label_colors.csv")
)  # fmt: skip
IGNORED_NAMES = frozenset(
    ("void", "unlabelled", "unlabeled", "ignore", "ignored", "ignore label", "not labelled")
)
NAME_HEADINGS = ("name", "class", "label", "class_name")
NUMBER_HEADINGS = ("number", "index", "id", "value", "pixel value", "pixel_value", "label_id")

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassRow:
    """One class: its name, and the number or the colour that its pixels have."""

    name: str
    number: int
    colour: Colour | None = None

    @property
    def ignored(self) -> bool:
        """Whether its name says that its pixels belong to no class."""
        return self.name.strip().lower() in IGNORED_NAMES


@dataclass(frozen=True)
class ClassTable:
    """All classes in their order, and where they stand."""

    rows: tuple[ClassRow, ...]
    where: str  # the file, or "--classes"

    @property
    def coloured(self) -> bool:
        """Whether every class has a colour."""
        return all(row.colour is not None for row in self.rows)


def find_table(root: Path, others: Sequence[str]) -> ClassTable | None:
    """The table that lies with the data, by its name; None where there is none."""
    for other in sorted(others, key=lambda path: (path.count("/"), path)):
        if posixpath.basename(other).lower() in TABLE_NAMES:
            return read_class_table(root / other, other)
    return None


def given_table(classes: str | Path | Sequence[str]) -> ClassTable:
    """The table of `--classes`: a file, or names in the order of their numbers, by commas.

    Raises `RequestError` where it is neither.
    """
    if not isinstance(classes, str | Path):
        return _table([ClassRow(name, place) for place, name in enumerate(classes)], "--classes")
    if Path(classes).is_file():
        return read_class_table(Path(classes), str(classes))
    names = [name.strip() for name in str(classes).split(",") if name.strip()]
    if len(names) < 2:
        raise RequestError(f"--classes '{classes}': no such file; give one, or names by commas")
    return _table([ClassRow(name, place) for place, name in enumerate(names)], "--classes")


def read_class_table(path: Path, name: str) -> ClassTable:
    """A table of classes. Raises `DataError` with the path where it cannot be understood."""
    try:
        text = read_file(path, name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; save it as UTF-8") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise DataError(f"{path}: names no class; a name a line is enough")
    try:
        if path.suffix.lower() == ".csv":
            rows = _from_csv(lines)
        elif all(line.count(":") >= 1 for line in lines):
            rows = [_from_labelmap(line, place) for place, line in enumerate(lines)]
        elif all(_begins_with_colour(line) for line in lines):
            rows = [_from_colours(line, place) for place, line in enumerate(lines)]
        else:
            rows = [ClassRow(line.strip(), place) for place, line in enumerate(lines)]
        return _table(rows, name)
    except ValueError as error:
        raise DataError(f"{path}: {error}; a name a line is enough") from None


def _table(rows: list[ClassRow], where: str) -> ClassTable:
    columns: tuple[tuple[str, list[Any]], ...] = (
        ("name", [row.name for row in rows]),
        ("number", [row.number for row in rows]),
        ("colour", [row.colour for row in rows if row.colour is not None]),
    )
    for what, values in columns:
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise DataError(f"{where}: two classes have the {what} {twice}; give each its own")
    if len(rows) > MOST_CLASSES:
        raise DataError(f"{where}: {len(rows)} classes; masks can have {MOST_CLASSES} at most")
    return ClassTable(tuple(rows), where)


def _from_csv(lines: list[str]) -> list[ClassRow]:
    delimiter = max(",;\t", key=lines[0].count)
    heading, *rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
    plain = [cell.strip().lower() for cell in heading]
    name = next((plain.index(word) for word in NAME_HEADINGS if word in plain), None)
    if name is None:
        raise ValueError(f"no column of names among {', '.join(heading)}; call it 'name'")
    number = next((plain.index(word) for word in NUMBER_HEADINGS if word in plain), None)
    colours = next(
        ([plain.index(word) for word in words]
         for words in (("r", "g", "b"), ("red", "green", "blue")) if set(words) <= set(plain)),
        None,
    )  # fmt: skip
    found = []
    for place, row in enumerate(rows):
        if len(row) < len(heading):
            raise ValueError(f"'{delimiter.join(row)}' has fewer cells than the heading")
        colour = _colour([row[column] for column in colours]) if colours else None
        found.append(ClassRow(row[name].strip(), place if number is None else int(row[number]),
                              colour))  # fmt: skip
    return found


def _from_labelmap(line: str, place: int) -> ClassRow:
    name, colour, *_ = line.split(":")
    return ClassRow(name.strip(), place, _colour(colour.split(",")) if colour.strip() else None)


def _from_colours(line: str, place: int) -> ClassRow:
    red, green, blue, name = line.split(None, 3)
    return ClassRow(name.strip(), place, _colour([red, green, blue]))


def _begins_with_colour(line: str) -> bool:
    cells = line.split(None, 3)
    return len(cells) == 4 and all(cell.isdecimal() for cell in cells[:3])


def _colour(cells: list[str]) -> Colour:
    red, green, blue = (int(cell) for cell in cells)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"the colour {', '.join(cells)} is not of numbers from 0 to 255")
    return red, green, blue
