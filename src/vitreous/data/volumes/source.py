"""Scans as a data set: what lies where, checked, counted, and ready to be read."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.listing import printable
from vitreous.data.masks.class_table import ClassTable, find_table, given_table
from vitreous.data.masks.files import Scan as Counts
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.masks.meaning import Meaning
from vitreous.data.samples import LabelKind, Picture, Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits
from vitreous.data.threads import map_in_order
from vitreous.data.volumes.grid import Grid, described, turn_to_ras
from vitreous.data.volumes.labels import Checked, check_label, meaning_of_labels, read_label
from vitreous.data.volumes.layouts import Case, Layout, find_layout, repeated
from vitreous.data.volumes.privacy import hidden_name
from vitreous.data.volumes.scans import (
    Found,
    Progress,
    Scan,
    dicom_scans,
    file_scan,
    read_scan,
    walk_scans,
)
from vitreous.data.volumes.series_labels import (
    SeriesLabel,
    class_numbers,
    labels_of_series,
    segmentations_in,
)
from vitreous.data.volumes.tables import Row, Rows, find_volume_table, place_rows, read_rows
from vitreous.data.volumes.volume import Volume
from vitreous.errors import DataError, RequestError

READERS = 2


@dataclass(frozen=True)
class VolumeSettings:
    """What the user says about scans."""

    group: str | None = None  # a column of the table, or a pattern for paths (taken elsewhere)
    label: str | None = None  # a column of the table
    task: str | None = None
    classes: str | Path | Sequence[str] | None = None
    ignore: int | None = None
    labels: bool = True  # False: DICOM series are wanted whether or not they have labels


@dataclass(frozen=True, eq=False)
class Volumes:
    """What a `Source` of scans has beside its samples."""

    root: Path
    scans: dict[str, Scan]  # by sample id
    channels: tuple[str, ...]  # their names, as far as the data say them
    meaning: Meaning | None  # of the labels' numbers, where there are masks
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # odd but usable, by sample id
    series_labels: dict[str, SeriesLabel] = field(default_factory=dict)  # of DICOM, by sample id

    def read(self, sample: Sample) -> Volume:
        """The scan of a sample, turned to RAS. Raises `DataError`."""
        return read_scan(self.root, self.scans[sample.sample_id])

    def read_label(self, sample: Sample) -> NDArray[np.uint8]:
        """The classes of its voxels, uint8 (depth, height, width). Raises `DataError`."""
        assert isinstance(sample.label, MaskLabel)
        assert self.meaning is not None
        label = self.series_labels.get(sample.sample_id)
        if label is not None:
            return label.read(self.root, self.scans[sample.sample_id], self.meaning)
        return read_label(self.root, sample.label.path, self.meaning)

    def grid(self, sample_id: str) -> Grid:
        """The grid of a scan, turned to RAS: of (depth, height, width)."""
        stored = self.scans[sample_id].header.grid
        return turn_to_ras(stored).grid(stored)

    @property
    def modality(self) -> str | None:
        """CT, MR, ... where the data say one for all."""
        said = {scan.series.modality for scan in self.scans.values() if scan.series}
        said |= {name.upper() for name in self.channels}
        return said.pop() if len(said) == 1 else None


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
    return _of_masks(root, layout, found, settings, on_progress)


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


def _of_masks(
    root: Path, layout: Layout, found: Found, settings: VolumeSettings, on_progress: Progress | None
) -> Source:
    """Scans with masks."""
    skipped = [*found.skipped, *layout.skipped]
    twice = dict(repeated(layout.cases))
    skipped += [Skipped(p, f"{n} labels have its name; keep one of them") for p, n in twice.items()]
    cases = [case for case in layout.cases if case.files[0] not in twice]
    good: list[tuple[Case, Scan, Checked]] = []
    for done, (case, scan, checked) in enumerate(_checked(root, cases), start=1):
        if isinstance(checked, Checked) and scan is not None:
            good.append((case, scan, checked))
        else:
            skipped.append(Skipped(case.files[0], _reason(str(checked), case.files[0])))
        if on_progress:
            on_progress(done, len(cases))
    files = tuple(root / file for case, *_ in good for file in (*case.files, str(case.label)))
    marked = Marked(good, len(cases), skipped, layout.channels)
    table = layout.table or find_table(root, found.others)
    return _marked_source(root, layout.kind, layout.why, marked, table, files, settings)


@dataclass
class Marked:
    """Scans whose labels fit them, out of `of`, and all that was left out."""

    good: list[tuple[Case, Scan, Checked]]
    of: int
    skipped: list[Skipped]
    channels: tuple[str, ...] = ()
    series_labels: dict[str, SeriesLabel] = field(default_factory=dict)
    groups: dict[str, str | None] = field(default_factory=dict)  # by sample id, where a table says


def _marked_source(
    root: Path,
    kind: str,
    why: str,
    marked: Marked,
    table: ClassTable | None,
    files: tuple[Path, ...],
    settings: VolumeSettings,
) -> Source:
    """The source of scans with masks. Raises `DataError` where none can be used."""
    good, skipped = marked.good, marked.skipped
    if not good:
        harmful = [item for item in skipped if not item.harmless]
        first = f": {harmful[-1].path}: {harmful[-1].reason}" if harmful else ""
        raise DataError(f"{root}: none of {marked.of:,} scans with labels can be used{first}")
    if settings.classes is not None:
        table = given_table(settings.classes)
    meaning = meaning_of_labels((c for *_, c in good), table, settings.ignore, str(root))
    samples, kept = _with_masks(marked, meaning, root)
    volumes = Volumes(
        root, kept, marked.channels, meaning, _notes(kept.values()), marked.series_labels
    )
    return _source(
        root, kind, f"{why}: {meaning.why}", "mask", meaning.classes, samples, skipped, files,
        volumes,
    )  # fmt: skip


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
    skipped = [*found.skipped, *skipped, *odd]
    good: list[tuple[Case, Scan, Checked]] = []
    for scan in scans:
        if scan.sample_id not in labels:
            continue
        try:
            checked = labels[scan.sample_id].check(root, scan)
        except DataError as error:
            skipped.append(Skipped(scan.path, str(error)))
            continue
        good.append((_case_of(scan), scan, checked))
    by_file = sum(label.numbers is None for label in labels.values())
    kinds = [(by_file, "files of voxels"), (len(labels) - by_file, "DICOM segmentations")]
    said = " and ".join(f"{count:,} by {words}" for count, words in kinds if count)
    why = f"{len(labels):,} DICOM series are labelled, {said}"
    marked = Marked(good, len(labels), skipped, series_labels=labels)
    files = _files_of(root, good, labels)
    table = find_table(root, found.others)
    return _marked_source(root, "labelled DICOM series", why, marked, table, files, settings)


def _case_of(scan: Scan, split: Split | None = None) -> Case:
    """A DICOM series with its label, called by the series' hidden name."""
    return Case(scan.sample_id, scan.files, f"label of {scan.sample_id}", split)


def _files_of(
    root: Path, good: Iterable[tuple[Case, Scan, Checked]], labels: dict[str, SeriesLabel]
) -> tuple[Path, ...]:
    return tuple(
        root / file for _, scan, _ in good for file in (*scan.files, *labels[scan.sample_id].paths)
    )


def _checked(
    root: Path, cases: Sequence[Case]
) -> Iterator[tuple[Case, Scan | None, Checked | str]]:
    def check(case: Case) -> tuple[Scan | None, Checked | str]:
        try:
            scan = file_scan(root, case.files)
            return scan, check_label(root, scan, str(case.label))
        except DataError as error:
            return None, str(error)

    for case, found in zip(cases, map_in_order(check, cases, READERS), strict=True):
        yield case, *found


def _with_masks(
    marked: Marked, meaning: Meaning, root: Path
) -> tuple[list[Sample], dict[str, Scan]]:
    good, skipped = marked.good, marked.skipped
    use, _ = settle_splits({case.split for case, *_ in good if case.split}, str(root))
    samples: list[Sample] = []
    scans: dict[str, Scan] = {}
    for case, scan, checked in good:
        try:
            voxels, ignored = meaning.count(Counts((0, 0), checked.numbers, {}, False))
        except DataError as error:
            skipped.append(Skipped(scan.path, f"{case.label}: {error}".replace("pixels", "voxels")))
            continue
        if use and case.split is None:
            skipped.append(Skipped(scan.path, "in no part of the split", harmless=True))
            continue
        label = MaskLabel(str(case.label), voxels, ignored)
        split = use[case.split] if case.split else None
        group = marked.groups.get(scan.sample_id) or scan.patient
        samples.append(Sample(scan.sample_id, scan.path, label, split, group))
        scans[scan.sample_id] = scan
    return samples, scans


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
        return _of_table_of_masks(root, table, rows, placed, skipped, settings)
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
    volumes = Volumes(root, scans, (), None, _notes(scans.values()))
    grouped = f", patients from '{rows.group_column}'" if rows.group_column else ""
    why = (
        f"{table.name} has {len(samples):,} lines with a scan in '{rows.path_column}' and "
        f"{KINDS[rows.kind]} in '{rows.label_column}'{grouped}; {meaning}"
    )
    files = (table, *(root / file for scan in scans.values() for file in scan.files))
    return _source(
        root, "table of scans", why, rows.kind, rows.classes, samples, skipped, files, volumes
    )  # fmt: skip


def _of_table_of_masks(
    root: Path,
    table: Path,
    rows: Rows,
    placed: Sequence[tuple[Row, Scan]],
    skipped: list[Skipped],
    settings: VolumeSettings,
) -> Source:
    """Scans with a file of labels each, from a table: files of voxels or DICOM segmentations."""
    marked = Marked([], len(placed), skipped)
    above = table.parent.relative_to(root).as_posix() if table.parent != root else ""
    where = [posixpath.normpath(posixpath.join(above, str(row.label))) for row, _ in placed]
    segmented = {one.path: one for one in segmentations_in(root, where)}
    numbers = class_numbers(segmented.values())
    for (row, scan), path in zip(placed, where, strict=True):
        if scan.sample_id in marked.groups:
            skipped.append(Skipped(scan.path, f"line {row.number} of the table repeats it"))
            continue
        label = SeriesLabel((path,), numbers if path in segmented else None)
        try:
            if not (root / path).is_file():
                raise DataError(f"file not found: its label in line {row.number} of the table")
            checked = label.check(root, scan)
        except DataError as error:
            skipped.append(Skipped(scan.path, str(error)))
            continue
        marked.good.append((_case_of(scan, row.split), scan, checked))
        marked.series_labels[scan.sample_id] = label
        marked.groups[scan.sample_id] = hidden_name("patient", row.group) if row.group else None
    grouped = f", patients from '{rows.group_column}'" if rows.group_column else ""
    why = (
        f"{table.name} has {len(marked.good):,} lines with a scan in '{rows.path_column}' and its "
        f"mask in '{rows.label_column}'{grouped}"
    )
    files = (table, *_files_of(root, marked.good, marked.series_labels))
    return _marked_source(root, "table of scans and masks", why, marked, None, files, settings)


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
            skipped.append(Skipped(path, _reason(str(error), path)))
    if not scans:
        first = next((f": {s.path}: {s.reason}" for s in skipped if not s.harmless), "")
        raise DataError(f"{root}: no scan there can be used{first}")
    samples = [Sample(scan.sample_id, scan.path, None, None, scan.patient) for scan in scans]
    series = sum(scan.series is not None for scan in scans)
    kind = "DICOM series" if series else "scans"
    why = f"{series:,} DICOM series by their UIDs" if series else ""
    if len(scans) > series:
        why += f"{' and ' if series else ''}{len(scans) - series:,} files of scans"
    volumes = Volumes(root, {s.sample_id: s for s in scans}, (), None, _notes(scans))
    files = tuple(root / file for scan in scans for file in scan.files)
    return _source(
        root, kind, f"{why}, no labels", "none", (), samples, [*found.skipped, *skipped], files,
        volumes,
    )  # fmt: skip


def _source(
    root: Path,
    kind: str,
    why: str,
    label_kind: LabelKind,
    classes: tuple[str, ...],
    samples: Sequence[Sample],
    skipped: Sequence[Skipped],
    files: tuple[Path, ...],
    volumes: Volumes,
) -> Source:
    return Source(
        root=root,
        kind=kind,
        why=why,
        label_kind=label_kind,
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=files,
        read=_middle_slice(volumes),
        warnings=tuple(_warnings(volumes)),
        decoding="volumes, turned to RAS",
        read_mask=volumes.read_label if label_kind == "mask" else None,
        volumes=volumes,
    )


def _middle_slice(volumes: Volumes) -> Callable[[Sample, int | None], Picture]:
    """The `Source.read` of scans: the middle axial slice, for glances (copies, thumbnails)."""

    def read(sample: Sample, minimum_side: int | None = None) -> Picture:
        from vitreous.data.volumes.sheet import plane, windowed

        del minimum_side
        volume = volumes.read(sample)
        picture = windowed(plane(volume.values[0], "axial", volume.values.shape[1] // 2))
        return Picture(picture[..., None], (picture.shape[0], picture.shape[1]))

    return read


def _notes(scans: Iterable[Scan]) -> dict[str, tuple[str, ...]]:
    return {scan.sample_id: scan.header.notes for scan in scans if scan.header.notes}


def _warnings(volumes: Volumes) -> Iterator[str]:
    """What is odd: each note once, with its first scan; directions and spacings that differ."""
    by_note: dict[str, list[str]] = {}
    for name, notes in volumes.notes.items():
        for note in notes:
            by_note.setdefault(note, []).append(name)
    for note, names in by_note.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield f"{printable(names[0])}{more}: {note}"
    letters = Counter(scan.header.grid.letters for scan in volumes.scans.values())
    if len(letters) > 1:
        shown = ", ".join(f"{name} ({count:,})" for name, count in letters.most_common())
        yield f"mixed orientations as stored: {shown}; all are turned to RAS"
    channels = Counter(scan.header.channels for scan in volumes.scans.values())
    if len(channels) > 1:
        shown = ", ".join(f"{count:,} of {number}" for number, count in channels.most_common())
        yield f"scans have different numbers of channels: {shown}; they cannot be trained together"


def _reason(said: str, path: str) -> str:
    return said.removeprefix(f"{path}: ")


def scan_words(volumes: Volumes, sample_id: str) -> str:
    """One scan's size, spacing and directions as stored, for people."""
    return described(volumes.scans[sample_id].header.grid)
