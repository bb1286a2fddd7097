"""explain where answers say what is where: a pixel of a mask, a box of a detector."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import OnePlace, PixelOf, Target, attribute, read_layers
from vitreous.insight.attribution.cams import cells_of, hirescam
from vitreous.insight.attribution.methods import LARGE_GAP
from vitreous.insight.attribution.target import target_weights
from vitreous.networks import Network, capture
from vitreous.runs import explain_places
from vitreous.runs.explain import explain
from vitreous.runs.explain_places import asked_place, inputs_of, placed_samples
from vitreous.runs.predict import predict

from .test_verbs import command


@pytest.fixture(scope="module")
def shape(shape_run) -> Path:
    return Path(shape_run.record.data.given) / "images" / "03.png"


@pytest.fixture(scope="module")
def disc(shape) -> tuple[int, int]:
    """The pixel x, y in the middle of the picture's largest light thing."""
    mask = np.asarray(Image.open(shape.parent.parent / "masks" / shape.name)) == 1
    rows, columns = np.nonzero(mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return int(columns[middle]), int(rows[middle])


@pytest.fixture(scope="module")
def boxed(box_run) -> Path:
    return Path(box_run.record.data.given).parent / "images" / "03.png"


def test_a_pixels_answer_is_that_of_the_mask(shape_run, shape, disc):
    x, y = disc
    (one,) = shape_run.explain(shape, pixel=disc, check=False)
    (answer,) = predict(shape_run, shape)
    assert one.predicted == shape_run.record.classes[answer.mask[y, x]]
    pixels = np.asarray(Image.open(shape))[None]
    np.testing.assert_array_equal(one.picture, pixels)
    with torch.no_grad():
        outputs = shape_run.network(inputs_of(shape_run, pixels))[0, :, y, x]
    assert one.map.score == pytest.approx(float(outputs.max()), rel=1e-5)
    assert one.map.values.shape == pixels.shape[1:]
    assert one.place.facts["pixel"] == [x, y]
    assert one.place.mark == (x, y, x + 1, y + 1)


@pytest.mark.parametrize("method", ["hirescam", "occlusion"])
def test_what_speaks_for_a_pixel_lies_about_it(shape_run, shape, disc, method):
    (one,) = explain(shape_run, shape, method, pixel=f"{disc[0]},{disc[1]}", check=False)
    y, x = np.mgrid[: one.map.values.shape[0], : one.map.values.shape[1]]
    near = (abs(x - disc[0]) <= 12) & (abs(y - disc[1]) <= 12)
    assert one.map.mass_inside(near) > 2 * near.mean()


def test_nothing_passes_by_the_maps_that_a_head_reads():
    """Where the head is linear, what all their cells speak is the answer without its bias."""

    class Features(nn.Module):
        channels, strides = (4, 6), ((1, 1), (2, 2))

        def __init__(self):
            super().__init__()
            self.fine = nn.Conv2d(3, 4, 3, padding=1)
            self.coarse = nn.Conv2d(4, 6, 3, stride=2, padding=1)

        def forward(self, inputs):
            fine = self.fine(inputs).relu()
            return [fine, self.coarse(fine).relu()]

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv2d(4, 5, 3, padding=1), nn.Conv2d(6, 5, 1, bias=False)

        def forward(self, maps):
            larger = nn.functional.interpolate(self.other(maps[1]), scale_factor=2.0)
            return self.one(maps[0]) + larger

    torch.manual_seed(0)
    features, head = Features(), Head()
    network = Network(features, head, None)
    inputs = torch.randn(2, 3, 8, 10)
    at = OnePlace(network, PixelOf((3, 7)))
    with torch.no_grad():
        np.testing.assert_array_equal(at(inputs), network(inputs)[:, :, 3, 7])
    layers = read_layers(at, inputs[:1])
    assert [part.cells for part in layers.parts] == [(8, 10), (4, 5)]
    targets = [Target(2), Target(4, versus=1)]
    cells, score = cells_of(
        at, inputs, [part.name for part in layers.parts],
        lambda outputs: target_weights(targets, outputs), hirescam,
    )  # fmt: skip
    bias = head.one.bias.detach()
    spoken = sum(each.flatten(1).sum(1) for each in cells)
    torch.testing.assert_close(spoken, score - torch.stack([bias[2], bias[4] - bias[1]]))
    first, second = attribute(at, inputs, targets, layer=layers)
    laid = layers.parts[0].to_input(cells[0][0].numpy(), (8, 10))
    laid = laid + layers.parts[1].to_input(cells[1][0].numpy(), (8, 10)) / 4  # of 2 x 2 pixels
    np.testing.assert_allclose(first.values, laid, rtol=1e-5, atol=1e-6)
    assert (second.target, second.layer) == (targets[1], "features")
    del features


def test_what_the_head_reads_is_found_once_for_a_size(shape_run, monkeypatch):
    captured = []
    monkeypatch.setattr("vitreous.insight.attribution.one_place.capture",
                        lambda *asked: captured.append(1) or capture(*asked))  # fmt: skip
    network = copy.deepcopy(shape_run.network)
    first, again, larger = (
        read_layers(OnePlace(network, PixelOf(place)), torch.zeros(1, 1, *size))
        for place, size in (((3, 4), (32, 32)), ((5, 6), (32, 32)), ((3, 4), (48, 32)))
    )
    assert again is first
    assert larger.parts[0].cells == (48, 32)
    assert len(captured) == 2


def test_a_pixel_of_a_large_picture_is_seen_in_its_window(shape_run, tmp_path, monkeypatch):
    monkeypatch.setattr(explain_places, "WINDOW", 32)
    random = np.random.default_rng(0).integers(0, 255, (70, 90), np.uint8)
    Image.fromarray(random).save(tmp_path / "large.png")
    steps = np.array(shape_run.network.features.strides[-1])
    for x, y in ((0, 0), (89, 69), (50, 33), (16, 69)):
        place = asked_place(shape_run, (x, y), None)
        ((_, sample),) = placed_samples(shape_run, iter([tmp_path / "large.png"]), place, 10**6)
        row, column = sample.place.position
        assert sample.pixels.shape == (1, 32, 32)
        assert sample.pixels[0, row, column] == random[y, x]
        seen = sample.facts["seen"]
        assert not (np.array([seen["top"], seen["left"]]) % steps).any()  # as in the whole picture
        shown = random[seen["top"] : seen["bottom"], seen["left"] : seen["right"]]
        assert sample.shown == shown.shape
        np.testing.assert_array_equal(sample.pixels[0, : shown.shape[0], : shown.shape[1]], shown)


def test_a_box_is_explained_by_the_cell_that_gave_it(box_run, boxed):
    (answer,) = box_run.boxes(boxed)
    found = answer.boxes
    assert len(found.classes) >= 1
    for number in range(1, len(found.classes) + 1):
        (one,) = box_run.explain(boxed, box=number, check=False)
        assert one.predicted == one.explained == box_run.record.classes[found.classes[number - 1]]
        assert one.confidence == pytest.approx(found.confidences[number - 1], abs=1e-3)
        facts = one.place.facts
        assert facts["boxes"] == len(found.classes)
        corners = [facts[side] for side in ("left", "top", "right", "bottom")]
        np.testing.assert_allclose(corners, found.corners[number - 1], atol=0.1)
    left, top, right, bottom = one.place.mark
    y, x = np.mgrid[: one.map.values.shape[0], : one.map.values.shape[1]]
    inside = (x >= left - 4) & (x < right + 4) & (y >= top - 4) & (y < bottom + 4)
    assert one.map.mass_inside(inside) > 1.5 * inside.mean()
    (missing,) = box_run.explain(boxed, box=99, check=False)
    assert "it has" in missing.error


def test_a_picture_without_a_sure_box_says_so(box_run, tmp_path):
    Image.new("RGB", (64, 48), (20, 20, 20)).save(tmp_path / "nothing.png")
    (one,) = box_run.explain(tmp_path / "nothing.png", check=False)
    assert "no box to explain" in one.error


def test_the_checks_run_on_one_place(shape_run, box_run, shape, disc, boxed):
    for run, picture, place in (
        (shape_run, shape, {"pixel": disc}),
        (box_run, boxed, {"box": 1}),
    ):
        (one,) = run.explain(picture, **place)
        assert one.check is not None
        assert one.check.forward_passes < 400
        assert set(one.check.agreement) >= {"occlusion"}
        kept = json.loads(json.dumps(one.to_json(), allow_nan=False))
        assert kept["place"] == one.place.facts
        if run is shape_run:
            assert one.check.answer == pytest.approx(one.confidence, abs=1e-4)


def test_pixel_methods_and_other_classes(shape_run, shape, disc):
    pytest.importorskip("captum", reason="the extra `insight` is not installed")
    for method in ("integrated-gradients", "expected-gradients", "deeplift"):
        (one,) = explain(shape_run, shape, method, pixel=disc, target_class="bar", check=False)
        assert one.explained == "bar"
        assert one.map.gap is not None
        said = any("should sum to" in remark for remark in one.map.remarks)
        assert said == (one.map.relative_gap > LARGE_GAP)
        if method != "expected-gradients":  # whose gap is the chance of 64 draws
            assert one.map.relative_gap < 0.4 or abs(one.map.claimed) < 0.1
    (one,) = explain(shape_run, shape, pixel=disc, versus="disc", check=False)
    assert one.versus == "disc"
    assert one.map.method == "finer-cam"
    (one,) = explain(shape_run, shape, pixel=disc, layer="features.stages.1", check=False)
    assert one.map.layer == "features.stages.1"


def test_places_that_do_not_fit_are_refused_in_one_line(run, shape_run, box_run, shape, boxed):
    for asked, picture, place, words in (
        (shape_run, shape, {}, "--pixel X,Y"),
        (shape_run, shape, {"box": 1}, "--box: .*pixel by pixel"),
        (shape_run, shape, {"pixel": "3"}, "two whole numbers"),
        (shape_run, shape, {"pixel": "3,x"}, "two whole numbers"),
        (shape_run, shape, {"pixel": "3,3", "mask": "masks"}, "--mask"),
        (box_run, boxed, {"pixel": "3,3"}, "--pixel: .*boxes"),
        (box_run, boxed, {"box": 0}, "from 1"),
        (run, shape, {"pixel": "3,3"}, "--pixel: .*one answer a sample"),
        (run, shape, {"box": 1}, "--box: .*one answer a sample"),
    ):
        with pytest.raises(RequestError, match=words) as told:
            next(explain(asked, picture, check=False, **place))
        assert "\n" not in str(told.value)
    (outside,) = explain(shape_run, shape, pixel="3,64", check=False)
    assert "64 x 64 pixels" in outside.error


def test_the_verb_marks_the_place_on_its_picture(
    box_run, shape_run, boxed, shape, disc, tmp_path, monkeypatch, capsys
):
    for run, picture, flags in (
        (shape_run, shape, ["--pixel", f"{disc[0]},{disc[1]}"]),
        (box_run, boxed, ["--box", "1"]),
    ):
        out = tmp_path / run.record.task
        status, printed, _ = command(
            monkeypatch, capsys, "explain", run.folder, picture, *flags, "--no-check", "--out", out
        )
        assert status == 0
        kept = json.loads((out / "explanations.json").read_text())["explanations"][0]
        assert kept["place"] is not None
        words = f"pixel {disc[0]}, {disc[1]}" if run is shape_run else "box 1: "
        assert words in printed
        assert words in (out / "index.html").read_text()
        with Image.open(out / kept["file"]) as drawn:
            assert drawn.width > 400
