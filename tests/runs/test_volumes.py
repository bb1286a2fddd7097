"""From a folder of scans to masks in their own geometry, through every verb."""

import csv
import json

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from tests.made_scans import SECRETS, blob, body, decathlon, dicom_series

from vitreous.errors import RequestError
from vitreous.runs.predict_volumes import (
    predict_scans,
    remarks_on,
    usual_ml,
    write_scan_folder,
    write_scan_table,
)
from vitreous.runs.run import Run
from vitreous.runs.train import train
from vitreous.training import volume_batches

PLAN = """
spacing_mm = [1.0, 1.0, 1.0]
patch = [16, 16, 16]
batch = 2
widths = [6, 12]
strides = [[1, 1, 1], [2, 2, 2]]
kernels = [[3, 3, 3], [3, 3, 3]]
mirrored_axes = [2]
[[normalisation]]
kind = "z-score"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setenv("VITREOUS_SALT", "a test's own")
        decathlon(folder / "data", cases=16, spacing=(1.0, 1.0, 1.5))
        (folder / "plan.toml").write_text(PLAN)
        yield folder


@pytest.fixture(scope="module")
def run(place):
    return train(
        place / "data", plan=place / "plan.toml", epochs=8, out=place / "run", quiet=True,
        precision="float32", compile="no",
    )  # fmt: skip


def test_a_run_on_scans_is_whole_and_has_learned(run):
    evaluation = json.loads((run.folder / "evaluation.json").read_text())
    assert evaluation["task"] == "segment"
    dice = evaluation["metrics"]["dice"]
    assert 0.5 < dice["value"] <= 1
    assert dice["low"] <= dice["value"] <= dice["high"]
    assert [row["class"] for row in evaluation["per_class"]] == ["front", "back"]
    assert set(evaluation["metrics"]) == {"dice", "surface_dice", "hausdorff95", "volume_error"}
    assert "atlas of the training masks" in evaluation["baselines"]
    record = json.loads((run.folder / "run.json").read_text())
    assert record["signal"] == "volume"
    assert record["data"]["volumes"]["plan"]["patch"] == [16, 16, 16]
    assert (run.folder / "plan.json").is_file()
    facts = json.loads((run.folder / "fingerprint.json").read_text())
    assert facts["median_shape"] == [16, 24, 20]
    assert [one["name"] for one in facts["structures"]] == ["front", "back"]
    page = (run.folder / "report.html").read_text()
    assert "Numbers are test voxels." in page
    assert "Worst answers" in page
    assert "data:image" in page
    assert page.count("data-scan=") == len(evaluation["pictures"]) > 0
    shown = json.loads((run.folder / "report.json").read_text())
    assert shown["filters"]["shape"] == [6, 1, 3, 3, 3]
    assert "Its slices stand side by side" in page
    assert "16 x 16 x 16 voxels: as asked for" in page  # the plan
    assert "1 × 16 × 16 × 16 (channels × depth × height × width)" in page
    assert "voxels that the network answered with about 90 % confidence" in page
    first = next(row for row in shown["network_table"] if row["kernel"] == [3, 3, 3])
    assert first["output_shape"] == [6, 16, 16, 16]
    assert "channels × depth × height × width" in page


def test_masks_of_the_test_part_lie_on_their_scans(run, place):
    rows = list(csv.DictReader((run.folder / "split.csv").read_text().splitlines()))
    test = [row["sample_id"] for row in rows if row["split"] == "test"]
    assert test
    for name in test:
        scan, answer = (
            nibabel.load(place / "data" / name),
            nibabel.load(run.folder / "masks" / name),
        )
        assert answer.shape == scan.shape
        assert np.allclose(answer.affine, scan.affine)
    table = list(csv.DictReader((run.folder / "predictions.csv").read_text().splitlines()))
    assert len(table) == 2 * len(test)
    truth = np.asarray(
        nibabel.load(place / "data" / test[0].replace("imagesTr", "labelsTr")).dataobj
    )
    assert float(table[0]["true_ml"]) == pytest.approx((truth == 1).sum() * 1.5 / 1000, rel=1e-5)


def test_a_broken_run_goes_on_to_the_same_weights(run, place, monkeypatch):
    from vitreous.training import loop

    steps = []

    def stop(t, pixels, targets, real=loop.train_step):
        steps.append(1)
        if len(steps) == 25:
            raise KeyboardInterrupt
        return real(t, pixels, targets)

    settings = {"plan": place / "plan.toml", "epochs": 8, "quiet": True, "precision": "float32",
                    "compile": "no"}  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(place / "data", out=place / "broken", **settings)
    again = train(resume=place / "broken", quiet=True)
    for name in ("network.safetensors",):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()


def test_predictions_are_written_where_the_scan_lies(run, place, tmp_path):
    found = list(predict_scans(run, [str(place / "data/imagesTr/case_001.nii.gz"), "absent.nii"]))
    assert found[1].error
    assert "does not exist" in found[1].error
    front, _ = found[0].amounts
    assert front.mm3 == pytest.approx(front.voxels * 1.5)
    count, errors = write_scan_folder(iter(found), run, tmp_path / "out", "csv")
    assert (count, errors) == (2, 1)
    assert found[0].remarks == ()
    tiny = remarks_on(found[0].amounts, {"front": 100 * front.ml})
    assert "is it the same kind of scan?" in tiny[0]
    assert usual_ml(run)["front"] == pytest.approx(front.ml, rel=0.5)
    written = np.asarray(nibabel.load(tmp_path / "out/masks/case_001.nii.gz").dataobj)
    assert (written == 1).sum() == front.voxels > 0
    with pytest.raises(RequestError, match="is there already"):
        write_scan_folder(iter(found), run, tmp_path / "out", "csv")


def test_dicom_series_are_answered_without_a_name_but_in_the_dicom_seg(run, tmp_path):
    values = np.zeros((16, 24, 20), np.float32)
    values[blob(values.shape, (7, 10, 8), 4)] = 300
    values += body(values.shape, 3) / 10
    dicom_series(tmp_path / "in" / "Maria^Geheim", np.int16(values), spacing=(1.5, 1.0, 1.0))
    found = list(predict_scans(run, [str(tmp_path / "in")]))
    write_scan_folder(iter(found), run, tmp_path / "nifti", "csv")
    write_scan_folder(iter(found), run, tmp_path / "seg", "dicom-seg")
    for path in [*(tmp_path / "nifti").rglob("*"), tmp_path / "seg" / "volumes.csv"]:
        assert not any(secret in str(path) for secret in SECRETS)
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in SECRETS)
    [segmentation] = (tmp_path / "seg" / "masks").iterdir()
    assert str(pydicom.dcmread(segmentation).PatientName) == "Maria^Geheim"
    with (tmp_path / "table.json").open("w") as file:
        write_scan_table(iter(found), file, "json")
    [answer] = json.loads((tmp_path / "table.json").read_text())
    assert answer["sample_id"].startswith("series-")


def test_later_scans_are_scored_by_structure(run, place, tmp_path):
    later = decathlon(tmp_path / "later", cases=4, spacing=(1.0, 1.0, 1.5))
    scores = run.evaluate(later)
    assert scores["n"] == 4
    assert scores["metrics"]["dice"]["value"] > 0.5
    assert (run.folder / "masks-later/imagesTr/case_000.nii.gz").is_file()
    assert Run.load(run.folder).record.data.volumes["plan"]["batch"] == 2


@pytest.mark.parametrize("dimensions", ["2", "2.5"])
def test_networks_of_fewer_dimensions_answer_whole_scans(place, tmp_path, monkeypatch, dimensions):
    """What a network of slices says of a slice rests on it alone, or on those next to it."""
    monkeypatch.setattr(volume_batches, "FEWEST_BATCHES", 3)
    run = train(place / "data", dimensions=dimensions, memory="300MB", epochs=1, quiet=True,
                out=tmp_path / "run", precision="float32", compile="no")  # fmt: skip
    plan = json.loads((run.folder / "plan.json").read_text())
    assert plan["patch"][0] == (1 if dimensions == "2" else 8)
    with torch.no_grad():
        values = torch.randn(1, 1, *(max(side, 24) for side in plan["patch"]))
        changed = values.clone()
        changed[:, :, 0] += 1.0
        network = run.network.eval()
        for module in network.modules():  # norms over all of a patch would carry it everywhere
            if isinstance(module, torch.nn.InstanceNorm3d):
                module.forward = lambda maps: maps
        apart = (network(changed) - network(values)).abs().amax(dim=(0, 1, 3, 4))
    reached = int(apart.nonzero().max())
    assert reached == 0 if dimensions == "2" else 1 <= reached <= 5
    [found] = predict_scans(run, [str(place / "data/imagesTr/case_001.nii.gz")])
    assert found.mask.shape == (16, 24, 20)
    with pytest.raises(RequestError, match="--plan says it"):
        train(place / "data", dimensions="2", plan=place / "plan.toml", out=tmp_path / "b")


def test_slices_are_trained_as_pictures_with_patients(place, tmp_path):
    run = train(
        place / "data", slices="axial", label="front", network="lenet5", image_size=32, epochs=2,
        out=tmp_path / "run", quiet=True, precision="float32", compile="no",
    )  # fmt: skip
    rows = list(csv.DictReader((run.folder / "split.csv").read_text().splitlines()))
    parts = {}
    for row in rows:
        parts.setdefault(row["group"], set()).add(row["split"])
    assert len(parts) == 16
    assert all(len(part) == 1 for part in parts.values())
    assert run.evaluation["n_groups"] >= 1


def test_a_run_on_dicom_slices_names_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VITREOUS_SALT", "a test's own")
    lines = ["scan,label"]
    for case in range(8):
        values = body((8, 20, 20), case) + (400 if case % 2 else 0)
        folder = tmp_path / "data" / f"Maria^Geheim {case}"
        dicom_series(folder, np.int16(values), series=f"1.2.3.{case}", patient=f"PAT-4711-{case}")
        lines.append(f"{folder.name},{'ill' if case % 2 else 'well'}")
    (tmp_path / "data/scans.csv").write_text("\n".join(lines))
    run = train(
        tmp_path / "data/scans.csv", slices="axial", network="lenet5", image_size=32, epochs=1,
        out=tmp_path / "run", quiet=True, precision="float32", compile="no",
    )  # fmt: skip
    for path in run.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path
