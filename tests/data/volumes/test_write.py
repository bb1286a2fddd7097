"""Answers written back: a second library finds them in the scan's own place, to 0.1 mm."""

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from tests.made_scans import SECRETS, affine_of, blob, body, dicom_series, enhanced, write_nifti

from vitreous.data.recognise import recognise
from vitreous.data.volumes.dicom_seg import MAY_BE_EMPTY, write_dicom_mask
from vitreous.data.volumes.write import amounts, write_nifti_mask
from vitreous.errors import RequestError

CLASSES = ("background", "front", "back")


def scan_at(folder):
    source = recognise(folder, for_training=False)
    [sample] = source.samples
    return source, source.volumes.scans[sample.sample_id], source.volumes.read(sample)


def two_blobs(shape):
    mask = np.zeros(shape, np.uint8)
    mask[blob(shape, np.array(shape) // 3, 2)] = 1
    mask[blob(shape, np.array(shape) * 2 // 3, 1)] = 2
    return mask


def centre_of(values, affine):
    """Millimetres (RAS) of the middle of the voxels that are set, by an array's own affine."""
    middle = np.argwhere(values).mean(axis=0)
    return affine[:3, :3] @ middle + affine[:3, 3]


def centres(volume, mask):
    return [centre_of(mask == place, volume.grid.affine) for place in (1, 2)]


def test_a_nifti_scans_mask_has_its_axes_and_affine(tmp_path):
    tilt = np.linalg.qr(np.eye(3) + 0.1 * np.random.default_rng(0).normal(size=(3, 3)))[0]
    affine = affine_of((1.0, 0.8, 2.0), (9, -8, 7), tilt @ np.diag([-1, 1, -1]))
    write_nifti(tmp_path / "in/GEHEIM.nii.gz", body((12, 14, 10)), affine)
    _, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    write_nifti_mask(tmp_path / "out/mask.nii.gz", mask, scan)
    back = nibabel.load(tmp_path / "out/mask.nii.gz")
    assert np.allclose(back.affine, affine, atol=1e-4)
    assert back.shape == (12, 14, 10)
    assert np.array_equal(volume.turn.apply(np.asarray(back.dataobj)), mask)
    image = sitk.ReadImage(str(tmp_path / "out/mask.nii.gz"))
    values = sitk.GetArrayFromImage(image)
    for place, centre in zip((1, 2), centres(volume, mask), strict=True):
        index = np.argwhere(values == place).mean(axis=0)[::-1]
        there = np.array(image.TransformContinuousIndexToPhysicalPoint(index.tolist()))
        assert np.abs(there * [-1, -1, 1] - centre).max() < 0.1
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out/mask.nii.gz"]


@pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)])
def test_a_dicom_scans_mask_lies_in_the_same_place_in_nifti_and_dicom_seg(tmp_path, directions):
    dicom_series(tmp_path / "in", np.int16(body((9, 12, 10))), directions=directions)
    source, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    expected = centres(volume, mask)

    write_nifti_mask(tmp_path / "mask.nii.gz", mask, scan)
    back = nibabel.load(tmp_path / "mask.nii.gz")
    values = np.asarray(back.dataobj)
    for place, centre in zip((1, 2), expected, strict=True):
        assert np.abs(centre_of(values == place, back.affine) - centre).max() < 0.1

    write_dicom_mask(tmp_path / "mask.dcm", mask, scan, source.root, CLASSES)
    segmentation = highdicom.seg.segread(tmp_path / "mask.dcm")
    labels = [segmentation.get_segment_description(n).segment_label for n in (1, 2)]
    assert labels == ["front", "back"]
    whole = segmentation.get_volume(combine_segments=True)
    for place, centre in zip((1, 2), expected, strict=True):
        there = centre_of(whole.array == place, whole.affine) * [-1, -1, 1]
        assert np.abs(there - centre).max() < 0.1
        assert (whole.array == place).sum() == (mask == place).sum()


def test_frames_of_one_file_get_a_dicom_seg_as_well(tmp_path):
    enhanced(tmp_path / "in/e.dcm", np.int16(body((6, 12, 10))), order=[3, 1, 0, 2, 5, 4])
    source, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    write_dicom_mask(tmp_path / "mask.dcm", mask, scan, source.root, CLASSES)
    whole = highdicom.seg.segread(tmp_path / "mask.dcm").get_volume(combine_segments=True)
    for place, centre in zip((1, 2), centres(volume, mask), strict=True):
        there = centre_of(whole.array == place, whole.affine) * [-1, -1, 1]
        assert np.abs(there - centre).max() < 0.1


def test_only_the_dicom_segmentation_names_the_patient(tmp_path):
    dicom_series(tmp_path / "in", np.int16(body((9, 12, 10))))
    source, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    write_nifti_mask(tmp_path / "out/mask.nii", mask, scan)
    content = (tmp_path / "out/mask.nii").read_bytes()
    assert not any(secret.encode() in content for secret in SECRETS)
    write_dicom_mask(tmp_path / "out/mask.dcm", mask, scan, source.root, CLASSES)
    assert str(pydicom.dcmread(tmp_path / "out/mask.dcm").PatientName) == "Maria^Geheim"


@pytest.mark.parametrize("emptied", [False, True])
def test_a_series_without_a_patient_gets_a_dicom_segmentation_without_one(tmp_path, emptied):
    """As they are where somebody took the patient out of the headers."""
    dicom_series(tmp_path / "in", np.int16(body((9, 12, 10))))
    for path in (tmp_path / "in").iterdir():
        header = pydicom.dcmread(path)
        for name in MAY_BE_EMPTY:
            if emptied:
                setattr(header, name, "")
            elif name in header:
                delattr(header, name)
        header.save_as(path)
    source, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    write_dicom_mask(tmp_path / "mask.dcm", mask, scan, source.root, CLASSES)
    written = pydicom.dcmread(tmp_path / "mask.dcm")
    assert all(name in written and not written[name].value for name in MAY_BE_EMPTY)
    whole = highdicom.seg.segread(tmp_path / "mask.dcm").get_volume(combine_segments=True)
    for place in (1, 2):
        assert (whole.array == place).sum() == (mask == place).sum()


def test_amounts_are_of_the_scans_own_voxels(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", body((12, 14, 10)), affine_of((1.0, 0.5, 2.0)))
    _, _, volume = scan_at(tmp_path)
    mask = two_blobs(volume.values.shape[1:])
    front, back = amounts(mask, volume.grid, CLASSES)
    assert (front.structure, front.voxels) == ("front", int((mask == 1).sum()))
    assert front.mm3 == pytest.approx(front.voxels * 1.0)
    assert back.ml == back.mm3 / 1000


def test_what_cannot_be_written_says_so(tmp_path):
    write_nifti(tmp_path / "in/a.nii.gz", body((12, 14, 10)))
    source, scan, volume = scan_at(tmp_path / "in")
    mask = two_blobs(volume.values.shape[1:])
    with pytest.raises(RequestError, match="no DICOM series"):
        write_dicom_mask(tmp_path / "x.dcm", mask, scan, source.root, CLASSES)
    with pytest.raises(RequestError, match="bring it to the scan's grid"):
        write_nifti_mask(tmp_path / "x.nii.gz", mask[1:], scan)
