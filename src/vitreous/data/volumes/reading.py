"""A data set of scans: how its scans and labels are read, and what is odd about them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.listing import printable
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.masks.meaning import Meaning
from vitreous.data.samples import LabelKind, Picture, Sample, Skipped, Source
from vitreous.data.volumes.grid import Grid, described, turn_to_ras
from vitreous.data.volumes.labels import read_label
from vitreous.data.volumes.scans import (
    Scan,
    read_scan,
)
from vitreous.data.volumes.series_labels import (
    SeriesLabel,
)
from vitreous.data.volumes.volume import Volume


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


def source_of(
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
    """The data set, with what is odd about its scans as warnings."""
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


def notes_of(scans: Iterable[Scan]) -> dict[str, tuple[str, ...]]:
    """What is odd about usable scans, by sample id."""
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


def scan_words(volumes: Volumes, sample_id: str) -> str:
    """One scan's size, spacing and directions as stored, for people."""
    return described(volumes.scans[sample_id].header.grid)
