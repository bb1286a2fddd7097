"""COCO JSON: numbers, names, parts; and every flaw of such files found by name."""

import json

import pytest

from vitreous.data.boxes.check import OUTSIDE, SWAPPED, ZERO_AREA
from vitreous.data.boxes.coco import WITHOUT_PICTURE
from vitreous.data.boxes.json_file import read_label_json
from vitreous.data.recognise import recognise
from vitreous.errors import DataError

CAT = {"category_id": 1, "bbox": [10, 20, 30, 15]}
DOG = {"category_id": 2, "bbox": [0, 0, 80, 60]}


def by_path(source):
    return {sample.path.rsplit("/", 1)[-1]: sample for sample in source.samples}


def reasons(source):
    return {skipped.path: skipped.reason for skipped in source.skipped}


def test_boxes_are_left_top_width_height(coco):
    source = recognise(coco({"a.png": [CAT, DOG], "b.png": []}))
    assert (source.kind, source.classes) == ("COCO", ("cat", "dog"))
    boxes = by_path(source)["a.png"].label
    assert boxes.corners.tolist() == [[10, 20, 40, 35], [0, 0, 80, 60]]
    assert boxes.classes.tolist() == [0, 1]
    assert len(by_path(source)["b.png"].label) == 0  # listed, with nothing on it


def test_area_and_crowd_are_kept(coco):
    crowd = {**DOG, "iscrowd": 1, "area": 777.5}
    boxes = by_path(recognise(coco({"a.png": [CAT, crowd]})))["a.png"].label
    assert boxes.crowd.tolist() == [False, True]
    assert boxes.areas.tolist() == [450, 777.5]


def test_a_folder_a_part(coco):
    for first, part in enumerate(("train", "valid", "test")):
        root = coco(
            {f"{part}.png": [CAT]}, file=f"{part}/_annotations.coco.json", folder=part, first=first
        )
    source = recognise(root)
    assert {name: sample.split for name, sample in by_path(source).items()} == {
        "train.png": "train",
        "valid.png": "val",
        "test.png": "test",
    }
    assert source.classes == ("cat",)  # a category that nothing has is no class


def test_files_a_part_as_coco_publishes_them(coco):
    for first, part in enumerate(("train", "val")):
        root = coco(
            {f"{part}.png": [CAT, DOG]},
            file=f"annotations/instances_{part}2017.json",
            folder=f"{part}2017",
            first=first,
        )
    (root / "annotations" / "captions_val2017.json").write_text(
        json.dumps({"images": [], "annotations": [{"caption": "a cat"}]})
    )
    splits = {name: sample.split for name, sample in by_path(recognise(root)).items()}
    assert splits == {"train.png": "train", "val.png": "test"}


def test_two_files_of_no_part(coco):
    coco({"a.png": [CAT]}, file="one.json")
    with pytest.raises(DataError, match="its name says no part of the split"):
        recognise(coco({"b.png": [CAT]}, file="two.json"))


def test_the_file_itself_may_be_given(coco):
    root = coco({"a.png": [CAT]}, file="one.json")
    coco({"b.png": [CAT]}, file="two.json", first=3)
    source = recognise(root / "one.json", for_training=False)
    assert list(by_path(source)) == ["a.png"]


def test_a_class_number_without_a_name_costs_the_picture(coco):
    source = recognise(coco({"a.png": [CAT, {**CAT, "category_id": 7}], "b.png": [CAT]}))
    assert list(by_path(source)) == ["b.png"]
    assert reasons(source)["images/a.png"] == (
        "class number without a name: annotations.json gives it category_id 7, which is not among "
        "its categories (1 cat, 2 dog); add it there, or correct the number"
    )


@pytest.mark.parametrize("number", [None, "1", [1], {"id": 1}, 1.5])
def test_a_category_that_is_no_number(coco, number):
    source = recognise(coco({"a.png": [{**CAT, "category_id": number}], "b.png": [CAT]}))
    assert "class number without a name" in reasons(source)["images/a.png"]


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([10, 20, 0, 15], ZERO_AREA),
        ([40, 20, -20, 15], SWAPPED),
        ([200, 20, 10, 10], OUTSIDE),
    ],
)
def test_a_wrong_box(coco, box, kind):
    source = recognise(coco({"a.png": [CAT, {**CAT, "bbox": box}], "b.png": [CAT]}))
    (found,) = source.problems
    assert (found.path, found.place, found.kind) == ("annotations.json", "annotation 1 (cat)", kind)


@pytest.mark.parametrize("box", [None, [1, 2, 3], ["1", 2, 3, 4], "box", [True, 1, 2, 3]])
def test_a_box_that_is_none_costs_the_picture(coco, box):
    source = recognise(coco({"a.png": [{**CAT, "bbox": box}], "b.png": [CAT]}))
    assert "annotation 0 has no bbox of four numbers" in reasons(source)["images/a.png"]


def test_numbers_that_are_none_are_left_out(coco):
    source = recognise(coco({"a.png": [CAT, {**CAT, "bbox": [float("nan"), 1, 2, 3]}]}))
    (found,) = source.problems
    assert found.kind == "corner that is no number"
    assert len(source.samples[0].label) == 1


def test_pictures_and_annotations_that_miss_each_other(coco, photograph):
    root = coco({"a.png": [CAT], "gone.png": [CAT]})
    (root / "images" / "gone.png").unlink()
    photograph(root / "images" / "unknown.png", 9)
    value = json.loads((root / "annotations.json").read_text())
    value["annotations"].append({**CAT, "id": 999, "image_id": 55})
    (root / "annotations.json").write_text(json.dumps(value))
    source = recognise(root)
    assert reasons(source)["gone.png"].endswith("but there is no such picture")
    assert "not named in any COCO file: not labelled" in reasons(source)["images/unknown.png"]
    (found,) = source.problems
    assert (found.kind, found.place) == (WITHOUT_PICTURE, "annotation 999")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(categories=[{"id": "one", "name": "cat"}]), "without a whole number"),
        (lambda v: v.update(categories=v["categories"] * 2), "two categories have the id 1"),
        (lambda v: v.update(categories="cat"), "has no list 'categories'"),
        (lambda v: v.update(images={"file_name": "a.png"}), "has no list 'images'"),
    ],
)
def test_a_file_that_is_no_coco_file(coco, change, words):
    root = coco({"a.png": [CAT]})
    value = json.loads((root / "annotations.json").read_text())
    change(value)
    (root / "annotations.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=words) as caught:
        recognise(root)
    assert "annotations.json" in str(caught.value)


def test_json_is_read_with_care(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"images": ' + "[" * 200_000)
    with pytest.raises(DataError, match=r"nested too deeply|not readable as JSON"):
        read_label_json(path, "a.json")
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="holds a list"):
        read_label_json(path, "a.json")
    path.write_text('{"images": [')
    with pytest.raises(DataError, match="not readable as JSON"):
        read_label_json(path, "a.json")
    monkeypatch.setattr("vitreous.data.boxes.json_file.LARGEST_FILE", 5)
    with pytest.raises(DataError, match="12 bytes, more than 5"):
        read_label_json(path, "a.json")


def test_entries_of_the_wrong_kind_do_no_harm(coco):
    root = coco({"a.png": [CAT]})
    value = json.loads((root / "annotations.json").read_text())
    value["images"] += [5, {"id": [1], "file_name": 7}, {}]
    value["annotations"] += [3, {"image_id": {}, "category_id": 1}]
    (root / "annotations.json").write_text(json.dumps(value))
    source = recognise(root)
    assert list(by_path(source)) == ["a.png"]
    assert "a picture without file_name" in reasons(source)
