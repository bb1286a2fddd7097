"""Runs that start from trained weights: what is said, and that the file is not needed again."""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from vitreous.errors import RequestError
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict
from vitreous.runs.prepare import _enlarged
from vitreous.runs.run import Run
from vitreous.runs.train import train

from .conftest import write_digits

NAME = "test_efficientnet"  # timm's smallest, made for tests


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Random numbers as a file that claims to be trained."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / f"{NAME}.r160_in1k.safetensors"
    save_file(timm.create_model(NAME).state_dict(), path)
    (path.parent / "LICENSE").write_text("Attribution-NonCommercial 4.0 International")
    return path


@pytest.fixture(scope="module")
def started(digits, weights_file, tmp_path_factory):
    """A run from the file; the file itself is then away."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    settings = {"weights": str(weights_file), "image_size": 32, "epochs": 2, "quiet": True}
    with pytest.raises(RequestError, match=r"\(non-commercial\) does not allow every use"):
        train(digits, out=folder, **settings)
    assert not folder.exists()
    run = train(digits, out=folder, accept_weights_licence=True, **settings)
    weights_file.rename(weights_file.with_suffix(".away"))
    yield run
    weights_file.with_suffix(".away").rename(weights_file)


def test_the_card_says_where_the_weights_are_from(started):
    card = json.loads((started.folder / "run.json").read_text())["network"]
    assert card["name"] == f"timm:{NAME}"
    assert card["weights"] == f"{NAME}.r160_in1k.safetensors"
    assert card["weights_licence"] == "non-commercial"
    assert card["weights_seen"] == "ImageNet-1k"
    assert len(card["scaling"]["mean"]) == 1  # the digits are grey


def test_the_page_of_scores_says_what_the_weights_may_have_seen(started):
    said = [text for text in started.evaluation["warnings"] if "trained on ImageNet-1k" in text]
    assert len(said) == 1
    assert "may be among them" in said[0]
    assert said[0] in (started.folder / "report.html").read_text().replace("&#x27;", "'")


def test_a_run_needs_its_weights_file_no_more(started, digits, tmp_path):
    again = Run.load(started.folder)
    assert len(list(predict(again, digits / "1"))) == 24
    later = write_digits(tmp_path / "later", labels=[0, 1], count=6)
    scores = evaluate(again, later, quiet=True)
    assert any("trained on ImageNet-1k" in text for text in scores["warnings"])


def test_pictures_with_imagenets_names_are_counted(started, tmp_path):
    later = write_digits(tmp_path / "later", labels=[0, 1], count=4)
    for path in list((later / "0").iterdir()):
        path.rename(path.with_name(f"n01440764_{path.name}"))
    warnings = evaluate(started, later, quiet=True)["warnings"]
    assert any("4 of them carry names as ImageNet's pictures do" in text for text in warnings)


def test_a_run_is_a_file_of_weights_too(run, digits, tmp_path):
    again = train(digits, weights=str(run.folder), epochs=1, out=tmp_path / "next", quiet=True)
    card = again.record.network
    assert card["name"] == "lenet5"
    assert card["weights"] == str(run.folder)
    assert card["weights_seen"] == f"the training part of {digits}"
    assert card["scaling"] == run.record.network["scaling"]
    # the same classes: the classifier is kept, so one epoch leaves it good
    assert again.evaluation["metrics"]["accuracy"]["value"] > 0.6
    tensors = load_file(run.folder / "network.safetensors")
    assert tensors.keys() == load_file(again.folder / "network.safetensors").keys()


def test_ones_own_network_and_weights_do_not_go_together(digits, tmp_path):
    with pytest.raises(RequestError, match="your own network brings its own"):
        train(digits, network=torch.nn.Flatten(), weights="imagenet", out=tmp_path / "x")


def test_small_pictures_are_enlarged_to_half_of_what_the_weights_know():
    from vitreous.data.cache import PixelFormat

    assert _enlarged(PixelFormat((32, 32), 3), (224, 224)).size == (112, 112)
    assert _enlarged(PixelFormat((24, 48), 3), (224, 224)).size == (56, 112)
    assert _enlarged(PixelFormat((200, 150), 3), (224, 224)).size == (200, 150)
