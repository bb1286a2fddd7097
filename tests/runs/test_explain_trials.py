"""explain on trials of recordings: the planted channels are found, files, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vitreous.cli.app import app
from vitreous.errors import RequestError
from vitreous.insight.attribution.occlusion import patches_of
from vitreous.report.traces import ROW, row_shares, trace_pixels
from vitreous.runs.explain import explain
from vitreous.runs.explain_trials import covered_patch


@pytest.fixture(scope="module")
def recording(trial_run) -> Path:
    return Path(trial_run.record.data.given) / "a.edf"


@pytest.fixture(scope="module")
def maps(trial_run, recording):
    """All trials by DeepLIFT."""
    return list(explain(trial_run, recording, check=False))


def test_all_trials_of_a_recording_are_explained_by_deeplift(trial_run, recording, maps):
    channels, samples = trial_run.pixel_format.size
    assert len(maps) >= 70
    assert [one.error for one in maps if one.error] == []
    answers = {answer.sample_id: answer for answer in trial_run.predict(recording)}
    for one in maps:
        assert one.map.method == "deeplift"
        assert one.map.values.shape == (channels, samples)
        assert one.picture.shape == (1, channels, samples)
        assert one.predicted == answers[one.sample_id].predicted
        assert one.confidence == pytest.approx(answers[one.sample_id].confidence, abs=1e-4)


@pytest.mark.parametrize("method", ["deeplift", "occlusion"])
def test_the_planted_channels_are_found(trial_run, recording, maps, method):
    """The rhythm is over C3 or C4: a fifth of the channels, and most of the map."""
    assert trial_run.evaluation["metrics"]["accuracy"]["value"] > 0.9
    made = maps
    if method == "occlusion":
        names = [f"{recording}#{one.sample_id.rpartition('#')[2]}" for one in maps[:6]]
        made = list(explain(trial_run, names, method, check=False))
    planted = [trial_run.record.data.trials["channels"].index(name) for name in ("C3", "C4")]
    sums = np.abs([one.map.values.sum(1) for one in made])  # what each channel speaks in all
    shares = sums[:, planted].sum(1) / sums.sum(1)
    print(method, shares.mean(), np.isin(sums.argmax(1), planted).mean())
    assert shares.mean() > 0.4  # two of ten channels: 0.2 by chance


def test_one_trial_is_named_by_its_second(trial_run, recording, maps):
    wanted = maps[3].sample_id.rpartition("#")[2]
    (one,) = explain(trial_run, f"{recording}#{wanted}", check=False)
    assert one.sample_id == maps[3].sample_id
    np.testing.assert_allclose(one.map.values, maps[3].map.values, rtol=1e-4, atol=1e-6)
    (missing,) = explain(trial_run, f"{recording}#77.7777", check=False)
    assert "no trial of" in missing.error
    assert "they begin at" in missing.error
    (gone,) = explain(trial_run, f"{recording.parent}/b.edf", check=False)
    assert "b.edf" in gone.error


def test_occlusion_covers_one_channel_at_a_time(trial_run):
    sides = covered_patch(trial_run)
    channels, samples = trial_run.pixel_format.size
    covered = np.zeros((channels, samples), int)
    for rows, columns in patches_of((channels, samples), sides):
        assert rows.stop - rows.start == 1
        assert columns.stop - columns.start == -(-samples // 8)
        covered[rows, columns] += 1
    assert covered.min() >= 1


def test_what_marks_pictures_is_refused(trial_run, recording, tmp_path):
    with pytest.raises(RequestError, match="--mask: marks the cause of a picture"):
        next(explain(trial_run, recording, mask=tmp_path))


def test_the_verb_writes_a_drawing_a_trial(trial_run, recording, maps, tmp_path):
    trial = f"{recording}#{maps[0].sample_id.rpartition('#')[2]}"
    words = ["explain", str(trial_run.folder), trial, "--out", str(tmp_path / "out"), "--quiet"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "why " in done.output
    (item,) = json.loads((tmp_path / "out" / "explanations.json").read_text())["explanations"]
    assert item["map"]["method"] == "deeplift"
    assert set(item["check"]["agreement"]) == {"occlusion", "integrated-gradients"}
    with Image.open(tmp_path / "out" / item["file"]) as drawn:
        assert drawn.width > 900
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1\N{NO-BREAK SPACE}trial" in page
    assert "where the paper is white" in page


def test_traces_are_drawn_in_their_rows():
    time = np.arange(1200)
    wave = np.sin(2 * np.pi * time / 200)
    trial = np.stack([np.full(1200, 7.0), wave, -wave])
    pixels = trace_pixels(trial)
    assert pixels.shape == (3 * ROW, 1200, 4)
    drawn = pixels[..., 3] > 0
    rows = drawn.reshape(3, ROW, 1200)
    assert rows.any(1).all()  # a line without gaps
    assert np.flatnonzero(rows[0].any(1)).tolist() in ([9], [10], [9, 10])  # flat: the middle
    assert rows[1, 0, 50]  # the sine's peak and trough
    assert rows[1, ROW - 1, 150]
    np.testing.assert_array_equal(rows[2, ::-1, 5:-5], rows[1, :, 5:-5])
    shares = row_shares(trial)
    assert abs(shares).max() <= 1
    short = trace_pixels(trial[:, :50])
    assert short.shape[1] == 600
    assert (short[..., 3] > 0).reshape(3, ROW, 600).any(1).all()
