"""Fingerprint and plan: facts that a person can check, sizes that fit, files that can be edited."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.made_scans import decathlon

from vitreous.data.recognise import recognise
from vitreous.data.volumes.fingerprint import (
    Intensities,
    ScanFacts,
    Structure,
    VolumeFingerprint,
    fingerprint_volumes,
)
from vitreous.data.volumes.plan import (
    LEAST_EDGE,
    VolumePlan,
    memory_bytes,
    mirrored_axes,
    plan_volumes,
    read_plan,
    turning_mm,
)
from vitreous.data.volumes.store import normalised, open_volume_store
from vitreous.errors import DataError, RequestError


def made(shape, spacing, count=20, channels=("MR",), modality=None, zeros=0.0):
    scans = tuple(
        ScanFacts(f"s{n}", shape, spacing, "RAS", len(channels), zeros, -10.0, 900.0)
        for n in range(count)
    )
    one = Intensities(100.0, 50.0, -20.0, 95.0, 240.0, -30.0, 260.0)
    return VolumeFingerprint(scans, channels, modality, (one,) * len(channels), ())


def test_the_facts_are_those_of_the_scans_and_are_kept(tmp_path):
    source = recognise(decathlon(tmp_path, spacing=(1.0, 1.5, 2.0)))
    found = fingerprint_volumes(source)
    assert found.median_shape == (16, 24, 20)
    assert found.median_spacing_mm == (2.0, 1.5, 1.0)
    assert [one.name for one in found.structures] == ["front", "back"]
    voxels = [int(sum(s.label.pixels[place] for s in source.samples)) for place in (1, 2)]
    assert [one.voxels for one in found.structures] == voxels
    assert found.structures[0].median_ml == pytest.approx(voxels[0] / 6 * 3.0 / 1000, rel=0.02)
    inside = np.concatenate([
        source.volumes.read(s).values[0][source.read_mask(s) > 0] for s in source.samples
    ])  # fmt: skip
    assert found.intensities[0].mean == pytest.approx(float(inside.mean()), rel=1e-4)
    assert found.intensities[0].percentile_99_5 == pytest.approx(np.percentile(inside, 99.5))
    again = VolumeFingerprint.from_json(json.loads(json.dumps(found.to_json())), "here")
    assert again == found == fingerprint_volumes(source)


def test_an_unreadable_scan_is_listed(tmp_path):
    root = decathlon(tmp_path, cases=3)
    path = root / "imagesTr/case_001.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    found = fingerprint_volumes(recognise(root))
    assert list(found.unreadable) == ["imagesTr/case_001.nii.gz"]
    assert len(found.scans) == 2


@pytest.mark.parametrize("shape", [(35, 50, 36), (200, 256, 256), (22, 320, 280), (8, 8, 8)])
@pytest.mark.parametrize("memory", ["1GB", "6GB"])
def test_a_plan_fits_its_budget_and_itself(shape, memory):
    plan = plan_volumes(made(shape, (1.0, 1.0, 1.0)), memory=memory)
    assert plan.memory_bytes <= memory_bytes(memory)
    multiple = np.prod(np.array(plan.strides), axis=0)
    assert not (np.array(plan.patch) % multiple).any()
    coarsest = np.array(plan.patch) // multiple
    assert coarsest.min() >= LEAST_EDGE or plan.levels == 1
    assert plan.batch >= 2
    assert len(plan.widths) == len(plan.kernels) == len(plan.strides)
    assert VolumePlan.from_json(json.loads(json.dumps(plan.to_json())), "here") == plan


def test_more_memory_gives_a_larger_patch():
    sides = [
        np.prod(plan_volumes(made((200, 256, 256), (1.0,) * 3), memory=memory).patch)
        for memory in ("500MB", "2GB", "8GB")
    ]
    assert sides[0] < sides[1] < sides[2]


def test_thick_slices_are_halved_later_and_get_flat_kernels():
    plan = plan_volumes(made((22, 320, 280), (6.5, 0.6875, 0.6875)))
    assert plan.strides[1] == (1, 2, 2)
    assert plan.kernels[0] == (1, 3, 3)
    assert plan.kernels[-1] == (3, 3, 3)
    assert plan.spacing_mm == (6.5, 0.6875, 0.6875)
    assert "slices are thick" in plan.why["spacing_mm"]


def test_ct_is_cut_and_scaled_alike_others_scan_by_scan():
    ct = plan_volumes(made((40, 40, 40), (1.0,) * 3, channels=("CT",)))
    [how] = ct.normalisation
    assert (how.kind, how.low, how.high) == ("ct", -20.0, 240.0)
    values = np.linspace(-500, 500, 64, dtype=np.float32).reshape(4, 4, 4)
    made_of = normalised(values, how)
    assert made_of.min() == pytest.approx((-20 - 100) / 50)
    assert made_of.max() == pytest.approx((240 - 100) / 50)
    mr = plan_volumes(made((40, 40, 40), (1.0,) * 3, zeros=0.6))
    assert mr.normalisation[0].over_nonzero
    values[0] = 0.0
    made_of = normalised(values, mr.normalisation[0])
    assert made_of[1:].mean() == pytest.approx(0, abs=1e-5)
    assert (made_of[0] == 0).all()


def test_axes_are_mirrored_only_where_both_sides_occur():
    random = np.random.default_rng(0)
    scans = []
    for n in range(20):
        front = (0.5 + random.normal(0, 0.05), 0.7, 0.3 if n % 2 else 0.7)
        back = (0.5 + random.normal(0, 0.05), 0.3, 0.3 if n % 2 else 0.7)
        scan = made((40, 40, 40), (1.0,) * 3, 1).scans[0]
        scans.append(replace(scan, sample_id=f"s{n}", centres=(front, back)))
    structures = (Structure("front", 10, 20, 1.0), Structure("back", 10, 20, 1.0))
    found = replace(made((40, 40, 40), (1.0,) * 3), scans=tuple(scans), structures=structures)
    assert mirrored_axes(found)[0] == (0, 2)
    assert "along height structures lie on one side" in mirrored_axes(found)[1]
    assert mirrored_axes(replace(found, scans=tuple(scans[:4])))[0] == ()


def test_an_edited_plan_is_read_and_a_wrong_one_refused(tmp_path):
    plan = plan_volumes(made((40, 48, 32), (1.0,) * 3))
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(replace(plan, batch=3).to_json()))
    assert read_plan(path).batch == 3
    path.write_text(json.dumps(replace(plan, patch=(33, 48, 32)).to_json()))
    with pytest.raises(DataError, match="must be a multiple of"):
        read_plan(path)
    step = np.prod(np.array(plan.strides), axis=0)
    path.write_text(json.dumps(replace(plan, patch=tuple(step.tolist())).to_json()))
    with pytest.raises(DataError, match="one voxel is left in the coarsest maps"):
        read_plan(path)
    toml = tmp_path / "plan.toml"
    toml.write_text(
        "spacing_mm = [1, 1, 1]\npatch = [16, 16, 16]\nbatch = 2\nwidths = [8, 16]\n"
        "strides = [[1, 1, 1], [2, 2, 2]]\nkernels = [[3, 3, 3], [3, 3, 3]]\n"
        '[[normalisation]]\nkind = "z-score"\n'
    )
    assert read_plan(toml).widths == (8, 16)
    toml.write_text("patch = 3\n")
    with pytest.raises(DataError, match="no plan for scans"):
        read_plan(toml)


def test_memory_is_an_amount():
    assert memory_bytes("6GB") == 6_000_000_000
    for wrong in ("much", "6", "-1GB"):
        with pytest.raises(RequestError, match="such as 6GB"):
            memory_bytes(wrong)


def test_the_store_holds_scans_as_planned_and_is_found_again(tmp_path, monkeypatch):
    root = decathlon(tmp_path / "data", cases=4, spacing=(1.0, 1.0, 2.0))
    path = root / "imagesTr/case_002.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    source = recognise(root)
    plan = replace(plan_volumes(fingerprint_volumes(source)), spacing_mm=(1.0, 1.0, 1.0))
    store = open_volume_store(source, plan)
    assert list(store.skipped) == [2]
    assert "damaged" in store.skipped[2]
    scan = store[1]
    assert scan.values.shape == (1, 32, 24, 20)
    assert scan.mask.shape == (32, 24, 20)
    assert float(scan.values.mean()) == pytest.approx(0, abs=1e-4)
    for place, where in scan.places.items():
        assert (scan.mask[tuple(where.T)] == place).all()
    monkeypatch.setattr(
        "vitreous.data.volumes.store.prepared", lambda *_: pytest.fail("it is made twice")
    )
    assert np.array_equal(open_volume_store(source, plan)[1].values, scan.values)


@pytest.mark.parametrize(
    ("dimensions", "spacing", "across"), [("2", (1.0, 1.0, 1.0), 0), ("2.5", (1.0, 4.0, 1.0), 1)]
)
def test_in_fewer_dimensions_slices_are_seen_alone_or_with_the_next_ones(
    dimensions, spacing, across
):
    scans = made((60, 64, 62), spacing)
    plan = plan_volumes(scans, memory="1GB", dimensions=dimensions)
    along = [kernel[across] for kernel in plan.kernels]
    assert along == ([1] * plan.levels if dimensions == "2" else [3] + [1] * (plan.levels - 1))
    assert {stride[across] for stride in plan.strides} == {1}
    assert plan.patch[across] == (1 if dimensions == "2" else 8)
    assert min(np.delete(plan.patch, across)) >= 60
    assert plan.levels > 3
    assert plan.memory_bytes <= memory_bytes("1GB")
    assert f"{dimensions} dimensions" in plan.why["widths"].replace("two", "2")
    assert np.argmax(turning_mm(plan)) == across
    assert max(turning_mm(plan)) > 3 * min(turning_mm(plan))  # slices are not turned into others
    assert turning_mm(plan_volumes(scans)) == plan_volumes(scans).spacing_mm
    with pytest.raises(RequestError, match="unknown --dimensions '4'"):
        plan_volumes(scans, dimensions="4")
