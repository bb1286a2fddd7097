"""Scans as a data set: what lies where, checked, counted, and ready to be read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitreous.data.samples import Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits
from vitreous.data.volumes.layouts import find_layout
from vitreous.data.volumes.masked import (
    marked_series,
    of_labelled_series,
    of_masks,
    of_table_of_masks,
    reason_without,
)
from vitreous.data.volumes.privacy import hidden_name
from vitreous.data.volumes.reading import Volumes, VolumeSettings, notes_of, scan_words, source_of
from vitreous.data.volumes.scans import (
    Found,
    Progress,
    Scan,
    dicom_scans,
    file_scan,
    walk_scans,
)
from vitreous.data.volumes.series_labels import (
    labels_of_series,
    segmentations_in,
)
from vitreous.data.volumes.tables import Row, find_volume_table, place_rows, read_rows
from vitreous.errors import DataError, RequestError

__all__ = ["VolumeSettings", "Volumes", "read_volumes", "scan_words"]


def read_volumes(
    path: Path, settings: VolumeSettings, on_progress: Progress | None = None
) -> Source:
    """The scans at a path: a folder, a table, or one file.

    Every header is read, every label is read whole. What does not fit is skipped with its reason.
    Raises `DataError` where nothing can be used, `RequestError` where settings do not fit.
    """
    root = path if path.is_dir() else path.parent
    found = walk_scans(root)
    table = find_volume_table(path, root, found.others)
    if table is not None:
        return _of_table(root, table, settings, on_progress)
    if path.is_file():
        found = replace(found, files=[p for p in found.files if p == path.name], skipped=[],
                        dicom=[p for p in found.dicom if p == path.name])  # fmt: skip
    layout = find_layout(root, found)
    if layout is None or (found.dicom and not layout.cases):
        return _of_series(root, found, settings, on_progress)
    _refuse_columns(root, settings)
    return of_masks(root, layout, found, settings, on_progress)


def _refuse_columns(root: Path, settings: VolumeSettings) -> None:
    for flag, given in (("--label", settings.label), ("--group", settings.group)):
        if given:
            raise RequestError(
                f"{flag} '{given}': {root} has masks, no table with columns; --group takes a "
                r"pattern for the paths, such as '(patient\d+)', --label a structure with --slices"
            )
    _refuse_task(root, settings.task, ("segment",), "masks")


def _refuse_task(root: Path, task: str | None, fits: Sequence[str], what: str) -> None:
    if task is not None and task not in fits:
        raise RequestError(f"{root}: --task {task} does not fit: these scans have {what}")


def _of_series(
    root: Path, found: Found, settings: VolumeSettings, on_progress: Progress | None
) -> Source:
    """DICOM series, with the labels that go with them, or none; files of scans without labels."""
    segmented: list[str] = []
    scans, skipped = dicom_scans(root, found.dicom, on_progress, segmented)
    labels, odd = labels_of_series(scans, found.files, segmentations_in(root, segmented))
    if not labels or not settings.labels:
        known = {path for label in labels.values() for path in label.paths}
        rest = replace(found, files=[path for path in found.files if path not in known])
        return _unlabelled(root, rest, scans, [*skipped, *(odd if settings.labels else ())])
    _refuse_columns(root, settings)
    marked = marked_series(root, scans, labels, [*found.skipped, *skipped, *odd])
    return of_labelled_series(root, found, marked, settings)


def _of_table(
    root: Path, table: Path, settings: VolumeSettings, on_progress: Progress | None
) -> Source:
    """Scans with a class, a number or a mask each, from a table."""
    rows = read_rows(table, settings.group, settings.label, settings.task)
    fits = ("segment",) if rows.kind == "mask" else ("classify", "classify-multilabel", "regress")
    _refuse_task(root, settings.task, fits, "masks" if rows.kind == "mask" else "a table")
    skipped = list(rows.skipped)
    placed = place_rows(rows, table, root, skipped, on_progress)
    if rows.kind == "mask":
        return of_table_of_masks(root, table, rows, placed, skipped, settings)
    use, meaning = settle_splits({row.split for row, _ in placed if row.split}, str(table))
    samples: list[Sample] = []
    scans: dict[str, Scan] = {}
    for row, scan in placed:
        if scan.sample_id in scans:
            skipped.append(Skipped(scan.path, f"line {row.number} of the table repeats it"))
            continue
        if use and row.split is None:
            skipped.append(Skipped(scan.path, f"line {row.number} of the table: no split given"))
            continue
        group = hidden_name("patient", row.group) if row.group else scan.patient
        samples.append(_labelled(row, scan, use, group))
        scans[scan.sample_id] = scan
    volumes = Volumes(root, scans, (), None, notes_of(scans.values()))
    grouped = f", patients from '{rows.group_column}'" if rows.group_column else ""
    why = (
        f"{table.name} has {len(samples):,} lines with a scan in '{rows.path_column}' and "
        f"{KINDS[rows.kind]} in '{rows.label_column}'{grouped}; {meaning}"
    )
    files = (table, *(root / file for scan in scans.values() for file in scan.files))
    return source_of(
        root, "table of scans", why, rows.kind, rows.classes, samples, skipped, files, volumes
    )  # fmt: skip


KINDS = {"class": "a class", "classes": "classes", "number": "a number", "none": "nothing"}


def _labelled(row: Row, scan: Scan, use: dict[Split, Split | None], group: str | None) -> Sample:
    split = use[row.split] if row.split else None
    return Sample(scan.sample_id, scan.path, row.label, split, group)


def _unlabelled(root: Path, found: Found, scans: list[Scan], skipped: list[Skipped]) -> Source:
    """DICOM series and files alone: nothing to train on, but to look at and to predict."""
    for path in found.files:
        try:
            scans.append(file_scan(root, (path,)))
        except DataError as error:
            skipped.append(Skipped(path, reason_without(str(error), path)))
    if not scans:
        first = next((f": {s.path}: {s.reason}" for s in skipped if not s.harmless), "")
        raise DataError(f"{root}: no scan there can be used{first}")
    samples = [Sample(scan.sample_id, scan.path, None, None, scan.patient) for scan in scans]
    series = sum(scan.series is not None for scan in scans)
    kind = "DICOM series" if series else "scans"
    why = f"{series:,} DICOM series by their UIDs" if series else ""
    if len(scans) > series:
        why += f"{' and ' if series else ''}{len(scans) - series:,} files of scans"
    volumes = Volumes(root, {s.sample_id: s for s in scans}, (), None, notes_of(scans))
    files = tuple(root / file for scan in scans for file in scan.files)
    return source_of(
        root, kind, f"{why}, no labels", "none", (), samples, [*found.skipped, *skipped], files,
        volumes,
    )  # fmt: skip
