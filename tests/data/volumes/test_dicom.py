"""DICOM series against an independent reader, and every fault planted and found."""

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from tests.made_scans import SECRETS, body, dicom_series, enhanced

from vitreous.data.volumes.dicom_headers import is_dicom, read_file
from vitreous.data.volumes.dicom_pixels import read_frames
from vitreous.data.volumes.dicom_series import find_series, read_series
from vitreous.data.volumes.scans import holds_volumes, walk_scans
from vitreous.data.volumes.source import VolumeSettings, read_volumes

OBLIQUE = (0.98, 0.17364818, 0.0, -0.17101007, 0.96, 0.2)


def unit(directions):
    rows, columns = np.array(directions, float).reshape(2, 3)
    rows = rows / np.linalg.norm(rows)
    columns = columns - (columns @ rows) * rows
    return (*rows, *(columns / np.linalg.norm(columns)))


@pytest.fixture
def values():
    return np.round(body((9, 12, 10), 4)).astype(np.int16)


def found_in(folder):
    paths = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return find_series(folder, paths)


def reason_in(folder):
    series, skipped = found_in(folder)
    assert series == []
    assert len(skipped) == 1
    return skipped[0].reason


@pytest.mark.parametrize(
    "directions", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), unit(OBLIQUE)]
)
def test_order_places_and_scaled_values_are_those_of_simpleitk(tmp_path, values, directions):
    dicom_series(tmp_path / "a", values, directions=directions, slope=0.5, intercept=-24.0)
    [series], skipped = found_in(tmp_path)
    assert skipped == []
    assert series.notes == ()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "a")))
    image = reader.Execute()
    read = read_series(tmp_path, series)[0]
    assert np.allclose(read, sitk.GetArrayFromImage(image), atol=1e-3)
    assert np.allclose(read, values * 0.5 - 24.0)
    for index in [(0, 0, 0), (8, 11, 9), (2, 5, 3)]:
        theirs = np.array(image.TransformIndexToPhysicalPoint(index[::-1])) * [-1, -1, 1]
        assert np.allclose(series.grid.places(np.array([index], float))[0], theirs, atol=1e-3)


def test_series_in_messy_folders_are_told_apart_by_their_uids(tmp_path, values):
    mess = tmp_path / "Maria Geheim" / "x"
    dicom_series(mess, values, series="1.2.3.4")
    dicom_series(mess / "deeper", values[:5], series="1.2.3.5", patient="other")
    for path in list((mess / "deeper").iterdir())[:2]:
        path.rename(mess / f"moved-{path.name}.dcm")
    (mess / "notes.txt").write_text("Maria Geheim")
    series, _skipped = found_in(tmp_path)
    assert sorted(one.grid.shape[0] for one in series) == [5, 9]
    assert len({one.name for one in series}) == len({one.patient for one in series}) == 2
    assert holds_volumes(tmp_path)
    assert len(walk_scans(tmp_path).dicom) == 14


def test_frames_of_one_file_are_ordered_and_scaled_each_by_its_own_slope(tmp_path, values):
    slopes = np.linspace(0.5, 3.0, len(values))
    order = [4, 2, 0, 8, 6, 1, 3, 5, 7]
    enhanced(tmp_path / "e.dcm", values, slopes=slopes, order=order)
    [series], _ = found_in(tmp_path)
    assert series.grid.shape == values.shape
    assert series.grid.spacing_mm == pytest.approx((2.0, 1.0, 1.0))
    expected = values * slopes[:, None, None]
    assert np.allclose(read_series(tmp_path, series)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
             "MR_small_bigendian.dcm", "MR_small_implicit.dcm"]
)  # fmt: skip
def test_compressed_pixels_are_those_of_the_plain_file(name):
    plain, packed = (get_testdata_file(n, download=False) for n in ("MR_small.dcm", name))
    files = [read_file(path, path) for path in (plain, packed)]
    pixels = [
        read_frames(path, list(file.frames), "x")
        for path, file in zip((plain, packed), files, strict=True)
    ]
    assert np.array_equal(*pixels)
    assert np.array_equal(pixels[0][0], pydicom.dcmread(plain).pixel_array)


def test_signed_pixels_keep_their_signs():
    path = get_testdata_file("CT_small.dcm", download=False)
    file = read_file(path, "CT_small.dcm")
    values = read_frames(path, list(file.frames), "x")[0]
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(path))[0]
    assert np.array_equal(values, theirs)
    assert values.min() == -896


def test_a_missing_slice_is_named(tmp_path, values):
    dicom_series(tmp_path, values, change=lambda place, data: place != 4)
    reason = reason_in(tmp_path)
    assert "missing slice: 1 between slice 4 (instance number 4) and slice 5" in reason
    assert "5 mm where 2.5 mm is usual" in reason


def test_swapped_slices_are_named(tmp_path, values):
    def swap(place, data):
        if place in (3, 6):
            data.InstanceNumber = {3: 7, 6: 4}[place]

    dicom_series(tmp_path, values, change=swap)
    reason = reason_in(tmp_path)
    assert reason.startswith(
        "swapped slices: slice 4 (instance number 7), slice 7 (instance number 4)"
    )


def test_gaps_that_are_not_uniform_are_named(tmp_path, values):
    def move(place, data):
        if place == 5:
            data.ImagePositionPatient = [-30.0, -40.0, 10.0 + 5 * 2.5 + 1.0]

    dicom_series(tmp_path, values, change=move)
    assert "gaps between slices are not uniform: 1.5 to 3.5 mm" in reason_in(tmp_path)


def test_mixed_orientations_sizes_and_spacings_are_named(tmp_path, values):
    def turn(place, data):
        if place > 6:
            data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    dicom_series(tmp_path / "a", values, change=turn)
    assert "mixed orientations: 7 and 2 slices" in reason_in(tmp_path / "a")

    def wider(place, data):
        if place == 0:
            data.PixelSpacing = [0.9, 0.9]

    dicom_series(tmp_path / "b", values, change=wider)
    assert "mixed pixel spacings: 8 and 1 slices" in reason_in(tmp_path / "b")


def test_two_volumes_in_one_series_are_named(tmp_path, values):
    dicom_series(tmp_path / "first", values)
    dicom_series(tmp_path / "second", values)
    assert "2 slices at each of 9 places" in reason_in(tmp_path)


def test_copies_of_files_are_used_once(tmp_path, values):
    dicom_series(tmp_path, values)
    copied = sorted(tmp_path.iterdir())[2]
    (tmp_path / "copy").write_bytes(copied.read_bytes())
    [series], _ = found_in(tmp_path)
    assert series.grid.shape == values.shape
    assert series.notes == ("1 of its files are there twice: one of each is used",)


def test_a_tilted_gantry_is_kept_in_the_places(tmp_path, values):
    def tilt(place, data):
        data.ImagePositionPatient = [-30.0, -40.0 + 0.5 * place, 10.0 + 2.5 * place]

    dicom_series(tmp_path, values, change=tilt)
    [series], _ = found_in(tmp_path)
    assert "tilted by 11.3 degrees" in series.notes[0]
    last = series.grid.places(np.array([[8.0, 0, 0]]))[0]
    assert np.allclose(last, [30.0, 36.0, 30.0])


def test_cut_files_are_named_and_not_read(tmp_path, values):
    dicom_series(tmp_path, values)
    path = sorted(tmp_path.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-40])
    source = read_volumes(tmp_path, VolumeSettings())
    with pytest.raises(Exception, match=r"series-\w+, slice \d \(instance number \d\): its pixels"):
        source.volumes.read(source.samples[0])


def test_nothing_of_the_patient_is_in_what_is_said(tmp_path, values):
    folder = tmp_path / "Maria^Geheim 19610203"
    dicom_series(folder / "a", values, series="1.2.3.4")
    dicom_series(folder / "b", values, series="1.2.3.5", change=lambda place, data: place != 4)
    source = read_volumes(folder, VolumeSettings())
    assert [sample.group for sample in source.samples] == [source.samples[0].group]
    said = repr((source.samples, source.skipped, source.warnings, source.volumes, source.why))
    said = said.replace(repr(folder), "")  # the folder itself is what the user gave
    for secret in (*SECRETS, "1.2.3.4", "1.2.3.5"):
        assert secret not in said


def test_files_are_known_by_their_content(tmp_path, values):
    dicom_series(tmp_path, values)
    (tmp_path / "no").write_bytes(b"\0" * 200)
    assert sorted(is_dicom(path) for path in tmp_path.iterdir()) == [False] + [True] * 9


def test_real_series_are_read_as_simpleitk_and_highdicom_do(real_data):
    root = real_data / "dicom_brain_mr"
    paths = sorted(str(p.relative_to(root)) for p in root.rglob("*.dcm"))
    series, skipped = find_series(root, paths)
    assert skipped == []
    assert len(series) == 4
    assert len({one.patient for one in series}) == 3
    for one in series:
        folder = (root / one.paths[0]).parent
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        image = reader.Execute()
        assert np.array_equal(read_series(root, one)[0], sitk.GetArrayFromImage(image))
        volume = highdicom.get_volume_from_series(
            [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
        )
        ends = np.array([[0.0, 0, 0], np.array(one.grid.shape) - 1.0])
        theirs = volume.map_indices_to_reference(ends) * [-1, -1, 1]
        ours = one.grid.places(ends)
        straight = np.abs(ours - theirs).max()
        turned = np.abs(one.grid.places(np.array([[one.grid.shape[0] - 1.0, 0, 0]])) - theirs[:1])
        assert min(straight, turned.max()) < 0.1
