"""NRRD, MetaImage and the other single-file formats that SimpleITK reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.extra import needed
from vitreous.data.volumes.grid import Grid, from_lps
from vitreous.data.volumes.nifti import Header
from vitreous.errors import DataError


def read_header(path: Path, name: str) -> Header:
    """Shape, places and channels of a file. Raises `DataError` with `name`."""
    reader = _reader(path)
    with _damage(name):
        reader.ReadImageInformation()
    size = reader.GetSize()
    if reader.GetDimension() == 4 and size[3] == 1:
        size = size[:3]
    elif reader.GetDimension() != 3:
        raise DataError(f"{name}: {reader.GetDimension()} axes; a volume has three axes of space")
    affine = _affine(reader)
    try:
        grid = Grid((size[2], size[1], size[0]), affine)
    except DataError as error:
        raise DataError(f"{name}: {error}; write its spacing and directions anew") from None
    kind = needed("SimpleITK").GetPixelIDValueAsString(reader.GetPixelID())
    return Header(grid, reader.GetNumberOfComponents(), kind, names=_segment_names(reader))


def read_values(path: Path, name: str) -> NDArray:
    """Values (channels, three axes as stored: the file's last axis first)."""
    with _damage(name):
        image = _reader(path).Execute()
    values = needed("SimpleITK").GetArrayFromImage(image)
    if image.GetDimension() == 4:
        values = values[0]
    if np.iscomplexobj(values):
        raise DataError(f"{name}: holds complex numbers; save plain numbers")
    return values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0)


def _reader(path: Path) -> Any:
    sitk = needed("SimpleITK")
    sitk.ProcessObject.GlobalWarningDisplayOff()  # its warnings would show paths
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    return reader


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError:  # its text is a page of C++ with the whole path
        raise DataError(
            f"{name}: not readable as a volume (damaged, or its data file is missing); "
            "copy it again"
        ) from None


def _affine(reader: Any) -> NDArray[np.float64]:
    """Columns for the array's axes: the last index of a file is the array's first axis."""
    axes = reader.GetDimension()
    direction = np.array(reader.GetDirection(), np.float64).reshape(axes, axes)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = (direction * np.array(reader.GetSpacing()[:3]))[:, ::-1]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return from_lps(affine)


def _segment_names(reader: Any) -> dict[int, str] | None:
    """The structures' names of a segmentation that 3D Slicer wrote (.seg.nrrd)."""
    found: dict[int, str] = {}
    keys = set(reader.GetMetaDataKeys())
    for number in range(len(keys)):
        value, name = f"Segment{number}_LabelValue", f"Segment{number}_Name"
        if value not in keys or name not in keys:
            break
        found[int(reader.GetMetaData(value))] = reader.GetMetaData(name)
    return found or None
