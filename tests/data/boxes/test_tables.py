"""Tables of boxes under the headings that tools write."""

import pytest

from vitreous.data.boxes.check import SWAPPED
from vitreous.data.recognise import recognise
from vitreous.errors import DataError


@pytest.fixture
def table(tmp_path, photograph):
    """`table("path,...", "a.jpg,...")`: a CSV with these lines beside three pictures."""

    def write(*lines, name="boxes.csv", pictures=("a.jpg", "b.jpg", "c.jpg")):
        for number, picture in enumerate(pictures):
            photograph(tmp_path / "images" / picture, number)
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


def by_path(source):
    return {sample.path.removeprefix("images/"): sample for sample in source.samples}


@pytest.mark.parametrize(
    "lines",
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,80,60,cat,10,20,40,35"),
        ("image_path,x1,y1,x2,y2,label", "images/a.jpg,10,20,40,35,cat"),
        ("label;path;left;top;right;bottom", "cat;images/a.jpg;10;20;40;35"),
        ("file,bbox_x,bbox_y,bbox_w,bbox_h,category", "a.jpg,10,20,30,15,cat"),
        ("path,x,y,w,h,class", "a.jpg,10,20,30,15,cat"),
    ],
)
def test_headings_of_several_tools(table, lines):
    source = recognise(table(*lines))
    assert (source.kind, source.classes) == ("table of boxes", ("cat",))
    assert by_path(source)["a.jpg"].label.corners.tolist() == [[10, 20, 40, 35]]
    others = {skipped.path: skipped.reason for skipped in source.skipped}
    assert "in no line of a table of boxes: not labelled" in others["images/b.jpg"]


def test_lines_of_one_picture_belong_together(table):
    source = recognise(
        table(
            "path,class,xmin,ymin,xmax,ymax,split,patient,difficult",
            "a.jpg,cat,1,2,30,40,train,anna,1",
            "a.jpg,dog,5,6,7,8,train,anna,0",
            "b.jpg,,,,,,test,bert,",
            "c.jpg,cat,40,2,10,40,train,carl,0",
        )
    )
    found = by_path(source)
    assert found["a.jpg"].label.classes.tolist() == [0, 1]
    assert found["a.jpg"].label.difficult.tolist() == [True, False]
    assert (found["a.jpg"].split, found["a.jpg"].group) == ("train", "anna")
    assert (found["b.jpg"].split, len(found["b.jpg"].label)) == ("test", 0)
    (problem,) = source.problems
    assert (problem.path, problem.place, problem.kind) == ("boxes.csv", "line 5 (cat)", SWAPPED)


def test_lines_that_cannot_be_used(table):
    source = recognise(
        table(
            "path,class,xmin,ymin,xmax,ymax",
            "a.jpg,cat,1,2,30,40",
            "gone.jpg,cat,1,2,30,40",
            "b.jpg,cat,one,2,30,40",
            "c.jpg,,1,2,30,40",
            "a.jpg,cat,1,2",
        )
    )
    reasons = {skipped.path: skipped.reason for skipped in source.skipped}
    assert list(by_path(source)) == ["a.jpg"]
    assert reasons["gone.jpg"] == "line 3 of the table: file not found"
    assert "line 4 has the corners one, 2, 30, 40" in reasons["images/b.jpg"]
    assert "line 5 has a box without a class" in reasons["images/c.jpg"]
    assert reasons["boxes.csv:6"] == "4 cells where the heading has 6"


def test_a_table_a_part(tmp_path, photograph):
    for number, part in enumerate(("train", "test")):
        photograph(tmp_path / part / "x.jpg", number)
        (tmp_path / part / "_annotations.csv").write_text(
            "filename,class,xmin,ymin,xmax,ymax\nx.jpg,cat,1,2,30,40\n"
        )
    source = recognise(tmp_path)
    assert {sample.path: sample.split for sample in source.samples} == {
        "train/x.jpg": "train",
        "test/x.jpg": "test",
    }


def test_a_size_that_is_not_the_pictures(table):
    source = recognise(
        table(
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "a.jpg,800,600,cat,10,20,40,35",
            "b.jpg,80,60,cat,10,20,40,35",
        )
    )
    assert list(by_path(source)) == ["b.jpg"]
    reasons = {skipped.path: skipped.reason for skipped in source.skipped}
    assert "says 800 wide and 600 high, the picture is 80 and 60" in reasons["images/a.jpg"]


def test_a_table_without_classes(table):
    with pytest.raises(DataError, match="no class column among"):
        recognise(table("path,xmin,ymin,xmax,ymax", "a.jpg,1,2,3,4"))


def test_a_table_of_numbers_stays_a_table(table):
    source = recognise(
        table("path,class", "images/a.jpg,cat", "images/b.jpg,dog"), for_training=False
    )
    assert source.kind == "table"
