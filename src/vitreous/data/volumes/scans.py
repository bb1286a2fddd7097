"""Scans on the disk, whatever their format: found, their headers read, their values read."""

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.listing import is_picture_name, walk
from vitreous.data.recordings.formats import recording_suffix
from vitreous.data.samples import Skipped
from vitreous.data.volumes import itk, nifti
from vitreous.data.volumes.dicom_headers import is_dicom
from vitreous.data.volumes.dicom_series import Series, find_series, read_series
from vitreous.data.volumes.grid import turn_to_ras
from vitreous.data.volumes.nifti import Header
from vitreous.data.volumes.volume import Volume, turned
from vitreous.errors import DataError

NIFTI = (".nii.gz", ".nii", ".img.gz", ".img")
ITK = (".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
DICOM = (".dcm", ".dicom", ".ima")
PARTS = (".hdr", ".hdr.gz", ".raw", ".zraw", ".raw.gz")  # that belong to a file of the above
LOOKED_AT = 1000  # files of a folder, to see whether it holds scans
CHANNEL = re.compile(r"_(\d{4})$")  # nnU-Net's: case_0000.nii.gz, case_0001.nii.gz

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan and where it lies; several files where each holds one of its channels."""

    sample_id: str
    path: str  # as shown: POSIX below the root; of DICOM the hidden name
    files: tuple[str, ...] = field(repr=False)
    header: Header
    series: Series | None = field(default=None, repr=False)

    @property
    def patient(self) -> str | None:
        """A hidden name where the scan's own header says whose it is."""
        return self.series.patient if self.series else None


def volume_suffix(name: str) -> str | None:
    """The ending by which a file's name says that it is a volume, in lower case.

    >>> volume_suffix("T1.NII.GZ"), volume_suffix("7.dcm"), volume_suffix("7.png")
    ('.nii.gz', '.dcm', None)
    """
    lower = name.lower()
    return next((ending for ending in (*NIFTI, *ITK, *DICOM) if lower.endswith(ending)), None)


def volume_stem(path: str) -> str:
    """A path without a volume's ending.

    >>> volume_stem("labelsTr/la_003.nii.gz")
    'labelsTr/la_003'
    """
    return path[: len(path) - len(volume_suffix(path) or "")]


def holds_volumes(path: Path) -> bool:
    """Whether there are scans, and in a folder more of them than pictures."""
    path = Path(path)
    if path.is_file():
        return volume_suffix(path.name) is not None or is_dicom(path)
    if not path.is_dir():
        return False
    names = [found.path for found in islice(walk(path, lambda _: None), LOOKED_AT)]
    scans = sum(volume_suffix(name) is not None for name in names)
    pictures = sum(is_picture_name(name) for name in names)
    # MetaImage keeps its voxels in .raw, as a maker of EEG does his recordings
    eeg = sum(bool(recording_suffix(Path(n))) for n in names if not n.lower().endswith(".raw"))
    if not scans and not pictures:  # DICOM files often have no ending at all
        bare = [name for name in names if "." not in posixpath.basename(name)[-5:]][:20]
        return any(is_dicom(path / name) for name in bare)
    return scans > pictures and scans > eeg


@dataclass
class Found:
    """What a walk of a folder found."""

    files: list[str] = field(default_factory=list)  # NIfTI, NRRD, MetaImage
    dicom: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def walk_scans(root: Path) -> Found:
    """All files below a folder by their kind; those without a known ending are looked into."""
    found = Found()
    for one in walk(root, found.skipped.append):
        suffix = volume_suffix(one.name)
        if suffix in DICOM:
            found.dicom.append(one.path)
        elif suffix is not None:
            found.files.append(one.path)
        elif not one.name.lower().endswith(PARTS):
            known = is_picture_name(one.name) or one.name.lower().endswith(
                (".json", ".csv", ".tsv")
            )
            if not known and is_dicom(root / one.path):
                found.dicom.append(one.path)
            else:
                found.others.append(one.path)
    return found


def dicom_scans(
    root: Path,
    paths: list[str],
    on_progress: Progress | None = None,
    segmented: list[str] | None = None,
) -> tuple[list[Scan], list[Skipped]]:
    """The scans that DICOM files make, by their series; segmentations are put into `segmented`."""
    series, skipped = find_series(root, paths, on_progress, segmented)
    return [
        Scan(one.name, one.name, one.paths, Header(one.grid, 1, "DICOM", one.notes), one)
        for one in series
    ], skipped


def file_scan(root: Path, files: tuple[str, ...], sample_id: str | None = None) -> Scan:
    """The scan in one file, or in one file a channel. Raises `DataError` with a path below the
    root where a header cannot be read or channels do not fit.
    """
    headers = [read_header(root / path, path) for path in files]
    first = headers[0]
    for path, header in zip(files[1:], headers[1:], strict=True):
        _require_same_place(first, header, path, files[0])
    header = first
    if len(headers) > 1:
        header = replace(first, channels=sum(one.channels for one in headers))
    name = sample_id or files[0]
    return Scan(name, name, files, header)


def _require_same_place(first: Header, other: Header, path: str, first_path: str) -> None:
    if other.grid.shape != first.grid.shape:
        raise DataError(
            f"{path}: {_sides(other)} voxels, its first channel {first_path} {_sides(first)}; "
            "channels of a scan need one grid: resample them to it"
        )
    if (apart := other.grid.apart_mm(first.grid)) > PLACE_MM:
        raise DataError(
            f"{path}: lies up to {apart:.3g} mm from its first channel {first_path}; channels of a "
            "scan need one grid: register them"
        )


PLACE_MM = 0.1  # two grids are one where no voxel is further apart


def _sides(header: Header) -> str:
    return " x ".join(map(str, header.grid.shape))


def read_header(path: Path, name: str) -> Header:
    """The header of a file of any format but DICOM."""
    return _module(path, name).read_header(path, name)


def read_stored(root: Path, scan: Scan) -> NDArray:
    """The values of a scan (channels, three axes as stored). Raises `DataError`."""
    if scan.series is not None:
        return read_series(root, scan.series)
    parts = [_module(root / path, path).read_values(root / path, path) for path in scan.files]
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if values.shape != (scan.header.channels, *scan.header.grid.shape):
        raise DataError(f"{scan.path}: its voxels do not fit its header: copy it again")
    return values


def read_scan(root: Path, scan: Scan) -> Volume:
    """A scan turned to RAS, float32. Raises `DataError` also where values are not numbers."""
    values = read_stored(root, scan)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise DataError(
            f"{scan.path}: {bad:,} voxels are not numbers (NaN or infinite); fill them "
            "or make the scan anew"
        )
    return turned(values, scan.header.grid, turn_to_ras(scan.header.grid))


def with_channels(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Files of one scan together: `case_0000.nii.gz`, `case_0001.nii.gz` by `case`.

    The key is the path without ending and channel. Where a number does not count from 0000 on,
    it is part of the name.
    """
    cases: dict[str, list[str]] = {}
    for path in paths:
        cases.setdefault(CHANNEL.sub("", volume_stem(path)), []).append(path)
    result: dict[str, tuple[str, ...]] = {}
    for case, files in cases.items():
        numbers = [CHANNEL.search(volume_stem(path)) for path in files]
        counted = [int(number[1]) if number else -1 for number in numbers]
        if sorted(counted) == list(range(len(files))):
            result[case] = tuple(path for _, path in sorted(zip(counted, files, strict=True)))
        else:
            result |= {volume_stem(path): (path,) for path in files}
    return result


def _module(path: Path, name: str):
    suffix = volume_suffix(path.name)
    if suffix in NIFTI:
        return nifti
    if suffix in ITK:
        return itk
    raise DataError(f"{name}: a file of unknown kind; NIfTI, NRRD and MetaImage are known")
