"""The explorer on runs of scans: slices of maps of three axes, and every number as traced."""

import io
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

from vitreous.runs import scan_pieces
from vitreous.runs.scan_pieces import piece_about, piece_size


def client_of(explorer):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app

    return TestClient(create_app(explorer), base_url="http://127.0.0.1:8420")


@pytest.fixture(scope="module")
def explorer(scan_run):
    from vitreous.server.explorer import Explorer

    return Explorer(scan_run)


@pytest.fixture(scope="module")
def client(explorer):
    with client_of(explorer) as found:
        yield found


@pytest.fixture(scope="module")
def sample(explorer) -> str:
    return next(row.sample_id for row in explorer.samples.rows.values() if row.part == "test")


@pytest.fixture(scope="module")
def convolution(explorer):
    """The second convolution: it reads several maps."""
    return [node for node in explorer.graph.nodes if node.operation == "convolution"][1]


def got(client, path, **asked):
    answer = client.get(f"/api/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer


def refused(client, path, **asked) -> str:
    answer = client.get(f"/api/{path}", params=asked)
    assert answer.status_code == 400
    return answer.json()["error"]


def test_the_run_says_how_its_scans_lie(client):
    found = got(client, "run").json()
    assert found["input_shape"] == [1, 16, 16, 16]
    assert found["scan"] == {"spacing_mm": [1.0, 1.0, 1.0], "piece": True}
    assert found["samples_missing"] is None
    kinds = {len(one["shape"]) for one in got(client, "network").json()["layers"]}
    assert 4 in kinds


def test_what_is_looked_at_is_the_piece_about_what_is_marked(explorer, sample):
    pixels = explorer.samples.pixels(sample)
    assert pixels.shape == (1, 16, 16, 16)
    # both structures, 300 and 600 brighter than what is around, lie in it
    assert (pixels > 1.5).sum() > 200


def test_a_slice_of_a_layer_is_that_of_the_trace(client, explorer, sample, convolution, unpacked):
    values = explorer.trace(sample).array(convolution.name)
    asked = {"sample": sample, "layer": convolution.name}
    content = got(client, "numbers", channel=2, slice=5, **asked).content
    np.testing.assert_array_equal(unpacked(content)["blocks"]["numbers"][0], values[2, 5])
    middle = unpacked(got(client, "numbers", channel=2, **asked).content)["blocks"]["numbers"][0]
    np.testing.assert_array_equal(middle, values[2, values.shape[1] // 2])
    maps, header = unpacked(got(client, "maps", slice=3, **asked).content)["blocks"]["maps"]
    assert header["limit"] == pytest.approx(np.abs(values).max())  # of all slices
    shown = (maps.astype(float) - 128) / 127 * header["limit"]
    assert np.abs(shown - values[header["channels"], 3]).max() <= header["limit"] / 127
    for path in ("maps", "numbers"):
        assert "slices 0 to" in refused(client, path, channel=0, slice=99, **asked)


def test_a_cell_in_space_is_the_sum_of_its_window(client, explorer, sample, convolution):
    index = [1, 6, 7, 8]
    cell = got(
        client, "cell", sample=sample, layer=convolution.name, at=",".join(map(str, index))
    ).json()
    step = cell["steps"][0]
    assert step["window"]["space"] == [3, 3, 3]
    assert step["computed"] == float(explorer.values(sample, convolution.name)[tuple(index)])
    below = explorer.values(sample, step["window"]["node"])
    weight = explorer.graph.tensors[convolution.parameters["weight"]].detach().double().numpy()
    total = np.sum(below[:, 5:8, 6:9, 7:10].astype(float) * weight[1])
    assert step["expected"] == pytest.approx(total + (step["bias"] or 0), rel=1e-9)
    assert all(one["within"] for one in cell["steps"])
    box = explorer.fields[convolution.name].box((0, *index))
    assert cell["field"] == [list(ends) for ends in box]


def test_storeys_and_kernels_are_drawn_by_slices(client, explorer, sample, convolution, unpacked):
    blocks = unpacked(got(client, "storeys", sample=sample).content)["blocks"]
    drawn = [floor.name for floor in explorer.floors if not floor.minor]
    assert list(blocks) == drawn
    kernels, header = unpacked(got(client, "kernels", layer=convolution.name).content)["blocks"][
        "kernels"
    ]
    weight = explorer.graph.tensors[convolution.parameters["weight"]].detach().numpy()
    assert kernels.shape == (len(weight), 3, 11)  # three slices of 3 x 3, two columns between
    assert (kernels[..., [3, 7]] == 128).all()
    strongest = np.square(weight).sum((2, 3, 4)).argmax(1)
    assert header["channels"] == strongest.tolist()
    shown = (kernels[0].astype(float) - 128) / 127 * header["limit"]
    own = np.concatenate([weight[0, strongest[0], slice_] for slice_ in range(3)], axis=1)
    assert np.abs(shown[:, [0, 1, 2, 4, 5, 6, 8, 9, 10]] - own).max() <= header["limit"] / 127


def test_pictures_are_slices(client, explorer, sample):
    scan = explorer.samples.pixels(sample)[0]
    low, high = np.percentile(scan, (1, 99))
    for slice_, asked in ((4, {"slice": 4}), (8, {})):
        png = got(client, "picture", sample=sample, **asked).content
        expected = np.clip((scan[slice_] - low) / (high - low) * 255, 0, 255)
        assert np.abs(np.asarray(Image.open(io.BytesIO(png))) - expected).max() <= 1
    assert "0 to 15" in refused(client, "picture", sample=sample, slice=16)
    thumbnail = got(client, "picture", sample=sample, size="thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (16, 16)
    answer = client.post("/api/pictures", content=b"no scan")
    assert answer.status_code == 400
    assert "vitreous predict" in answer.json()["error"]


def test_the_answer_is_the_plain_pass_over_the_piece(client, explorer, scan_run, sample):
    with torch.no_grad():
        outputs = scan_run.network(torch.from_numpy(explorer.samples.pixels(sample))[None])
    mask = outputs[0].argmax(0).numpy()
    found = got(client, "answer", sample=sample).json()
    for area in found["areas"]:
        assert area["share"] == pytest.approx((mask == area["number"]).mean())
    seen = got(client, "answer/picture", sample=sample, slice=6).content
    plain = np.asarray(explorer.samples.plane(sample, 6))[0]
    drawn = np.asarray(Image.open(io.BytesIO(seen)))
    changed = (drawn != plain[..., None]).any(-1)
    assert not changed[mask[6] == 0].any()


def test_why_a_voxel_is_answered_so(client, explorer, scan_run, sample, unpacked):
    asked = {"sample": sample, "place": "9,7,5"}  # x, y, z
    found = got(client, "why", **asked).json()
    with torch.no_grad():
        outputs = scan_run.network(torch.from_numpy(explorer.samples.pixels(sample))[None])
    own = outputs[0, :, 5, 7, 9]
    assert found["score"] == pytest.approx(float(own.max()), rel=1e-5)
    assert (found["slice"], found["mark"]) == (5, [9, 7, 10, 8])
    assert found["explained"] == scan_run.record.classes[int(own.argmax())]
    values = unpacked(got(client, "why/map", **asked).content)["blocks"]["map"][0]
    assert values.shape == (16, 16, 16)
    for place in ("1,2", "16,0,0", "a"):
        assert refused(client, "why", sample=sample, place=place)


def test_pieces_with_masks_have_no_best_patches(client):
    assert got(client, "patches/state").json()["layers"] == []
    answer = client.post("/api/patches")
    assert (answer.status_code, "best patches" in answer.json()["error"]) == (400, True)


def test_large_patches_are_halved_to_what_fits(scan_run, monkeypatch):
    assert piece_size(scan_run) == (16, 16, 16)
    monkeypatch.setattr(scan_pieces, "MOST_VOXELS", 16 * 16 * 9)
    assert sorted(piece_size(scan_run)) == [8, 16, 16]
    monkeypatch.setattr(scan_pieces, "MOST_VOXELS", 1)
    assert piece_size(scan_run) == (2, 2, 2)  # the network's stride


def test_a_piece_lies_about_its_voxel_and_within_the_scan():
    values = np.arange(20 * 9 * 30, dtype=np.float32).reshape(1, 20, 9, 30)
    piece, start = piece_about(values, (10, 4, 28), (8, 12, 10))
    assert start == (6, -2, 20)  # the middle; a scan that is smaller; the border
    np.testing.assert_array_equal(piece[:, :, 2:11], values[:, 6:14, :, 20:])
    assert not piece[:, :, :1].any()
    assert not piece[:, :, 11:].any()


@pytest.fixture(scope="module")
def whole(whole_scan_run):
    from vitreous.server.explorer import Explorer

    shutil.rmtree(whole_scan_run.folder / "features", ignore_errors=True)
    return Explorer(whole_scan_run)


def test_a_scan_that_is_seen_whole(whole, whole_scan_run, unpacked):
    with client_of(whole) as client:
        run = got(client, "run").json()
        assert run["scan"]["piece"] is False
        assert tuple(run["input_shape"]) == whole_scan_run.input_shape
        rows = got(client, "samples", part="test").json()["samples"]
        sample = rows[0]
        answer = got(client, "answer", sample=sample["sample_id"]).json()
        assert answer["predicted"] == sample["predicted"]
        likeliest = answer["probabilities"][0]["probability"]
        assert likeliest == pytest.approx(sample["confidence"], abs=1e-5)
        found = got(client, "why", sample=sample["sample_id"]).json()
        assert (found["slice"], found["place"]) == (None, None)
        content = got(client, "why/map", sample=sample["sample_id"]).content
        assert unpacked(content)["blocks"]["map"][0].shape == whole_scan_run.input_shape[1:]


def test_best_patches_of_whole_scans_are_boxes_in_space(whole):
    with client_of(whole) as client:
        layer = whole.map_layers[0].node
        assert layer in got(client, "patches/state").json()["layers"]
        assert client.post("/api/patches").status_code == 200
        for _ in range(600):
            state = got(client, "patches/state").json()
            if not state["running"]:
                break
            time.sleep(0.1)
        assert (state["ready"], state["problem"]) == (True, None)
        first = got(client, "patches", layer=layer, channel=1).json()["highest"][0]
        values = whole.values(first["sample"], layer)
        assert first["value"] == pytest.approx(values[1].max(), rel=1e-5)
        assert first["value"] == pytest.approx(values[tuple(first["at"])], rel=1e-5)
        assert len(first["box"]) == 3
        box = ",".join(str(end) for ends in first["box"] for end in ends)
        png = got(client, "patch", sample=first["sample"], box=box).content
        (_, _), rows, columns = first["box"]
        size = (columns[1] - columns[0] + 1, rows[1] - rows[0] + 1)
        assert Image.open(io.BytesIO(png)).size == size
        assert refused(client, "patch", sample=first["sample"], box="0,1,0,1")
