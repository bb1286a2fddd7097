"""Scans made for tests: smooth bodies, written as NIfTI, NRRD and DICOM by other libraries."""

from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)
from scipy.ndimage import gaussian_filter

SECRETS = ("Maria^Geheim", "PAT-4711", "19610203", "20240517", "GEHEIM")
"""What stands in the headers and folders of made scans and must not be in any output."""


def body(shape, seed=0, smooth=3.0):
    """Values that change slowly from voxel to voxel, float32 of about -1000 ... 1000."""
    noise = np.random.default_rng(seed).normal(size=shape)
    values = gaussian_filter(noise, smooth, mode="nearest")
    return (1000 * values / np.abs(values).max()).astype(np.float32)


def blob(shape, centre, radius):
    """Whether each voxel lies in a ball."""
    steps = np.indices(shape) - np.array(centre).reshape(-1, *[1] * len(shape))
    return (steps**2).sum(axis=0) <= radius**2


def affine_of(spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), directions=None):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else directions) * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def write_nifti(path: Path, values, affine=None, code=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine_of() if affine is None else affine)
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def decathlon(root: Path, cases=6, shape=(20, 24, 16), spacing=(1.0, 1.0, 1.0), named=True):
    """imagesTr, labelsTr and dataset.json: two structures a case, brighter than what is around."""
    for case in range(cases):
        values = body(shape, case) / 10
        mask = np.zeros(shape, np.uint8)
        mask[blob(shape, (8, 10 + case % 3, 7), 4)] = 1
        mask[blob(shape, (13, 14, 9), 3)] = 2
        values += 300.0 * (mask == 1) + 600.0 * (mask == 2)
        write_nifti(root / f"imagesTr/case_{case:03}.nii.gz", values, affine_of(spacing))
        write_nifti(root / f"labelsTr/case_{case:03}.nii.gz", mask, affine_of(spacing))
    if named:
        (root / "dataset.json").write_text(
            '{"labels": {"0": "background", "1": "front", "2": "back"}, "modality": {"0": "MR"},'
            ' "training": []}'
        )
    return root


def dicom_slice(
    values,
    *,
    position,
    directions=(1, 0, 0, 0, 1, 0),
    spacing=(1.0, 1.0),
    number=1,
    series="1.2.3.4",
    slope=1.0,
    intercept=0.0,
    patient="PAT-4711",
):
    """One CT slice of signed whole numbers (rows, columns), with a patient's data in its header."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    data.SeriesInstanceUID, data.StudyInstanceUID = series, "1.2.3"
    data.FrameOfReferenceUID = "1.2.3.9"
    data.PatientName, data.PatientID = "Maria^Geheim", patient
    data.PatientBirthDate, data.StudyDate, data.Modality = "19610203", "20240517", "CT"
    data.PatientSex, data.StudyTime, data.StudyID, data.AccessionNumber = "F", "", "", ""
    data.ReferringPhysicianName = ""
    data.InstanceNumber, data.SeriesNumber = number, 3
    data.ImagePositionPatient = [round(float(x), 6) for x in position]
    data.ImageOrientationPatient = [round(float(x), 6) for x in directions]
    data.PixelSpacing = list(spacing)
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME2", 1
    data.Rows, data.Columns = values.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.PixelData = np.ascontiguousarray(values, np.int16).tobytes()
    return data


def save_dicom(path: Path, data: Dataset):
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta = meta
    data.save_as(path, enforce_file_format=True)


def dicom_series(folder: Path, values, *, spacing=(2.5, 0.8, 0.7), origin=(-30.0, -40.0, 10.0),
                 directions=(1, 0, 0, 0, 1, 0), change=None, **header):  # fmt: skip
    """A series of (slices, rows, columns), files named in an order that is not theirs.

    `change(place, data)` may alter a slice's header, or return False to leave the slice out.
    """
    turned = np.array(directions, float).reshape(2, 3)
    normal = np.cross(*turned)
    names = np.random.default_rng(1).permutation(len(values))
    for place, plane in enumerate(values):
        position = np.array(origin) + place * spacing[0] * normal
        data = dicom_slice(plane, position=position, directions=directions, spacing=spacing[1:],
                           number=place + 1, **header)  # fmt: skip
        if change is not None and change(place, data) is False:
            continue
        save_dicom(folder / f"IM{names[place]:04}", data)
    return folder


def enhanced(path: Path, values, *, spacing=(2.0, 1.0, 1.0), slopes=None, order=None):
    """A multi-frame file of (slices, rows, columns), frames in `order`, a slope each."""
    order = list(range(len(values))) if order is None else list(order)
    data = dicom_slice(values[0], position=(0, 0, 0), series="1.2.3.77")
    data.SOPClassUID, data.Modality, data.NumberOfFrames = EnhancedMRImageStorage, "MR", len(order)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                 "RescaleSlope", "RescaleIntercept"):  # fmt: skip
        delattr(data, name)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = list(spacing[1:]), spacing[0]
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for place in order:
        frame, position, transform = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, spacing[0] * place]
        transform.RescaleSlope = 1.0 if slopes is None else slopes[place]
        transform.RescaleIntercept, transform.RescaleType = 0.0, "US"
        frame.PlanePositionSequence = Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([transform])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = np.ascontiguousarray(values[order], np.int16).tobytes()
    save_dicom(path, data)
    return path
