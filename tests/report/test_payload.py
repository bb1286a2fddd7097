"""The payload holds what the run folder says, is plain JSON, and stays small."""

import io
import json
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from vitreous.errors import DataError
from vitreous.evaluation.intervals import wilson
from vitreous.files import read_json, write_json
from vitreous.insight.maps import LayerMaps
from vitreous.report.extras import Extras, PictureMaps, picture_bytes, small_picture
from vitreous.report.payload import Payload, build_payload, confused_pairs, wanted_pictures
from vitreous.report.render import render
from vitreous.report.shown import filters_shown, layer_shown, smaller


@pytest.fixture(scope="module")
def ten(fabricate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    return folder, fabricate.classify(folder)


def test_the_payload_is_plain_json_with_exactly_the_declared_keys(ten):
    payload = build_payload(*ten)
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert payload.keys() == get_type_hints(Payload).keys()
    assert payload["format"] == 1


def test_counts_are_those_of_split_csv(ten):
    folder, extras = ten
    lines = (folder / "split.csv").read_text().splitlines()[1:]
    split = build_payload(folder, extras)["split"]
    for part in ("train", "val", "test"):
        rows = [line.split(",") for line in lines if f",{part}," in line]
        assert split["parts"][part]["n"] == len(rows)
        assert split["parts"][part]["labels"]["7"] == sum(row[3] == "7" for row in rows)
    assert split["skipped"] == sum(",skipped," in line for line in lines) == 3
    assert {"path": "9/empty.png", "reason": "empty file"} in split["skipped_files"]


def test_history_keeps_every_epoch_and_turns_nan_into_nothing(ten, tmp_path):
    folder, extras = ten
    history = build_payload(folder, extras)["history"]
    assert history["epoch"] == list(range(1, 21))
    (tmp_path / "run.json").write_bytes((folder / "run.json").read_bytes())
    (tmp_path / "history.csv").write_text("epoch,val_loss\n1,nan\n2,inf\n3,0.5\n4,\n")
    assert build_payload(tmp_path)["history"]["val_loss"] == [None, None, 0.5, None]


def test_only_pictures_that_are_shown_are_embedded(ten):
    payload = build_payload(*ten)
    evaluation = payload["evaluation"]
    rows = [*evaluation["most_wrong"], *evaluation["label_errors"], *payload["right"]]
    assert set(payload["pictures"]) == {row["sample_id"] for row in rows}
    assert len(evaluation["most_wrong"]) == 18


def test_right_answers_are_right_and_show_every_class(ten):
    folder, extras = ten
    right = build_payload(folder, extras)["right"]
    assert len(right) == 12
    assert all(row["truth"] == row["predicted"] for row in right)
    assert {row["truth"] for row in right} == set("0123456789")


def test_wanted_pictures_are_all_that_the_payload_shows(ten):
    folder, extras = ten
    wanted = wanted_pictures(folder)
    only = Extras({sample_id: extras.pictures[sample_id] for sample_id in wanted})
    rows = build_payload(folder, only)
    evaluation = rows["evaluation"]
    shown = [*evaluation["most_wrong"], *evaluation["label_errors"], *rows["right"]]
    assert all(row["sample_id"] in rows["pictures"] for row in shown)
    assert len(wanted) == len(set(wanted)) == 18 + 12


def test_the_intervals_of_the_reliability_diagram_are_wilsons(ten):
    filled = [b for b in build_payload(*ten)["evaluation"]["calibration"]["bins"] if b["n"]]
    assert len(filled) >= 5
    for one in filled:
        expected = wilson(one["accuracy"] * one["n"], one["n"])
        assert (one["accuracy_low"], one["accuracy_high"]) == pytest.approx(expected)


def test_a_run_without_an_evaluation_has_a_payload(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, status="interrupted")
    payload = build_payload(tmp_path, extras)
    assert payload["evaluation"] is None
    assert payload["pictures"] == {}
    assert wanted_pictures(tmp_path) == []


def test_run_json_alone_is_enough(ten, tmp_path):
    (tmp_path / "run.json").write_bytes((ten[0] / "run.json").read_bytes())
    payload = build_payload(tmp_path)
    assert payload["split"] is None
    assert payload["history"] == {}


def test_no_run_or_a_newer_one_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match=r"run\.json: not found"):
        build_payload(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 2, "task": "classify"}')
    with pytest.raises(DataError, match="format 2, this version reads 1"):
        build_payload(tmp_path)


def test_confused_pairs_are_the_off_diagonal_counts_sorted():
    counts = np.random.default_rng(1).integers(0, 9, (7, 7))
    names = list("abcdefg")
    pairs = confused_pairs(names, counts.tolist(), most=100)
    expected = {
        (names[i], names[j]): counts[i, j]
        for i in range(7)
        for j in range(7)
        if i != j and counts[i, j]
    }
    assert {(p["truth"], p["predicted"]): p["n"] for p in pairs} == expected
    assert [p["n"] for p in pairs] == sorted((p["n"] for p in pairs), reverse=True)
    for pair in pairs:
        assert pair["share"] == pair["n"] / counts[names.index(pair["truth"])].sum()


def test_above_200_classes_the_matrix_gives_way_to_pairs(ten, tmp_path):
    for name in ("run.json", "evaluation.json"):
        (tmp_path / name).write_bytes((ten[0] / name).read_bytes())
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    matrix = np.eye(300, dtype=int) * 5
    matrix[3, 4] = 2
    evaluation["confusion"] = {
        "classes": [str(i) for i in range(300)],
        "matrix": matrix.tolist(),
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    confusion = build_payload(tmp_path)["confusion"]
    assert confusion["matrix"] is None
    assert confusion["pairs"] == [{"truth": "3", "predicted": "4", "n": 2, "share": 2 / 7}]


def test_multilabel_cells_become_lists(fabricate, tmp_path):
    payload = build_payload(tmp_path, fabricate.multilabel(tmp_path))
    for row in [*payload["right"], *payload["evaluation"]["most_wrong"]]:
        assert set(row["truth"]) | set(row["predicted"]) <= {"even", "has a loop", "large"}
    mistakes = payload["evaluation"]["most_wrong"]
    assert all(set(row["truth"]) != set(row["predicted"]) for row in mistakes)
    assert any(len(row["truth"]) == 2 for row in mistakes)
    labels = payload["split"]["parts"]["test"]["labels"]
    assert labels.keys() == {"even", "has a loop", "large"}


def test_regression_points_are_those_of_the_predictions(fabricate, tmp_path):
    payload = build_payload(tmp_path, fabricate.regress(tmp_path))
    rows = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert payload["points"]["n"] == len(rows) == len(payload["points"]["truth"])
    assert payload["points"]["predicted"][5] == float(rows[5].split(",")[2])
    lowest, mean, highest = payload["split"]["parts"]["train"]["label_range"]
    assert lowest < mean < highest


def test_many_points_are_thinned_evenly(fabricate, tmp_path):
    extras = fabricate.regress(tmp_path)
    rows = "\n".join(f"{i},{i},{i + 0.5},0,1" for i in range(9001))
    (tmp_path / "predictions.csv").write_text(f"sample_id,truth,predicted,low,high\n{rows}\n")
    points = build_payload(tmp_path, extras)["points"]
    assert points["n"] == 9001
    assert points["truth"] == [float(i) for i in range(0, 9001, 5)]


def test_large_photographs_stay_small(ten, fabricate):
    folder, extras = ten
    photographs = dict.fromkeys(extras.pictures, fabricate.photograph())
    payload = build_payload(folder, Extras(photographs, extras.filters, extras.feature_maps))
    assert len(json.dumps(payload)) < 3_000_000
    content, media_type = small_picture(fabricate.photograph())
    assert max(Image.open(io.BytesIO(content)).size) == 160
    assert media_type == "image/webp"


def test_a_small_picture_is_kept_to_the_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    content, media_type = small_picture(picture_bytes(pixels))
    assert media_type == "image/png"
    np.testing.assert_array_equal(
        np.moveaxis(np.array(Image.open(io.BytesIO(content))), -1, 0), pixels
    )


def test_a_layer_shows_its_strongest_channels_on_one_scale():
    maps = np.zeros((20, 6, 6), dtype=np.float32)
    maps[13], maps[4, 0, 0] = 3.0, 9.0
    shown = layer_shown(LayerMaps("layer", maps, 4))
    assert [channel["channel"] for channel in shown["channels"]][:2] == [13, 4]
    assert len(shown["channels"]) == 8
    assert (shown["limit"], shown["signed"], shown["stride"]) == (9.0, False, 4)
    assert layer_shown(LayerMaps("layer", -maps, 4))["signed"]


@pytest.mark.parametrize("size", [(64, 64), (65, 100), (224, 130)])
def test_large_maps_are_averaged_over_whole_squares(size):
    maps = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    made = smaller(maps)
    square = -(-max(size) // 64)
    assert made.shape[1:] == tuple(-(-side // square) for side in size)
    for row, column in ((0, 0), (made.shape[1] - 1, made.shape[2] - 1)):
        window = maps[:, row * square : (row + 1) * square, column * square : (column + 1) * square]
        np.testing.assert_allclose(made[:, row, column], window.mean(axis=(1, 2)), atol=1e-5)


def test_no_filters_is_none_and_many_are_cut(ten):
    assert filters_shown(None) is None
    shown = filters_shown(ten[1].filters)
    assert shown["shape"] == [6, 1, 5, 5]
    assert len(shown["pictures"]) == 6
    assert not shown["colour"]


def test_maps_of_a_picture_are_embedded(ten):
    folder, extras = ten
    one = PictureMaps("a.png", next(iter(extras.pictures.values())), extras.feature_maps[0].layers)
    shown = build_payload(folder, Extras(feature_maps=[one]))["feature_maps"]
    assert shown[0]["sample_id"] == "a.png"
    assert [layer["stride"] for layer in shown[0]["layers"]] == [1, 2]


def test_files_left_out_on_purpose_are_not_counted_as_unusable(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, 2)
    run = read_json(tmp_path / "run.json")
    run["data"]["skipped"].append({"path": "b.edf", "reason": "left out by --only",
                                   "harmless": True})  # fmt: skip
    write_json(tmp_path / "run.json", run)
    with (tmp_path / "split.csv").open("a") as file:
        file.write("b.edf,b.edf,skipped,,,left out by --only\n" * 2)
    payload = build_payload(tmp_path, extras)
    assert payload["split"]["skipped"] == 3
    assert payload["split"]["left_out"] == {"left out by --only": 2}
    text = render(payload).replace("\xa0", " ")
    assert "3 files could not be used" in text
    assert "Not used, on purpose: 2 files (2 × left out by --only)." in text
