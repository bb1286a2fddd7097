"""Parquet files as Hugging Face publishes them; pictures are read a row group at a time."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitreous.data.pictures import decode
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError


@pytest.fixture
def pictures(encode, part):
    return [encode(part(number), "PNG") for number in range(20)]


def huggingface_schema(names):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([("image", kind), ("label", pa.int64())], metadata=metadata)


def write(path, pictures, labels, names=("ant", "bee"), row_group_size=3):
    cells = [{"bytes": content, "path": None} for content in pictures]
    table = pa.table({"image": cells, "label": labels}, schema=huggingface_schema(list(names)))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group_size)


def test_published_layout(tmp_path, pictures):
    write(tmp_path / "data" / "train-00000-of-00002.parquet", pictures[:8], [0, 1] * 4)
    write(tmp_path / "data" / "train-00001-of-00002.parquet", pictures[8:14], [0, 1] * 3)
    write(tmp_path / "data" / "test-00000-of-00001.parquet", pictures[14:], [1, 0] * 3)
    source = recognise(tmp_path)
    assert source.kind == "Parquet files"
    assert source.classes == ("ant", "bee")
    by_id = {sample.sample_id: sample for sample in source.samples}
    assert len(by_id) == 20
    sample = by_id["data/train-00001-of-00002.parquet#5"]
    assert (sample.split, sample.label) == ("train", "bee")
    found = source.read(sample, None).pixels
    np.testing.assert_array_equal(found, decode(pictures[13], "").pixels)
    assert by_id["data/test-00000-of-00001.parquet#0"].label == "bee"
    assert by_id["data/test-00000-of-00001.parquet#0"].split == "test"


def test_any_order_and_threads_give_the_same(tmp_path, pictures):
    write(tmp_path / "a.parquet", pictures, [0, 1] * 10)
    source = recognise(tmp_path / "a.parquet")
    order = np.random.default_rng(0).permutation(20).tolist() * 5
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda row: source.read(source.samples[row], None).pixels, order))
    for row, pixels in zip(order, found, strict=True):
        np.testing.assert_array_equal(pixels, decode(pictures[row], "").pixels)


def test_few_row_groups_are_in_memory(tmp_path, pictures):
    from vitreous.data.parquet import GROUPS_IN_MEMORY, ParquetPictures

    write(tmp_path / "a.parquet", pictures, [0, 1] * 10, row_group_size=2)
    reader = ParquetPictures(tmp_path / "a.parquet", "image", list(range(0, 20, 2)))
    assert [reader.cell(row) for row in range(20)] == pictures
    assert len(reader.cached) == GROUPS_IN_MEMORY


@pytest.mark.parametrize(
    ("labels", "task", "kind", "first"),
    [
        (["x", "y"] * 10, None, "class", "x"),
        ([["x"], ["y", "x"]] * 10, None, "classes", ("x",)),
        ([0.25, 1.5] * 10, "regress", "number", 0.25),
        ([3, 8] * 10, None, "class", "3"),
    ],
)
def test_plain_columns(tmp_path, pictures, labels, task, kind, first):
    columns = {"picture": pictures, "target": labels, "patient": [f"p{n // 2}" for n in range(20)]}
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    source = recognise(tmp_path, task=task)
    assert (source.label_kind, source.samples[0].label) == (kind, first)
    assert [s.group for s in source.samples][:4] == ["p0", "p0", "p1", "p1"]
    assert source.read(source.samples[19], None).pixels.shape == (24, 32, 3)


def test_missing_labels_and_pictures_are_named(tmp_path, pictures):
    cells = [*pictures[:18], None, b"no picture"]
    labels = [None, *["x", "y"] * 9, "x"]
    pq.write_table(pa.table({"image": cells, "label": labels}), tmp_path / "a.parquet")
    source = recognise(tmp_path / "a.parquet")
    assert [(item.path, item.reason) for item in source.skipped] == [("a.parquet#0", "no label")]
    with pytest.raises(DataError, match=r"^a.parquet#18: no bytes in column 'image'"):
        source.read(source.samples[17], None)
    with pytest.raises(DataError, match=r"^a.parquet#19: not a picture: text"):
        source.read(source.samples[18], None)


def test_columns_by_name(tmp_path, pictures):
    columns = {"img": pictures, "kind": ["x", "y"] * 10, "site": [1, 2] * 10}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no label column among img, kind, site; say which"):
        recognise(tmp_path)
    source = recognise(tmp_path, label="kind", group="site")
    assert source.samples[1].group == "2"
    with pytest.raises(RequestError, match="did you mean 'site'"):
        recognise(tmp_path, label="kind", group="sit")


def test_files_that_cannot_be_used(tmp_path, pictures):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(DataError, match=r"a.parquet: not readable as Parquet"):
        recognise(tmp_path)
    pq.write_table(pa.table({"x": [1, 2], "label": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column of encoded pictures \(bytes\) among x, label"):
        recognise(tmp_path)
    write(tmp_path / "train.parquet", pictures, [0, 1] * 10)
    write(tmp_path / "a.parquet", pictures, [0, 1] * 10)
    with pytest.raises(DataError, match=r"a.parquet: names no split, while others beside it do"):
        recognise(tmp_path)
