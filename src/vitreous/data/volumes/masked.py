"""Scans with masks: those whose labels fit, as a data set, wherever the labels lie."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.data.masks.class_table import ClassTable, find_table, given_table
from vitreous.data.masks.files import Scan as Counts
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.masks.meaning import Meaning
from vitreous.data.samples import Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits
from vitreous.data.threads import map_in_order
from vitreous.data.volumes.labels import Checked, check_label, meaning_of_labels
from vitreous.data.volumes.layouts import Case, Layout, repeated
from vitreous.data.volumes.privacy import hidden_name
from vitreous.data.volumes.reading import Volumes, VolumeSettings, notes_of, source_of
from vitreous.data.volumes.scans import (
    Found,
    Progress,
    Scan,
    file_scan,
)
from vitreous.data.volumes.series_labels import (
    SeriesLabel,
    class_numbers,
    segmentations_in,
)
from vitreous.data.volumes.tables import Row, Rows
from vitreous.errors import DataError

READERS = 2


@dataclass
class Marked:
    """Scans whose labels fit them, out of `of`, and all that was left out."""

    good: list[tuple[Case, Scan, Checked]]
    of: int
    skipped: list[Skipped]
    channels: tuple[str, ...] = ()
    series_labels: dict[str, SeriesLabel] = field(default_factory=dict)
    groups: dict[str, str | None] = field(default_factory=dict)  # by sample id, where a table says


def of_masks(
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
            skipped.append(Skipped(case.files[0], reason_without(str(checked), case.files[0])))
        if on_progress:
            on_progress(done, len(cases))
    files = tuple(root / file for case, *_ in good for file in (*case.files, str(case.label)))
    marked = Marked(good, len(cases), skipped, layout.channels)
    table = layout.table or find_table(root, found.others)
    return _marked_source(root, layout.kind, layout.why, marked, table, files, settings)


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


def marked_series(
    root: Path, scans: Sequence[Scan], labels: dict[str, SeriesLabel], skipped: list[Skipped]
) -> Marked:
    """DICOM series whose labels fit them; what does not fit is put into `skipped`."""
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
    return Marked(good, len(labels), skipped, series_labels=labels)


def of_labelled_series(
    root: Path, found: Found, marked: Marked, settings: VolumeSettings
) -> Source:
    """DICOM series with the labels that go with them. Raises `DataError` where none can be used."""
    labels = marked.series_labels
    by_file = sum(label.numbers is None for label in labels.values())
    kinds = [(by_file, "files of voxels"), (len(labels) - by_file, "DICOM segmentations")]
    said = " and ".join(f"{count:,} by {words}" for count, words in kinds if count)
    why = f"{len(labels):,} DICOM series are labelled, {said}"
    files = _files_of(root, marked.good, labels)
    table = find_table(root, found.others)
    return _marked_source(root, "labelled DICOM series", why, marked, table, files, settings)


def of_table_of_masks(
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
        root, kept, marked.channels, meaning, notes_of(kept.values()), marked.series_labels
    )
    return source_of(
        root, kind, f"{why}: {meaning.why}", "mask", meaning.classes, samples, skipped, files,
        volumes,
    )  # fmt: skip


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


def _case_of(scan: Scan, split: Split | None = None) -> Case:
    """A DICOM series with its label, called by the series' hidden name."""
    return Case(scan.sample_id, scan.files, f"label of {scan.sample_id}", split)


def _files_of(
    root: Path, good: Iterable[tuple[Case, Scan, Checked]], labels: dict[str, SeriesLabel]
) -> tuple[Path, ...]:
    return tuple(
        root / file for _, scan, _ in good for file in (*scan.files, *labels[scan.sample_id].paths)
    )


def reason_without(said: str, path: str) -> str:
    """What is wrong, less the path that it begins with."""
    return said.removeprefix(f"{path}: ")
