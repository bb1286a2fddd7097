"""explain on a finished run: maps, checks, files, bad input, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vitreous.errors import RequestError
from vitreous.runs.explain import explain
from vitreous.runs.features import (
    index_features,
    kept_features,
    kept_layers,
    kept_patches,
    patch_pixels,
)
from vitreous.runs.run import Run
from vitreous.runs.trace import network_input
from vitreous.runs.train import train
from vitreous.runs.training_data import RunData, background_of

from .test_verbs import command


def test_maps_of_a_folder_in_order_bad_files_included(run, digits):
    found = list(run.explain(digits / "0", check=False))
    answers = list(run.predict(digits / "0"))
    assert [one.sample_id for one in found] == [one.sample_id for one in answers]
    assert sum(one.error is not None for one in found) == 1
    for one, answer in zip(found, answers, strict=True):
        if one.error is not None:
            assert one.error == answer.error
            continue
        assert one.predicted == answer.predicted
        assert one.confidence == pytest.approx(answer.confidence, abs=0.02)
        assert one.explained == one.predicted
        assert one.map.values.shape == (32, 32)
        assert one.check is None


def test_the_map_is_of_the_runs_own_inputs(run, digits):
    picture = digits / "2" / "003.png"
    (one,) = explain(run, picture, "occlusion", target_class="1", check=False)
    with torch.no_grad():
        outputs = run.network(network_input(run, picture))
    assert one.map.score == pytest.approx(float(outputs[0, 1]), abs=1e-5)
    assert "training data" in one.map.baseline


def test_checks_masks_and_other_methods(run, digits, tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    Image.fromarray(mask).save(tmp_path / "003.png")
    (one,) = explain(run, digits / "2" / "003.png", mask=tmp_path)
    assert one.check is not None
    assert one.check.mask_share == pytest.approx(0.25)
    assert one.check.map.mass_inside == pytest.approx(one.map.mass_inside(mask > 0), abs=1e-6)
    assert one.check.answer == pytest.approx(one.confidence, abs=1e-4)
    assert set(one.check.agreement) >= {"occlusion"}
    assert one.check.sentence
    json.dumps(one.to_json(), allow_nan=False)
    (bad,) = explain(run, digits / "3" / "001.png", mask=tmp_path)
    assert "no mask for 001.png" in bad.error


def test_this_and_not_that(run, digits):
    picture = digits / "2" / "003.png"
    (one,) = explain(run, picture, versus="3", target_class="2", check=False)
    assert (one.explained, one.versus, one.map.method) == ("2", "3", "finer-cam")
    answer = next(iter(run.predict(picture))).predicted
    (turned,) = explain(run, picture, versus=answer, check=False)
    assert turned.explained != answer
    with pytest.raises(RequestError, match="against itself"):
        next(explain(run, picture, versus="2", target_class="2"))


def test_what_is_not_there_is_named(run, digits):
    picture = digits / "2" / "003.png"
    for settings, words in (
        ({"method": "gradcam"}, "unknown method"),
        ({"layer": "features.conv_2"}, r"did you mean 'features\.conv2'"),
        ({"target_class": "7"}, "unknown class '7'"),
        ({"method": "occlusion", "layer": "features.conv2"}, "leave out --layer"),
    ):
        with pytest.raises(RequestError, match=words):
            next(explain(run, picture, check=False, **settings))


def test_the_background_is_kept_and_the_run_goes_on_without_its_data(run, tmp_path):
    (run.folder / "background.safetensors").unlink(missing_ok=True)
    first = background_of(run)
    assert first is not None
    assert (run.folder / "background.safetensors").is_file()
    assert first.samples.shape[1:] == (1, 32, 32)
    again = background_of(run)
    torch.testing.assert_close(again.samples, first.samples)
    data = RunData.open(run)
    parts = {name: set(data.rows(name).tolist()) for name in ("train", "val", "test")}
    assert not parts["train"] & parts["test"]
    means = data.inputs(data.rows("train")).mean()
    assert abs(float(first.samples.mean() - means)) < 0.2
    (run.folder / "background.safetensors").unlink()
    before = run.record.data.given
    run.record.data.given = str(tmp_path / "gone")
    try:
        assert background_of(run) is None
    finally:
        run.record.data.given = before


def test_the_verb_writes_pictures_numbers_and_a_page(run, digits, tmp_path, monkeypatch, capsys):
    out = tmp_path / "why"
    status, printed, said = command(
        monkeypatch, capsys, "explain", run.folder, digits / "1" / "002.png",
        digits / "2" / "002.png", digits / "0" / "broken.png", "--out", out,
    )  # fmt: skip
    assert status == 1  # one file is no picture
    assert "maps a second" in said
    assert "why " in printed
    assert "not a picture" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        "002-2.png", "002.png", "explanations.json", "index.html",
    ]  # fmt: skip
    with Image.open(out / "002.png") as image:
        assert image.width > 400
    kept = json.loads((out / "explanations.json").read_text())["explanations"]
    assert kept[0]["file"] == "002.png"
    assert kept[0]["check"]["forward_passes"] < 400
    assert "error" in kept[2]
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "default-src &#x27;none&#x27;" in page  # escaped in the attribute
    assert 'src="http' not in page
    status, printed, _ = command(
        monkeypatch, capsys, "explain", run.folder, digits / "1" / "002.png", "--no-check",
        "--json", "--out", out, "--method", "layercam", "--layer", "features.pool1",
    )  # fmt: skip
    assert status == 0
    (item,) = json.loads(printed)
    assert item["map"]["layer"] == "features.pool1"
    assert item["check"] is None
    status, _, said = command(
        monkeypatch, capsys, "explain", run.folder, digits / "1" / "002.png", "--method", "x"
    )
    assert status == 1
    assert said.startswith("vitreous: unknown method 'x'")


def test_a_number_is_explained_too(digits, tmp_path):
    folder, lines = tmp_path / "data", ["path,ink"]
    folder.mkdir()
    for path in sorted(digits.glob("[0-3]/0*.png")):
        name = f"{path.parent.name}-{path.name}"
        (folder / name).write_bytes(path.read_bytes())
        lines.append(f"{name},{np.asarray(Image.open(path)).mean():.2f}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    made = train(
        folder, network="lenet5", task="regress", label="ink", epochs=1,
        out=tmp_path / "run", quiet=True,
    )  # fmt: skip
    (one,) = explain(made, folder / "1-002.png")
    assert one.explained == "value"
    assert isinstance(one.predicted, float)
    assert one.confidence is None
    assert one.check is not None
    with pytest.raises(RequestError, match="has no class"):
        next(explain(made, folder / "1-002.png", target_class="1"))


def test_what_the_layers_learned_is_kept_in_the_run_folder(run):
    assert kept_patches(Run(run.folder.parent / "none", run.record)) is None
    found = index_features(run)
    data = RunData.open(run)
    sealed = {data.samples[row].sample_id for row in data.rows("test")}
    names = set(found.patches.sample_ids.values())
    assert names
    assert not names & sealed
    again = kept_patches(run)
    assert again is not None
    assert set(again.layers) == set(found.patches.layers)
    assert found.probes["features.pool2"].accuracy > 0.5
    assert kept_layers(run)["probes"][0]["samples"] == len(data.rows("val"))
    loaded = kept_features(run)
    assert loaded is not None
    assert loaded.to_json() == found.to_json()
    patches = patch_pixels(run, "features.conv1", 2)
    assert len(patches) == 9
    assert all(pixels.shape[0] == 1 and max(pixels.shape) <= 5 for _, _, pixels in patches)
    values = [value for _, value, _ in patches]
    assert values == sorted(values, reverse=True)
    assert set(found.cuts) == set(found.tuning) == set(found.probes)
