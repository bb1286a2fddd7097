"""The explorer on runs whose answers say what is where: masks, and boxes."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vitreous.errors import RequestError
from vitreous.report import front_end
from vitreous.runs.explain_places import inputs_of
from vitreous.runs.predict import predict
from vitreous.runs.run import Run
from vitreous.server.serve import serve


def client_of(run):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app
    from vitreous.server.explorer import Explorer

    return TestClient(create_app(Explorer(run)), base_url="http://127.0.0.1:8420")


@pytest.fixture(scope="module")
def masks(shape_run):
    with client_of(shape_run) as found:
        yield found


@pytest.fixture(scope="module")
def boxes(box_run):
    with client_of(box_run) as found:
        yield found


def got(client, path, **asked):
    answer = client.get(f"/api/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def first_test(client) -> str:
    return got(client, "samples", part="test")["samples"][0]["sample_id"]


def test_areas_are_those_of_the_predicted_mask(masks, shape_run):
    sample = first_test(masks)
    picture = shape_run.folder.parent / "shapes" / "images" / sample.rpartition("/")[2]
    (expected,) = predict(shape_run, picture)
    found = got(masks, "answer", sample=sample)
    shares = {area["name"]: area["share"] for area in found["areas"]}
    for area in expected.areas:
        assert shares[area.name] == pytest.approx(area.share, abs=0.04)  # mirrored views apart
    with torch.no_grad():
        outputs = shape_run.network(inputs_of(shape_run, np.asarray(Image.open(picture))[None]))
    plain = np.bincount(outputs[0].argmax(0).ravel().numpy(), minlength=3) / outputs[0, 0].numel()
    assert [shares[name] for name in shape_run.record.classes] == pytest.approx(plain.tolist())
    assert sum(shares.values()) == pytest.approx(1)
    assert found["boxes"] == []
    content = masks.get("/api/answer/picture", params={"sample": sample}).content
    drawn = Image.open(io.BytesIO(content))
    assert drawn.size == shape_run.seen_size[::-1]
    colours = {area["name"]: area["colour"] for area in found["areas"]}
    assert len(set(colours.values())) == len(colours)


def test_a_pixels_answer_is_walked_and_explained(masks, shape_run, unpacked):
    sample = first_test(masks)
    network = got(masks, "network")
    (output,) = network["outputs"]
    cell = got(masks, "cell", sample=sample, layer=output, at="1,30,20")
    assert all(step["within"] for step in cell["steps"])
    methods = got(masks, "why/methods")
    assert methods["layers"][0] == "features"
    asked = {"sample": sample, "place": "20,30"}
    why = got(masks, "why", **asked)
    assert why["place"] == "pixel 20, 30"
    assert why["mark"] == [20, 30, 21, 31]
    assert why["layer"] == "features"
    values = [
        got(masks, "cell", sample=sample, layer=output, at=f"{at},30,20")["steps"][-1]["computed"]
        for at in range(len(shape_run.record.classes))
    ]
    assert why["score"] == pytest.approx(max(values), rel=1e-5)
    assert why["explained"] == shape_run.record.classes[int(np.argmax(values))]
    content = masks.get("/api/why/map", params=asked).content
    made = unpacked(content)["blocks"]["map"][0]
    assert made.shape == shape_run.seen_size
    picture = shape_run.folder.parent / "shapes" / "images" / sample.rpartition("/")[2]
    (own,) = shape_run.explain(picture, pixel=(20, 30), check=False)
    np.testing.assert_allclose(made, own.map.values, rtol=1e-3, atol=1e-5)
    refused = masks.get("/api/why", params={"sample": sample, "place": "900,1"})
    assert refused.status_code == 400
    assert "64 x 64" in refused.json()["error"]


def test_boxes_are_the_predicted_ones_and_lead_to_their_score(boxes, box_run):
    sample = first_test(boxes)
    picture = box_run.folder.parent / "data" / "images" / sample.rpartition("/")[2]
    (expected,) = box_run.boxes(picture)
    found = got(boxes, "answer", sample=sample)["boxes"]
    assert len(found) == len(expected.boxes) > 0
    for one, corners, confidence in zip(
        found, expected.boxes.corners, expected.boxes.confidences, strict=True
    ):
        np.testing.assert_allclose(one["corners"], corners, atol=0.5)
        assert one["confidence"] == pytest.approx(confidence, abs=2e-3)
        at = ",".join(map(str, one["cell"]))
        cell = got(boxes, "cell", sample=sample, layer=one["layer"], at=at)
        score = 1 / (1 + np.exp(-cell["steps"][-1]["computed"]))
        own = box_run.record.calibration
        logit = np.log(score / (1 - score)) / own["temperature"] + own["shift"]
        assert one["confidence"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
    assert got(boxes, "answer", sample=sample)["predicted"]
    content = boxes.get("/api/answer/picture", params={"sample": sample}).content
    assert Image.open(io.BytesIO(content)).size == (64, 48)


def test_a_box_is_explained_and_checked(boxes):
    sample = first_test(boxes)
    found = got(boxes, "answer", sample=sample)["boxes"]
    why = got(boxes, "why", sample=sample, place="1")
    assert why["explained"] == why["predicted"] == found[0]["name"]
    np.testing.assert_allclose(why["mark"], found[0]["corners"])
    check = got(boxes, "why/check", sample=sample, place="1", method="hirescam")
    assert check["sentence"]
    assert {"occlusion"} <= set(check["agreement"])
    refused = boxes.get("/api/why", params={"sample": sample, "place": "77"})
    assert refused.status_code == 400
    assert f"1 to {len(found)}" in refused.json()["error"]


def test_what_there_cannot_be_is_one_line(masks, boxes):
    for client in (masks, boxes):
        refused = client.get("/api/errors")
        assert refused.status_code == 404
        assert "report.html" in refused.json()["error"]
        for row in got(client, "samples")["samples"]:
            assert (row["predicted"], row["wrong"]) == (None, None)
        assert got(client, "training")["columns"]["epoch"]


def test_every_storey_has_maps_and_kernels(masks, boxes, unpacked):
    for client in (masks, boxes):
        sample = first_test(client)
        storeys = unpacked(client.get("/api/storeys", params={"sample": sample}).content)
        assert len(storeys["blocks"]) > 8
        first = next(one for one in got(client, "network")["layers"] if one["has_kernels"])
        kernels = client.get("/api/kernels", params={"layer": first["name"]})
        assert unpacked(kernels.content)["blocks"]["kernels"][0].shape[0] == first["shape"][0]


def test_best_patches_of_a_head_that_levels_share(boxes, box_run):
    """The tower's convolutions run on every level; one level's maps are kept."""
    from vitreous.runs.features import index_best_patches

    found = index_best_patches(box_run, most_samples=6)
    shared = [name for name in found.layers if "tower" in name]
    assert shared
    for name in shared:
        for row, _, box in found[name].patches(0):
            assert row >= 0
            assert box is None or all(last >= first for first, last in box)


def test_runs_that_cannot_be_shown_are_refused_in_one_line(
    shape_run, box_run, digit_run, tmp_path, monkeypatch
):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>Vitreous</title>")
    monkeypatch.setattr(front_end, "STATIC", tmp_path)
    theirs = {**box_run.record.network, "name": "torchvision:fcos:resnet"}
    whole = Run(box_run.folder, replace(box_run.record, network=theirs))
    for runs, words in (
        ((whole,), "torchvision's detectors"),
        ((shape_run, box_run), "cannot be compared"),
        ((digit_run, shape_run), "cannot be compared"),
    ):
        with pytest.raises(RequestError, match=words) as told:
            serve(*runs, port=0, open_browser=False, quiet=True)
        assert "\n" not in str(told.value)
