"""What every reader turns the disk into: samples with a label, an origin and a group."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import MaskLabel

if TYPE_CHECKING:
    from vitreous.data.recordings.trials import Trials
    from vitreous.data.volumes.reading import Volumes

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

Label = str | tuple[str, ...] | float | Boxes | MaskLabel | None
"""A class; several classes (multi-label); a number (regression); boxes around things; a mask that
gives each pixel its class; None where there is none."""

LabelKind = Literal["class", "classes", "number", "none", "boxes", "mask"]


@dataclass(frozen=True)
class Sample:
    """One picture's place and target. The pixels are read later, once, into the cache."""

    sample_id: str  # unique, stable: POSIX path under the root, or `path#index`
    path: str  # as shown to people, and relative to the data root
    label: Label = None
    split: Split | None = None  # as given by the data; None where the data gives none
    group: str | None = None  # patient, subject, slide: samples of one group stay on one side
    index: int | None = None  # place inside a container file


@dataclass(frozen=True)
class Skipped:
    """Something that looked like a sample and is not used, and why.

    `harmless` marks what systems leave behind (.DS_Store, Thumbs.db) and what the data keeps on
    purpose beside its pictures: it is listed, but not held against the data.
    """

    path: str
    reason: str
    harmless: bool = False


@dataclass(frozen=True)
class LabelProblem:
    """Something wrong inside a label, of a picture that is used all the same."""

    path: str  # the label's file, relative to the data root
    place: str  # where in it: "object 3", "line 5"; empty for the whole file
    kind: str  # what it is in general: "zero area", "swapped corners"
    reason: str  # in full: the numbers, what was done, and the remedy


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright (EXIF orientation applied).

    `pixels` is uint8 (height, width, channels) with 1 (grey) or 3 (red, green, blue) channels;
    `size` is the (height, width) that the file holds, also where the decoder made it smaller.
    """

    pixels: np.ndarray
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A data set as recognised on the disk. Made by `vitreous.data.recognise`.

    `read(sample, minimum_side)` decodes one sample; where `minimum_side` is a number, a decoder
    that can make a large picture smaller on the way (JPEG) may do so, as long as the shorter side
    keeps at least that many pixels. It raises `DataError` with the path and the reason.

    `read_mask(sample)` gives the class of each pixel, uint8 (height, width), of the upright picture
    in full size: the class's place in `classes`, or `masks.mask_label.IGNORE`.
    """

    root: Path
    kind: str  # e.g. "class folders", "train/val/test folders", "table", "IDX files"
    why: str  # one sentence for people: what was seen that led to `kind`
    label_kind: LabelKind
    classes: tuple[str, ...]  # sorted as the data has them; empty for numbers
    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...]
    files: tuple[Path, ...]  # what holds the content; their bytes make the cache's key
    read: Callable[[Sample, int | None], Picture]
    warnings: tuple[str, ...] = field(default=())  # what is odd but usable
    decoding: str = ""  # settings that change what `read` gives; part of the cache's key
    trials: "Trials | None" = None  # of recordings, which are read whole: row i is sample i
    problems: tuple[LabelProblem, ...] = ()  # inside the labels of samples that are used
    read_mask: Callable[[Sample], np.ndarray] | None = None  # where the labels are masks
    volumes: "Volumes | None" = None  # of scans: `read` gives their middle slice alone
