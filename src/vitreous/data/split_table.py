"""`split.csv`: every sample and skipped file, where it went, and why."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.samples import SPLITS, Label, Sample, Skipped, Split
from vitreous.errors import DataError
from vitreous.files import write_bytes

SplitOrSkipped = Literal["train", "val", "test", "skipped"]
_SPLITS: tuple[SplitOrSkipped, ...] = (*SPLITS, "skipped")


@dataclass(frozen=True)
class SplitRow:
    """One line of `split.csv`; the fields are its columns."""

    sample_id: str
    path: str
    split: SplitOrSkipped
    label: str  # several classes joined by |, a number in digits, empty where there is none
    group: str
    reason: str  # why it was skipped; empty where it was not


def write_split(
    path: Path,
    samples: Sequence[Sample],
    split: Sequence[Split | None],
    skipped_rows: Mapping[int, str],
    skipped: Sequence[Skipped] = (),
) -> None:
    """Write `split.csv` atomically.

    `split` has one entry a sample, None where it is not used: its reason is in `skipped_rows`.
    `skipped` are the files that never became samples.
    """
    rows = [
        SplitRow(
            sample_id=sample.sample_id,
            path=sample.path,
            split=split[row] or "skipped",
            label=label_text(sample.label),
            group=sample.group or "",
            reason="" if split[row] else skipped_rows.get(row, "not used"),
        )
        for row, sample in enumerate(samples)
    ]
    rows += [SplitRow(file.path, file.path, "skipped", "", "", file.reason) for file in skipped]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns())
    writer.writerows(map(astuple, rows))
    # names that are no valid UTF-8 exist on disks; they are written back as the bytes they are
    write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def read_split(path: Path) -> list[SplitRow]:
    """The rows of a `split.csv`. Raises `DataError` with path and line where it is broken."""
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    if next(reader, None) != _columns():
        raise DataError(f"{path}: the first line must be {','.join(_columns())}")
    return [_row(path, reader.line_num, cells) for cells in reader]


def label_text(label: Label) -> str:
    """A label in one cell: several classes joined by |, empty for none, for boxes and masks.

    >>> label_text(("cat", "dog")), label_text(2.5), label_text(None)
    ('cat|dog', '2.5', '')
    """
    if label is None or isinstance(label, Boxes | MaskLabel):
        return ""
    return "|".join(label) if isinstance(label, tuple) else str(label)


def _columns() -> list[str]:
    return [column.name for column in fields(SplitRow)]


def _row(path: Path, line: int, cells: list[str]) -> SplitRow:
    if len(cells) != len(_columns()) or cells[2] not in _SPLITS:
        raise DataError(
            f"{path}: line {line} is broken; it needs {len(_columns())} cells with one of "
            f"{', '.join(_SPLITS)} in the third"
        )
    sample_id, shown, split, label, group, reason = cells
    return SplitRow(sample_id, shown, _SPLITS[_SPLITS.index(split)], label, group, reason)
