"""Pictures and masks of their names, as a data set: every mask is read once and checked."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from vitreous.data.folders import Progress, Tree, file_reader
from vitreous.data.masks.class_table import ClassTable, find_table
from vitreous.data.masks.files import Scan, read_stored, scan
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.masks.meaning import Meaning, meaning_of
from vitreous.data.pairing import Pairs, holds_labels, pair, split_in
from vitreous.data.pictures import read_header, reason_of
from vitreous.data.samples import Sample, Skipped, Source
from vitreous.data.split_names import settle_splits
from vitreous.data.threads import map_in_order
from vitreous.errors import DataError

MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_gt", "_L")

Checked = Scan | str
"""A mask's values, or why it and its picture cannot be used."""


def mask_pairs(tree: Tree) -> Pairs | None:
    """Pictures with masks of their names; None where at most half of the masks have a picture.

    Masks are the pictures in folders that say so: masks/, labels/, trainannot/. VOC's list of
    everything that has a mask is not needed: the masks are there.
    """
    masks = [p for p in tree.pictures if any(map(holds_labels, p.split("/")[:-1]))]
    if not masks:
        return None
    labels = set(masks)
    pictures = [p for p in tree.pictures if p not in labels and "SegmentationObject/" not in p]
    pairs = pair(pictures, masks, MASK_ENDINGS)
    return pairs if 2 * len(pairs.pairs) > len(masks) else None


def read_masks(
    tree: Tree,
    pairs: Pairs,
    *,
    table: ClassTable | None = None,
    ignore: int | None = None,
    max_pixels: int,
    on_progress: Progress | None = None,
) -> Source:
    """The data set of pictures with masks.

    `table` names the classes; without one, a table beside the data is taken, else the values
    themselves say what they are (see `meaning_of`). A picture without a mask, a mask of another
    size than its picture, and one with a value that has no name are skipped, by name.
    Raises `DataError` where the masks are no masks.
    """
    table = table or find_table(tree.root, tree.others)
    skipped = [*tree.skipped, *_left_over(pairs)]
    scans: list[tuple[str, str, Scan]] = []
    for (picture, mask), found in _scanned(tree.root, pairs.pairs, max_pixels, on_progress):
        if isinstance(found, str):
            skipped.append(Skipped(picture, f"{mask}: {found}"))
        else:
            scans.append((picture, mask, found))
    if not scans:
        raise DataError(
            f"{tree.root}: none of {len(pairs.pairs):,} masks can be used"
            + (f": {skipped[-1].path}: {skipped[-1].reason}" if skipped else "")
        )
    meaning = meaning_of((one for *_, one in scans), table, ignore, str(tree.root))
    samples = list(_samples(scans, meaning, tree.root, skipped))
    shown = ", ".join(meaning.classes[:4]) + (", ..." if len(meaning.classes) > 4 else "")
    folders = dict.fromkeys(f"{mask.split('/')[0]}/" for _, mask in pairs.pairs)
    _, split = settle_splits({s for p, _ in pairs.pairs if (s := split_in(p))}, str(tree.root))
    return Source(
        root=tree.root,
        kind="pictures and masks",
        why=f"{', '.join(folders)} hold masks of {len(samples):,} pictures by name: {meaning.why} "
        f"({shown}); {split}",
        label_kind="mask",
        classes=meaning.classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=tuple(tree.root / path for pair in pairs.pairs for path in pair),
        read=file_reader(tree.root, max_pixels),
        warnings=tuple(mask_warnings(samples, meaning.classes)),
        read_mask=_mask_reader(tree.root, meaning, max_pixels),
    )


def mask_warnings(samples: Iterable[Sample], classes: tuple[str, ...]) -> Iterator[str]:
    """Pictures of which nothing is labelled, or that show the first class alone; unused classes."""
    labels = [(s.path, s.label) for s in samples if isinstance(s.label, MaskLabel)]
    blank = [path for path, label in labels if not label.pixels.any()]
    if blank:
        yield f"{len(blank):,} masks are ignored everywhere, such as that of {blank[0]}"
    empty = [path for path, label in labels if label.pixels.any() and not label.pixels[1:].any()]
    if empty:
        yield (
            f"{len(empty):,} pictures show nothing but '{classes[0]}', such as {empty[0]}: taken "
            "as pictures with nothing on them"
        )
    total = sum((label.pixels for _, label in labels), np.zeros(len(classes), np.int64))
    if never := [classes[place] for place in np.flatnonzero(total == 0)]:
        yield f"no pixel of {', '.join(never[:8])}: such classes cannot be learned"


def _mask_reader(root: Path, meaning: Meaning, max_pixels: int) -> Callable[[Sample], np.ndarray]:
    def read_mask(sample: Sample) -> np.ndarray:
        assert isinstance(sample.label, MaskLabel)
        path = sample.label.path
        try:
            return meaning.apply(read_stored(root / path, path, max_pixels))
        except DataError as error:
            raise DataError(f"{path}: {reason_of(error, path)}") from None

    return read_mask


def _left_over(pairs: Pairs) -> Iterator[Skipped]:
    listed = any("SegmentationClass/" in mask for _, mask in pairs.pairs)
    for picture in pairs.lonely_pictures:
        if listed:  # Pascal VOC outlines some of its pictures alone
            yield Skipped(picture, "no mask of its name", harmless=True)
        else:
            reason = "no mask of its name: not labelled; a mask of background says 'nothing here'"
            yield Skipped(picture, reason)
    for mask in pairs.lonely_labels:
        yield Skipped(mask, "a mask without a picture of its name")
    for mask, found in pairs.ambiguous:
        reason = f"{' and '.join(found[:2])} have its name; say which with the folders"
        yield Skipped(mask, reason)
    used = Counter(picture for picture, _ in pairs.pairs)
    for picture, count in used.items():
        if count > 1:
            yield Skipped(picture, f"{count} masks have its name; keep one of them")


def _scanned(
    root: Path, pairs: list[tuple[str, str]], max_pixels: int, on_progress: Progress | None
) -> Iterator[tuple[tuple[str, str], Checked]]:
    once = Counter(picture for picture, _ in pairs)
    single = [pair for pair in pairs if once[pair[0]] == 1]

    def check(pair: tuple[str, str]) -> Checked:
        return _check(root, *pair, max_pixels)

    found = map_in_order(check, single, min(4, os.cpu_count() or 1))
    for done, (of, checked) in enumerate(zip(single, found, strict=True), start=1):
        yield of, checked
        if on_progress and done % 20 == 0:
            on_progress(done, len(single))


def _check(root: Path, picture: str, mask: str, max_pixels: int) -> Checked:
    try:
        found = scan(read_stored(root / mask, mask, max_pixels))
    except DataError as error:
        return reason_of(error, mask)
    try:
        size = read_header(root / picture, picture).size
    except DataError as error:
        return f"its picture: {reason_of(error, picture)}"
    if found.size == size:
        return found
    (height, width), (mask_height, mask_width) = size, found.size
    said = f"the mask is {mask_width} wide and {mask_height} high, the picture {width} and {height}"
    if found.size == size[::-1]:
        return f"{said}: turned by its EXIF orientation? save the picture upright, or turn the mask"
    return f"{said}: make the mask anew in the picture's size"


def _samples(
    scans: list[tuple[str, str, Scan]], meaning: Meaning, root: Path, skipped: list[Skipped]
) -> Iterator[Sample]:
    use, _ = settle_splits({s for p, *_ in scans if (s := split_in(p))}, str(root))
    for picture, mask, found in scans:
        given = split_in(picture)
        try:
            pixels, ignored = meaning.count(found)
        except DataError as error:
            skipped.append(Skipped(picture, f"{mask}: {error}"))
            continue
        if use and given is None:
            skipped.append(Skipped(picture, "in no part of the split", harmless=True))
            continue
        label = MaskLabel(mask, pixels, ignored)
        yield Sample(picture, picture, label, use[given] if given else None)
