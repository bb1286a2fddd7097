"""YOLO text files and data.yaml; and every flaw of such data found by name."""

import pytest

from vitreous.data.boxes.check import OUTSIDE, PARTLY_OUTSIDE, ZERO_AREA
from vitreous.data.recognise import recognise
from vitreous.errors import DataError


def by_path(source):
    return {sample.path.removeprefix("images/"): sample for sample in source.samples}


def reasons(source):
    return {skipped.path: skipped.reason for skipped in source.skipped}


def test_lines_are_middles_and_sizes_as_shares(yolo):
    source = recognise(yolo({"a": "0 0.5 0.5 0.25 0.5\n1 .125 .5 .25 1\n", "b": ""}))
    assert (source.kind, source.classes) == ("YOLO", ("cat", "dog"))
    assert by_path(source)["a.jpg"].label.corners.tolist() == [[30, 15, 50, 45], [0, 0, 20, 60]]
    assert by_path(source)["a.jpg"].label.classes.tolist() == [0, 1]
    assert len(by_path(source)["b.jpg"].label) == 0  # an empty file says "nothing here"


def test_an_outline_gives_the_box_around_it(yolo):
    source = recognise(yolo({"a": "1 0.25 0.5 0.5 0.25 0.75 0.5 0.5 1.0\n"}))
    assert by_path(source)["a.jpg"].label.corners.tolist() == [[20, 15, 60, 60]]


def test_a_missing_file_is_not_an_empty_one(yolo):
    source = recognise(yolo({"a": "0 .5 .5 .2 .2", "forgotten": None}))
    assert list(by_path(source)) == ["a.jpg"]
    assert "an empty one says 'nothing here'" in reasons(source)["images/forgotten.jpg"]


def test_a_label_without_its_picture(yolo):
    root = yolo({"a": "0 .5 .5 .2 .2", "b": ""})
    (root / "images" / "b.jpg").unlink()
    assert reasons(recognise(root))["labels/b.txt"] == "a label without a picture of its name"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 .5 .5 .2 .2", "line 1 has class 2, and data.yaml names 0 to 1; add its name"),
        ("-1 .5 .5 .2 .2", "class number without a name"),
        ("0.5 .5 .5 .2 .2", "class number without a name"),
        ("cat .5 .5 .2 .2", "line 1 holds 'cat .5 .5 .2 .2': numbers are needed"),
        ("0 .5 .5 .2", "line 1 has 4 numbers; a box is class, middle x"),
        ("0 .5 .5 .2 .2 .9", "line 1 has 6 numbers"),
    ],
)
def test_a_broken_line_costs_its_picture(yolo, line, words):
    source = recognise(yolo({"a": line, "b": "0 .5 .5 .2 .2"}))
    assert list(by_path(source)) == ["b.jpg"]
    assert words in reasons(source)["images/a.jpg"]
    assert reasons(source)["images/a.jpg"].startswith("labels/a.txt: ")


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("0 .5 .5 0 .2", ZERO_AREA, "left 40"),
        ("0 40 30 20 20", OUTSIDE, "are these pixels? this file takes shares"),
        ("0 1.5 .5 .2 .2", OUTSIDE, "left out"),
        ("0 .95 .5 .4 .2", PARTLY_OUTSIDE, "cut off there"),
    ],
)
def test_a_wrong_box(yolo, line, kind, words):
    source = recognise(yolo({"a": line, "b": "0 .5 .5 .2 .2"}))
    (found,) = source.problems
    assert (found.path, found.place, found.kind) == ("labels/a.txt", "line 1 (cat)", kind)
    assert words in found.reason


@pytest.mark.parametrize(
    "yaml",
    [
        "names: [cat, dog]\ntrain: images/train\nval: images/val\ntest: images/test\n",
        "names: {0: cat, 1: dog}\npath: .\ntrain: images/train\nval: ./images/val\n"
        "test: [images/test]\n",
        "nc: 2\nnames:\n  - cat\n  - dog\ntrain: ../images/train\nval: ../images/val\n"
        "test: /home/somebody/set/images/test\n",
        "names: [cat, dog]\n",
    ],
)
def test_parts_are_found_however_they_are_written(yolo, yaml):
    labels = {f"{part}/{part}{n}": "0 .5 .5 .2 .2" for part in ("train", "val", "test")
              for n in (1, 2)}  # fmt: skip
    source = recognise(yolo(labels, yaml))
    assert {sample.split for sample in source.samples if "train" in sample.path} == {"train"}
    splits = [sample.split for sample in source.samples]
    assert [splits.count(part) for part in ("train", "val", "test")] == [2, 2, 2]


def test_lists_of_pictures(yolo):
    root = yolo(
        dict.fromkeys("abc", "0 .5 .5 .2 .2"),
        "names: [cat, dog]\ntrain: train.txt\nval: val.txt\n",
    )
    (root / "train.txt").write_text("./images/a.jpg\nimages/b.jpg\n")
    (root / "val.txt").write_text("/elsewhere/images/c.jpg\n")
    assert [by_path(recognise(root))[f"{name}.jpg"].split for name in "abc"] == [
        "train",
        "train",
        "test",
    ]


def test_a_part_that_is_not_there(yolo):
    labels = {"train/a": "0 .5 .5 .2 .2", "val/b": "0 .5 .5 .2 .2"}
    yaml = "names: [cat, dog]\ntrain: images/train\nval: images/val\ntest: images/test\n"
    source = recognise(yolo(labels, yaml))
    assert "data.yaml: test: images/test is not there: not used" in source.warnings
    yolo(labels, "names: [cat, dog]\ntrain: images/learn\nval: images/val\n")
    assert len(recognise(yolo({}, None)).samples) == 2  # the folder says train all the same
    flat = {"x": "0 .5 .5 .2 .2"}
    (yolo(flat, "names: [cat, dog]\ntrain: images/learn\n") / "images" / "train").rename(
        yolo({}, None) / "images" / "other"
    )
    with pytest.raises(DataError, match="train: images/learn is not there; correct the path"):
        recognise(yolo({}, None))


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: [cat, dog\n", "not readable as YAML"),
        ("names:\n", "has no names"),
        ("names: [cat, cat]\n", "'cat' stands there twice"),
        ("names: {0: cat, 2: dog}\n", "numbered 0 to 1"),
        ("nc: 3\nnames: [cat, dog]\n", "nc is 3, but names has 2"),
        ("names: !!python/object/apply:os.system ['true']\n", "not readable as YAML"),
    ],
)
def test_a_data_yaml_that_cannot_be_used(yolo, yaml, words):
    with pytest.raises(DataError, match=words) as caught:
        recognise(yolo({"a": "0 .5 .5 .2 .2"}, yaml))
    assert "\n" not in str(caught.value)
    assert "data.yaml" in str(caught.value)


def test_names_in_classes_txt_or_nowhere(yolo):
    root = yolo({"a": "1 .5 .5 .2 .2", "b": "0 .5 .5 .2 .2"}, None)
    source = recognise(root)
    assert source.classes == ("class 0", "class 1")
    assert "no data.yaml or classes.txt names the classes" in source.warnings
    (root / "labels" / "classes.txt").write_text("cat\ndog\n")
    assert recognise(root).classes == ("cat", "dog")


def test_a_part_with_images_and_labels_inside(tmp_path, photograph):
    for number, part in enumerate(("train", "valid", "test")):
        photograph(tmp_path / part / "images" / "x.jpg", number)
        (tmp_path / part / "labels").mkdir()
        (tmp_path / part / "labels" / "x.txt").write_text("0 .5 .5 .2 .2")
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: ../train/images\n")
    source = recognise(tmp_path)
    assert [sample.split for sample in source.samples] == ["test", "train", "val"]


def test_a_picture_of_which_no_box_can_be_used_is_skipped_not_taken_as_empty(yolo):
    """Such as all of a data set whose boxes are pixels where shares are expected."""
    source = recognise(yolo({"a": "0 320 240 50 40\n", "b": "0 .5 .5 .2 .2\n0 320 240 50 40\n",
                             "c": ""}))  # fmt: skip
    assert set(by_path(source)) == {"b.jpg", "c.jpg"}
    said = next(one.reason for one in source.skipped if one.path.endswith("a.jpg"))
    assert "labels/a.txt: none of its 1 boxes can be used, such as line 1 (cat): outside" in said
    assert [len(sample.label) for sample in source.samples] == [1, 0]
