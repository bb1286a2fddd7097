"""Layouts as laboratories have them, and every planted fault found and named."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from tests.made_scans import (
    SECRETS,
    affine_of,
    blob,
    body,
    decathlon,
    dicom_series,
    write_nifti,
)

from vitreous.data.recognise import recognise
from vitreous.data.volumes.contents import look_at, swapped_slices
from vitreous.errors import DataError, RequestError

SHAPE = (20, 24, 16)


def reason_of(source, part):
    return next(item.reason for item in source.skipped if part in item.path)


def rewrite(path, values=None, affine=None):
    image = nibabel.load(path)
    values = np.asarray(image.dataobj) if values is None else values
    write_nifti(path, values, image.affine if affine is None else affine)


def test_the_decathlons_layout_with_names_channels_and_voxels(tmp_path):
    source = recognise(decathlon(tmp_path, spacing=(1.0, 1.5, 2.0)))
    assert source.kind == "imagesTr and labelsTr with dataset.json"
    assert source.classes == ("background", "front", "back")
    assert len(source.samples) == 6
    sample = source.samples[1]
    assert sample.sample_id == "imagesTr/case_001.nii.gz"
    truth = np.asarray(nibabel.load(tmp_path / "labelsTr/case_001.nii.gz").dataobj)
    mask = source.read_mask(sample)
    assert np.array_equal(mask, truth.transpose(2, 1, 0))
    assert sample.label.pixels.tolist() == np.bincount(truth.ravel()).tolist()
    volume = source.volumes.read(sample)
    assert volume.values.shape == (1, 16, 24, 20)
    assert volume.spacing_mm == (2.0, 1.5, 1.0)
    assert volume.stored.letters == "RAS"


def test_nnunets_channels_are_one_scan(tmp_path):
    for case in range(3):
        for channel in range(2):
            write_nifti(
                tmp_path / f"imagesTr/a_{case:03}_{channel:04}.nii.gz", body(SHAPE, channel)
            )
        write_nifti(tmp_path / f"labelsTr/a_{case:03}.nii.gz", np.uint8(blob(SHAPE, (9, 9, 9), 4)))
    (tmp_path / "dataset.json").write_text(
        '{"labels": {"background": 0, "tumour": 1}, "channel_names": {"0": "T1", "1": "FLAIR"}}'
    )
    source = recognise(tmp_path)
    assert source.volumes.channels == ("T1", "FLAIR")
    volume = source.volumes.read(source.samples[0])
    assert np.array_equal(volume.values[1], body(SHAPE, 1).transpose(2, 1, 0))


def test_images_and_masks_in_any_axis_order_are_laid_alike(tmp_path):
    """A label may be stored in other axes than its scan, if it lies in the same place."""
    for case in range(4):
        values, mask = body(SHAPE, case), np.uint8(blob(SHAPE, (9, 12, 6 + case), 4))
        write_nifti(tmp_path / f"images/p{case}.nii.gz", values, affine_of((1, 2, 3)))
        flipped = affine_of((1, 2, 3), (SHAPE[0] - 1, 0, 0)) @ np.diag([-1, 1, 1, 1])
        write_nifti(tmp_path / f"masks/p{case}_seg.nii.gz", mask[::-1], flipped)
    source = recognise(tmp_path)
    assert source.kind == "volumes and masks"
    assert not [s for s in source.skipped if not s.harmless]
    mask = source.read_mask(source.samples[2])
    assert np.array_equal(mask, np.uint8(blob(SHAPE, (9, 12, 8), 4)).transpose(2, 1, 0))


def test_a_rotated_copy_of_a_scan_gives_the_same_picture(tmp_path):
    values = body(SHAPE, 1)
    affine = affine_of((1.0, 1.5, 2.0), (5, -7, 3))
    image = nibabel.Nifti1Image(values, affine)
    write_nifti(tmp_path / "a.nii.gz", values, affine)
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nibabel.save(turned, tmp_path / "b.nii.gz")
    source = recognise(tmp_path, for_training=False)
    one, other = (source.volumes.read(sample) for sample in source.samples)
    assert np.array_equal(one.values, other.values)
    assert np.allclose(one.grid.affine, other.grid.affine)
    pictures = [source.read(sample, None).pixels for sample in source.samples]
    assert np.array_equal(*pictures)


def test_nrrd_and_metaimage_are_read_where_they_lie(tmp_path):
    values = np.round(body((5, 6, 7), 2)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    names = ("a.nrrd", "b.mha", "c.nii.gz", "d.mhd")
    for name in names:
        sitk.WriteImage(image, str(tmp_path / name))
    source = recognise(tmp_path, for_training=False)
    assert [sample.path for sample in source.samples] == list(names)
    volumes = [source.volumes.read(sample) for sample in source.samples]
    for volume in volumes[1:]:
        assert np.array_equal(volume.values, volumes[0].values)
        assert np.allclose(volume.grid.affine, volumes[0].grid.affine, atol=1e-4)
    place = np.array(image.TransformIndexToPhysicalPoint((1, 2, 3))) * [-1, -1, 1]
    stored = source.volumes.scans["a.nrrd"].header.grid
    assert np.allclose(stored.places(np.array([[3.0, 2, 1]]))[0], place)


def test_planted_faults_of_pairs_are_each_named(tmp_path):
    root = decathlon(tmp_path, cases=8)
    label = root / "labelsTr"
    rewrite(label / "case_000.nii.gz", np.zeros((20, 24, 15), np.uint8))
    rewrite(label / "case_001.nii.gz", affine=np.diag([-1.0, 1, 1, 1]))
    rewrite(label / "case_002.nii.gz", affine=affine_of(origin=(0, 4, 0)))
    rewrite(label / "case_003.nii.gz", affine=affine_of((1, 1, 1.2)))
    rewrite(label / "case_004.nii.gz", np.full(SHAPE, 0.5, np.float32))
    (label / "case_005.nii.gz").unlink()
    source = recognise(root)
    assert len(source.samples) == 2
    assert "a label of another size: 15 x 24 x 20 voxels, the scan 16 x 24 x 20" in reason_of(
        source, "case_000"
    )
    assert "flipped affine: the label's axes run LAS, those of its scan RAS" in reason_of(
        source, "case_001"
    )
    assert "lies up to 4 mm beside its scan" in reason_of(source, "case_002")
    assert "the label's spacing is 1.2 x 1 x 1 mm, the scan's 1 x 1 x 1" in reason_of(
        source, "case_003"
    )
    assert "lie between whole numbers" in reason_of(source, "case_004")
    assert "no label of its name in labelsTr" in reason_of(source, "case_005")
    for item in source.skipped:
        assert item.harmless or ";" in item.reason or "no label" in item.reason  # with a remedy


def test_a_scan_with_nan_is_named_when_it_is_read(tmp_path):
    root = decathlon(tmp_path, cases=3)
    values = body(SHAPE)
    values[3, 4, 5] = np.nan
    rewrite(root / "imagesTr/case_001.nii.gz", values)
    source = recognise(root)
    with pytest.raises(DataError, match=r"case_001.nii.gz: 1 voxels are not numbers \(NaN"):
        source.volumes.read(source.samples[1])


def test_damaged_files_are_named_without_stopping_the_rest(tmp_path):
    root = decathlon(tmp_path, cases=4)
    path = root / "imagesTr/case_001.nii.gz"
    (root / "labelsTr/case_002.nii.gz").write_bytes(b"nothing of the kind")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = recognise(root)
    assert "not readable as NIfTI" in reason_of(source, "case_002")
    with pytest.raises(DataError, match=r"^imagesTr/case_001.nii.gz: damaged"):
        source.volumes.read(next(s for s in source.samples if "001" in s.path))


def test_a_table_gives_labels_and_hidden_patients(tmp_path):
    lines = ["scan,diagnosis,patient"]
    for case in range(6):
        write_nifti(tmp_path / f"s{case}.nii.gz", body(SHAPE, case))
        lines.append(f"s{case}.nii.gz,{'ill' if case % 2 else 'well'},GEHEIM{case // 2}")
    lines.append("absent.nii.gz,ill,GEHEIM9")
    (tmp_path / "scans.csv").write_text("\n".join(lines))
    for path in (tmp_path, tmp_path / "scans.csv"):
        source = recognise(path)
        assert source.label_kind == "class"
        assert source.classes == ("ill", "well")
        groups = [sample.group for sample in source.samples]
        assert len(set(groups)) == 3
        assert all(g.startswith("patient-") for g in groups)
        assert not any(secret in repr(source.samples) for secret in SECRETS)
        assert "file not found" in reason_of(source, "scans.csv:8")


def test_a_table_may_name_dicom_folders_and_series(tmp_path):
    for case in range(2):
        dicom_series(tmp_path / f"d{case}", np.int16(body((5, 8, 8), case)), series=f"1.2.3.{case}")
    (tmp_path / "scans.csv").write_text("scan,label\nd0,ill\n1.2.3.1,well\n")
    source = recognise(tmp_path / "scans.csv", for_training=False)
    assert [sample.label for sample in source.samples] == ["ill", "well"]
    for sample in source.samples:
        assert source.volumes.read(sample).values.shape == (1, 5, 8, 8)


def test_slices_are_pictures_with_their_patients(tmp_path):
    source = recognise(decathlon(tmp_path), slices="axial", label="front")
    assert source.classes == ("no front", "front")
    assert len(source.samples) == 6 * 16
    mask = blob(SHAPE, (8, 10, 7), 4).any(axis=(0, 1))
    first = [sample.label == "front" for sample in source.samples[:16]]
    assert first == mask.tolist()
    assert {sample.group for sample in source.samples[:16]} == {"imagesTr/case_000.nii.gz"}
    picture = source.read(source.samples[7], None)
    assert picture.pixels.shape == (24, 20, 1)
    assert picture.pixels.dtype == np.uint8
    several = recognise(tmp_path, slices="coronal")
    assert several.label_kind == "classes"
    assert len(several.samples) == 6 * 24
    assert several.read(several.samples[0], None).pixels.shape == (16, 20, 1)


def test_requests_that_do_not_fit_scans_say_so(tmp_path):
    decathlon(tmp_path, cases=3)
    with pytest.raises(RequestError, match="did you mean 'axial'"):
        recognise(tmp_path, slices="axail")
    with pytest.raises(RequestError, match="unknown structure 'fron'; did you mean 'front'"):
        recognise(tmp_path, slices="axial", label="fron")
    with pytest.raises(RequestError, match="has masks, no table"):
        recognise(tmp_path, label="diagnosis")
    with pytest.raises(RequestError, match="--task detect"):
        recognise(tmp_path, task="detect")
    source = recognise(tmp_path, group=r"case_00(\d)")
    assert [sample.group for sample in source.samples] == ["0", "1", "2"]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("pair", [(3, 4), (2, 9), (0, 7), (6, 13)])
def test_swapped_slices_are_seen_in_the_values(axis, pair):
    values = body((16, 18, 20), 5) + np.random.default_rng(0).normal(0, 5, (16, 18, 20))
    values = values.astype(np.float32)
    assert swapped_slices(values, axis) == []
    moved = np.moveaxis(values, axis, 0).copy()
    moved[list(pair)] = moved[list(pair[::-1])]
    assert swapped_slices(np.moveaxis(moved, 0, axis), axis) == [pair]


def test_empty_scans_are_named():
    assert "an empty scan" in look_at(np.ones((1, 9, 9, 9), np.float32)).findings[0]


def test_real_scans_look_sound(real_data):
    source = recognise(real_data / "msd_hippocampus")
    assert len(source.samples) == 120
    found = [look_at(source.volumes.read(sample).values).findings for sample in source.samples]
    assert [one for one in found if one] == []


def test_swapped_slices_of_real_scans_are_found(real_data):
    source = recognise(real_data / "msd_hippocampus")
    found = 0
    for sample in source.samples[:20]:
        values = source.volumes.read(sample).values[0].copy()
        values[[14, 19]] = values[[19, 14]]
        found += (14, 19) in swapped_slices(values, 0)
    assert found == 20
