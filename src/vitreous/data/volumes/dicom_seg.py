"""DICOM segmentations: classes written for the series that they were found in.

The standard demands that such a file repeats its source's patient and study, so that it can be
filed with it. It is the one output that names a patient, and is written only where it is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous import __version__
from vitreous.data.volumes.dicom_headers import silent
from vitreous.data.volumes.extra import needed
from vitreous.data.volumes.scans import Scan
from vitreous.data.volumes.write import as_stored
from vitreous.errors import DataError, RequestError
from vitreous.files import atomic_path

SERIES_NUMBER = 9000  # far from those that scanners give
MAY_BE_EMPTY = (  # of the patient and the study: to be there, but without a value where unknown
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
SAID = "the DICOM segmentation names its patient and study, as its standard demands"


def write_dicom_mask(
    path: Path, mask: NDArray[np.uint8], scan: Scan, root: Path, classes: Sequence[str]
) -> None:
    """Write classes (depth, height, width), turned to RAS as the scan was, as a DICOM SEG.

    Each class but the first that is there becomes a segment of its name, in the places of the
    source's slices. Raises `RequestError` for a scan that is no DICOM series, or a mask without any
    structure, which such a file cannot hold.
    """
    if scan.series is None:
        raise RequestError(f"{scan.path}: no DICOM series; write NIfTI with --format nifti")
    stored = as_stored(mask, scan)
    present = [place for place in range(1, len(classes)) if (stored == place).any()]
    if not present:
        raise RequestError(
            f"{scan.path}: no structure was found in it, and a DICOM segmentation cannot be empty"
        )
    highdicom = needed("highdicom")
    numbered = np.zeros(stored.shape, np.uint8)
    for number, place in enumerate(present, start=1):
        numbered[stored == place] = number
    with silent(), _refused(scan):
        sources, order = _sources(scan, root)
        segmentation = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=numbered[order],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _segment(highdicom, number, classes[place])
                for number, place in enumerate(present, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="Vitreous",
            manufacturer_model_name="vitreous",
            software_versions=__version__,
            device_serial_number="0",
        )
        with atomic_path(path) as partial:
            segmentation.save_as(partial)


@contextmanager
def _refused(scan: Scan) -> Iterator[None]:
    """Headers that highdicom cannot repeat: which field is missing."""
    try:
        yield
    except (AttributeError, ValueError, TypeError) as error:
        lacking = str(error).rpartition("attribute ")[2] if "attribute" in str(error) else ""
        said = f"its header has no {lacking}" if lacking else "its header breaks the standard"
        raise RequestError(
            f"{scan.path}: no DICOM segmentation can be written ({said}); write NIfTI instead"
        ) from None


def _sources(scan: Scan, root: Path) -> tuple[list[Any], list[int]]:
    """The source's headers, and for each of their slices its place in our order."""
    pydicom = needed("pydicom")
    assert scan.series is not None
    frames = scan.series.frames
    try:
        headers = [
            pydicom.dcmread(root / path, stop_before_pixels=True) for path in scan.series.paths
        ]
    except Exception as error:
        raise DataError(
            f"{scan.path}: its files cannot be read any more ({type(error).__name__})"
        ) from None
    for header in headers:  # what many lack and the standard wants
        if "SliceThickness" not in header:
            header.SliceThickness = round(scan.header.grid.spacing_mm[0], 6)
        for name in MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, None)
    if len(headers) == 1:  # all frames of one file, in the file's order
        return headers, [int(place) for place in np.argsort([frame.index for frame in frames])]
    return headers, list(range(len(frames)))


def _segment(highdicom: Any, number: int, name: str) -> Any:
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="vitreous", version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.AnatomicalStructure,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
