"""Best patches: looked for when asked to, and what the traces say they are."""

import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def explorer(digit_run):
    from vitreous.server.explorer import Explorer

    shutil.rmtree(digit_run.folder / "features", ignore_errors=True)
    return Explorer(digit_run)


@pytest.fixture(scope="module")
def client(explorer):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app

    with TestClient(create_app(explorer), base_url="http://127.0.0.1:8420") as found:
        yield found


def looked(client) -> dict:
    """Ask for them, and wait until they are there."""
    client.post("/api/patches")
    for _ in range(600):
        state = client.get("/api/patches/state").json()
        if not state["running"]:
            return state
        time.sleep(0.1)
    raise AssertionError("the looking does not end")


ASKED = {"layer": "features.conv2", "channel": 3}


def test_they_are_not_there_until_they_are_looked_for(client, digit_run):
    state = client.get("/api/patches/state").json()
    assert (state["ready"], state["running"]) == (False, False)
    assert "features.conv2" in state["layers"]  # whose patches would be kept; vectors have none
    assert not any(name.startswith("head") for name in state["layers"])
    refused = client.get("/api/patches", params=ASKED)
    assert refused.status_code == 404
    assert "not looked for" in refused.json()["error"]
    state = looked(client)
    assert (state["ready"], state["problem"]) == (True, None)
    assert {"features.conv1", "features.relu1", "features.conv2"} <= set(state["layers"])
    rows = digit_run.folder.joinpath("split.csv").read_text().splitlines()
    seen = sum(",train," in row or ",val," in row for row in rows)
    assert state["done"] == state["total"] == seen
    assert (digit_run.folder / "features" / "best_patches.json").is_file()


def test_they_are_the_strongest_cells_of_all_samples(client, explorer):
    looked(client)
    found = client.get("/api/patches", params=ASKED).json()
    samples = [row.sample_id for row in explorer.samples.rows.values() if row.part != "test"]
    assert found["samples"] == len(samples)
    maps = {one: explorer.trace(one).array("features.conv2")[3] for one in samples}
    highest = sorted((values.max() for values in maps.values()), reverse=True)[:9]
    lowest = sorted(values.min() for values in maps.values())[:9]
    for kind, expected in (("highest", highest), ("lowest", lowest)):
        shown = found[kind]
        np.testing.assert_allclose([one["value"] for one in shown], expected, rtol=1e-5)
        assert len({one["sample"] for one in shown}) == 9
        for one in shown:
            channel, *position = one["at"]
            assert channel == 3
            own = maps[one["sample"]][tuple(position)]
            assert one["value"] == pytest.approx(own, rel=1e-5)
            box = explorer.fields["features.conv2"].box((0, *one["at"]))
            assert one["box"] == [list(ends) for ends in box]


def test_a_patch_is_cut_from_the_picture(client, explorer):
    sample = next(iter(explorer.samples.rows))
    answer = client.get("/api/patch", params={"sample": sample, "box": "2,9,5,31"})
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(shown, explorer.samples.pixels(sample)[0, 2:10, 5:32])
    for box in ("2,9,5,32", "9,2,5,8", "1,2,3", "-1,2,3,4", "a"):
        assert client.get("/api/patch", params={"sample": sample, "box": box}).status_code == 400


def test_what_is_there_is_not_looked_for_again(client, digit_run):
    looked(client)
    path = digit_run.folder / "features" / "best_patches.json"
    before = path.stat().st_mtime_ns
    assert looked(client)["ready"]
    assert path.stat().st_mtime_ns == before


def test_a_vector_and_an_unknown_layer_have_none(client):
    looked(client)
    for layer in ("head.linear1", "nothing"):
        asked = {"layer": layer, "channel": 0}
        assert client.get("/api/patches", params=asked).status_code == 404


def test_the_looking_and_a_capture_wait_for_each_other(digit_run, tmp_path):
    from vitreous.networks.program import CAPTURING
    from vitreous.runs.run import Run
    from vitreous.server.explorer import Explorer
    from vitreous.server.patches import Patches

    copy = shutil.copytree(digit_run.folder, tmp_path / "run")
    shutil.rmtree(copy / "features", ignore_errors=True)
    explorer = Explorer(Run.load(copy))
    assert explorer.map_layers
    patches = Patches(explorer)
    with CAPTURING:
        patches.start()
        assert patches._thread
        patches._thread.join(0.5)
        assert (patches.state().running, patches.done) == (True, 0)
    patches._thread.join(60)
    assert patches.state().ready


def test_data_that_are_gone_are_said(digit_run, tmp_path):
    from vitreous.runs.run import Run
    from vitreous.server.explorer import Explorer
    from vitreous.server.patches import Patches

    copy = shutil.copytree(digit_run.folder, tmp_path / "run")
    shutil.rmtree(copy / "features", ignore_errors=True)
    run = Run.load(copy)
    run.record.data.given = str(tmp_path / "gone")
    patches = Patches(Explorer(run))
    patches.start()
    assert patches._thread
    patches._thread.join(60)
    state = patches.state()
    assert not state.ready
    assert "gone" in (state.problem or "")
