"""Boxes as the files have them, before anything is checked: what every reader gives."""

from dataclasses import dataclass, field
from pathlib import Path

from vitreous.data.samples import LabelProblem, Skipped, Split


@dataclass(frozen=True, slots=True)
class Annotation:
    """One box. Corners are pixels, or shares of the sides where the reading is `normalised`."""

    name: str  # of its class
    left: float
    top: float
    right: float
    bottom: float
    place: str  # where in the file: "object 3", "line 5"
    difficult: bool = False
    crowd: bool = False
    area: float | None = None  # square pixels of the thing itself


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture and the file that says what is on it."""

    path: str  # the picture's, POSIX, relative to the data root
    file: str  # the label's
    annotations: tuple[Annotation, ...]
    split: Split | None = None
    group: str | None = None
    size: tuple[int, int] | None = None  # height, width that the label's file gives


@dataclass
class Reading:
    """What a reader found: pictures with boxes, in its order, and what it could not use."""

    kind: str  # e.g. "Pascal VOC"
    why: str  # what was seen, for people
    pictures: list[Annotated]
    classes: tuple[str, ...] | None = None  # in the file's order; None: those that occur, sorted
    normalised: bool = False  # corners are shares of width and height
    skipped: list[Skipped] = field(default_factory=list)
    problems: list[LabelProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)  # that hold labels
