"""IDX files, the format of MNIST and its family: pixels in one file, labels in another.

Format: a big-endian header 0, 0, type, number of axes, then one 32-bit length an axis
(Y. LeCun, "The MNIST database of handwritten digits").
"""

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.data.labels import Labels, labels_from_array
from vitreous.data.samples import SPLITS, Sample, Source, Split
from vitreous.data.split_names import first_split, settle_splits
from vitreous.data.stacks import Readable, array_from_stream, make_stack, map_file
from vitreous.errors import DataError

PIXELS_NAME = re.compile(r"^(?P<part>.*?)[-_.]?images[-.]idx[34][-.]ubyte(?P<gz>\.gz)?$", re.I)
CLASS_FILES = ("classes.txt", "labels.txt")
UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class IdxPair:
    """The two files of one part."""

    split: Split | None
    pixels: Path
    labels: Path


def is_idx_name(name: str) -> bool:
    """Whether a file's name is one of IDX pixels.

    >>> is_idx_name("t10k-images-idx3-ubyte.gz"), is_idx_name("train-images.idx3-ubyte")
    (True, True)
    """
    return PIXELS_NAME.match(name) is not None


def read_idx(folder: Path, root: Path, *, task: str | None = None) -> Source:
    """The IDX files of a folder. Raises `DataError` where they are broken or do not fit."""
    pairs = _pairs(folder)
    use, meaning = settle_splits({pair.split for pair in pairs if pair.split}, str(folder))
    stacks = {}
    numbers = []
    for pair in pairs:
        stack = make_stack(read_idx_array(pair.pixels), str(pair.pixels))
        part_labels = read_idx_array(pair.labels)
        if part_labels.shape != (len(stack.pixels),):
            raise DataError(
                f"{pair.labels}: {len(part_labels):,} labels for {len(stack.pixels):,} pictures "
                f"in {pair.pixels.name}; the files do not belong together"
            )
        stacks[pair.pixels.relative_to(root).as_posix()] = stack
        numbers.append(part_labels)
    names, named_by = _class_names(folder)
    labels = labels_from_array(np.concatenate(numbers), names, task, str(folder))
    files = [file for pair in pairs for file in (pair.pixels, pair.labels)]
    return Source(
        root=root,
        kind="IDX files",
        why=(
            f"{' and '.join(pair.pixels.name for pair in pairs)} with their label files hold "
            f"{sum(map(len, numbers)):,} pictures; {named_by}; {meaning}"
        ),
        label_kind=labels.kind,
        classes=labels.classes,
        samples=tuple(_samples(stacks, pairs, use, labels)),
        skipped=(),
        files=(*files, *([folder / named_by.split()[-1]] if names else [])),
        read=lambda sample, minimum_side=None: (  # noqa: ARG005
            stacks[sample.path].picture(sample.index or 0)
        ),
    )


def read_idx_array(path: Path) -> np.ndarray:
    """The array in an IDX file of unsigned bytes; mapped, or unpacked where it ends in .gz."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                shape, _ = _header(file, path)
                return array_from_stream(file, np.dtype(np.uint8), shape, str(path))
        with path.open("rb") as file:
            shape, start = _header(file, path)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: not readable: truncated or damaged ({error})") from None
    held = path.stat().st_size - start
    expected = int(np.prod(shape, dtype=np.int64))
    if held != expected:
        raise DataError(
            f"{path}: its header promises {expected:,} bytes of data {shape}, it holds {held:,}; "
            "copy or download it again"
        )
    return map_file(path, np.dtype(np.uint8), start, shape)


def _header(file: Readable, path: Path) -> tuple[tuple[int, ...], int]:
    """The array's shape and where its data start."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= 4:
        raise DataError(f"{path}: no IDX file (starts with the bytes {start.hex(' ') or 'none'})")
    if start[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: IDX data of type 0x{start[2]:02x}; unsigned bytes are understood")
    lengths = file.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise DataError(f"{path}: truncated in its header; copy or download it again")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    return shape, 4 + len(lengths)


def _pairs(folder: Path) -> list[IdxPair]:
    found: dict[str, IdxPair] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        match = PIXELS_NAME.match(path.name)
        if match is None or match["part"] in found:  # plain and .gz side by side: plain is first
            continue
        split = first_split(re.split(r"[-_.]", match["part"]))
        found[match["part"]] = IdxPair(split, path, _labels_beside(path))
    pairs = list(found.values())
    splits = [pair.split for pair in pairs]
    if len(set(splits)) < len(splits) or (None in splits and len(splits) > 1):
        names = ", ".join(pair.pixels.name for pair in pairs)
        raise DataError(f"{folder}: {names}: more than one set; give each a folder of its own")
    order = {split: number for number, split in enumerate((*SPLITS, None))}
    return sorted(pairs, key=lambda pair: order[pair.split])


def _labels_beside(pixels: Path) -> Path:
    name = re.sub("images", "labels", pixels.name, flags=re.IGNORECASE)
    name = re.sub("idx[34]", "idx1", name, flags=re.IGNORECASE)
    stem = name.removesuffix(".gz")
    for candidate in (name, stem, f"{stem}.gz"):
        if (pixels.parent / candidate).is_file():
            return pixels.parent / candidate
    raise DataError(f"{pixels}: its labels, {name}, are missing; put them beside it")


def _class_names(folder: Path) -> tuple[list[str] | None, str]:
    for name in CLASS_FILES:
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8-sig", errors="replace")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            return lines, f"class names from {name}"
    return None, "classes by number"


def _samples(
    stacks: Iterable[str],
    pairs: list[IdxPair],
    use: dict[Split, Split | None],
    labels: Labels,
) -> Iterable[Sample]:
    values = iter(labels.values)
    for path, pair in zip(stacks, pairs, strict=True):
        split = use[pair.split] if pair.split else None
        for index in range(len(read_idx_array(pair.labels))):
            yield Sample(f"{path}#{index}", path, next(values), split, index=index)
