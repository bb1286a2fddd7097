"""Scans with a label each, from a table, through every verb."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.made_scans import SECRETS, affine_of, blob, body, dicom_series, write_nifti

from vitreous.data.recognise import recognise
from vitreous.data.volumes.fingerprint import fingerprint_volumes
from vitreous.data.volumes.store import open_volume_store
from vitreous.data.volumes.whole import MOST_VOXELS, WholeScans, centred, plan_whole
from vitreous.errors import RequestError
from vitreous.report.planes import planes_of_map
from vitreous.runs.predict import write_predictions
from vitreous.runs.run import Run
from vitreous.runs.train import train
from vitreous.runs.write_explanations import write_explanations

SHAPE = (16, 16, 12)
FAST = {"quiet": True, "precision": "float32", "compile": "no"}


def table_of_scans(folder, patients=14, first=0):
    """Two scans a patient; a bright ball on the right makes one ill, one on the left does not."""
    lines = ["scan,label,patient"]
    for patient in range(first, first + patients):
        ill = patient % 2 == 0
        for visit in range(2):
            seed = 2 * patient + visit
            values = body(SHAPE, seed) / 10
            # NIfTI's first axis grows to the right
            values[blob(SHAPE, (11 if ill else 4, 7 + seed % 3, 5), 3)] += 500
            name = f"scans/p{patient:02}_v{visit}.nii.gz"
            write_nifti(folder / name, values, affine_of((1.0, 1.0, 1.5)))
            lines.append(f"{name},{'ill' if ill else 'well'},p{patient:02}")
    (folder / "scans.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setenv("VITREOUS_SALT", "a test's own")
        table_of_scans(folder / "data")
        yield folder


@pytest.fixture(scope="module")
def run(place):
    return train(place / "data", epochs=12, out=place / "run", **FAST)


def test_a_run_on_whole_scans_has_learned_what_a_glance_cannot_see_better(run):
    record = json.loads((run.folder / "run.json").read_text())
    assert record["signal"] == "volume"
    assert record["task"] == "classify"
    assert record["network"]["name"] == "resnet"
    assert set(record["network"]["input"]) == {"channels", "depth", "height", "width"}
    assert run.evaluation["metrics"]["accuracy"]["value"] >= 0.9
    assert (run.folder / "plan.json").is_file()
    assert "data:image" in (run.folder / "report.html").read_text()


def test_patients_stay_on_one_side_and_are_what_intervals_count(run):
    rows = list(csv.DictReader((run.folder / "split.csv").read_text().splitlines()))
    sides = {}
    for row in rows:
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 14
    assert all(len(side) == 1 for side in sides.values())
    assert not any(name.startswith("p0") for name in sides)  # patients' names are hidden
    assert run.evaluation["n"] == 2 * run.evaluation["n_groups"]


def test_later_scans_are_answered_and_scored(run, place, tmp_path):
    later = table_of_scans(tmp_path / "later", patients=4, first=20)
    scores = run.evaluate(later)
    assert scores["n"] == 8
    assert scores["metrics"]["accuracy"]["value"] >= 0.75
    found = list(Run.load(run.folder).predict([later / "scans", tmp_path / "absent.nii"]))
    assert len(found) == 9
    assert "does not exist" in found[-1].error
    truth = {f"p{patient}": "ill" if patient % 2 == 0 else "well" for patient in range(20, 24)}
    right = [one.predicted == truth[one.sample_id.split("_")[0]] for one in found[:-1]]
    assert np.mean(right) >= 0.75
    with (tmp_path / "answers.csv").open("w") as file:
        assert write_predictions(iter(found), run, file) == (9, 1)
    test = next(csv.DictReader((run.folder / "predictions.csv").read_text().splitlines()))
    [again] = run.predict(place / "data" / test["sample_id"])
    assert again.probabilities[0] == pytest.approx(float(test["p_ill"]), abs=1e-5)


def test_other_networks_say_that_they_are_for_pictures(place, tmp_path):
    with pytest.raises(RequestError, match="whole scans take resnet"):
        train(place / "data", network="lenet5", epochs=1, out=tmp_path / "run", **FAST)


def test_large_scans_are_seen_coarser_and_small_ones_as_they_are(place, monkeypatch):
    found = fingerprint_volumes(recognise(place / "data"))
    larger = tuple(replace(one, shape=(18, 26, 22)) for one in found.scans)
    fingerprint = replace(found, scans=larger)
    plan = plan_whole(fingerprint, memory="6GB")
    assert plan.spacing_mm == (1.5, 1.0, 1.0)  # depth, height, width
    assert all(side >= own for side, own in zip(plan.patch, (18, 26, 22), strict=True))
    assert all(side % 8 == 0 for side in plan.patch)
    monkeypatch.setattr("vitreous.data.volumes.whole.MOST_VOXELS", 24 * 24 * 24)
    coarse = plan_whole(fingerprint, memory="6GB")
    assert np.prod(coarse.patch) <= 24**3 < MOST_VOXELS
    seen = np.array(coarse.patch) * coarse.spacing_mm
    assert (seen >= np.array([27.0, 26.0, 22.0]) - 1e-6).all()  # still the whole scan
    assert coarse.spacing_mm[1] == coarse.spacing_mm[2] > 1.0
    with pytest.raises(RequestError, match="too little"):
        plan_whole(fingerprint, memory="101MB")


def test_scans_lie_in_the_middle_of_what_is_seen(place):
    source = recognise(place / "data")
    plan = plan_whole(fingerprint_volumes(source), memory="6GB")
    store = open_volume_store(source, plan)
    scans = WholeScans(store, plan)
    assert scans.shape == (28, 1, *plan.patch)
    whole, own = scans[np.array([3])][0, 0], np.asarray(store[3].values)[0]
    first = [(wide - side) // 2 for wide, side in zip(plan.patch, own.shape, strict=True)]
    inner = tuple(slice(f, f + side) for f, side in zip(first, own.shape, strict=True))
    assert np.array_equal(whole[inner], own)
    assert np.abs(whole).sum() == pytest.approx(np.abs(own).sum(), rel=1e-5)
    cut = centred(own[None], (8, 8, 8))[0]
    assert np.array_equal(cut, own[2:10, 4:12, 4:12])


def test_what_speaks_for_an_answer_lies_where_the_ball_is(run, place, tmp_path):
    scan = place / "data/scans/p02_v0.nii.gz"  # ill: a ball on the right
    [one] = run.explain([scan], "occlusion", check=False)
    depth, height, width = run.record.data.volumes["plan"]["patch"]
    assert one.map.values.shape == one.picture.shape[1:] == (depth, height, width)
    strongest = np.unravel_index(one.map.values.argmax(), one.map.values.shape)
    ball = [5 + (depth - 12) / 2, 8 + (height - 16) / 2, 11 + (width - 16) / 2]
    assert np.abs(np.array(strongest) - ball).max() <= 5
    [checked] = run.explain([scan])
    assert checked.check is not None
    written = write_explanations(tmp_path / "why", run, iter([one, checked]))
    assert (written.count, written.errors) == (2, 0)
    with Image.open(tmp_path / "why/p02_v0.png") as picture:
        assert picture.size[0] > 300
    assert "where the planes are plain grey" in (tmp_path / "why/index.html").read_text()
    [absent] = run.explain([tmp_path / "absent.nii"], check=False)
    assert "does not exist" in absent.error


def test_planes_of_a_map_meet_where_it_is_strongest():
    scan = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    values = np.zeros((4, 6, 8), np.float32)
    values[1, 2, 3] = -5.0
    picture, mapped, marks = planes_of_map(scan, values, (2.0, 1.0, 1.0))
    assert marks == []
    _, through, marks = planes_of_map(scan, values, (2.0, 1.0, 1.0), (2, 5, 7))
    assert not through.any()  # the map says nothing in the planes of that voxel
    # axial: first row, first column; the others stretched twice, from the head down
    assert marks == [(0, 1, 1, 2), (12, 2, 13, 4), (24, 2, 25, 4)]
    assert picture.shape == (1, 8, 8 + 8 + 6 + 8)  # depth is stretched to 8 rows
    assert mapped.shape == picture.shape[1:]
    assert (mapped[:, :8] == -5).sum() == 1  # axial: one voxel
    assert mapped[3 + 1, 4] == -5  # rows from the front (3 of 6), columns from the right, centred
    assert (mapped[:, 12:20] == -5).sum() == (mapped[:, 24:] == -5).sum() == 2


def test_nobody_is_named_in_runs_on_dicom_series(tmp_path, monkeypatch):
    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VITREOUS_SALT", "a test's own")
    lines = ["scan,label,patient"]
    for case in range(9):
        values = body((8, 20, 20), case) + (400 if case % 2 else 0)
        folder = tmp_path / "data" / f"Maria^Geheim {case}"
        dicom_series(folder, np.int16(values), series=f"1.2.3.{case}", patient=f"PAT-4711-{case}")
        lines.append(f"{folder.name},{'ill' if case % 2 else 'well'},PAT-4711-{case}")
    (tmp_path / "data/scans.csv").write_text("\n".join(lines))
    run = train(tmp_path / "data/scans.csv", epochs=1, out=tmp_path / "run", **FAST)
    found = list(run.predict(tmp_path / "data" / "Maria^Geheim 1"))
    with (run.folder / "answers.csv").open("w") as file:
        assert write_predictions(iter(found), run, file) == (1, 0)
    for path in run.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path
