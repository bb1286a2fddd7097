"""NIfTI files (.nii, .nii.gz, .hdr/.img): values after the header's slope, places in mm."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.extra import needed
from vitreous.data.volumes.grid import Grid
from vitreous.errors import DataError

MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
DISAGREE_MM = 0.1  # from where on two matrices of one file are two answers


@dataclass(frozen=True, eq=False)
class Header:
    """What a scan's file says before its voxels are read."""

    grid: Grid  # of the three axes as they are stored
    channels: int
    kind: str  # of the numbers: "uint8", "float32"
    notes: tuple[str, ...] = ()  # odd but usable
    names: dict[int, str] | None = None  # of labels, where the file itself gives them


def read_header(path: Path, name: str) -> Header:
    """Shape, places and channels of a NIfTI file. Raises `DataError` with `name`."""
    image = _opened(path, name)
    shape, channels = _shape(image, name)
    affine, notes = _affine(image)
    try:
        grid = Grid(shape, affine)
    except DataError as error:
        raise DataError(f"{name}: {error}; write its spacing and orientation anew") from None
    return Header(grid, channels, str(image.get_data_dtype()), notes)


def read_values(path: Path, name: str) -> NDArray:
    """Values (channels, three axes as stored), scaled; whole numbers stay whole.

    Raises `DataError` where the file is damaged or holds no numbers.
    """
    image = _opened(path, name)
    shape, channels = _shape(image, name)
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        raise DataError(f"{name}: holds {kind} (colours or complex numbers); save plain numbers")
    try:
        whole = kind.kind in "iu" and image.dataobj.slope == 1 and image.dataobj.inter == 0
        values = np.asanyarray(image.dataobj) if whole else image.get_fdata(dtype=np.float32)
    except Exception as error:  # a broken file makes gzip and nibabel raise anything
        raise DataError(f"{name}: damaged: {_said(error)}; copy it again") from None
    return np.moveaxis(values.reshape(*shape, channels), -1, 0)


def _opened(path: Path, name: str) -> Any:
    nibabel = needed("nibabel")
    try:
        return nibabel.load(path)
    except FileNotFoundError:
        raise DataError(f"{name}: not found") from None
    except Exception as error:  # nibabel raises many kinds for files that are none
        raise DataError(f"{name}: not readable as NIfTI ({_said(error)})") from None


def _said(error: Exception) -> str:
    # the message may hold the whole path, which `name` has already said in its own way
    return type(error).__name__ if "/" in str(error) else " ".join(str(error).split())[:120]


def _shape(image: Any, name: str) -> tuple[tuple[int, int, int], int]:
    """The three axes of space, and how many values a voxel has (the axes after them)."""
    sides = tuple(int(side) for side in image.shape)
    if len(sides) < 3 or min(sides[:3]) < 1:
        raise DataError(f"{name}: {len(sides)} axes of {sides}; a volume has three axes of space")
    return (sides[0], sides[1], sides[2]), int(np.prod(sides[3:], dtype=int))


def _affine(image: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The header's matrix in millimetres, and what is odd about it."""
    header = image.header
    notes = []
    unit = header.get_xyzt_units()[0] if hasattr(header, "get_xyzt_units") else "mm"
    scale = MM.get(unit, 1.0)
    affine = np.array(image.affine, np.float64)
    affine[:3] *= scale
    if scale != 1.0:
        notes.append(f"its header counts in {unit}s: taken as millimetres times {scale:g}")
    codes = [int(header[key]) for key in ("sform_code", "qform_code") if key in header]
    if codes and not any(codes):
        notes.append(
            "its header gives no orientation (sform and qform codes are 0): left and right are "
            "taken as stored; write the orientation into it"
        )
    if len(codes) == 2 and all(codes):
        stored = scale * np.abs(header.get_sform()[:3] - header.get_qform()[:3])
        ends = np.array([*image.shape[:3], 1.0])
        if float((stored @ ends).max()) > DISAGREE_MM:
            notes.append("its sform and qform disagree: the sform is taken")
    return affine, tuple(notes)
