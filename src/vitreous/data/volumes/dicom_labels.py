"""DICOM segmentations as labels: which series they are of, and the classes of its voxels.

Frames are laid into the series' grid by their own positions, in whatever order and direction they
are stored; slices without a structure may be missing. Segments are known by their labels, for their
numbers mean nothing outside their own file (DICOM PS3.3, C.8.20).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.dicom_headers import group_value, silent
from vitreous.data.volumes.extra import needed
from vitreous.data.volumes.grid import LPS, Grid
from vitreous.data.volumes.scans import PLACE_MM
from vitreous.errors import DataError

HALF = 0.5  # of the greatest fraction: from there on a voxel belongs to a segment


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One DICOM segmentation's header; its path is never shown."""

    path: str = field(repr=False)
    series_uid: str = field(repr=False)  # of the images that it is of; empty where it does not say
    segments: dict[int, str]  # number -> label


def read_segmentation(path: Path, relative: str) -> Segmentation | None:
    """The header of a DICOM segmentation; None where it is none, or damaged."""
    pydicom = needed("pydicom")
    try:
        with silent():
            header = pydicom.dcmread(path, stop_before_pixels=True)
        if str(header.get("Modality", "")) != "SEG" or "SegmentSequence" not in header:
            return None
        referenced = header.get("ReferencedSeriesSequence") or []
        of = str(referenced[0].SeriesInstanceUID) if len(referenced) == 1 else ""
        segments = {int(s.SegmentNumber): str(s.SegmentLabel) for s in header.SegmentSequence}
        return Segmentation(relative, of, segments)
    except Exception:  # headers in the wild break every rule
        return None


def segmented_voxels(path: Path, grid: Grid, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """Classes (slices, rows, columns) on the grid of the series that the segmentation is of.

    `numbers` gives each segment's label its class. Raises `DataError`, without a path, where
    frames lie elsewhere, or a voxel is in two segments.
    """
    pydicom = needed("pydicom")
    try:
        with silent():
            data = pydicom.dcmread(path)
            pixels = data.pixel_array.reshape(-1, int(data.Rows), int(data.Columns))
            names = {int(s.SegmentNumber): str(s.SegmentLabel) for s in data.SegmentSequence}
            kind = str(data.get("SegmentationType", "BINARY"))
            frames = list(data.PerFrameFunctionalGroupsSequence)
            shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    except Exception as error:
        raise DataError(
            f"its DICOM segmentation cannot be read ({type(error).__name__}); send it again"
        ) from None
    result = np.zeros(grid.shape, np.int64)
    double = 0
    for pixel, frame in zip(pixels, frames, strict=True):
        groups = [group for group in (frame, shared) if group is not None]
        for number, inside in _segments_in(pixel, groups, kind, data):
            where = _laid(inside, groups, grid)
            place = tuple(where.T)
            value = numbers[names[number]]
            double += int(((result[place] != 0) & (result[place] != value)).sum())
            result[place] = value
    if double:
        raise DataError(
            f"{double:,} voxels of its segmentation are in two segments; a voxel has one class "
            "here: keep the segments that matter, or give each its own training"
        )
    return result


def _segments_in(
    pixel: NDArray, groups: list[Any], kind: str, data: Any
) -> list[tuple[int, NDArray[np.bool_]]]:
    """The segments of one frame, and whether each of its pixels is in them."""
    if kind == "LABELMAP":
        return [(int(number), pixel == number) for number in np.unique(pixel) if number]
    number = group_value(groups, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    least = 1.0
    if kind == "FRACTIONAL":
        least = HALF * float(data.get("MaximumFractionalValue", 255))
    return [(int(number), pixel >= least)]


def _laid(inside: NDArray[np.bool_], groups: list[Any], grid: Grid) -> NDArray[np.int64]:
    """The series' voxels (n, 3) of a frame's pixels that are inside a segment."""
    pixels = np.argwhere(inside)
    directions = group_value(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
    position = group_value(groups, "PlanePositionSequence", "ImagePositionPatient")
    spacing = group_value(groups, "PixelMeasuresSequence", "PixelSpacing")
    if directions is None or position is None or spacing is None:
        raise DataError("a frame of its segmentation has no place; write the segmentation anew")
    across, down = np.array(directions, float).reshape(2, 3)
    steps = np.stack([down * float(spacing[0]), across * float(spacing[1])])  # a row, a column
    mm = np.array(position, float) + pixels @ steps
    back = np.linalg.inv(grid.affine)
    indices = mm @ LPS[:3, :3].T @ back[:3, :3].T + back[:3, 3]
    nearest = np.rint(indices)
    apart = np.linalg.norm((indices - nearest) @ grid.affine[:3, :3].T, axis=1)
    if len(apart) and apart.max() > PLACE_MM:
        raise DataError(
            f"its segmentation lies up to {apart.max():.3g} mm beside its voxels: it is on another "
            "grid; resample it to the series"
        )
    outside = ((nearest < 0) | (nearest >= np.array(grid.shape))).any(axis=1)
    if outside.any():
        raise DataError(
            f"{int(outside.sum()):,} voxels of its segmentation lie outside of the series; look "
            "whether slices are missing, or it is of another series"
        )
    return nearest.astype(np.int64)
