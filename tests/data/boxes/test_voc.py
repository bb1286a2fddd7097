"""Pascal VOC: corners, lists, marks; and every flaw of such data found by name."""

import pytest

from vitreous.data.boxes.check import OUTSIDE, PARTLY_OUTSIDE, REPEATED, SWAPPED, ZERO_AREA
from vitreous.data.boxes.voc import IN_TWO_PARTS, LARGEST_FILE, parse_xml
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError


def by_path(source):
    return {sample.path.rsplit("/", 1)[-1].split(".")[0]: sample for sample in source.samples}


def reasons(source):
    return {skipped.path: skipped.reason for skipped in source.skipped}


def problem(source, kind):
    (found,) = [problem for problem in source.problems if problem.kind == kind]
    return found


def test_corners_are_pixels_counted_from_one(voc):
    source = recognise(voc({"a": [("cat", 1, 1, 80, 60), ("dog", 11, 21, 12, 40)], "b": []}))
    assert source.kind == "Pascal VOC"
    assert source.label_kind == "boxes"
    assert source.classes == ("cat", "dog")
    assert "counted from 1, the last pixel within" in source.why
    boxes = by_path(source)["a"].label
    assert boxes.corners.tolist() == [[0, 0, 80, 60], [10, 20, 12, 40]]
    assert boxes.classes.tolist() == [0, 1]
    assert boxes.areas.tolist() == [4800, 40]
    assert len(by_path(source)["b"].label) == 0


def test_a_corner_at_zero_shows_that_places_are_meant(voc):
    source = recognise(voc({"a": [("cat", 0, 5, 30, 40)], "b": [("cat", 11, 21, 31, 41)]}))
    assert "counted from 0" in source.why
    assert by_path(source)["b"].label.corners.tolist() == [[11, 21, 31, 41]]


def test_difficult_is_kept(voc):
    source = recognise(voc({"a": [("cat", 1, 1, 9, 9, 1), ("cat", 11, 1, 19, 9, 0)]}))
    assert by_path(source)["a"].label.difficult.tolist() == [True, False]


def test_lists_give_the_split(voc):
    box = [("cat", 1, 1, 9, 9)]
    root = voc(
        dict.fromkeys("abcd", box),
        {"train": ["a"], "val": ["b"], "trainval": ["a", "b"], "test": ["c"]},
    )
    source = recognise(root)
    assert {name: sample.split for name, sample in by_path(source).items()} == {
        "a": "train",
        "b": "val",
        "c": "test",
    }
    assert "in no part of the split" in reasons(source)["JPEGImages/d.png"]


def test_trainval_is_train_where_there_is_no_train(voc):
    box = [("cat", 1, 1, 9, 9)]
    root = voc(dict.fromkeys("abc", box), {"trainval": ["a", "b"], "test": ["c"]})
    assert [by_path(recognise(root))[name].split for name in "abc"] == ["train", "train", "test"]


def test_a_name_in_two_parts_is_tested_only_and_said(voc):
    box = [("cat", 1, 1, 9, 9)]
    source = recognise(voc(dict.fromkeys("abc", box), {"train": ["a", "b"], "test": ["b", "c"]}))
    assert by_path(source)["b"].split == "test"
    found = problem(source, IN_TWO_PARTS)
    assert (found.path, found.place) == ("ImageSets/Main/train.txt", "b")
    assert "used in test alone" in found.reason


def test_a_name_in_a_list_without_a_picture(voc):
    root = voc(
        {key: [("cat", 1, 1, 9, 9)] for key in "ab"}, {"train": ["a", "gone"], "test": ["b"]}
    )
    assert "there is no such picture" in reasons(recognise(root))["gone"]


@pytest.mark.parametrize(
    ("box", "kind", "words", "left"),
    [
        (("cat", 30, 5, 30, 20), ZERO_AREA, "left out; draw it anew", []),
        (("cat", 40, 5, 20, 30), SWAPPED, "taken the other way round", [[19, 4, 40, 30]]),
        (("cat", 20, 30, 40, 5), SWAPPED, "taken the other way round", [[19, 4, 40, 30]]),
        (("cat", 90, 5, 120, 30), OUTSIDE, "the picture is 80 wide and 60 high", []),
        (("cat", 60, 5, 120, 30), PARTLY_OUTSIDE, "cut off there", [[59, 4, 80, 30]]),
        (("cat", 60, 5, 81, 30), None, "", [[59, 4, 80, 30]]),
    ],
)
def test_a_wrong_box_is_mended_or_left_out_by_name(voc, box, kind, words, left):
    source = recognise(voc({"a": [box], "b": [("cat", 1, 1, 9, 9)]}))
    found = by_path(source).get("a")
    assert (found.label.corners.tolist() if found else []) == left
    assert (found is None) == (not left)  # its only box: that it is empty nobody says
    if kind is None:
        assert source.problems == ()
        return
    found = problem(source, kind)
    assert (found.path, found.place) == ("Annotations/a.xml", "object 1 (cat)")
    assert words in found.reason
    assert any(warning.startswith(f"{kind}: 1 found, such as Annotations/a.xml, object 1") for
               warning in source.warnings)  # fmt: skip


def test_the_same_box_twice(voc):
    source = recognise(voc({"a": [("cat", 1, 1, 9, 9), ("dog", 1, 1, 9, 9), ("cat", 1, 1, 9, 9)]}))
    assert by_path(source)["a"].label.classes.tolist() == [0, 1]
    assert problem(source, REPEATED).place == "object 3 (cat)"


def test_nothing_on_a_picture_is_not_a_missing_file(voc):
    source = recognise(voc({"a": [("cat", 1, 1, 9, 9)], "empty": [], "forgotten": None}))
    assert len(by_path(source)["empty"].label) == 0
    assert "forgotten" not in by_path(source)
    assert reasons(source)["JPEGImages/forgotten.png"] == (
        "no XML file of its name: not labelled; a file without objects says 'nothing here'"
    )
    assert any("1 pictures have a label without any box" in text for text in source.warnings)


def test_a_label_without_its_picture(voc):
    root = voc({"a": [("cat", 1, 1, 9, 9)], "b": [("cat", 1, 1, 9, 9)]})
    (root / "JPEGImages" / "b.png").unlink()
    assert reasons(recognise(root))["Annotations/b.xml"] == "a label without a picture of its name"


def test_a_size_that_is_not_the_pictures(voc):
    root = voc({"a": [("cat", 1, 1, 9, 9)], "b": [("cat", 1, 1, 9, 9)]})
    other = (root / "Annotations" / "a.xml").read_text()
    (root / "Annotations" / "a.xml").write_text(other.replace("<width>80", "<width>160"))
    assert reasons(recognise(root))["JPEGImages/a.png"] == (
        "Annotations/a.xml says 160 wide and 60 high, the picture is 80 and 60: give the picture "
        "that the boxes were drawn on, or correct the label"
    )
    turned = other.replace("<width>80", "<width>60").replace("<height>60", "<height>80")
    (root / "Annotations" / "a.xml").write_text(turned)
    assert "EXIF orientation" in reasons(recognise(root))["JPEGImages/a.png"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<annotation><object>", "not readable as XML"),
        ("<annotation><object><bndbox/></object></annotation>", "object 1 has no name"),
        ("<annotation><object><name>cat</name></object></annotation>", "object 1 has no bndbox"),
        (
            "<annotation><object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object>"
            "</annotation>",
            "xmin is 'x', no number",
        ),
        (
            '<!DOCTYPE a [<!ENTITY b "cccccccccc">]><annotation><object><name>&b;</name></object>'
            "</annotation>",
            "declares a document type",
        ),
    ],
)
def test_a_broken_file_costs_its_picture_alone(voc, content, words):
    root = voc({"a": [("cat", 1, 1, 9, 9)], "b": [("cat", 1, 1, 9, 9)]})
    (root / "Annotations" / "a.xml").write_text(content)
    source = recognise(root)
    assert list(by_path(source)) == ["b"]
    assert words in reasons(source)["JPEGImages/a.png"]
    assert "Annotations/a.xml" in reasons(source)["JPEGImages/a.png"]


def test_entities_never_unpack():
    letters = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x"}">' for n in range(9))
    bomb = f"<!DOCTYPE a [{letters}]><annotation>&e8;</annotation>"
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(DataError, match="declares a document type"):
            parse_xml(bomb.encode(encoding), "bomb.xml")
    with pytest.raises(DataError, match="more than 50,000,000"):
        parse_xml(b" " * (LARGEST_FILE + 1), "large.xml")


def test_files_beside_the_pictures(tmp_path, photograph, voc_xml):
    for number, (part, name) in enumerate([("train", "a"), ("train", "b"), ("valid", "a")]):
        photograph(tmp_path / part / f"{name}.jpg", number)
        (tmp_path / part / f"{name}.xml").write_text(voc_xml([("cat", 1, 1, 9, 9)]))
    source = recognise(tmp_path)
    assert {sample.path: sample.split for sample in source.samples} == {
        "train/a.jpg": "train",
        "train/b.jpg": "train",
        "valid/a.jpg": "test",
    }


def test_a_request_that_does_not_fit(voc):
    root = voc({"a": [("cat", 1, 1, 9, 9)], "b": []})
    for options, words in (
        ({"ignore": 255}, "--ignore is for masks"),
        ({"classes": "a,b"}, "--classes is for masks"),
        ({"group": "patient"}, "Pascal VOC labels have no columns; give a regular expression"),
        ({"label": "name"}, "--label 'name': Pascal VOC labels have no columns"),
        ({"task": "segment"}, "--task segment needs masks"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            recognise(root, **options)
        assert "\n" not in str(caught.value)


def test_groups_from_the_paths(voc):
    names = [f"slide{slide}_{part}" for slide in (1, 2, 3) for part in "ab"]
    source = recognise(voc({key: [("cat", 1, 1, 9, 9)] for key in names}), group=r"(slide\d)_")
    assert sorted({sample.group for sample in source.samples}) == ["slide1", "slide2", "slide3"]


def test_nothing_labelled_anywhere(voc):
    root = voc({"a": [], "b": []})
    with pytest.raises(DataError, match="nothing is labelled on any picture"):
        recognise(root)
    assert len(recognise(root, for_training=False).samples) == 2


@pytest.mark.data
def test_bccd(real_data):
    source = recognise(real_data / "bccd")
    counts = dict.fromkeys(source.classes, 0)
    for sample in source.samples:
        for place in sample.label.classes:
            counts[source.classes[place]] += 1
    assert counts == {"Platelets": 361, "RBC": 4153, "WBC": 372}
    splits = [sample.split for sample in source.samples]
    assert [splits.count(part) for part in ("train", "val", "test")] == [205, 87, 72]
    zero = {problem.path for problem in source.problems if problem.kind == ZERO_AREA}
    assert zero == {"Annotations/BloodImage_00338.xml", "Annotations/BloodImage_00343.xml"}
