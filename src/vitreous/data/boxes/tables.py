"""CSV and TSV tables with a line a box: the picture's path, the class, and four corners.

Headings are those that tools write (filename, xmin, ymin, xmax, ymax, class; image, x1, y1, x2,
y2, label; left, top, width, height). A line with a path and nothing else says that nothing is on
that picture.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitreous.data.boxes.annotations import Annotated, Annotation, Reading
from vitreous.data.folders import Tree
from vitreous.data.listing import printable
from vitreous.data.pairing import split_in
from vitreous.data.samples import Skipped, Split
from vitreous.data.split_names import SPLIT_WORDS, first_split, split_of
from vitreous.data.tables import plain_heading, split_lines, text_of, the_column, the_path_column
from vitreous.errors import DataError

SIDES = {
    "left": ("left", "xmin", "x_min", "x1", "bbox_x", "x", "bbox_left"),
    "top": ("top", "ymin", "y_min", "y1", "bbox_y", "y", "bbox_top"),
    "right": ("right", "xmax", "x_max", "x2", "bbox_right"),
    "bottom": ("bottom", "ymax", "y_max", "y2", "bbox_bottom"),
    "width": ("box_width", "bbox_width", "w", "bbox_w", "width"),
    "height": ("box_height", "bbox_height", "h", "bbox_h", "height"),
}
FLAGS = ("1", "true", "yes")


@dataclass(frozen=True)
class BoxColumns:
    """Which column holds what, by its place; right and bottom, or width and height."""

    path: int
    label: int
    left: int
    top: int
    right: int
    bottom: int
    sizes: bool  # `right` and `bottom` are width and height of the box
    split: int | None
    group: int | None
    difficult: int | None
    picture_size: tuple[int, int] | None  # the columns of the picture's height and width


def has_boxes(table: Path) -> bool:
    """Whether a table's heading has four corners (its first lines are read)."""
    try:
        with table.open("rb") as file:
            start = file.read(1 << 16).decode("utf-8-sig", "ignore")
        heading, _ = split_lines(start, table)
    except (OSError, DataError):
        return False
    return _corner_columns(heading) is not None


def read_box_tables(tree: Tree, tables: list[str], group: str | None, label: str | None) -> Reading:
    """Tables of one data set, with the pictures that they name.

    `group` and `label` name columns. Of several tables each is a part, as its path says. Raises
    `DataError` where a table lacks a column or cannot be read.
    """
    reading = Reading("table of boxes", "", [], skipped=list(tree.skipped))
    reading.files = [tree.root / table for table in tables]
    if len(tables) > 1 and any(_split_of_table(table) is None for table in tables):
        unclear = next(table for table in tables if _split_of_table(table) is None)
        raise DataError(
            f"{tree.root / unclear}: {len(tables)} tables of boxes, and its path says no part of "
            "the split; call it train, val or test, or give one table alone"
        )
    for table in tables:
        _read_table(tree, table, group, label, reading)
    named = {picture.path for picture in reading.pictures} | {s.path for s in reading.skipped}
    reading.skipped += [
        Skipped(picture, "in no line of a table of boxes: not labelled; a line with its path and "
                "nothing else says 'nothing here'")
        for picture in tree.pictures
        if picture not in named
    ]  # fmt: skip
    shown = ", ".join(posixpath.basename(table) for table in tables)
    reading.why = f"{shown} gives boxes by corners on {len(reading.pictures):,} pictures"
    return reading


def _split_of_table(table: str) -> Split | None:
    stem = posixpath.splitext(table)[0]
    return split_in(table) or first_split(stem.replace("-", "_").replace("/", "_").split("_"))


def _corner_columns(heading: Sequence[str]) -> tuple[list[str], bool] | None:
    plain = {plain_heading(name): name for name in reversed(heading)}

    def first(side: str) -> str | None:
        return next((plain[word] for word in SIDES[side] if word in plain), None)

    for sides, sizes in ((("left", "top", "right", "bottom"), False),
                         (("left", "top", "width", "height"), True)):  # fmt: skip
        found = [name for side in sides if (name := first(side)) is not None]
        if len(found) == 4:
            return found, sizes
    return None


def _columns(
    heading: list[str],
    lines: list[list[str]],
    where: str,
    group: str | None,
    label: str | None,
) -> BoxColumns:
    corners = _corner_columns(heading)
    path = the_path_column(heading, lines)
    if corners is None or path is None:
        lacking = "four corners of boxes" if corners is None else "picture paths"
        raise DataError(f"{where}: no columns of {lacking} among {', '.join(heading)}")
    names, sizes = corners
    target = the_column(heading, "label", label)
    if target is None or target in names:
        raise DataError(
            f"{where}: no class column among {', '.join(heading)}; say which with --label"
        )
    plain = {plain_heading(name): place for place, name in enumerate(heading)}
    place = {name: number for number, name in enumerate(heading)}
    split, grouping = the_column(heading, "split", None), the_column(heading, "group", group)
    size = None
    if not sizes and "width" in plain and "height" in plain:  # of the picture, as tools write it
        size = (plain["height"], plain["width"])
    left, top, right, bottom = (place[name] for name in names)
    return BoxColumns(
        path=place[path],
        label=place[target],
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        sizes=sizes,
        split=place[split] if split else None,
        group=place[grouping] if grouping else None,
        difficult=plain.get("difficult"),
        picture_size=size,
    )


@dataclass
class _Picture:
    boxes: list[Annotation]
    split: Split | None
    group: str | None
    size: tuple[int, int] | None


def _read_table(
    tree: Tree, table: str, group: str | None, label: str | None, reading: Reading
) -> None:
    where = tree.root / table
    heading, lines = split_lines(text_of(where), where)
    columns = _columns(heading, lines, str(where), group, label)
    by_name: dict[str, list[str]] = {}
    for picture in tree.pictures:
        by_name.setdefault(posixpath.basename(picture), []).append(picture)
    found: dict[str, _Picture] = {}
    broken: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(heading):
            reason = f"{len(line)} cells where the heading has {len(heading)}"
            reading.skipped.append(Skipped(f"{table}:{number}", reason))
            continue
        cells = [cell.strip() for cell in line]
        named = cells[columns.path].replace("\\", "/")
        path = _place(tree, table, named, by_name)
        if path is None:
            reason = f"line {number} of the table: file not found"
            reading.skipped.append(Skipped(printable(named) or f"{table}:{number}", reason))
            continue
        try:
            box = _box(cells, columns, f"line {number}")
            picture = found.setdefault(path, _picture(cells, columns, table))
            picture.boxes.extend([box] if box else [])
        except DataError as error:
            broken.setdefault(path, f"{table}: {error}")
    for path, reason in broken.items():
        reading.skipped.append(Skipped(path, reason))
    reading.pictures += [
        Annotated(path, table, tuple(one.boxes), one.split, one.group, one.size)
        for path, one in found.items()
        if path not in broken
    ]


def _place(tree: Tree, table: str, named: str, by_name: dict[str, list[str]]) -> str | None:
    for base in (posixpath.dirname(table), ""):
        path = posixpath.normpath(posixpath.join(base, named))
        if named and (tree.root / path).is_file():
            return path
    found = by_name.get(posixpath.basename(named), [])
    here = [path for path in found if split_in(path) == _split_of_table(table)]
    return found[0] if len(found) == 1 else here[0] if len(here) == 1 else None


def _picture(cells: list[str], columns: BoxColumns, table: str) -> _Picture:
    word = cells[columns.split] if columns.split is not None else ""
    if word and split_of(word) is None:
        raise DataError(f"the split '{word}' is none of {', '.join(SPLIT_WORDS)}")
    group = cells[columns.group] or None if columns.group is not None else None
    size = None
    if columns.picture_size is not None:
        height, width = (cells[place] for place in columns.picture_size)
        size = (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None
    return _Picture([], split_of(word) if word else _split_of_table(table), group, size)


def _box(cells: list[str], columns: BoxColumns, place: str) -> Annotation | None:
    """The line's box; None where it has neither corners nor class: nothing is on the picture."""
    corners = [cells[c] for c in (columns.left, columns.top, columns.right, columns.bottom)]
    name = cells[columns.label]
    if not any(corners):
        return None
    if not name:
        raise DataError(f"{place} has a box without a class; name it")
    try:
        left, top, right, bottom = map(float, corners)
    except ValueError:
        raise DataError(f"{place} has the corners {', '.join(corners)}: numbers needed") from None
    if columns.sizes:
        right, bottom = left + right, top + bottom
    marked = columns.difficult is not None and cells[columns.difficult].lower() in FLAGS
    return Annotation(name, left, top, right, bottom, place, difficult=marked)
