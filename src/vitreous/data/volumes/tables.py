"""A CSV or TSV table of scans: a file, a DICOM folder or a SeriesInstanceUID a line, its label,
its patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitreous.data.labels import labels_from_text
from vitreous.data.samples import Label, LabelKind, Skipped, Split
from vitreous.data.split_names import split_of
from vitreous.data.tables import (
    is_table_name,
    plain_heading,
    split_lines,
    text_of,
    the_column,
)
from vitreous.data.volumes.dicom_series import ONE_SLICE
from vitreous.data.volumes.privacy import hidden_name
from vitreous.data.volumes.scans import (
    DICOM,
    Progress,
    Scan,
    dicom_scans,
    file_scan,
    volume_suffix,
    walk_scans,
)
from vitreous.errors import DataError

MASK_HEADINGS = (
    "mask",
    "label",
    "seg",
    "segmentation",
    "mask_path",
    "label_path",
    "labels",
    "ground_truth",
    "gt",
)
SCAN_HEADINGS = (
    "scan", "volume", "path", "file", "filename", "file_name", "image", "image_path", "folder",
    "series", "series_uid", "seriesinstanceuid", "series_instance_uid",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: int  # line in the file, the heading being 1
    scan: str
    label: Label
    split: Split | None
    group: str


@dataclass(frozen=True)
class Rows:
    """A table's lines, and what its columns mean."""

    rows: tuple[Row, ...]
    kind: LabelKind
    classes: tuple[str, ...]
    path_column: str
    label_column: str
    group_column: str | None
    skipped: tuple[Skipped, ...]


def find_volume_table(path: Path, root: Path, others: Sequence[str]) -> Path | None:
    """The table that names scans: the one given, or the only one at the top of the folder."""
    if path.is_file():
        return path if is_table_name(path.name) and names_volumes(path) else None
    tables = [
        root / other
        for other in others
        if "/" not in other and is_table_name(other) and names_volumes(root / other)
    ]
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise DataError(f"{root}: {names}: more than one could be meant; give one of them")
    return tables[0] if tables else None


def names_volumes(path: Path) -> bool:
    """Whether a table has a column of scans (its first lines are read)."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16).decode("utf-8-sig", "ignore")
        heading, lines = split_lines(start, path)
        return _scan_column(heading, lines[:-1] or lines, path.parent) is not None
    except (OSError, DataError):
        return False


def read_rows(table: Path, group: str | None, label: str | None, task: str | None) -> Rows:
    """The lines of a table. Raises `DataError` where a column is missing."""
    heading, lines = split_lines(text_of(table), table)
    scan = _scan_column(heading, lines, table.parent)
    if scan is None:
        raise DataError(f"{table}: no column of scans among {', '.join(heading)}; call it 'scan'")
    split, patient = the_column(heading, "split", None), the_column(heading, "group", group)
    target = the_column(heading, "label", label or None)
    rest = [name for name in heading if name not in (scan, split, patient)]
    target = rest[0] if target is None and len(rest) == 1 else target
    if target is None or target in (scan, split, patient):
        raise DataError(
            f"{table}: no label column among {', '.join(heading)}; say which with --label"
        )
    skipped, kept = [], []
    for number, line in enumerate(lines, start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(heading):
            reason = f"{len(line)} cells where the heading has {len(heading)}"
            skipped.append(Skipped(f"{table.name}:{number}", reason))
            continue
        cells = {name: cell.strip() for name, cell in zip(heading, line, strict=True)}
        if not cells[scan] or not cells[target]:
            missing = "scan" if not cells[scan] else "label"
            skipped.append(Skipped(f"{table.name}:{number}", f"no {missing} in this line"))
            continue
        kept.append((number, cells))
    where = f"{table}: column '{target}'"
    if kept and all(volume_suffix(cells[target]) is not None for _, cells in kept):
        rows = tuple(_row(number, c, scan, c[target], split, patient, table) for number, c in kept)
        return Rows(rows, "mask", (), scan, target, patient, tuple(skipped))
    labels = labels_from_text([cells[target] for _, cells in kept], task, where)
    rows = tuple(
        _row(number, cells, scan, value, split, patient, table)
        for (number, cells), value in zip(kept, labels.values, strict=True)
    )
    return Rows(rows, labels.kind, labels.classes, scan, target, patient, tuple(skipped))


def _row(
    number: int,
    cells: dict[str, str],
    scan: str,
    label: Label,
    split: str | None,
    patient: str | None,
    table: Path,
) -> Row:
    group = cells.get(patient or "", "")
    return Row(number, cells[scan], label, _split(cells, split, table), group)


def place_rows(
    rows: Rows, table: Path, root: Path, skipped: list[Skipped], on_progress: Progress | None
) -> list[tuple[Row, Scan]]:
    """Each line's scan; a line without one is skipped, named by its number.

    DICOM files below the table's folder are searched once, for the series that lines name.
    """
    placed: list[tuple[Row, Scan]] = []
    by_uid: dict[str, Scan] | None = None
    for done, row in enumerate(rows.rows, start=1):
        try:
            if _is_uid(row.scan):
                if by_uid is None:
                    by_uid = _series_below(root)
                placed.append((row, _of_uid(row, by_uid)))
            else:
                placed.append((row, _of_path(row, table.parent, root)))
        except DataError as error:
            skipped.append(Skipped(f"{table.name}:{row.number}", str(error)))
        if on_progress:
            on_progress(done, len(rows.rows))
    return placed


def _is_uid(cell: str) -> bool:
    return cell.count(".") >= 3 and cell.replace(".", "").isdecimal()


def _series_below(root: Path) -> dict[str, Scan]:
    scans, _ = dicom_scans(root, walk_scans(root).dicom)
    return {scan.sample_id: scan for scan in scans}


def _of_uid(row: Row, by_uid: dict[str, Scan]) -> Scan:
    name = hidden_name("series", row.scan)
    if name not in by_uid:
        raise DataError(f"{name}: no usable series of this UID below the table's folder")
    return by_uid[name]


def _of_path(row: Row, folder: Path, root: Path) -> Scan:
    path = folder / row.scan.replace("\\", "/")
    if path.is_file() and volume_suffix(path.name) not in DICOM:
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else row.scan
        return file_scan(root, (shown,))
    if not path.exists():
        raise DataError(f"file not found: {row.scan}")
    # one series: a folder of its files, or one file with many frames
    base, names = (path.parent, [path.name]) if path.is_file() else (path, walk_scans(path).dicom)
    scans, skipped = dicom_scans(base, names)
    if len(scans) == 1 and base.is_relative_to(root):
        return _relative(scans[0], base.relative_to(root).as_posix())
    if scans:
        raise DataError(f"{len(scans)} series in this folder; name one by its SeriesInstanceUID")
    said = next((s.reason for s in skipped if not s.reason.startswith(ONE_SLICE)), "no DICOM")
    raise DataError(f"no usable series there: {said}")


def _relative(scan: Scan, folder: str) -> Scan:
    """The scan with its files counted from the data root."""
    assert scan.series is not None
    frames = tuple(
        replace(frame, path=f"{folder}/{frame.path}" if folder != "." else frame.path)
        for frame in scan.series.frames
    )
    series = replace(scan.series, frames=frames)
    return replace(scan, files=series.paths, series=series)


def _split(cells: dict[str, str], column: str | None, table: Path) -> Split | None:
    if column is None or not cells[column]:
        return None
    if (given := split_of(cells[column])) is None:
        raise DataError(f"{table}: column '{column}' has '{cells[column]}'; use train, val, test")
    return given


def _scan_column(
    heading: Sequence[str], lines: Sequence[Sequence[str]], folder: Path
) -> str | None:
    """By what its cells look like; failing that by a heading whose cells are folders there."""
    for place, name in enumerate(heading):
        if plain_heading(name) in MASK_HEADINGS:
            continue
        cells = [line[place].strip() for line in lines[:50] if place < len(line) and line[place]]
        if cells and 2 * sum(volume_suffix(c) is not None or _is_uid(c) for c in cells) > len(
            cells
        ):
            return name
    for name in heading:
        if plain_heading(name) in SCAN_HEADINGS:
            place = list(heading).index(name)
            cells = [
                line[place].strip() for line in lines[:20] if place < len(line) and line[place]
            ]
            if cells and any((folder / cell).is_dir() for cell in cells):
                return name
    return None
