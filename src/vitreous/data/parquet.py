"""Parquet files with encoded pictures in a column, as Hugging Face data sets are published."""

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitreous.data.labels import SEPARATOR, Labels, labels_from_array, labels_from_text
from vitreous.data.pictures import MAX_PIXELS, decode
from vitreous.data.samples import Label, Picture, Sample, Skipped, Source, Split
from vitreous.data.split_names import first_split, settle_splits
from vitreous.data.tables import HEADINGS
from vitreous.errors import DataError, unknown_name

GROUPS_IN_MEMORY = 2  # row groups kept decoded: neighbours are read by neighbouring threads
LARGE_GROUP_BYTES = 1 << 30


@dataclass
class ParquetPictures:
    """One file: where its row groups start, and the few of them that are in memory."""

    path: Path
    column: str
    starts: list[int]  # first row of each row group
    cached: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def cell(self, row: int) -> bytes | None:
        """The encoded picture in a row, or None where the cell holds no bytes."""
        group = bisect_right(self.starts, row) - 1
        with self.lock:  # else each thread would read the same row group
            values = self._row_group(group)
        value = values[row - self.starts[group]].as_py()
        return value.get("bytes") if isinstance(value, dict) else value

    def _row_group(self, group: int) -> Any:
        if group not in self.cached:
            try:
                with pq.ParquetFile(self.path) as file:
                    table = file.read_row_group(group, columns=[self.column])
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{self.path}: row group {group}: {_brief(error)}") from None
            self.cached[group] = table.column(0)
        self.cached.move_to_end(group)
        while len(self.cached) > GROUPS_IN_MEMORY:
            self.cached.popitem(last=False)
        return self.cached[group]


def read_parquet(
    paths: Sequence[Path],
    root: Path,
    *,
    group: str | None = None,
    task: str | None = None,
    label: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """Parquet files of one data set; their names say the split (`train-00000-of-00002.parquet`).

    The picture column holds encoded files, as bytes or as a struct with `bytes`. Labels are read
    now, pictures a row group at a time when they are asked for. Raises `DataError`.
    """
    first = _open(paths[0])
    image = _image_column(first.schema_arrow, paths[0])
    target = _column(first.schema_arrow, "label", label, paths[0], image)
    grouping = _column(first.schema_arrow, "group", group, paths[0], image)
    if target is None:
        raise DataError(
            f"{paths[0]}: no label column among {', '.join(first.schema_arrow.names)}; "
            "say which it is with --label"
        )
    splits: list[Split | None] = [_split_in(path.name) for path in paths]
    use, meaning = settle_splits({split for split in splits if split}, str(paths[0].parent))
    if None in splits and any(splits):
        stray = paths[splits.index(None)]
        raise DataError(f"{stray}: names no split, while others beside it do; rename or move it")
    readers = {p.relative_to(root).as_posix(): _pictures(p, image) for p in paths}
    cells, groups, lengths = _columns(paths, target, grouping)
    names = _class_names(first.schema_arrow, target)
    labels = _labels(cells, names, task, f"{paths[0]}: column '{target}'")
    skipped: list[Skipped] = []
    places = _places(readers, lengths, [use[s] if s else None for s in splits])
    samples = tuple(_samples(places, labels.values, groups, skipped))

    def read(sample: Sample, minimum_side: int | None = None) -> Picture:
        content = readers[sample.path].cell(sample.index or 0)
        if content is None:
            raise DataError(f"{sample.sample_id}: no bytes in column '{image}'")
        return decode(content, sample.sample_id, minimum_side, max_pixels)

    return Source(
        root=root,
        kind="Parquet files",
        why=(
            f"{len(paths)} Parquet files with {sum(lengths):,} rows, pictures in '{image}', "
            f"labels in '{target}'" + (f", group in '{grouping}'" if grouping else "")
            + f"; {meaning}"
        ),
        label_kind=labels.kind,
        classes=labels.classes,
        samples=samples,
        skipped=tuple(skipped),
        files=tuple(paths),
        read=read,
        warnings=tuple(_large_groups(paths)),
    )  # fmt: skip


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not readable as Parquet ({_brief(error)})") from None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _pictures(path: Path, column: str) -> ParquetPictures:
    metadata = _open(path).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    return ParquetPictures(path, column, [0, *np.cumsum(sizes[:-1]).tolist()] if sizes else [])


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _holds_bytes(f.type) for f in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _image_column(schema: pa.Schema, path: Path) -> str:
    candidates = [field.name for field in schema if _holds_bytes(field.type)]
    if not candidates:
        raise DataError(
            f"{path}: no column of encoded pictures (bytes) among {', '.join(schema.names)}"
        )
    known = [name for name in candidates if name.lower() in HEADINGS["path"]]
    return (known or candidates)[0]


def _column(
    schema: pa.Schema, meaning: str, wanted: str | None, path: Path, image: str
) -> str | None:
    """A column by the user's name for it (empty: none), or by what its name says."""
    if wanted is not None:
        if wanted and wanted not in schema.names:
            raise unknown_name(f"column of {path.name}:", wanted, schema.names)
        return wanted or None
    by_name = {name.lower(): name for name in schema.names if name != image}
    known = next((by_name[word] for word in HEADINGS[meaning] if word in by_name), None)
    if known is None and meaning == "label" and len(by_name) == 1:
        return next(iter(by_name.values()))
    return known


def _split_in(name: str) -> Split | None:
    return first_split(name.replace(".", "-").replace("_", "-").split("-"))


def _columns(
    paths: Sequence[Path], target: str, grouping: str | None
) -> tuple[list[Any], list[Any], list[int]]:
    """All labels, all groups, and the rows of each file."""
    cells: list[Any] = []
    groups: list[Any] = []
    lengths = []
    for path in paths:
        wanted = [target, grouping] if grouping else [target]
        try:
            table = pq.read_table(path, columns=wanted)
            cells += table.column(target).to_pylist()
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DataError(f"{path}: not readable as Parquet ({_brief(error)})") from None
        groups += table.column(grouping).to_pylist() if grouping else [None] * table.num_rows
        lengths.append(table.num_rows)
    return cells, groups, lengths


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a ClassLabel column, from the metadata that Hugging Face's writer leaves."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        feature = json.loads(text)["info"]["features"][column]
        names = feature.get("names") or feature.get("feature", {}).get("names")
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return [str(name) for name in names] if names else None


def _labels(cells: list[Any], names: list[str] | None, task: str | None, where: str) -> Labels:
    if any(isinstance(cell, list) for cell in cells):
        lists = [[] if cell is None else cell for cell in cells]
        texts = [SEPARATOR.join(_class_text(item, names) for item in items) for items in lists]
        return labels_from_text(texts, "classify-multilabel", where)
    present = [cell for cell in cells if cell is not None]
    if names and task != "regress" and all(isinstance(cell, int) for cell in present):
        known = labels_from_array(np.array(present, dtype=np.int64), names, task, where)
        values = iter(known.values)
        filled = tuple(None if cell is None else next(values) for cell in cells)
        return Labels(known.kind, filled, known.classes)
    return labels_from_text(["" if c is None else str(c) for c in cells], task, where)


def _class_text(item: Any, names: list[str] | None) -> str:
    known = names is not None and isinstance(item, int) and 0 <= item < len(names)
    return names[item] if known and names else str(item)


def _places(
    readers: dict[str, ParquetPictures], lengths: list[int], splits: list[Split | None]
) -> Iterator[tuple[str, int, Split | None]]:
    for path, length, split in zip(readers, lengths, splits, strict=True):
        for row in range(length):
            yield path, row, split


def _samples(
    places: Iterator[tuple[str, int, Split | None]],
    labels: Sequence[Label],
    groups: Sequence[Any],
    skipped: list[Skipped],
) -> Iterator[Sample]:
    for (path, row, split), label, group in zip(places, labels, groups, strict=True):
        if label is None:
            skipped.append(Skipped(f"{path}#{row}", "no label"))
            continue
        shown = None if group is None else str(group)
        yield Sample(f"{path}#{row}", path, label, split, shown, row)


def _large_groups(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        metadata = _open(path).metadata
        sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        if sizes and max(sizes) > LARGE_GROUP_BYTES:
            yield (
                f"{path.name} has row groups of {max(sizes) / 2**30:.1f} GiB, each read whole: "
                "write it with smaller ones if memory is short"
            )
