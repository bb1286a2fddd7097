"""Labels that go with DICOM series: segmentations, files by their names and places, tables."""

import nibabel
import numpy as np
import pydicom
import pytest
from tests.made_scans import SECRETS, blob, body, dicom_series

from vitreous.data.recognise import recognise
from vitreous.data.volumes.dicom_seg import write_dicom_mask
from vitreous.data.volumes.write import write_nifti_mask
from vitreous.errors import DataError
from vitreous.runs.predict_volumes import scans_below

SHAPE = (9, 12, 10)
CLASSES = ("background", "front", "back")


def series(folder, number, **settings):
    """A series of its own UID in a folder; its scan, root and mask of two structures."""
    dicom_series(folder, np.int16(body(SHAPE, number)), series=f"1.2.3.{number}", **settings)
    source = recognise(folder, for_training=False)
    [sample] = source.samples
    mask = np.zeros(source.volumes.read(sample).values.shape[1:], np.uint8)
    mask[blob(mask.shape, np.array(mask.shape) // 3, 2)] = 1
    mask[blob(mask.shape, np.array(mask.shape) * 2 // 3, 1 + number % 2)] = 2
    return source.volumes.scans[sample.sample_id], source.root, mask


def masks_of(source):
    return {s.sample_id: source.read_mask(s) for s in source.samples}


def rewritten(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)


@pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)])
def test_segmentations_label_the_series_that_they_name(tmp_path, directions):
    truth = {}
    for number in (1, 2, 3):
        scan, root, mask = series(tmp_path / f"Maria^Geheim{number}", number, directions=directions)
        if number == 3:
            continue  # without a label
        names = CLASSES if number == 1 else ("background", "back", "front")  # other numbers
        stored = mask if number == 1 else np.array([0, 2, 1], np.uint8)[mask]
        write_dicom_mask(tmp_path / f"segmentations/x{number}.dcm", stored, scan, root, names)
        truth[scan.sample_id] = mask
    source = recognise(tmp_path)
    assert source.label_kind == "mask"
    assert source.classes == ("background", "back", "front")  # by the segments' labels
    found = masks_of(source)
    assert found.keys() == truth.keys()
    for name, mask in truth.items():
        assert np.array_equal(found[name], np.array([0, 2, 1], np.uint8)[mask])
    assert any("no label goes with" in item.reason for item in source.skipped)
    said = " ".join([source.why, *(f"{i.path} {i.reason}" for i in source.skipped),
                     *(s.label.path for s in source.samples)])  # fmt: skip
    assert not any(secret in said for secret in SECRETS)
    assert [one.error for one in scans_below([str(tmp_path)])] == [None] * 3  # all are answered


def test_frames_are_laid_by_their_places_in_whatever_order_they_are(tmp_path):
    scan, root, mask = series(tmp_path / "a", 1)
    path = tmp_path / "seg.dcm"
    write_dicom_mask(path, mask, scan, root, CLASSES)

    def shuffled(data):
        order = np.random.default_rng(0).permutation(int(data.NumberOfFrames))
        pixels = data.pixel_array[order]
        frames = data.PerFrameFunctionalGroupsSequence
        data.PerFrameFunctionalGroupsSequence = [frames[int(place)] for place in order]
        data.PixelData = np.packbits(pixels.ravel().astype(bool), bitorder="little").tobytes()

    rewritten(path, shuffled)
    [again] = masks_of(recognise(tmp_path)).values()
    assert np.array_equal(again, np.array([0, 2, 1], np.uint8)[mask])


def test_what_does_not_fit_its_series_is_named(tmp_path):
    scan, root, mask = series(tmp_path / "a", 1)
    path = tmp_path / "seg.dcm"

    def written(change):
        write_dicom_mask(path, mask, scan, root, CLASSES)
        rewritten(path, change)
        with pytest.raises(DataError) as caught:
            recognise(tmp_path)
        assert not any(secret in str(caught.value) for secret in SECRETS)
        return str(caught.value)

    def shifted(data, by):
        for frame in data.PerFrameFunctionalGroupsSequence:
            place = frame.PlanePositionSequence[0]
            place.ImagePositionPatient = (np.array(place.ImagePositionPatient, float) + by).tolist()

    assert "mm beside its voxels" in written(lambda data: shifted(data, [0.3, 0, 0]))
    assert "outside of the series" in written(lambda data: shifted(data, [0, 0, 20 * 2.5]))

    def doubled(data):
        first = None
        for frame in data.PerFrameFunctionalGroupsSequence:
            number = frame.SegmentIdentificationSequence[0]
            place = frame.PlanePositionSequence[0]
            if number.ReferencedSegmentNumber == 2:
                place.ImagePositionPatient = first
            else:
                first = place.ImagePositionPatient
        data.PixelData = b"\xff" * len(data.PixelData)

    assert "are in two segments" in written(doubled)
    write_dicom_mask(path, mask, scan, root, CLASSES)
    write_dicom_mask(tmp_path / "again.dcm", mask, scan, root, CLASSES)
    source = recognise(tmp_path)
    assert source.label_kind == "none"
    assert any("is in 2 segmentations of it" in item.reason for item in source.skipped)


def test_files_label_series_by_name_or_by_the_only_series_near(tmp_path):
    truth = {}
    for number, (images, label) in enumerate(
        [
            ("images/7", "masks/7.nii.gz"),
            ("images/8", "masks/8_seg.nii.gz"),
        ],
        start=1,
    ):
        scan, _, mask = series(tmp_path / "named" / images, number)
        write_nifti_mask(tmp_path / "named" / label, mask, scan)
        truth[scan.sample_id] = mask
    source = recognise(tmp_path / "named")
    found = masks_of(source)
    assert found.keys() == truth.keys()
    assert all(np.array_equal(found[name], mask) for name, mask in truth.items())
    truth = {}
    for number in (3, 4):
        case = tmp_path / "near" / f"case Maria^Geheim{number}"
        scan, _, mask = series(case / "DICOM", number)
        write_nifti_mask(case / "label.nii.gz", mask, scan)
        truth[scan.sample_id] = mask
    source = recognise(tmp_path / "near")
    found = masks_of(source)
    assert found.keys() == truth.keys()
    assert all(np.array_equal(found[name], mask) for name, mask in truth.items())


def test_a_flipped_label_of_a_series_is_named_without_its_path(tmp_path):
    for number in (1, 2):
        scan, _, mask = series(tmp_path / f"Maria^Geheim{number}/dicom", number)
        path = tmp_path / f"Maria^Geheim{number}/mask.nii.gz"
        write_nifti_mask(path, mask, scan)
    image = nibabel.load(path)
    affine = image.affine @ np.diag([-1.0, 1, 1, 1])
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)
    source = recognise(tmp_path, for_training=False)
    [bad] = [item for item in source.skipped if not item.harmless]
    assert bad.reason.startswith("its label: flipped affine")
    assert bad.path.startswith("series-")
    assert len(source.samples) == 1


def test_a_table_may_name_a_mask_a_scan(tmp_path):
    lines, truth = ["mask,scan,patient"], {}
    for number in (1, 2, 3):
        scan, root, mask = series(tmp_path / f"d{number}", number)
        label = f"m{number}.{'dcm' if number == 2 else 'nii.gz'}"
        if number == 2:
            write_dicom_mask(
                tmp_path / label, mask, scan, root, ("background", "class 1", "class 2")
            )
        else:
            write_nifti_mask(tmp_path / label, mask, scan)
        lines.append(f"{label},{'1.2.3.3' if number == 3 else f'd{number}'},patient {number // 2}")
        truth[scan.sample_id] = mask
    lines.append("absent.nii.gz,d1,patient 9")
    (tmp_path / "scans.csv").write_text("\n".join(lines))
    source = recognise(tmp_path / "scans.csv")
    assert source.label_kind == "mask"
    found = masks_of(source)
    assert found.keys() == truth.keys()
    assert all(np.array_equal(found[name], mask) for name, mask in truth.items())
    groups = {sample.sample_id: sample.group for sample in source.samples}
    assert len(set(groups.values())) == 2
    assert all(group.startswith("patient-") for group in groups.values())
    assert any("line 5" in item.reason for item in source.skipped)
