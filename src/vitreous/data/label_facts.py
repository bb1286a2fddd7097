"""Boxes and masks counted: a class and a part at a time."""

import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.samples import SPLITS, Sample, Source

ALL = "all"  # the part's name where no split is given
FEWEST_NUMBERED = 10  # pictures
NEARLY_ALL = 0.9  # of the neighbours


@dataclass(frozen=True)
class LabelFacts:
    """What lies on the pictures. Parts are train, val and test, or `all`."""

    unit: str  # "boxes" or "pixels": what `amounts` counts
    pictures: dict[str, int]  # part -> pictures
    nothing: dict[str, int]  # part -> pictures with nothing on them
    amounts: dict[str, dict[str, int]]  # part -> class -> boxes or pixels
    ignored: dict[str, int]  # part -> pixels of no class; boxes that are crowds or difficult
    a_picture: tuple[float, int] | None  # boxes on a picture: median and most
    box_sides: tuple[float, float, float] | None  # pixels: least, median, greatest (root of area)

    def shares(self, part: str) -> dict[str, float]:
        """Each class's share of the part's boxes or labelled pixels."""
        total = max(sum(self.amounts[part].values()), 1)
        return {name: amount / total for name, amount in self.amounts[part].items()}


def label_facts(source: Source) -> LabelFacts | None:
    """The facts of a source whose labels say where things are; None for all others."""
    if source.label_kind not in ("boxes", "mask"):
        return None
    parts = _parts(source.samples)
    boxes = [s.label for s in source.samples if isinstance(s.label, Boxes)]
    numbers = [len(label) for label in boxes]
    areas = np.concatenate([label.areas for label in boxes]) if boxes else np.zeros(0)
    sides = np.sqrt(areas)
    return LabelFacts(
        unit="boxes" if source.label_kind == "boxes" else "pixels",
        pictures={part: len(samples) for part, samples in parts.items()},
        nothing={part: sum(map(_nothing, samples)) for part, samples in parts.items()},
        amounts={part: _amounts(samples, source.classes) for part, samples in parts.items()},
        ignored={part: sum(map(_ignored, samples)) for part, samples in parts.items()},
        a_picture=(float(np.median(numbers)), max(numbers)) if numbers else None,
        box_sides=(float(sides.min()), float(np.median(sides)), float(sides.max()))
        if len(sides)
        else None,
    )


def _parts(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.split or ALL, []).append(sample)
    return {part: found[part] for part in (*SPLITS, ALL) if part in found}


def _nothing(sample: Sample) -> bool:
    label = sample.label
    if isinstance(label, Boxes):
        return len(label) == 0
    return isinstance(label, MaskLabel) and not label.pixels[1:].any()


def _ignored(sample: Sample) -> int:
    label = sample.label
    if isinstance(label, Boxes):
        return int((label.difficult | label.crowd).sum())
    return label.ignored if isinstance(label, MaskLabel) else 0


def _amounts(samples: Iterable[Sample], classes: tuple[str, ...]) -> dict[str, int]:
    total = np.zeros(len(classes), np.int64)
    for sample in samples:
        if isinstance(sample.label, Boxes):
            total += np.bincount(sample.label.classes, minlength=len(classes))
        elif isinstance(sample.label, MaskLabel):
            total += sample.label.pixels
    return dict(zip(classes, total.tolist(), strict=True))


def copies_across(source: Source, thumbnails: Mapping[int, np.ndarray]) -> Iterator[str]:
    """A sentence about copies of a picture in two parts of the given split, where there are any.

    `thumbnails` are small pictures, uint8 (3, side, side), by the sample's place.
    """
    rows = list(thumbnails)
    sides = np.array([source.samples[row].split or "" for row in rows])
    if len(set(sides.tolist())) < 2:
        return
    from vitreous.data.leaks import find_duplicates  # brings PyTorch along

    small = np.stack([thumbnails[row] for row in rows])
    found = find_duplicates(small, np.arange(len(rows)), across=sides)
    if found:
        first, second = (
            source.samples[rows[place]].path for place in (found[0].first, found[0].second)
        )
        pairs = "1 pair" if len(found) == 1 else f"{len(found):,} pairs"
        yield (
            f"the given split leaks: {pairs} of equal or nearly equal pictures in two parts, such "
            f"as {first} and {second}; remove one of each, or give no split"
        )


def numbered_neighbours(source: Source) -> Iterator[str]:
    """A sentence where pictures are numbered one after another and may be divided at random.

    Slices of one stack and frames of one film are alike: with neighbours on both sides of a split
    the score is of remembering.
    """
    samples = source.samples
    free = all(sample.split is None and sample.group is None for sample in samples)
    if source.label_kind not in ("boxes", "mask") or not free or len(samples) < FEWEST_NUMBERED:
        return
    numbers = sorted(_numbered(sample.path) for sample in samples)
    neighbours = sum(
        one[0] == other[0] and other[1] - one[1] == 1 for one, other in itertools.pairwise(numbers)
    )
    if neighbours >= NEARLY_ALL * (len(numbers) - 1):
        yield (
            "the pictures are numbered one after another: if they are slices of one stack or "
            "frames of one film, keep neighbours on one side of the split, such as ten at a time "
            r"with --group '(.*)[0-9]\.'"
        )


def _numbered(path: str) -> tuple[str, int]:
    """A path up to the number at its stem's end, and the number; -1 where there is none."""
    stem = posixpath.splitext(path)[0]
    head = stem.rstrip("0123456789")
    return head, int(stem[len(head) :] or -1)
