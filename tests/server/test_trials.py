"""The explorer on a run of recordings: the same routes, trials in place of pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from vitreous.report.traces import ROW
from vitreous.runs.explain import explain
from vitreous.runs.training_data import RunData


@pytest.fixture(scope="module")
def explorer(trial_run):
    from vitreous.server.explorer import Explorer

    return Explorer(trial_run)


@pytest.fixture(scope="module")
def client(explorer):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app

    with TestClient(create_app(explorer), base_url="http://127.0.0.1:8420") as found:
        yield found


@pytest.fixture(scope="module")
def sample(explorer) -> str:
    return next(row.sample_id for row in explorer.samples.rows.values() if row.part == "test")


def test_the_run_says_what_its_trials_are(client, trial_run):
    found = client.get("/api/run").json()
    made = trial_run.record.data.trials
    assert found["trial"]["channels"] == made["channels"]
    assert found["trial"]["sampling_rate_hz"] == made["sampling_rate_hz"]
    assert found["trial"]["window_s"] == made["window_s"]
    assert found["trial"]["unit"] == "V"
    assert found["trial"]["std"] == list(trial_run.scaling.std)
    assert found["input_shape"] == [1, *trial_run.pixel_format.size]
    assert found["samples_missing"] is None


def test_the_answer_is_the_one_that_was_scored(client, sample):
    found = client.get("/api/answer", params={"sample": sample}).json()
    scored = client.get("/api/samples", params={"search": sample}).json()["samples"][0]
    assert found["predicted"] == scored["predicted"]
    assert found["probabilities"][0]["probability"] == pytest.approx(scored["confidence"], abs=1e-4)
    assert found["plain_gap"] < 1e-4


def test_values_are_those_of_the_trial(client, trial_run, explorer, sample, unpacked):
    data = RunData.open(trial_run)
    (row,) = [n for n, one in enumerate(data.samples) if one.sample_id == sample]
    content = client.get(
        "/api/numbers", params={"sample": sample, "layer": "input", "channel": 0}
    ).content
    values = unpacked(content)["blocks"]["numbers"][0]
    np.testing.assert_allclose(values, data.inputs(np.array([row]))[0, 0].numpy(), rtol=1e-6)
    layer = "features.bank.spatial"
    cell = client.get("/api/cell", params={"sample": sample, "layer": layer, "at": "3,0,40"}).json()
    assert cell["steps"][0]["computed"] == float(explorer.values(sample, layer)[3, 0, 40])
    assert all(step["within"] for step in cell["steps"])
    assert cell["field"][0] == [0, trial_run.pixel_format.size[0] - 1]  # all channels


def test_a_trial_is_drawn_as_traces(client, trial_run, sample):
    channels, samples = trial_run.pixel_format.size
    answer = client.get("/api/picture", params={"sample": sample})
    drawn = Image.open(io.BytesIO(answer.content))
    assert drawn.mode == "RGBA"
    assert drawn.height == 20 * channels
    assert drawn.width >= samples
    small = client.get("/api/picture", params={"sample": sample, "size": "thumbnail"})
    assert max(Image.open(io.BytesIO(small.content)).size) <= 96
    part = client.get("/api/patch", params={"sample": sample, "box": "2,4,10,30"})
    assert Image.open(io.BytesIO(part.content)).height == 60


def test_the_traces_have_a_scale(client, explorer, sample):
    """A row's height, from what is drawn: of a channel that nowhere leaves its row."""
    trial = explorer.samples.pixels(sample)[0].astype(float)
    found = client.get("/api/traces", params={"sample": sample}).json()
    assert found["unit"] == "V"
    assert 1e-6 < found["reach"] < 1e-3  # microvolts
    away = np.abs(trial - np.median(trial, axis=1, keepdims=True))
    assert (away > found["reach"]).mean() == pytest.approx(0.01, abs=0.002)
    content = client.get("/api/picture", params={"sample": sample}).content
    drawn = np.asarray(Image.open(io.BytesIO(content)))[..., 3] > 0
    row = int(np.argmin(away.max(1)))
    share = away[row].max() / found["reach"]
    rows = np.flatnonzero(drawn[row * ROW : (row + 1) * ROW].any(1))
    middle = (ROW - 1) / 2
    assert max(abs(rows - middle)) == pytest.approx(middle * min(share, 1), abs=1)


def test_why_is_deeplift_where_nothing_was_asked(client, trial_run, sample, unpacked):
    assert client.get("/api/why/methods").json()["usual"] == "deeplift"
    assert client.get("/api/why", params={"sample": sample}).json()["method"] == "deeplift"
    content = client.get("/api/why/map", params={"sample": sample}).content
    assert unpacked(content)["blocks"]["map"][0].shape == trial_run.pixel_format.size


def test_a_picture_is_not_taken(client):
    refused = client.post("/api/pictures", content=b"\x89PNG")
    assert refused.status_code == 400
    assert "of recordings" in refused.json()["error"]


@pytest.fixture(scope="module")
def piece_run(trial_run, tmp_path_factory):
    """Aligned trials, of which the network sees pieces of half their length."""
    from vitreous.runs.train import train

    first, last = trial_run.record.data.trials["window_s"]
    return train(
        trial_run.record.data.given, network="eegnet", epochs=2, align="training",
        crop=(last - first) / 2, out=tmp_path_factory.mktemp("piece_run") / "run",
        precision="float32", compile="no", quiet=True,
    )  # fmt: skip


def test_a_piece_of_an_aligned_trial_is_shown_as_the_network_gets_it(piece_run):
    from vitreous.server.explorer import Explorer
    from vitreous.server.views import answer_of, summary_of, traces_of

    explorer, data = Explorer(piece_run), RunData.open(piece_run)
    shown = summary_of(explorer)
    channels, samples = piece_run.pixel_format.size
    assert shown.input_shape == [1, channels, samples // 2]
    rate = shown.trial.sampling_rate_hz
    assert np.ptp(shown.trial.window_s) == pytest.approx(samples // 2 / rate)
    assert shown.trial.window_s[0] == pytest.approx(
        piece_run.record.data.trials["window_s"][0] + (samples - samples // 2) // 2 / rate
    )
    row = int(data.rows("test")[0])
    name = data.samples[row].sample_id
    np.testing.assert_array_equal(explorer.inputs(name), data.inputs(np.array([row])))
    assert traces_of(explorer, name).unit == ""  # sums of channels are no volts
    answer = answer_of(explorer, name)  # the mean over all pieces
    assert answer.predicted == explorer.samples.row(name).predicted
    assert answer.probabilities[0].probability == pytest.approx(
        explorer.samples.row(name).confidence, abs=1e-4
    )
    cell = explorer.trace(name).at("features.bank.spatial", (3, 0, 20))
    assert cell.difference.within


def test_explain_takes_the_same_piece(piece_run):
    data = RunData.open(piece_run)
    row = int(data.rows("test")[0])
    recording = f"{piece_run.record.data.given}/{data.samples[row].sample_id}"
    (one,) = explain(piece_run, recording, "occlusion", check=False)
    assert one.error is None
    assert one.map.values.shape == piece_run.seen_size
    piece = piece_run.views.one(data.cache.pixels[row])
    np.testing.assert_allclose(one.picture, piece, rtol=1e-6)
