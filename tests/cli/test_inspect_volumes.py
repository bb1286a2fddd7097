"""`vitreous inspect` on scans: what it says, and what it never says."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from PIL import Image
from tests.made_scans import SECRETS, affine_of, body, decathlon, dicom_series, write_nifti

from vitreous.cli.app import main


@pytest.fixture
def run(tmp_path):
    """Status, and all that is printed with its lines joined, of `vitreous inspect ...`."""

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("VITREOUS_SALT", "a test's own")
            patch.setenv("VITREOUS_CACHE", str(tmp_path / "cache"))
            patch.setenv("COLUMNS", "200")
            patch.setattr(sys, "argv", ["vitreous", "inspect", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                main()
        return int(ended.value.code or 0), out.getvalue(), err.getvalue()

    return run


def test_it_says_what_is_there_and_what_would_be_done(run, tmp_path):
    root = decathlon(tmp_path / "Task04", spacing=(1.0, 1.5, 2.0))
    mask = np.zeros((20, 24, 15), np.uint8)
    write_nifti(root / "labelsTr/case_003.nii.gz", mask, affine_of((1.0, 1.5, 2.0)))
    status, out, err = run(root, "--memory", "1GB", "--sheet", tmp_path / "sheet.png")
    assert status == 0, err
    for part in ("imagesTr and labelsTr with dataset.json", "16 x 24 x 20", "2 x 1.5 x 1", "RAS",
                 "front", "a label of another size", "patch", "segment"):  # fmt: skip
        assert part in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 400
    found = json.loads(run(root, "--json")[1])
    assert found["plan"]["patch"]
    assert found["fingerprint"]["median_spacing_mm"] == [2.0, 1.5, 1.0]


def test_no_output_names_a_patient(run, tmp_path):
    folder = tmp_path / "data"
    values = np.int16(body((9, 12, 10)))
    dicom_series(folder / "Maria^Geheim 19610203" / "20240517", values)
    dicom_series(folder / "PAT-4711", values, series="1.2.3.5",
                 change=lambda place, data: place != 4)  # fmt: skip
    for arguments in ((), ("--json",), ("--sheet", tmp_path / "sheet.png")):
        status, out, err = run(folder, *arguments)
        assert status == 0, err
        assert "series-" in out
        assert "missing slice" in out
        for secret in (*SECRETS, "Maria", "1.2.3.4"):
            assert secret not in out + err
    cached = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert not any(secret.encode() in cached for secret in SECRETS)


def test_flags_of_scans_elsewhere_are_refused(run, plant_pictures):
    status, _, err = run(plant_pictures, "--slices", "axial")
    assert status == 1
    assert "--slices axial: is for scans; none are found" in err


@pytest.fixture
def plant_pictures(tmp_path):
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), "red").save(path)
    return tmp_path / "pictures"
