"""CSV and TSV tables: which column is what, where the files are, and every bad line by name."""

import pytest

from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError


@pytest.fixture
def table(plant):
    """`table(text, "a.png", ...)` plants pictures and a table beside them; gives the folder."""

    def write(text, *names, name="labels.csv", encoding="utf-8"):
        root = plant(*names)
        (root / name).write_bytes(text.encode(encoding))
        return root

    return write


def labels(source):
    return {sample.path: sample.label for sample in source.samples}


def reasons(source):
    return {item.path: item.reason for item in source.skipped}


FOUR = ("1.png", "2.png", "3.png", "4.png")


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        ("path,label\n1.png,ant\n2.png,bee\n3.png,ant\n4.png,bee\n", "a.csv", "utf-8"),
        ("path,label\r\n1.png,ant\r\n2.png,bee\r\n3.png,ant\r\n4.png,bee", "a.csv", "utf-8-sig"),
        ("Label\tFile Name\nant\t1.png\nbee\t2.png\nant\t3.png\nbee\t4.png\n", "a.tsv", "utf-8"),
        ("image;class\n1.png;ant\n2.png;bee\n\n3.png;ant\n4.png;bee\n", "a.csv", "utf-8"),
        ('"filename","target"\n"1.png","ant"\n"./2.png"," bee "\n3.png,ant\n4.png,bee', "a.csv", "utf-8"),  # noqa: E501
        ("what,where\nant,1.png\nbee,2.png\nant,3.png\nbee,4.png\n", "a.CSV", "utf-8"),
    ],
)  # fmt: skip
def test_delimiters_encodings_and_headings(table, text, name, encoding):
    root = table(text, *FOUR, name=name, encoding=encoding)
    source = recognise(root)
    assert labels(source) == {"1.png": "ant", "2.png": "bee", "3.png": "ant", "4.png": "bee"}
    assert (source.kind, source.label_kind, source.classes) == ("table", "class", ("ant", "bee"))
    assert "\ufeff" not in source.why
    assert recognise(root / name).samples == source.samples
    assert source.files[0] == root / name
    assert source.read(source.samples[1], None).pixels.shape == (24, 32, 3)
    assert source.skipped == ()


def test_split_and_group_columns_are_found_and_said(table):
    lines = ["path,label,split,patient_id"]
    lines += [
        f"{n}.png,{'ab'[n % 2]},{'train' if n < 5 else 'Valid'},p{n // 2}" for n in range(1, 9)
    ]
    source = recognise(table("\n".join(lines), *(f"{n}.png" for n in range(1, 9))))
    assert {s.path: s.split for s in source.samples}["8.png"] == "test"
    assert {s.path: s.split for s in source.samples}["1.png"] == "train"
    assert [sample.group for sample in source.samples][:4] == ["p0", "p1", "p1", "p2"]
    for words in ("split from 'split'", "group from 'patient_id'", "val is the test part"):
        assert words in source.why


def test_group_by_column_and_by_pattern(table):
    text = "path,label,site\n" + "".join(
        f"s{n // 2}/{n}.png,{'ab'[n % 2]},{'xy'[n // 4]}\n" for n in range(8)
    )
    root = table(text, *(f"s{n // 2}/{n}.png" for n in range(8)))
    assert [s.group for s in recognise(root, group="Site").samples] == ["x"] * 4 + ["y"] * 4
    by_path = [s.group for s in recognise(root, group=r"(s\d)/").samples]
    assert by_path == ["s0", "s0", "s1", "s1", "s2", "s2", "s3", "s3"]
    with pytest.raises(RequestError, match="unknown column 'sit'; did you mean 'site'"):
        recognise(root, group="sit")


def test_some_without_group_are_said(table):
    text = "path,label,patient\n1.png,a,p\n2.png,b,\n3.png,a,q\n4.png,b,q\n"
    source = recognise(table(text, *FOUR))
    assert [s.group for s in source.samples] == ["p", None, "q", "q"]
    assert "1 of 4 pictures have no 'patient'" in source.warnings[0]


def test_several_classes_in_a_cell(table):
    text = "path,label\n1.png,b|a\n2.png,a| c\n3.png,\n4.png,b|b\n"
    source = recognise(table(text, *FOUR))
    assert source.label_kind == "classes"
    assert source.classes == ("a", "b", "c")
    assert labels(source) == {
        "1.png": ("b", "a"), "2.png": ("a", "c"), "3.png": (), "4.png": ("b",),
    }  # fmt: skip
    assert "1 pictures have an empty label: taken as none of the classes" in source.warnings


def test_a_number_to_predict(table):
    text = "path,age\n1.png,18\n2.png,33.5\n3.png,n/a\n4.png,-1e2\n5.png,inf\n"
    source = recognise(table(text, *FOUR, "5.png"), task="regress")
    assert (source.label_kind, source.classes) == ("number", ())
    assert labels(source) == {"1.png": 18.0, "2.png": 33.5, "4.png": -100.0}
    assert reasons(source) == {
        "3.png": "line 4 of the table: no usable label ('n/a')",
        "5.png": "line 6 of the table: no usable label ('inf')",
    }


def test_measurements_are_not_taken_for_classes(table):
    text = "path,age\n1.png,18\n2.png,33.5\n3.png,18\n4.png,33.5\n"
    root = table(text, *FOUR)
    with pytest.raises(DataError, match=r"column 'age': holds numbers \(2 different, from 18 to "):
        recognise(root)
    assert recognise(root, task="classify").classes == ("18", "33.5")


def test_bad_lines_are_skipped_by_name(table):
    text = (
        "path,label,split\n"
        "1.png,a,train\n2.png,b,train\n3.png,a,train\n4.png,b,train\n"  # lines 2 to 5
        "gone.png,a,train\n"  # 6
        "5.png,,train\n"  # 7
        "6.png,b,\n"  # 8
        ",a,train\n"  # 9
        "7.png,a\n"  # 10
        "1.png,a,train\n"  # 11: the same again
        "8.png,a,train\n8.png,b,train\n"  # 12, 13: contradiction
        "9.png,a,train\n9.png,a,test\n"  # 14, 15: on two sides
        "10.png,a,test\n11.png,b,test\n"
    )
    source = recognise(table(text, *(f"{n}.png" for n in range(1, 12))))
    assert sorted(labels(source)) == ["1.png", "10.png", "11.png", "2.png", "3.png", "4.png"]
    assert reasons(source) == {
        "gone.png": "line 6 of the table: file not found",
        "5.png": "line 7 of the table: no label",
        "6.png": "line 8 of the table: no split given",
        "labels.csv:9": "no path in this line",
        "labels.csv:10": "2 cells where the heading has 3",
        "1.png": "line 11 of the table repeats line 2",
        "8.png": "labels.csv gives it the label 'a' in line 12 and 'b' in line 13; "
        "several classes are written a|b",
        "9.png": "labels.csv gives it the split 'train' in line 14 and 'test' in line 15",
    }


def test_names_without_folder_or_suffix_are_found_below(table):
    text = "image_id,dx\n" + "".join(f"ISIC_{n},{'ab'[n % 2]}\n" for n in range(6))
    names = [f"part{n % 2 + 1}/ISIC_{n}.png" for n in range(6)]
    source = recognise(table(text, *names))
    assert sorted(labels(source)) == sorted(names)
    assert "found by name below data/" in source.why


def test_a_name_that_two_files_have_is_skipped(table):
    text = "image,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(6))
    source = recognise(table(text, *(f"x/{n}.png" for n in range(6)), "y/5.png"))
    assert reasons(source) == {"5.png": "line 7 of the table: x/5.png and y/5.png have its name"}


def test_absolute_paths_and_paths_upwards_are_followed(table, plant, tmp_path):
    elsewhere = plant("1.png", "2.png", root=tmp_path / "elsewhere")
    text = f"path,label\n{elsewhere}/1.png,a\n../elsewhere/2.png,b\n3.png,a\nsub\\4.png,b\n"
    source = recognise(table(text, "3.png", "sub/4.png"))
    assert [sample.sample_id for sample in source.samples] == [
        f"{elsewhere}/1.png", "../elsewhere/2.png", "3.png", "sub/4.png",
    ]  # fmt: skip
    for sample in source.samples:
        source.read(sample, None)


def test_a_table_that_names_the_pictures_goes_before_folders(table):
    text = "path,label\na/1.png,x\na/2.png,y\nb/3.png,x\nb/4.png,y\n"
    assert recognise(table(text, "a/1.png", "a/2.png", "b/3.png", "b/4.png")).classes == ("x", "y")


def test_a_table_of_other_things_does_not(table):
    root = table("class,size\nant,3\nbee,4\n", "ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png")
    assert recognise(root).kind == "class folders"


def test_label_column_by_name(table):
    text = "file,index,wnid,name\n" + "".join(f"{n}.png,{n},w,{'ab'[n % 2]}\n" for n in range(1, 5))
    root = table(text, *FOUR)
    with pytest.raises(
        DataError, match=r"no label column among file, index, wnid, name; .*--label"
    ):
        recognise(root)
    assert recognise(root, label="name").classes == ("a", "b")
    with pytest.raises(RequestError, match="unknown column 'nam'; did you mean 'name'"):
        recognise(root, label="nam")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty"),
        ("1.png,a\n2.png,b\n", "its first line is no heading; put one such as path,label there"),
        ("path,label,split\n1.png,a,train\n2.png,b,holdout\n", "column 'split' has 'holdout'"),
        ("path,label,label\n1.png,a,b\n", "the heading 'label' stands there twice"),
        ("size,label\n3,a\n", "no column of picture paths among size, label"),
        ("path,label\n1.png,a\n\0,b\n", "holds zero bytes"),
        ("path,label\ngone.png,a\nlost.png,b\n", r"no usable picture \(table; 2 skipped: gone.png: line 2"),  # noqa: E501
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(table, text, words):
    root = table(text, *FOUR)
    with pytest.raises(DataError, match=words) as caught:
        recognise(root / "labels.csv")
    assert str(root) in str(caught.value)


def test_a_table_in_another_encoding(table):
    root = table("path,label\n1.png,Müll\n2.png,b\n", *FOUR, encoding="latin-1")
    with pytest.raises(DataError, match=r"not UTF-8 at byte 18; save it as 'CSV UTF-8'"):
        recognise(root / "labels.csv")


def test_two_tables_are_one_too_many(table):
    text = "path,label\n1.png,a\n2.png,b\n"
    root = table(text, *FOUR)
    (root / "other.csv").write_text(text)
    with pytest.raises(DataError, match=r"labels.csv, other.csv: more than one could be meant"):
        recognise(root)
