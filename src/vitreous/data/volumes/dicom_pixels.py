"""The stored numbers of DICOM files, and their scaling.

Uncompressed ones are read by pydicom, compressed ones by SimpleITK (GDCM). GDCM applies the
rescale slope for some kinds of images and not for others, so it gets a file with nothing but the
pixels; slope and intercept, which may differ from frame to frame, are applied here to all alike.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.dicom_headers import Frame, silent
from vitreous.data.volumes.extra import needed
from vitreous.errors import DataError

PIXEL_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
)  # fmt: skip
SECONDARY_CAPTURE = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3")  # one, many frames


def read_frames(path: Path, frames: list[Frame], name: str) -> NDArray[np.float32]:
    """The wanted frames of one file, scaled, (frames, rows, columns).

    Raises `DataError` with `name` where the pixels are missing or damaged.
    """
    stored = _stored(path, name)
    if stored.ndim == 2:
        stored = stored[None]
    if stored.ndim != 3 or max(frame.index for frame in frames) >= len(stored):
        raise DataError(f"{name}: {stored.shape} pixels where {len(frames)} slices were expected")
    values = stored[[frame.index for frame in frames]].astype(np.float32)
    slopes = np.array([frame.slope for frame in frames], np.float32)[:, None, None]
    intercepts = np.array([frame.intercept for frame in frames], np.float32)[:, None, None]
    return values * slopes + intercepts


def _stored(path: Path, name: str) -> NDArray:
    pydicom = needed("pydicom")
    try:
        with silent():
            data = pydicom.dcmread(path)
            if data.file_meta.TransferSyntaxUID.is_compressed:
                return _decompressed(data)
            return data.pixel_array
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:  # damaged pixels make decoders raise anything
        raise DataError(
            f"{name}: its pixels cannot be read ({type(error).__name__}): cut short or damaged; "
            "send the series again"
        ) from None


def _decompressed(data: Any) -> NDArray:
    sitk = needed("SimpleITK")
    sitk.ProcessObject.GlobalWarningDisplayOff()
    with tempfile.TemporaryDirectory(prefix="vitreous-") as folder:
        bare = Path(folder) / "pixels.dcm"
        _write_bare(data, bare)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(bare))
        try:
            return sitk.GetArrayFromImage(reader.Execute())
        except (
            RuntimeError
        ):  # a page of C++; pydicom's own decoders take a few files that it does not
            return data.pixel_array


def _write_bare(data: Any, path: Path) -> None:
    """A file with the pixels, and nothing about the patient."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    bare = Dataset()
    for name in PIXEL_TAGS:
        if name in data:
            bare.add(data[name])
    bare.add(data["PixelData"])
    several = int(data.get("NumberOfFrames", 1) or 1) > 1
    bare.SOPClassUID, bare.SOPInstanceUID = SECONDARY_CAPTURE[several], "1.2.3"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = UID(bare.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(bare.SOPInstanceUID)
    bare.file_meta = meta
    bare.save_as(path, enforce_file_format=True)
