"""`vitreous inspect` as a newcomer sees it: what it is, what is wrong, what to do next."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from vitreous.cli.app import main

PHOTOGRAPH = Image.fromarray(load_sample_image("flower.jpg"))


class Ended(NamedTuple):
    """How a call of the command line ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def insects(tmp_path_factory):
    """Two classes, and one of each kind of bad file."""
    root = tmp_path_factory.mktemp("insects")
    for label in ("ants", "bees"):
        (root / label).mkdir()
        for number in range(25):
            PHOTOGRAPH.crop((number, number, number + 60, number + 40)).save(
                root / label / f"{number}.jpg"
            )
    buffer = io.BytesIO()
    PHOTOGRAPH.save(buffer, "JPEG")
    (root / "ants" / "half.jpg").write_bytes(buffer.getvalue()[:9000])
    (root / "ants" / "[odd] name.jpg").write_bytes(b"")
    (root / "bees" / "page.jpg").write_bytes(b"<html>not found</html>")
    (root / "bees" / ".DS_Store").write_bytes(b"x")
    return root


def run(*arguments, columns=80):
    """Status, standard output and standard error of `vitreous inspect`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "argv", ["vitreous", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def shown(insects):
    return run(insects)


def test_it_ends_well_and_keeps_quiet_on_stderr(shown):
    assert shown.returncode == 0
    assert shown.stderr == ""


def test_what_it_is_and_why(shown):
    assert "class folders" in shown.stdout
    assert "2 folders, one a class (ants, bees)" in " ".join(shown.stdout.split())


def test_classes_are_counted(shown):
    rows = [line.strip("│ ").split() for line in shown.stdout.splitlines() if line[:1] == "│"]
    cells = {row[0]: row[-1] for row in rows}
    assert cells == {"ants": "27", "bees": "26", "all": "53"}


def test_bad_files_are_named_with_their_reason(shown):
    text = " ".join(shown.stdout.split())
    assert "Cannot be used: 3 files" in text
    assert "the file ends too early; copy or download it again: ants/half.jpg" in text
    assert "the file is empty (0 bytes): ants/[odd] name.jpg" in text
    assert "a web page (perhaps an error page that was saved" in text
    assert "Left out, no harm: 1 (bees/.DS_Store: hidden or system file)" in text
    assert "3 of 53 files cannot be used (5.7%)" in text


def test_what_train_would_do_and_how_to_start_it(shown, insects):
    text = " ".join(shown.stdout.split())
    assert "task classify" in text
    assert "network sees 3 x 40 x 60: all pictures are 40x60, colour" in text
    assert f"vitreous train {insects}" in shown.stdout.replace("\n", "").replace("  ", "")


def test_it_fits_80_columns_and_is_plain_in_a_file(shown):
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b" not in shown.stdout


def test_json(insects):
    result = run(insects, "--json")
    read = json.loads(result.stdout)
    assert read["kind"] == "class folders"
    assert {item["path"] for item in read["skipped"]} == {
        "ants/half.jpg", "ants/[odd] name.jpg", "bees/page.jpg", "bees/.DS_Store",
    }  # fmt: skip
    assert result.stderr == ""


def test_errors_are_one_line_and_exit_1(tmp_path):
    result = run(tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "the folder is empty" in result.stderr


def test_many_classes_are_cut_in_the_middle(tmp_path):
    for number in range(40):
        (tmp_path / f"class{number:02d}").mkdir()
        for name in "ab":
            PHOTOGRAPH.crop((0, 0, 8, 8)).save(tmp_path / f"class{number:02d}" / f"{name}.png")
    text = run(tmp_path).stdout
    assert "class00" in text
    assert "class39" in text
    assert "class20" not in text
    assert "... 20 more" in text
