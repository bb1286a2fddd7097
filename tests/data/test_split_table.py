import csv

import pytest

from vitreous.data.samples import Sample, Skipped
from vitreous.data.split_table import SplitRow, read_split, write_split
from vitreous.errors import DataError


def test_split_table_keeps_every_sample_and_every_skipped_file(tmp_path):
    samples = [
        Sample("a/1.png", "a/1.png", "a", None, "anna, left"),
        Sample('b/"2"\n.png', 'b/"2"\n.png', ("cat", "dog")),
        Sample("c/3.png", "c/3.png", 2.5),
        Sample("d/\udcff.png", "d/\udcff.png", None),  # a name that is no UTF-8
    ]
    path = tmp_path / "run" / "split.csv"
    skipped = [Skipped("notes.txt", "not a picture")]
    write_split(path, samples, ["train", "val", None, "test"], {2: "c/3.png: truncated"}, skipped)
    assert read_split(path) == [
        SplitRow("a/1.png", "a/1.png", "train", "a", "anna, left", ""),
        SplitRow('b/"2"\n.png', 'b/"2"\n.png', "val", "cat|dog", "", ""),
        SplitRow("c/3.png", "c/3.png", "skipped", "2.5", "", "c/3.png: truncated"),
        SplitRow("d/\udcff.png", "d/\udcff.png", "test", "", "", ""),
        SplitRow("notes.txt", "notes.txt", "skipped", "", "", "not a picture"),
    ]
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        first = next(csv.DictReader(file))
    assert list(first) == ["sample_id", "path", "split", "label", "group", "reason"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sample_id,path\n", "the first line must be sample_id,path,split"),
        ("", "the first line must be"),
        ("sample_id,path,split,label,group,reason\na,a,train,x,,\nb,b,dev,x,,\n", "line 3"),
        ("sample_id,path,split,label,group,reason\na,a,train\n", "line 2"),
    ],
)
def test_a_broken_table_is_named(tmp_path, content, message):
    path = tmp_path / "split.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_split(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_split(tmp_path / "none.csv")
