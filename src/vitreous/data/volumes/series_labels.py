"""Labels of DICOM series: segmentations by the series that they name, files by where they lie.

Neither is shown by its path, for folders about DICOM files are often called as their patients.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.files import Stored, counted
from vitreous.data.masks.meaning import Meaning
from vitreous.data.pairing import pair
from vitreous.data.samples import Skipped
from vitreous.data.volumes.dicom_labels import (
    Segmentation,
    read_segmentation,
    segmented_voxels,
)
from vitreous.data.volumes.grid import turn_to_ras
from vitreous.data.volumes.labels import Checked, check_label, read_label
from vitreous.data.volumes.layouts import LABEL_ENDINGS
from vitreous.data.volumes.privacy import hidden_name
from vitreous.data.volumes.scans import Scan, volume_stem
from vitreous.errors import DataError

SEGMENTED_FROM = 1  # the number of the first segment's class; 0 is what is in none


@dataclass(frozen=True, eq=False)
class SeriesLabel:
    """What labels one series: one file of voxels, or DICOM segmentations (of other structures)."""

    paths: tuple[str, ...] = field(repr=False)
    numbers: Mapping[str, int] | None = None  # of segments, by their labels; None: a file of voxels

    def check(self, root: Path, scan: Scan) -> Checked:
        """Read it whole. Raises `DataError`, without a path, where it does not fit its series."""
        if self.numbers is None:
            try:
                return check_label(root, scan, self.paths[0])
            except DataError as error:
                raise DataError(str(error).replace(self.paths[0], "its label")) from None
        values = self._voxels(root, scan)
        return Checked(counted(values), {number: name for name, number in self.numbers.items()})

    def read(self, root: Path, scan: Scan, meaning: Meaning) -> NDArray[np.uint8]:
        """The classes, uint8 (depth, height, width), turned to RAS as the series is."""
        try:
            if self.numbers is None:
                return read_label(root, self.paths[0], meaning)
            places = meaning.apply(Stored(self._voxels(root, scan), False))
        except DataError as error:
            said = str(error)
            for path in self.paths:
                said = said.replace(path, "its label")
            raise DataError(f"{scan.path}: {said}") from None
        return np.ascontiguousarray(turn_to_ras(scan.header.grid).apply(places))

    def _voxels(self, root: Path, scan: Scan) -> NDArray[np.int64]:
        assert self.numbers is not None
        whole = np.zeros(scan.header.grid.shape, np.int64)
        for path in self.paths:
            part = segmented_voxels(root / path, scan.header.grid, self.numbers)
            double = (whole != 0) & (part != 0)
            if double.any():
                raise DataError(
                    f"{int(double.sum()):,} voxels are in two of its segmentations; a voxel has "
                    "one class here: keep one of them"
                )
            whole += part
        return whole


def segmentations_in(root: Path, paths: Iterable[str]) -> list[Segmentation]:
    """The DICOM segmentations among some files."""
    found = (read_segmentation(root / path, path) for path in paths)
    return [one for one in found if one is not None]


def class_numbers(segmentations: Iterable[Segmentation]) -> dict[str, int]:
    """Each segment label's class, in the order of the labels: the same for all files."""
    labels = sorted({label for one in segmentations for label in one.segments.values()})
    return {label: number for number, label in enumerate(labels, start=SEGMENTED_FROM)}


def labels_of_series(
    scans: Sequence[Scan], files: Sequence[str], segmentations: Sequence[Segmentation]
) -> tuple[dict[str, SeriesLabel], list[Skipped]]:
    """The label of each series by its sample id, and what labels nothing or too much."""
    labels: dict[str, SeriesLabel] = {}
    skipped: list[Skipped] = []
    numbers = class_numbers(segmentations)
    by_series: dict[str, list[Segmentation]] = {}
    for one in segmentations:
        name = hidden_name("series", one.series_uid) if one.series_uid else "an unnamed series"
        by_series.setdefault(name, []).append(one)
    known = {scan.sample_id for scan in scans}
    for name, several in by_series.items():
        said = Counter(label for one in several for label in one.segments.values())
        twice = [label for label, count in said.items() if count > 1]
        if name not in known:
            reason = "a segmentation of it, but the series itself is not here or cannot be used"
            skipped.append(Skipped(name, reason))
        elif twice:
            reason = f"'{twice[0]}' is in {said[twice[0]]} segmentations of it; keep one of them"
            skipped.append(Skipped(name, reason))
        else:
            labels[name] = SeriesLabel(tuple(one.path for one in several), numbers)
    free = [scan for scan in scans if scan.sample_id not in labels]
    for scan, path in _by_place(free, files):
        labels[scan.sample_id] = SeriesLabel((path,))
    lost = len(files) - sum(label.numbers is None for label in labels.values())
    if files and lost:
        reason = "files of scans or labels that go with no single series: name a label as its "
        reason += "series' folder, or say in a table which belongs to which"
        skipped.append(Skipped(f"{lost:,} files", reason))
    if labels:
        skipped += [
            Skipped(scan.path, "no label goes with this series", harmless=True)
            for scan in scans
            if scan.sample_id not in labels and scan.path not in {item.path for item in skipped}
        ]
    return labels, skipped


def _by_place(scans: Sequence[Scan], files: Sequence[str]) -> list[tuple[Scan, str]]:
    """Label files by their names (`masks/7.nii.gz` of `images/7/`), else by the one series near."""
    named: dict[str, list[Scan]] = {}
    for scan in scans:
        named.setdefault(_name(scan), []).append(scan)
    single = {name: found[0] for name, found in named.items() if len(found) == 1}
    stems = {f"{volume_stem(path)}.": path for path in files}
    pairs = pair(single, stems, LABEL_ENDINGS).pairs
    count = Counter(name for name, _ in pairs)
    found = [(single[name], stems[label]) for name, label in pairs if count[name] == 1]
    taken = {scan.sample_id for scan, _ in found}
    used = {path for _, path in found}
    near: dict[str, list[str]] = {}
    for path in files:
        scan = None if path in used else _only_series_near(path, scans)
        if scan is not None and scan.sample_id not in taken:
            near.setdefault(scan.sample_id, []).append(path)
    by_id = {scan.sample_id: scan for scan in scans}
    return found + [(by_id[name], paths[0]) for name, paths in near.items() if len(paths) == 1]


def _name(scan: Scan) -> str:
    """What a series is called by where it lies: its file, or the folder of its files."""
    if len(scan.files) == 1:
        return f"{volume_stem(scan.files[0])}."
    return f"{_folder(scan)}."


def _folder(scan: Scan) -> str:
    folders = {posixpath.dirname(path) for path in scan.files}
    return posixpath.commonpath(folders) if len(folders) > 1 else folders.pop()


def _only_series_near(path: str, scans: Sequence[Scan]) -> Scan | None:
    """The one series in the nearest folder above a label that has any below it."""
    folder = posixpath.dirname(path)
    while True:
        inside = [
            scan for scan in scans if not folder or f"{_folder(scan)}/".startswith(f"{folder}/")
        ]
        if inside or not folder:
            return inside[0] if len(inside) == 1 else None
        folder = posixpath.dirname(folder)
