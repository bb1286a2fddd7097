"""The network `pocket` and its recipe by the verbs: whitened, averaged over views, and said."""

import csv
from dataclasses import asdict

import numpy as np
import pytest
import torch

from vitreous.data.transforms import to_network_input
from vitreous.files import read_json
from vitreous.inference import Views
from vitreous.networks.features.pocket import Pocket
from vitreous.runs.train import train


@pytest.fixture(scope="module")
def pocket(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "pocket"
    return train(digits, network="pocket", image_size=14, epochs=12, out=folder, quiet=True)


def test_it_learns_and_says_how(pocket):
    record = read_json(pocket.folder / "run.json")
    assert pocket.evaluation["metrics"]["accuracy"]["value"] >= 0.8
    assert record["network"]["whitened_on"] == sum(record["data"]["counts"]["train"].values())
    assert record["recipe"]["optimizer"] == "muon"
    assert pocket.views == Views(mirrored=False, shifted_pixels=1)  # grey digits
    assert record["recipe"]["views"] == asdict(pocket.views)
    html = (pocket.folder / "report.html").read_text()
    assert "Whitened on" in html
    assert "Views" in html


def test_the_first_layer_kept_the_weights_it_was_fitted_with(pocket):
    layer = pocket.network.features.whitening
    other = Pocket(1, (14, 14)).whitening
    assert layer.weight.abs().max() > 1.5 * other.weight.abs().max()  # the start is orthonormal
    assert torch.equal(layer.weight[4:], -layer.weight[:4])


def test_predict_averages_the_same_views_as_the_scores(pocket, digits):
    with (pocket.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:6]
    predicted = list(pocket.predict([digits / row["sample_id"] for row in rows]))
    for row, answer in zip(rows, predicted, strict=True):
        kept = [float(row[f"p_{name}"]) for name in pocket.record.classes]
        np.testing.assert_allclose(answer.probabilities, kept, atol=1e-4)

    from vitreous.runs.predict import letterboxed

    path = digits / rows[0]["sample_id"]
    pixels = torch.from_numpy(letterboxed(path, pocket, 10**6).copy())[None]
    with torch.no_grad():
        alone = pocket.network(to_network_input(pixels, pocket.scaling))
    single = pocket.task.answers(alone, pocket.temperature)[0].numpy()
    assert not np.allclose(single, predicted[0].probabilities, atol=1e-5)


def test_larger_pictures_are_seen_in_pieces_first_and_it_is_said(digits, tmp_path, capsys):
    out = tmp_path / "run"
    train(digits, network="pocket", image_size=32, epochs=1, batch_size=256, out=out)
    said = capsys.readouterr().err
    assert "plan: the first 40 % of the steps see pieces of pictures, 0.875 of a side" in said
    assert "plan: the first block rests in the last 40 % of the steps" in said
    recipe = read_json(out / "run.json")["recipe"]
    assert (recipe["early_side"], recipe["rests_from"]) == (0.875, 0.6)
