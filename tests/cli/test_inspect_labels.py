"""`vitreous inspect` of boxes and masks: counts, flaws, copies, the sheet; and `train` says no."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from vitreous.cli.app import main

PHOTOGRAPH = Image.fromarray(load_sample_image("flower.jpg"))


def run(*arguments):
    """Status, standard output and standard error of `vitreous ...`, its lines joined."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "argv", ["vitreous", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0), " ".join(out.getvalue().split()), err.getvalue()


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    root = tmp_path_factory.mktemp("boxes")
    lines = ["path,class,left,top,right,bottom,split"]
    for number in range(30):
        part = "test" if number >= 20 else "train"
        left, top = 17 * number, 11 * number
        PHOTOGRAPH.crop((left, top, left + 60, top + 40)).save(root / f"{number}.png")
        lines.append(f"{number}.png,{'bud' if number % 5 == 0 else 'leaf'},5,5,30,20,{part}")
    lines += ["3.png,leaf,9,9,9,30,train", "4.png,,,,,,train"]
    PHOTOGRAPH.crop((0, 0, 60, 40)).save(root / "29.png")  # a copy of 0, which is in train
    (root / "boxes.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 45:] = 1
    for number in range(12):
        PHOTOGRAPH.crop((number, 0, number + 60, 40)).save(root / "images" / f"s{number:02}.png")
        Image.fromarray(mask).save(root / "masks" / f"s{number:02}.png")
    return root


def test_boxes_are_counted_and_their_flaws_told(boxes):
    status, shown, _ = run("inspect", boxes)
    assert status == 0
    assert "table of boxes" in shown
    assert "Boxes" in shown
    assert "│ leaf │ 16 │ 8 │" in shown
    assert "zero area: 1 found, such as boxes.csv, line 32 (leaf)" in shown
    assert (
        "leaks: 1 pair of equal or nearly equal pictures in two parts, such as 0.png and" in shown
    )
    assert f"vitreous train {boxes}" in "".join(shown.split("\n")).replace("  ", " ")
    assert "slices of one stack" not in shown  # the data gives the split


def test_masks_are_measured_and_neighbours_warned_of(masks):
    status, shown, _ = run("inspect", masks, "--classes", "soil,leaf")
    assert status == 0
    assert "│ soil │ 75.00% │" in shown
    assert "--classes soil,leaf" in shown
    assert "crops of pictures of 3 x 40 x 60: all pictures are 40x60" in shown
    assert "if they are slices of one stack or frames of one film" in shown
    _, grouped, _ = run("inspect", masks, "--group", "s([0-9])")
    assert "slices of one stack" not in grouped


def test_json_has_the_facts_and_the_problems(boxes):
    status, _, _ = run("inspect", boxes, "--json")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", ["vitreous", "inspect", str(boxes), "--json"])
        with pytest.raises(SystemExit):
            main()
    found = json.loads(out.getvalue())
    assert status == 0
    assert found["labels"]["amounts"]["train"] == {"bud": 4, "leaf": 16}
    assert found["problems"][0]["kind"] == "zero area"
    assert found["problems"][0]["path"] == "boxes.csv"


def test_the_sheet_is_drawn(masks, tmp_path):
    status, _, said = run("inspect", masks, "--sheet", tmp_path / "sheet.png")
    assert status == 0
    assert "12 pictures with their labels" in " ".join(said.split())
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 1000
    status, _, said = run("inspect", masks, "--sheet", tmp_path / "sheet.jpg")
    assert (status, said.count("\n")) == (1, 1)
