"""CSV and TSV tables with a picture's path, its label, and perhaps its split and group."""

import csv
import io
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitreous.data.folders import Progress, file_reader
from vitreous.data.labels import SEPARATOR, class_order, labels_from_text
from vitreous.data.listing import is_picture_name, printable, walk
from vitreous.data.pictures import MAX_PIXELS, read_file
from vitreous.data.samples import Label, Sample, Skipped, Source, Split
from vitreous.data.split_names import SPLIT_WORDS, settle_splits, split_of
from vitreous.errors import DataError, unknown_name

TABLE_SUFFIXES = (".csv", ".tsv")

# The first heading of a row that a table has is taken; case, spaces and dashes do not count.
HEADINGS = {
    "path": (
        "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path",
        "image_file", "image_name", "image_id", "picture", "img", "img_path", "photo",
    ),
    "label": (
        "label", "labels", "class", "classes", "class_name", "target", "y", "category",
        "diagnosis", "dx", "tag", "tags",
    ),
    "split": ("split", "set", "subset", "partition"),
    "group": (
        "group", "patient", "patient_id", "subject", "subject_id", "participant",
        "participant_id", "lesion_id", "slide", "slide_id", "session", "source_id",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of a table, by what its columns mean."""

    number: int  # line in the file, the heading being 1
    path: str
    label: str
    split: str
    group: str


@dataclass(frozen=True)
class Columns:
    """Which heading holds what; None where there is none."""

    path: str
    label: str
    split: str | None
    group: str | None


def is_table_name(name: str) -> bool:
    """Whether a file's name ends as a table's does."""
    return name.lower().endswith(TABLE_SUFFIXES)


def names_pictures(path: Path) -> bool:
    """Whether a table has a column of picture paths (its first lines are read)."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16).decode("utf-8-sig", "ignore")
        heading, lines = split_lines(start, path)
        return the_path_column(heading, lines[:-1] or lines) is not None
    except (OSError, DataError):
        return False


def read_table(
    table: Path,
    root: Path,
    *,
    group: str | None = None,
    task: str | None = None,
    label: str | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Progress | None = None,
) -> Source:
    """The data set that a table describes; `root` is the folder that sample paths start from.

    Paths are taken relative to the table's folder; absolute ones and `..` are followed, because
    the user wrote them. Where they lead nowhere, the names are looked for in all folders below
    the table's, with and without a suffix. `group` and `label` name columns (an empty `group`: take
    none; None: take one whose heading says so). Several classes in a
    cell (`a|b`) make the labels lists. Lines that cannot be used are skipped, each by name.

    Raises `DataError` where the table cannot be read or lacks a column; `RequestError` for a
    column that does not exist.
    """
    heading, lines = split_lines(text_of(table), table)
    columns = choose_columns(heading, lines, str(table), group, label, task)
    skipped: list[Skipped] = []
    rows = list(_rows(heading, lines, columns, table.name, skipped))
    placed, how = _place(rows, table.parent, root, skipped, on_progress)
    placed = _without_repetitions(placed, table.name, skipped)
    labels = labels_from_text(
        [row.label for row, _ in placed], task, f"{table}: column '{columns.label}'"
    )
    use, meaning = _splits(placed, columns, table)
    samples = list(_samples(placed, labels.values, use, skipped))
    present = {str(sample.label) for sample in samples}
    classes = labels.classes if labels.kind != "class" else class_order(present)
    kinds = {"class": "a class", "classes": "classes", "number": "a number", "none": "nothing"}
    extra = "".join(
        f", {what} from '{name}'"
        for what, name in (("split", columns.split), ("group", columns.group))
        if name
    )
    return Source(
        root=root,
        kind="table",
        why=(
            f"{table.name} has {len(rows):,} lines with a picture in '{columns.path}'{how} and "
            f"{kinds[labels.kind]} in '{columns.label}'{extra}; {meaning}"
        ),
        label_kind=labels.kind,
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=(table, *(root / sample.path for sample in samples)),
        read=file_reader(root, max_pixels),
        warnings=tuple(_warnings(samples, columns)),
    )


def choose_columns(
    heading: Sequence[str],
    lines: Sequence[Sequence[str]],
    where: str,
    group: str | None,
    label: str | None,
    task: str | None,
) -> Columns:
    """Which column holds what, by its heading, or for paths by its cells."""
    path = the_path_column(heading, lines)
    if path is None:
        raise DataError(
            f"{where}: no column of picture paths among {', '.join(heading) or 'no headings'}; "
            "name it 'path' in the first line"
        )
    split = _column(heading, "split")
    grouping = the_column(heading, "group", group)
    target = the_column(heading, "label", label or None)
    taken = (path, split, grouping)
    rest = [name for name in heading if name not in taken]
    if target is None and len(rest) == 1:
        target = rest[0]
    if target is None or target in taken:
        what = "number" if task == "regress" else "class"
        raise DataError(
            f"{where}: no label column among {', '.join(heading)}; "
            f"say which holds the {what} with --label"
        )
    return Columns(path, target, split, grouping)


def text_of(table: Path) -> str:
    """A table's text. Raises `DataError` where it is empty or not UTF-8."""
    content = read_file(table, str(table))
    if not content.strip():
        raise DataError(f"{table}: the table is empty; it needs a heading such as path,label")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{table}: not UTF-8 at byte {error.start}; save it as 'CSV UTF-8'"
        ) from None


def split_lines(text: str, table: Path) -> tuple[list[str], list[list[str]]]:
    """The heading and the lines, split at the delimiter that the heading shows."""
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max("\t,;", key=first.count)
    if "\0" in text:
        raise DataError(f"{table}: holds zero bytes; it is no text table")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{table}: not readable as a table ({error})") from None
    while lines and not any(cell.strip() for cell in lines[0]):
        lines.pop(0)
    heading = [cell.strip() for cell in lines[0]] if lines else []
    if any(is_picture_name(cell) for cell in heading):
        raise DataError(f"{table}: its first line is no heading; put one such as path,label there")
    if len(set(heading)) < len(heading):
        twice = next(name for name in heading if heading.count(name) > 1)
        raise DataError(f"{table}: the heading '{twice}' stands there twice; rename one")
    return heading, lines[1:]


def plain_heading(heading: str) -> str:
    """A heading in the form that `HEADINGS` has.

    >>> plain_heading("File-Name")
    'file_name'
    """
    return heading.strip().lower().replace(" ", "_").replace("-", "_")


def the_column(heading: Sequence[str], meaning: str, wanted: str | None) -> str | None:
    """The column that the user names (none for an empty name), else the one whose heading fits."""
    return _column(heading, meaning) if wanted is None else _named(heading, wanted)


def _column(heading: Sequence[str], meaning: str) -> str | None:
    plain = {plain_heading(name): name for name in reversed(heading)}
    return next((plain[word] for word in HEADINGS[meaning] if word in plain), None)


def _named(heading: Sequence[str], wanted: str) -> str | None:
    """The column that the user names; none for an empty name."""
    for name in heading:
        if plain_heading(name) == plain_heading(wanted):
            return name
    if wanted:
        raise unknown_name("column", wanted, heading)
    return None


def the_path_column(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str | None:
    """By what its cells look like; failing that (names without a suffix) by its heading."""
    some = lines[:50]
    for place, name in enumerate(heading):
        cells = [line[place] for line in some if place < len(line) and line[place].strip()]
        if cells and sum(is_picture_name(cell.strip()) for cell in cells) * 2 > len(cells):
            return name
    return _column(heading, "path")


def _rows(
    heading: list[str],
    lines: list[list[str]],
    columns: Columns,
    table_name: str,
    skipped: list[Skipped],
) -> Iterator[Row]:
    place = {name: number for number, name in enumerate(heading)}
    wanted = [
        place[name] if name is not None else None
        for name in (columns.path, columns.label, columns.split, columns.group)
    ]
    for number, line in enumerate(lines, start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(heading):
            reason = f"{len(line)} cells where the heading has {len(heading)}"
            skipped.append(Skipped(f"{table_name}:{number}", reason))
            continue
        cells = [line[index].strip() if index is not None else "" for index in wanted]
        if not cells[0]:
            skipped.append(Skipped(f"{table_name}:{number}", "no path in this line"))
            continue
        yield Row(number, *cells)


Placed = list[tuple[Row, str]]
"""Rows with the POSIX path of their file relative to the root (or absolute, as written)."""


def _place(
    rows: list[Row],
    folder: Path,
    root: Path,
    skipped: list[Skipped],
    on_progress: Progress | None,
) -> tuple[Placed, str]:
    """Where each row's file lies, and how that was found (for `why`); missing ones are skipped."""
    prefix = "" if folder == root else posixpath.relpath(folder.as_posix(), root.as_posix())
    placed: Placed = []
    missing: list[Row] = []
    for done, row in enumerate(rows, start=1):
        path = posixpath.normpath(posixpath.join(prefix, row.path.replace("\\", "/")))
        if (root / path).exists():
            placed.append((row, path))
        else:
            missing.append(row)
        if on_progress and done % 1000 == 0:
            on_progress(done, len(rows))
    how = ""
    if len(missing) * 2 > len(rows):  # the table speaks of names, not of paths
        found, missing = _search(missing, folder, prefix, skipped)
        if found:
            how = f" (found by name below {folder.name}/)"
        placed = sorted(placed + found, key=lambda pair: pair[0].number)
    skipped += [
        Skipped(printable(row.path), f"line {row.number} of the table: file not found")
        for row in missing
    ]
    return placed, how


def _search(
    rows: list[Row], folder: Path, prefix: str, skipped: list[Skipped]
) -> tuple[Placed, list[Row]]:
    """Rows whose file lies in some folder below the table's, by name with or without suffix."""
    places: dict[str, list[str]] = {}
    for found in walk(folder, lambda _: None):
        if is_picture_name(found.name):
            path = posixpath.normpath(posixpath.join(prefix, found.path))
            for name in {found.name, found.name.rpartition(".")[0]}:
                places.setdefault(name, []).append(path)
    placed: Placed = []
    missing: list[Row] = []
    for row in rows:
        candidates = places.get(posixpath.basename(row.path.replace("\\", "/")), [])
        if len(candidates) == 1:
            placed.append((row, candidates[0]))
        elif candidates:
            reason = f"line {row.number} of the table: {' and '.join(candidates[:2])} have its name"
            skipped.append(Skipped(row.path, reason))
        else:
            missing.append(row)
    return placed, missing


def _without_repetitions(placed: Placed, table_name: str, skipped: list[Skipped]) -> Placed:
    """One row a file: equal repetitions are dropped, contradicting ones with their file."""
    rows: dict[str, list[Row]] = {}
    for row, path in placed:
        rows.setdefault(path, []).append(row)
    kept: Placed = []
    for path, same in rows.items():
        first, *others = same
        differing = [row for row in others if (row.label, row.split) != (first.label, first.split)]
        if differing:
            skipped.append(Skipped(path, _contradiction(first, differing[0], table_name)))
            continue
        kept.append((first, path))
        skipped += [
            Skipped(path, f"line {row.number} of the table repeats line {first.number}")
            for row in others
        ]
    return kept


def _contradiction(first: Row, other: Row, table_name: str) -> str:
    what, one, two = (
        ("label", first.label, other.label)
        if first.label != other.label
        else ("split", first.split, other.split)
    )
    hint = f"; several classes are written {one}{SEPARATOR}{two}" if what == "label" else ""
    return (
        f"{table_name} gives it the {what} '{one}' in line {first.number} "
        f"and '{two}' in line {other.number}{hint}"
    )


def _splits(placed: Placed, columns: Columns, table: Path) -> tuple[dict[Split, Split | None], str]:
    words = {row.split for row, _ in placed if row.split}
    if unknown := sorted(word for word in words if split_of(word) is None):
        raise DataError(
            f"{table}: column '{columns.split}' has '{unknown[0]}'; known are "
            f"{', '.join(SPLIT_WORDS)} (or leave the column out)"
        )
    return settle_splits({split for word in words if (split := split_of(word))}, str(table))


def _samples(
    placed: Placed,
    labels: Iterable[Label],
    use: dict[Split, Split | None],
    skipped: list[Skipped],
) -> Iterator[Sample]:
    for (row, path), label in zip(placed, labels, strict=True):
        given = split_of(row.split)
        if label is None:
            words = f"no usable label ('{row.label}')" if row.label else "no label"
            skipped.append(Skipped(path, f"line {row.number} of the table: {words}"))
        elif use and given is None:
            skipped.append(Skipped(path, f"line {row.number} of the table: no split given"))
        else:
            split = use[given] if given else None
            yield Sample(path, path, label, split, row.group or None)


def _warnings(samples: list[Sample], columns: Columns) -> Iterator[str]:
    alone = sum(sample.group is None for sample in samples)
    if columns.group and alone:
        yield (
            f"{alone:,} of {len(samples):,} pictures have no '{columns.group}': "
            "each counts as a group of its own"
        )
    without = sum(sample.label == () for sample in samples)
    if without:
        yield f"{without:,} pictures have an empty label: taken as none of the classes"
