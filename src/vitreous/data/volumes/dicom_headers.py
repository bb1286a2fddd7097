"""DICOM headers: which files are images, which series they belong to, where each slice lies."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.extra import needed
from vitreous.errors import DataError

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID",
    "IssuerOfPatientID", "Modality", "InstanceNumber", "NumberOfFrames", "Rows", "Columns",
    "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept",
    "SamplesPerPixel", "PhotometricInterpretation", "FrameOfReferenceUID", "ImagesInAcquisition",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "GridFrameOffsetVector",
    "DoseGridScaling",
)  # fmt: skip
NO_SCAN = "DICOM of the kind {}, no scan"
SEGMENTATION = NO_SCAN.format("SEG")
PREAMBLE = 128  # bytes before "DICM"


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice as its header has it; millimetres are DICOM's (left, posterior, superior).

    Nothing that tells who was scanned is shown when it is printed.
    """

    path: str = field(repr=False)
    number: int  # InstanceNumber, or the frame's place in its file, from 1
    index: int  # the frame in its file, from 0
    size: tuple[int, int]  # rows, columns
    directions: NDArray[np.float64] | None  # (2, 3): along a row, along a column
    position: NDArray[np.float64] | None  # (3,): the middle of the first pixel
    spacing_mm: tuple[float, float] | None  # between rows, between columns
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class File:
    """One DICOM file of an image."""

    path: str = field(repr=False)
    instance_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    patient: tuple[str, ...] = field(repr=False)  # what tells patients apart
    modality: str
    samples: int  # a pixel: 1, or 3 for colours
    images_in_acquisition: int | None
    multi_frame: bool
    frames: tuple[Frame, ...]


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do, whatever its name."""
    try:
        with path.open("rb") as file:
            file.seek(PREAMBLE)
            return file.read(4) == b"DICM"
    except OSError:
        return False


@contextmanager
def silent() -> Iterator[None]:
    """Without pydicom's own warnings, which quote what the header holds: names, dates."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def read_file(path: Path, relative: str) -> File | str:
    """What one file holds, or why it holds no image (a reason without names)."""
    pydicom = needed("pydicom")
    try:
        with silent():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
            return _file(header, relative)
    except OSError:
        return "cannot be read"
    except DataError as error:
        return str(error)
    except Exception as error:  # headers in the wild break every rule
        return f"damaged DICOM header ({type(error).__name__})"


def _file(header: Any, path: str) -> File:
    if "Rows" not in header or "Columns" not in header:
        raise DataError("DICOM without an image (a report, a plan, a list)")
    if str(header.get("Modality", "")) in ("SEG", "RTSTRUCT", "PR", "SR", "KO"):
        raise DataError(NO_SCAN.format(header.Modality))
    series = str(header.get("SeriesInstanceUID", ""))
    if not series:
        raise DataError("DICOM without a SeriesInstanceUID: it cannot be told what belongs to it")
    several = (
        "PerFrameFunctionalGroupsSequence" in header
        or int(header.get("NumberOfFrames", 1) or 1) > 1
    )
    patient = (
        str(header.get("PatientID", "") or ""),
        str(header.get("IssuerOfPatientID", "") or ""),
    )
    if not patient[0]:
        patient = ("study", str(header.get("StudyInstanceUID", "") or series))
    count = header.get("ImagesInAcquisition")
    return File(
        path=path,
        instance_uid=str(header.get("SOPInstanceUID", "")),
        series_uid=series,
        patient=patient,
        modality=str(header.get("Modality", "") or ""),
        samples=int(header.get("SamplesPerPixel", 1) or 1),
        images_in_acquisition=int(count) if count else None,
        multi_frame=several,
        frames=tuple(_frames(header, path) if several else [_frame(header, path)]),
    )


def _frame(header: Any, path: str) -> Frame:
    return Frame(
        path=path,
        number=int(header.get("InstanceNumber", 0) or 0),
        index=0,
        size=(int(header.Rows), int(header.Columns)),
        directions=_numbers(header.get("ImageOrientationPatient"), 6),
        position=_numbers(header.get("ImagePositionPatient"), 3),
        spacing_mm=_pair(header.get("PixelSpacing") or header.get("ImagerPixelSpacing")),
        slope=_number(header.get("RescaleSlope"), 1.0),
        intercept=_number(header.get("RescaleIntercept"), 0.0),
    )


def _frames(header: Any, path: str) -> Iterator[Frame]:
    """The frames of one file, each with what it has of its own, else what all share."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    count = int(header.get("NumberOfFrames", 1) or 1)
    if own and len(own) != count:
        raise DataError(f"{count} frames, but places of {len(own)}")
    whole = _frame(header, path)
    offsets = header.get("GridFrameOffsetVector")
    for index in range(count):
        groups = [group for group in (own[index] if own else None, shared) if group is not None]
        directions = group_value(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        position = group_value(groups, "PlanePositionSequence", "ImagePositionPatient")
        spacing = group_value(groups, "PixelMeasuresSequence", "PixelSpacing")
        slope = group_value(groups, "PixelValueTransformationSequence", "RescaleSlope")
        intercept = group_value(groups, "PixelValueTransformationSequence", "RescaleIntercept")
        yield Frame(
            path=path,
            number=index + 1,
            index=index,
            size=whole.size,
            directions=whole.directions if directions is None else _numbers(directions, 6),
            position=_numbers(position, 3)
            if position is not None
            else _offset(whole, offsets, index),
            spacing_mm=whole.spacing_mm if spacing is None else _pair(spacing),
            slope=_number(slope, _number(header.get("DoseGridScaling"), whole.slope)),
            intercept=_number(intercept, whole.intercept),
        )


def group_value(groups: list[Any], sequence: str, name: str) -> Any:
    """The first value of a functional group's field: of the frame's own groups, else the shared."""
    for group in groups:
        items = group.get(sequence)
        if items and items[0].get(name) is not None:
            return items[0].get(name)
    return None


def _offset(whole: Frame, offsets: Any, index: int) -> NDArray[np.float64] | None:
    """Dose grids give one position and distances from it along the normal."""
    if offsets is None or whole.position is None or whole.directions is None:
        return None
    return whole.position + float(offsets[index]) * np.cross(*whole.directions)


def _numbers(value: Any, count: int) -> NDArray[np.float64] | None:
    if value is None or len(value) != count:
        return None
    numbers = np.array([float(item) for item in value], np.float64)
    return numbers.reshape(-1, 3) if count == 6 else numbers


def _pair(value: Any) -> tuple[float, float] | None:
    return None if value is None or len(value) != 2 else (float(value[0]), float(value[1]))


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None or value == "" else float(value)
