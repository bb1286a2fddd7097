"""explain on scans with masks: one voxel, named as nibabel's canonical axes count."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from tests.made_scans import affine_of, blob, body, write_nifti

from vitreous.errors import RequestError
from vitreous.runs.explain import explain
from vitreous.runs.run import Run

from .test_verbs import command

VOXEL = (13, 14, 9)  # in the structure `back`


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """One scan stored with its first axis to the left, and its axes in another order."""
    shape = (20, 24, 16)
    values = body(shape, 3) / 10
    values += 300.0 * blob(shape, (8, 10, 7), 4) + 600.0 * blob(shape, VOXEL, 3)
    stored = np.ascontiguousarray(values[::-1].transpose(2, 0, 1))
    directions = np.array([[0, -1, 0], [0, 0, 1], [1, 0, 0]], float)  # z, -x, y
    affine = affine_of((1.0, 1.0, 1.0), (30.0, -7.0, 4.0), directions)
    return write_nifti(tmp_path_factory.mktemp("scan") / "turned.nii.gz", stored, affine)


def test_a_voxel_is_where_another_reader_has_it(scan_run, scan):
    (one,) = explain(scan_run, scan, voxel=VOXEL, check=False)
    canonical = nibabel.as_closest_canonical(nibabel.load(scan))
    own = canonical.get_fdata()
    assert one.place.facts["place_mm"] == pytest.approx(canonical.affine[:3] @ [*VOXEL, 1.0])
    at = one.place.voxel
    expected = (own[VOXEL] - own.mean()) / own.std()
    assert one.picture[0][at] == pytest.approx(expected, rel=1e-3)
    assert one.picture[0][at[0], at[1], at[2] - 1] == pytest.approx(
        (own[VOXEL[0] - 1, VOXEL[1], VOXEL[2]] - own.mean()) / own.std(), rel=1e-3
    )
    start = one.place.facts["seen"]["start"]
    assert [begin + place for begin, place in zip(start, at, strict=True)] == [*VOXEL[::-1]]


def test_its_answer_is_the_networks_at_that_voxel(scan_run, scan):
    (one,) = scan_run.explain(scan, voxel="13,14,9", check=False)
    with torch.no_grad():
        outputs = scan_run.network(torch.from_numpy(one.picture)[None])
    own = outputs[(0, slice(None), *one.place.voxel)]
    assert one.map.score == pytest.approx(float(own.max()), rel=1e-5)
    assert one.predicted == scan_run.record.classes[int(own.argmax())]
    assert one.map.values.shape == one.picture.shape[1:] == (16, 16, 16)
    (covered,) = scan_run.explain(scan, "occlusion", voxel=VOXEL, check=False)
    far = np.ones((16, 16, 16), bool)
    far[tuple(slice(max(0, at - 7), at + 8) for at in one.place.voxel)] = False
    assert np.abs(covered.map.values[far]).sum() < np.abs(covered.map.values[~far]).sum()


def test_the_verb_draws_three_planes_through_it(scan_run, scan, tmp_path, monkeypatch, capsys):
    words = ("--voxel", "13,14,9", "--out", tmp_path, "--json")
    code, out, complaints = command(monkeypatch, capsys, "explain", scan_run.folder, scan, *words)
    assert code == 0, complaints
    (found,) = json.loads(out)
    assert found["place"]["voxel"] == [13, 14, 9]
    assert found["check"] is not None
    with Image.open(tmp_path / "turned.png") as picture:
        assert picture.size[0] > 300
    assert "voxel 13, 14, 9" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "--voxel X,Y,Z"),
        ({"pixel": "3,4"}, "--voxel X,Y,Z"),
        ({"voxel": "3,4"}, "three whole numbers"),
        ({"voxel": "a,4,5"}, "three whole numbers"),
    ],
)
def test_a_place_that_does_not_fit_is_one_line(scan_run, scan, asked, words):
    with pytest.raises(RequestError, match=words) as told:
        next(explain(scan_run, scan, **asked))
    assert "\n" not in str(told.value)


def test_a_voxel_outside_and_a_voxel_of_other_runs(scan_run, scan):
    (one,) = explain(scan_run, scan, voxel=(20, 0, 0), check=False)
    assert "20 x 24 x 16 voxels" in one.error
    (absent,) = explain(scan_run, "absent.nii", voxel=VOXEL, check=False)
    assert "does not exist" in absent.error
    of_pictures = Run(scan_run.folder, replace(scan_run.record, signal="image"))
    with pytest.raises(RequestError, match="--pixel X,Y"):
        next(explain(of_pictures, scan, voxel=VOXEL))
    whole = Run(scan_run.folder, replace(scan_run.record, task="classify"))
    with pytest.raises(RequestError, match="one answer a sample"):
        next(explain(whole, scan, voxel=VOXEL))


def test_baselines_are_pieces_of_the_training_scans(scan_run, scan):
    pytest.importorskip("captum", reason="the extra `insight` is not installed")
    (one,) = explain(scan_run, scan, "expected-gradients", voxel=VOXEL, check=False)
    assert "training" in one.map.baseline
    assert one.map.values.shape == (16, 16, 16)
