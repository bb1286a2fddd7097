"""Every route on a real run: the numbers are the trace's, and nothing else can be read."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from vitreous.insight.trace import Trace
from vitreous.runs.trace import network_input
from vitreous.server.samples import LARGEST_UPLOAD_BYTES


@pytest.fixture(scope="session")
def sample(explorer) -> str:
    return next(row.sample_id for row in explorer.samples.rows.values() if row.part == "test")


@pytest.fixture(scope="session")
def trace(explorer, digit_run, sample) -> Trace:
    """Made from the file itself, not through the server."""
    picture = digit_run.folder.parent / "digits" / sample
    return Trace(explorer.graph, explorer.graph.run(network_input(digit_run, picture)))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_run_in_short(client, digit_run):
    found = client.get("/api/run").json()
    assert found["classes"] == [str(digit) for digit in range(10)]
    assert found["input_shape"] == [1, 32, 32]
    assert sum(found["parts"].values()) == 400
    assert found["samples_missing"] is None
    accuracy = next(one for one in found["metrics"] if one["name"] == "accuracy")
    assert accuracy["value"] == digit_run.evaluation["metrics"]["accuracy"]["value"]
    assert accuracy["words"] == f"accuracy {100 * accuracy['value']:.1f}\N{NO-BREAK SPACE}%"


def test_samples_are_found_by_part_word_and_wrongness(client, digit_run):
    tests = client.get("/api/samples", params={"part": "test", "count": 500}).json()
    assert tests["total"] == len(tests["samples"]) == digit_run.evaluation["n"]
    page = client.get("/api/samples", params={"part": "test", "first": 5, "count": 3}).json()
    assert page["samples"] == tests["samples"][5:8]
    threes = client.get("/api/samples", params={"search": "3/", "count": 500}).json()["samples"]
    assert threes
    assert all("3/" in row["sample_id"] for row in threes)
    wrong = client.get("/api/samples", params={"order": "wrong", "count": 500}).json()
    share = digit_run.evaluation["metrics"]["accuracy"]["value"]
    assert wrong["total"] == round((1 - share) * tests["total"])
    sure = [row["confidence"] for row in wrong["samples"]]
    assert sure == sorted(sure, reverse=True)
    listed = [row["sample_id"] for row in wrong["samples"]]
    most = [row["sample_id"] for row in digit_run.evaluation["most_wrong"]]
    assert listed[: len(most)] == most


def test_the_answer_is_the_one_that_was_scored(client, digit_run, sample):
    found = client.get("/api/answer", params={"sample": sample}).json()
    scored = client.get("/api/samples", params={"search": sample}).json()["samples"][0]
    assert found["predicted"] == scored["predicted"]
    shares = [one["probability"] for one in found["probabilities"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(scored["confidence"], abs=1e-6)
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    assert found["temperature"] == digit_run.temperature
    assert found["plain_gap"] < 1e-5  # one view, float32: the same arithmetic


def test_pictures_are_those_that_the_network_gets(client, explorer, sample):
    answer = client.get("/api/picture", params={"sample": sample})
    assert answer.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(shown, explorer.samples.pixels(sample)[0])
    small = client.get("/api/picture", params={"sample": sample, "size": "thumbnail"})
    assert max(Image.open(io.BytesIO(small.content)).size) <= 96


def test_the_network_is_the_graphs(client, explorer):
    found = client.get("/api/network").json()
    layers = {layer["name"]: layer for layer in found["layers"]}
    conv = layers["features.conv1"]
    assert (conv["kernel"], conv["stride"], conv["has_kernels"]) == ([5, 5], [1, 1], True)
    assert conv["shape"] == list(explorer.graph["features.conv1"].shape[1:])
    assert conv["field"] == [5, 5]
    assert conv["jump"] == [1.0, 1.0]
    assert found["storeys"][0]["name"] == "input"
    assert found["outputs"] == list(explorer.graph.outputs)


def test_cells_are_the_traces_in_every_layer(client, trace, sample):
    chosen = random.Random(0)
    for layer in trace.layers:
        shape = trace.graph[layer].shape[1:]
        for _ in range(3):
            index = [chosen.randrange(size) for size in shape]
            at = ",".join(map(str, index))
            asked = {"sample": sample, "layer": layer, "at": at}
            found = client.get("/api/cell", params=asked).json()
            own = trace.at(layer, index)
            step = next(one for one in found["steps"] if one["node"] == layer)
            assert step["computed"] == own.computed
            assert step["expected"] == own.explanation.total
            assert step["within"] is True
            assert len(found["steps"]) == len({one["node"] for one in found["steps"]})


def test_a_windows_numbers_add_up_and_lead_on(client, trace, sample):
    asked = {"sample": sample, "layer": "features.conv2", "at": "3,4,5", "plane": 5}
    step = client.get("/api/cell", params=asked).json()["steps"][0]
    window = step["window"]
    assert sum(window["channel_sums"]) + (step["bias"] or 0) == pytest.approx(step["expected"])
    planes = {plane["channel"]: plane for plane in window["planes"]}
    assert 5 in planes  # asked for
    for channel, plane in planes.items():
        products = np.array(plane["window"]) * np.array(plane["kernel"])
        assert products.tolist() == plane["products"]
        place = window["channels"].index(channel)
        assert products.sum() == pytest.approx(window["channel_sums"][place])
        for source, value in zip(window["sources"], plane["window"], strict=True):
            if min(source) >= 0:
                assert trace.at(window["node"], [channel, *source]).computed == value
    listed = sum(term["product"] for term in step["sources"])
    assert listed + step["rest"] + (step["bias"] or 0) == pytest.approx(step["expected"])
    assert len(step["sources"]) + step["rest_count"] == 6 * 25


def test_maps_and_numbers_are_the_layers(client, unpacked, trace, sample):
    layer = "features.conv1"
    values = trace.array(layer)
    asked = {"sample": sample, "layer": layer}
    found = unpacked(client.get("/api/maps", params=asked).content)
    shown, header = found["blocks"]["maps"]
    activity = np.abs(values).mean(axis=(1, 2))
    np.testing.assert_allclose(found["activity"], activity, rtol=1e-6)
    assert header["channels"] == np.argsort(-activity, kind="stable").tolist()
    back = (shown.astype(float) - 128) * header["limit"] / 127
    assert np.abs(back - values[header["channels"]]).max() <= header["limit"] / 127
    one = unpacked(client.get("/api/maps", params={**asked, "channels": "4,2"}).content)
    assert one["blocks"]["maps"][1]["channels"] == [4, 2]
    numbers = unpacked(client.get("/api/numbers", params={**asked, "channel": 2}).content)
    np.testing.assert_array_equal(numbers["blocks"]["numbers"][0], values[2])
    whole = {"sample": sample, "layer": trace.graph.outputs[0]}
    vector = unpacked(client.get("/api/numbers", params=whole).content)["blocks"]["numbers"][0]
    np.testing.assert_array_equal(vector[0], trace.array(trace.graph.outputs[0]))
    storeys = unpacked(client.get("/api/storeys", params={"sample": sample}).content)
    assert layer in storeys["blocks"]


def test_kernels_and_snapshots_are_the_weights(client, unpacked, digit_run):
    weights = dict(digit_run.network.named_parameters())["features.conv1.weight"].detach().numpy()
    shown, header = unpacked(
        client.get("/api/kernels", params={"layer": "features.conv1"}).content
    )["blocks"]["kernels"]
    back = (shown.astype(float) - 128) * header["limit"] / 127
    assert np.abs(back - weights[:, 0]).max() <= header["limit"] / 127
    training = client.get("/api/training").json()
    assert training["snapshots"] == [1, 2, 3, 4]
    assert len(training["columns"]["train_loss"]) == 4
    packs = [
        unpacked(client.get("/api/snapshot", params={"epoch": epoch}).content)["blocks"]
        for epoch in training["snapshots"]
    ]
    assert len({blocks["kernels"][1]["limit"] for blocks in packs}) == 1  # one scale to replay on
    assert not np.array_equal(packs[0]["kernels"][0], packs[-1]["kernels"][0])
    assert client.get("/api/snapshot", params={"epoch": 99}).status_code == 404


def test_errors_lead_to_the_samples(client, digit_run):
    found = client.get("/api/errors").json()
    assert found["matrix"] == digit_run.evaluation["confusion"]["matrix"]
    pair = found["pairs"][0]
    asked = {"truth": pair["truth"], "predicted": pair["predicted"], "part": "test"}
    assert client.get("/api/samples", params=asked).json()["total"] == pair["n"]


def test_ones_own_picture_is_answered_and_walked_through(client, explorer):
    content = png(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8))
    row = client.post("/api/pictures", content=content).json()
    assert row["part"] == "own"
    asked = {"sample": row["sample_id"]}
    assert client.get("/api/answer", params=asked).status_code == 200
    cell = {**asked, "layer": "features.conv1", "at": "0,1,1"}
    assert client.get("/api/cell", params=cell).json()["steps"][0]["within"]
    assert client.get("/api/picture", params=asked).status_code == 200


BAD_PICTURES = {
    "empty": b"",
    "text": b"no picture at all",
    "html": b"<html><script>alert(1)</script></html>",
    "cut off": png(np.zeros((64, 64, 3), np.uint8))[:60],
    # a header that promises 60,000 x 60,000 pixels
    "bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0"
    b"\x97\xd5\x8c\x4b\0\0\0\0IEND\xaeB`\x82",
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_is_one_clear_error(client, kind):
    answer = client.post("/api/pictures", content=BAD_PICTURES[kind])
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error.startswith("your picture: ")
    assert "\n" not in error


def test_too_large_an_upload_is_refused_early(client):
    declared = {"content-length": str(LARGEST_UPLOAD_BYTES + 1)}
    assert client.post("/api/pictures", content=b"x", headers=declared).status_code == 413

    def parts():  # no length declared
        for _ in range(LARGEST_UPLOAD_BYTES // 2**20 + 1):
            yield bytes(2**20)

    answer = client.post("/api/pictures", content=parts())
    assert answer.status_code == 413
    assert "MiB" in answer.json()["error"]


def test_only_a_few_uploads_are_kept(client, explorer):
    ids = [
        client.post("/api/pictures", content=png(np.full((4, 4), shade, np.uint8))).json()
        for shade in range(20)
    ]
    first, last = ids[0]["sample_id"], ids[-1]["sample_id"]
    assert client.get("/api/picture", params={"sample": last}).status_code == 200
    assert client.get("/api/picture", params={"sample": first}).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "../run/run.json", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "digits/3/0003.png", "",
        "3/../3/0003.png", "own-", "\x00", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_sample_is_not_read(client, name):
    for route in ("picture", "answer", "storeys"):
        answer = client.get(f"/api/{route}", params={"sample": name})
        assert answer.status_code == 404
        assert "error" in answer.json()


@pytest.mark.parametrize(
    "path",
    ["/assets/../../app.py", "/..%2f..%2fapp.py", "/assets/%2e%2e/%2e%2e/app.py", "/run.json",
     "/openapi.json", "/docs"],
)  # fmt: skip
def test_no_file_but_the_pages_can_be_had(explorer, tmp_path, path):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app

    (tmp_path / "pages" / "assets").mkdir(parents=True)
    (tmp_path / "pages" / "index.html").write_text("the page")
    (tmp_path / "app.py").write_text("secret")
    client = TestClient(create_app(explorer, tmp_path / "pages"), base_url="http://127.0.0.1")
    assert client.get("/").text == "the page"
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("cell", {"layer": "nothing", "at": "0"}, 404),
        ("cell", {"layer": "features.conv1", "at": "0,99,0"}, 400),
        ("cell", {"layer": "features.conv1", "at": "-1,0,0"}, 400),
        ("cell", {"layer": "features.conv1", "at": "0"}, 400),
        ("cell", {"layer": "features.conv1", "at": "a,b"}, 400),
        ("cell", {"layer": "features.conv1"}, 400),
        ("maps", {"layer": "features.conv1", "channels": "77"}, 400),
        ("maps", {"layer": "features.conv1", "count": "-1"}, 400),
        ("numbers", {"layer": "features.conv1"}, 400),
        ("numbers", {"layer": "features.conv1", "channel": "-1"}, 400),
        ("kernels", {"layer": "input"}, 404),
        ("samples", {"order": "upside down"}, 400),
        ("nothing", {}, 404),
    ],
)
def test_a_wrong_request_is_one_line(client, sample, path, asked, status):
    answer = client.get(f"/api/{path}", params={"sample": sample, **asked})
    assert answer.status_code == status
    if path != "nothing":
        error = answer.json()["error"]
        assert error
        assert "\n" not in error
        assert "Traceback" not in error


def test_without_the_data_the_run_still_opens(digit_run, tmp_path):
    from dataclasses import replace

    from starlette.testclient import TestClient

    from vitreous.runs.run import Run
    from vitreous.server.app import create_app
    from vitreous.server.explorer import Explorer

    record = replace(
        digit_run.record, data=replace(digit_run.record.data, given=str(tmp_path / "gone"))
    )
    client = TestClient(create_app(Explorer(Run(digit_run.folder, record))))
    assert "gone" in client.get("/api/run").json()["samples_missing"]
    some = client.get("/api/samples").json()["samples"][0]["sample_id"]
    assert client.get("/api/picture", params={"sample": some}).status_code == 404
    row = client.post("/api/pictures", content=png(np.zeros((9, 9), np.uint8))).json()
    assert client.get("/api/answer", params={"sample": row["sample_id"]}).status_code == 200


def test_traces_are_kept_within_their_memory(digit_run):
    from vitreous.server.explorer import Explorer

    small = Explorer(digit_run, traces_bytes=1)
    ids = list(small.samples.rows)[:3]
    assert small.trace(ids[0]) is small.trace(ids[0])
    first = small.trace(ids[0])
    small.trace(ids[1])
    assert small.trace(ids[0]) is not first
    assert len(small._traces) == 1


def test_answers_laid_out_otherwise_leave_the_trace_alone(digit_run):
    from dataclasses import replace

    from vitreous.runs.run import Run
    from vitreous.server.explorer import Explorer

    compute = {**digit_run.record.compute, "memory_format": "channels_last", "dtype": "bfloat16"}
    found = Explorer(Run(digit_run.folder, replace(digit_run.record, compute=compute)))
    sample = next(iter(found.samples.rows))
    answer = found.answer(sample)
    plain = found.plain_answer(sample)  # after the answer
    assert np.abs(np.array(answer.probabilities) - plain).max() < 0.05
    weight = found.run.network.get_parameter("features.conv2.weight")
    assert weight.is_contiguous()


def test_why_is_the_insight_parts_own_map_and_check(
    client, unpacked, explorer, sample, trace, monkeypatch, tmp_path
):
    from vitreous.insight.attribution import Target, attribute

    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path))
    methods = client.get("/api/why/methods").json()
    assert "hirescam" in [one["name"] for one in methods["methods"]]
    found = client.get("/api/why", params={"sample": sample}).json()
    values = unpacked(client.get("/api/why/map", params={"sample": sample}).content)
    order = np.argsort(-trace.array(explorer.graph.outputs[0]))
    assert found["explained"] == explorer.run.record.classes[order[0]]
    (own,) = attribute(explorer.run.network, trace.values["input"], [Target(int(order[0]))])
    np.testing.assert_allclose(values["blocks"]["map"][0], own.values, rtol=1e-4, atol=1e-5)
    finer = {"sample": sample, "method": "finer-cam"}
    other = client.get("/api/why", params=finer).json()
    assert other["versus"] == explorer.run.record.classes[order[1]]
    checked = client.get("/api/why/check", params={"sample": sample}).json()
    assert checked["rows"][0]["name"] == "this map"
    assert len(checked["rows"]) == 4
    assert checked["sentence"]
    for wrong in ({"method": "magic"}, {"explained": "eleven"}, {"layer": "nowhere"}):
        answer = client.get("/api/why", params={"sample": sample, **wrong})
        assert answer.status_code == 400, wrong
    assert client.get("/api/why", params={"sample": "../x"}).status_code == 404
