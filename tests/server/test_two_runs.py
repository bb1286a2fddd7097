"""Another run beside the one that is shown: its maps of the same samples."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from vitreous.runs.run import Run


@pytest.fixture(scope="module")
def others(digit_run, tmp_path_factory):
    """Two runs in folders of one name; their first layer sees with other weights."""
    made = []
    for number, name in enumerate(("a/other", "b/other"), 2):
        folder = tmp_path_factory.mktemp("runs") / name
        shutil.copytree(digit_run.folder, folder)
        weights = load_file(folder / "network.safetensors")
        weights["features.conv1.weight"] *= number
        save_file(weights, folder / "network.safetensors")
        made.append(Run.load(folder))
    return made


@pytest.fixture(scope="module")
def client(digit_run, others):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app
    from vitreous.server.explorer import Explorer

    app = create_app(Explorer(digit_run, others))
    with TestClient(app, base_url="http://127.0.0.1:8420") as found:
        yield found


def test_a_map_is_the_other_runs_own(client, digit_run, others, unpacked):
    from vitreous.server.explorer import Explorer
    from vitreous.server.why import Why

    assert client.get("/api/run").json()["others"] == ["other", "other (2)"]
    sample = next(iter(Explorer(digit_run).samples.rows))
    asked = {"sample": sample, "method": "hirescam"}
    shown = {}
    for name, run in (("", digit_run), ("other", others[0]), ("other (2)", others[1])):
        account = client.get("/api/why", params={**asked, "run": name}).json()
        expected = Why(Explorer(run)).attribution((sample, "hirescam", "", "", "", ""))
        assert account["score"] == pytest.approx(expected.score, rel=1e-5)
        assert account["predicted"] == expected.predicted
        content = client.get("/api/why/map", params={**asked, "run": name}).content
        shown[name] = unpacked(content)["blocks"]["map"][0]
        assert shown[name].shape == (32, 32)
    assert abs(shown[""] - shown["other"]).max() > 0
    assert abs(shown["other"] - shown["other (2)"]).max() > 0


def test_an_unknown_run_is_named(client):
    for path in ("/api/why", "/api/why/map", "/api/why/check", "/api/why/methods"):
        answer = client.get(path, params={"sample": "x", "run": "third"})
        assert answer.status_code == 404
        assert "no run 'third'" in answer.json()["error"]
