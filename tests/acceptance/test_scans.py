"""Real scans: DICOM answered where it lies, planted faults named, nobody named, slices by patient.

Trained on a hundred volumes of the hippocampus for a few epochs, asked about DICOM series of other
patients. The independent readers are SimpleITK (series and NIfTI), nibabel (NIfTI) and pydicom
(the segmentation's own header).
"""

import csv
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from vitreous.data.recognise import recognise
from vitreous.data.volumes.dicom_headers import is_dicom
from vitreous.data.volumes.fingerprint import fingerprint_volumes
from vitreous.runs.predict_volumes import predict_scans, write_scan_folder
from vitreous.runs.train import train

pytestmark = [pytest.mark.data, pytest.mark.acceptance, pytest.mark.timeout(1800)]
TO_RAS = np.array([-1.0, -1.0, 1.0])  # from DICOM's millimetres
NAMING = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate",
    "ContentDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    "FrameOfReferenceUID", "AccessionNumber", "InstitutionName", "ReferringPhysicianName",
)  # fmt: skip


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("VITREOUS_SALT", "a test's own")
        yield


@pytest.fixture(scope="module")
def run(real_data, own_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("hippocampus") / "run"
    return train(real_data / "msd_hippocampus", epochs=5, out=out, quiet=True)


@pytest.fixture(scope="module")
def dicom(real_data):
    return real_data / "dicom_brain_mr"


def series_folders(dicom: Path) -> list[Path]:
    return sorted(path for path in dicom.iterdir() if path.is_dir())


def read_by_simpleitk(folder: Path):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def centre_by_simpleitk(path: Path, place: int):
    image = sitk.ReadImage(str(path))
    middle = np.argwhere(sitk.GetArrayFromImage(image) == place).mean(axis=0)[::-1]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(middle.tolist())) * TO_RAS


def centre_by_nibabel(path: Path, place: int):
    image = nibabel.load(path)
    middle = np.argwhere(np.asarray(image.dataobj) == place).mean(axis=0)
    return image.affine[:3, :3] @ middle + image.affine[:3, 3]


def centre_by_pydicom(path: Path, name: str):
    """The middle of a segment from the positions of its own frames, as the standard has them."""
    data = pydicom.dcmread(path)
    [number] = [s.SegmentNumber for s in data.SegmentSequence if s.SegmentLabel == name]
    shared = data.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    across, down = directions.reshape(2, 3)
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels, found = data.pixel_array.reshape(-1, data.Rows, data.Columns), []
    for frame, of in zip(pixels, data.PerFrameFunctionalGroupsSequence, strict=True):
        if of.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        first = np.array(of.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(frame)
        found.append(first + columns[:, None] * column_mm * across + rows[:, None] * row_mm * down)
    return np.concatenate(found).mean(axis=0) * TO_RAS


def dice(first, second):
    return 2 * (first & second).sum() / max(1, first.sum() + second.sum())


def test_dicom_series_are_answered_where_they_lie(run, dicom, tmp_path):
    classes = run.record.classes
    answered = 0
    for folder in series_folders(dicom):
        found = list(predict_scans(run, [str(folder)]))
        [one] = found
        assert one.error is None, one.error
        out = tmp_path / f"series-{answered}"
        assert write_scan_folder(iter(found), run, out / "nifti", "csv") == (1, 0)
        [nifti] = (out / "nifti/masks").iterdir()
        image = read_by_simpleitk(folder)
        values = np.asarray(nibabel.load(nifti).dataobj)
        assert sorted(values.shape) == sorted(image.GetSize())
        present = [place for place in range(1, len(classes)) if (values == place).any()]
        # the same series, put in order and written by another reader, has the same answer
        converted = tmp_path / f"converted-{answered}.nii.gz"
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), str(converted))
        [again] = predict_scans(run, [str(converted)])
        assert again.mask.shape == one.mask.shape
        for place in present:
            assert dice(one.mask == place, again.mask == place) > 0.999
        for place in present:
            centre = centre_by_nibabel(nifti, place)
            assert np.abs(centre_by_simpleitk(nifti, place) - centre).max() < 0.1
        if present:
            write_scan_folder(iter(found), run, out / "seg", "dicom-seg")
            [segmentation] = (out / "seg/masks").iterdir()
            for place in present:
                apart = centre_by_pydicom(segmentation, classes[place]) - centre_by_nibabel(
                    nifti, place
                )
                assert np.abs(apart).max() < 0.1
        answered += bool(present)
    assert answered >= 3  # every hippocampus is found


def test_structures_are_found_in_series_of_other_patients(run, dicom):
    """A hippocampus has some cubic centimetres, wherever it was scanned."""
    for folder in series_folders(dicom):
        if "hippocrop" in folder.name:
            [one] = predict_scans(run, [str(folder)])
            assert 1.0 < sum(amount.ml for amount in one.amounts) < 8.0


def copied(dicom: Path, folder: Path) -> list[Path]:
    """A copy of a real series, its files in the order of its slices."""
    shutil.copytree(dicom / "study1_hippocrop", folder)
    return sorted(folder.iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)


def reasons(source) -> str:
    return " | ".join(f"{item.path}: {item.reason}" for item in source.skipped)


def test_faults_planted_in_real_series_are_named(dicom, tmp_path, own_cache):
    copied(dicom, tmp_path / "missing")[12].unlink()
    swapped = copied(dicom, tmp_path / "swapped")
    headers = [pydicom.dcmread(swapped[place]) for place in (8, 20)]
    places = [header.ImagePositionPatient for header in headers]
    for path, header, position in zip((swapped[8], swapped[20]), headers, places[::-1],
                                      strict=True):  # fmt: skip
        header.ImagePositionPatient = position
        header.save_as(path)
    for name, said in (("missing", "missing slice: 1 between"), ("swapped", "swapped slices")):
        copied(dicom, tmp_path / name / "good")  # a whole one beside it, of its own UID
        for path in (tmp_path / name / "good").iterdir():
            header = pydicom.dcmread(path)
            header.SeriesInstanceUID = "1.2.826.0.76.9"
            header.save_as(path)
        source = recognise(tmp_path / name, for_training=False)
        assert len(source.samples) == 1
        assert said in reasons(source)
        [answer] = [item for item in source.skipped if said in item.reason]
        assert "instance number" in answer.reason
        assert ";" in answer.reason or "send the series again" in answer.reason


def test_faults_planted_in_real_pairs_are_named(real_data, tmp_path, own_cache):
    pack = real_data / "msd_hippocampus"
    names = sorted(path.name for path in (pack / "imagesTr").iterdir())[:8]
    for name in names:
        for part in ("imagesTr", "labelsTr"):
            (tmp_path / part).mkdir(exist_ok=True)
            shutil.copy(pack / part / name, tmp_path / part / name)

    def change(part, name, alter):
        path = tmp_path / part / name
        image = nibabel.load(path)
        values, affine = alter(np.asarray(image.dataobj).copy(), image.affine.copy())
        nibabel.save(nibabel.Nifti1Image(values, affine), path)

    change("labelsTr", names[0], lambda v, a: (v, a @ np.diag([-1.0, 1, 1, 1])))
    change("labelsTr", names[1], lambda v, a: (v[:-1], a))

    def exchange(values, affine):
        values[:, [12, 30]] = values[:, [30, 12]]
        return values, affine

    change("imagesTr", names[2], exchange)
    (tmp_path / "labelsTr" / names[3]).unlink()
    source = recognise(tmp_path)
    said = {item.path: item.reason for item in source.skipped}
    assert "flipped affine" in said[f"imagesTr/{names[0]}"]
    assert "a label of another size" in said[f"imagesTr/{names[1]}"]
    assert "no label of its name" in said[f"imagesTr/{names[3]}"]
    assert len(source.samples) == 5
    found = {one.sample_id: one.findings for one in fingerprint_volumes(source).scans}
    assert any("slices 13 and 31 along height look swapped" in words
               for words in found[f"imagesTr/{names[2]}"])  # fmt: skip
    others = [words for name, words in found.items() if names[2] not in name]
    assert not any(others)


def words_of_patients(folder: Path) -> set[str]:
    """What the headers of DICOM files say of patients, and the folders that they lie in."""
    words = set()
    for path in folder.rglob("*"):
        if path.is_file() and is_dicom(path):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            words |= {str(header.get(name, "")) for name in NAMING}
            words.add(path.parent.name)
    return {word for word in words if len(word) >= 4}


def assert_nobody_is_named(folder: Path, words: set[str]):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes() + str(path.relative_to(folder)).encode()
        assert not [word for word in words if word.encode() in content], path


def test_nobody_is_named_in_answers(run, dicom, tmp_path):
    words = words_of_patients(dicom)
    assert len(words) > 100
    found = list(predict_scans(run, [str(dicom)]))
    assert len(found) == 4
    write_scan_folder(iter(found), run, tmp_path / "answers", "csv")
    assert_nobody_is_named(tmp_path, words)


def test_nobody_is_named_in_a_run_on_dicom_series(dicom, tmp_path, own_cache):
    """Nine series made of three real ones, with names of their own, whole and as slices."""
    lines, root = ["scan,label,patient"], tmp_path / "data"
    for number in range(12):
        source = dicom / f"study{number % 3 + 1}_hippocrop"
        folder = root / f"Weiss^Agathe-{number}"
        for path in sorted(source.iterdir()):
            header = pydicom.dcmread(path)
            header.PatientName, header.PatientID = f"Weiss^Agathe{number}", f"AGATHE-{number}"
            header.PatientBirthDate = f"19{number + 40}1231"
            header.SeriesInstanceUID = f"1.2.826.0.77.{number}"
            header.StudyInstanceUID = f"1.2.826.0.78.{number}"
            header.SOPInstanceUID = f"1.2.826.0.79.{number}.{header.InstanceNumber}"
            if number % 2:  # what the label says
                brighter = header.pixel_array.copy()
                brighter[10:20, 10:20] = brighter.max()
                header.PixelData = brighter.tobytes()
            folder.mkdir(parents=True, exist_ok=True)
            header.save_as(folder / path.name)
        lines.append(f"{folder.name},{'ill' if number % 2 else 'well'},AGATHE-{number}")
    (root / "scans.csv").write_text("\n".join(lines))
    words = words_of_patients(root)
    for name, slices in (("whole", None), ("slices", "axial")):
        train(root / "scans.csv", epochs=1, slices=slices, out=tmp_path / "runs" / name, quiet=True)
        assert_nobody_is_named(tmp_path / "runs" / name, words)


def test_slices_are_classified_with_patients_apart(real_data, own_cache, tmp_path):
    """Is the anterior part in the slice? The slices of a volume stay together."""
    data = real_data / "msd_hippocampus"
    run = train(data, slices="coronal", label="class 1", epochs=4, out=tmp_path / "run", quiet=True)
    rows = list(csv.DictReader((run.folder / "split.csv").read_text().splitlines()))
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 120
    assert all(len(side) == 1 for side in sides.values())
    accuracy = run.evaluation["metrics"]["accuracy"]
    assert run.evaluation["n_groups"] == sum(side == {"test"} for side in sides.values())
    majority = run.evaluation["baselines"]["majority class"]["accuracy"]["value"]
    print(f"coronal slices: accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to "
          f"{accuracy['high']:.3f}), majority {majority:.3f}")  # fmt: skip
    assert accuracy["low"] > majority + 0.1
