"""From what a reader found to a data set: boxes checked against the real pictures."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vitreous.data.boxes.annotations import Annotated, Reading
from vitreous.data.boxes.boxes import NO_BOXES, Boxes, box_areas
from vitreous.data.boxes.check import REPEATED, check_box
from vitreous.data.folders import Progress, file_reader
from vitreous.data.labels import class_order
from vitreous.data.pictures import read_header, reason_of
from vitreous.data.samples import LabelProblem, Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits
from vitreous.data.threads import map_in_order
from vitreous.errors import DataError

Size = tuple[int, int]


def boxes_source(
    root: Path, reading: Reading, max_pixels: int, on_progress: Progress | None = None
) -> Source:
    """The data set of a reading. The header of every picture is read: boxes are checked against
    its true size, upright.

    A picture that is missing, unreadable, or of another size than its label says is skipped, by
    name, and one of whose boxes none can be used: it is not known to be empty. Boxes that are wrong
    are mended or left out and listed in the source's `problems`.
    Raises `DataError` where two parts of the split cannot be used.
    """
    skipped, problems = list(reading.skipped), list(reading.problems)
    once = list(_each_once(reading.pictures, skipped))
    use, meaning = settle_splits({p.split for p in once if p.split}, str(root))
    classes = reading.classes
    if classes is None:
        classes = class_order({box.name for p in once for box in p.annotations})
    number = {name: place for place, name in enumerate(classes)}
    samples: list[Sample] = []
    for picture, size in _with_sizes(root, once, on_progress):
        if isinstance(size, str):
            skipped.append(Skipped(picture.path, size))
        elif other := _other_size(picture, size):
            skipped.append(Skipped(picture.path, other))
        elif use and picture.split is None:
            reason = f"in no part of the split ({', '.join(use)})"
            skipped.append(Skipped(picture.path, reason, harmless=True))
        else:
            label = _checked(picture, size, number, reading.normalised, problems)
            if picture.annotations and not len(label):
                skipped.append(Skipped(picture.path, _none_left(picture, problems)))
                continue
            split = _used(use, picture.split)
            samples.append(Sample(picture.path, picture.path, label, split, picture.group))
    boxes = sum(len(s.label) for s in samples if isinstance(s.label, Boxes))
    shown = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
    why = f"{reading.why}: {boxes:,} boxes of {len(classes)} classes ({shown}); {meaning}"
    return Source(
        root=root,
        kind=reading.kind,
        why=why,
        label_kind="boxes",
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=(*reading.files, *(root / sample.path for sample in samples)),
        read=file_reader(root, max_pixels),
        warnings=(*reading.warnings, *summaries(problems), *_empty_pictures(samples)),
        problems=tuple(problems),
    )


def summaries(problems: Iterable[LabelProblem]) -> Iterator[str]:
    """One sentence for each kind of problem, with its number and the first one in full."""
    kinds = Counter(problem.kind for problem in problems)
    firsts = {problem.kind: problem for problem in reversed(list(problems))}
    for kind, count in kinds.most_common():
        first = firsts[kind]
        place = f", {first.place}" if first.place else ""
        yield f"{kind}: {count:,} found, such as {first.path}{place}: {first.reason}"


def _used(use: dict[Split, Split | None], split: Split | None) -> Split | None:
    return use[split] if split else None


def _each_once(pictures: Iterable[Annotated], skipped: list[Skipped]) -> Iterator[Annotated]:
    """A picture that two labels speak of is nobody's: which one is right cannot be known."""
    by_path: dict[str, list[Annotated]] = {}
    for picture in pictures:
        by_path.setdefault(picture.path, []).append(picture)
    for path, found in by_path.items():
        if len(found) == 1:
            yield found[0]
        else:
            files = " and ".join(dict.fromkeys(picture.file for picture in found))
            skipped.append(Skipped(path, f"{files} speak of it more than once; keep one of them"))


def _with_sizes(
    root: Path, pictures: list[Annotated], on_progress: Progress | None
) -> Iterator[tuple[Annotated, Size | str]]:
    """Each picture with its height and width from its header, or why that cannot be read."""

    def sizes(part: list[Annotated]) -> list[Size | str]:
        return [_size(root, picture.path) for picture in part]

    parts = [pictures[start : start + 64] for start in range(0, len(pictures), 64)]
    done = 0
    found = map_in_order(sizes, parts, min(4, os.cpu_count() or 1))
    for part, of_part in zip(parts, found, strict=True):
        yield from zip(part, of_part, strict=True)
        done += len(part)
        if on_progress:
            on_progress(done, len(pictures))


def _size(root: Path, path: str) -> Size | str:
    try:
        return read_header(root / path, path).size
    except DataError as error:
        return reason_of(error, path)


def _other_size(picture: Annotated, size: Size) -> str | None:
    """Boxes drawn on another picture than the one that is there lie in the wrong places."""
    if picture.size is None or picture.size == size or 0 in picture.size:
        return None
    (height, width), (given_height, given_width) = size, picture.size
    said = (
        f"{picture.file} says {given_width} wide and {given_height} high, "
        f"the picture is {width} and {height}"
    )
    if picture.size == size[::-1]:
        return f"{said}: turned by its EXIF orientation? save it upright, or correct the label"
    return f"{said}: give the picture that the boxes were drawn on, or correct the label"


def _checked(
    picture: Annotated,
    size: Size,
    number: dict[str, int],
    normalised: bool,
    problems: list[LabelProblem],
) -> Boxes:
    """The picture's boxes that can be used; what was found goes to `problems`."""
    kept: dict[tuple, tuple[float, bool, bool]] = {}
    for box in picture.annotations:
        checked = check_box(box, size, normalised)
        problems += [
            LabelProblem(picture.file, f"{box.place} ({box.name})", kind, reason)
            for kind, reason in checked.found
        ]
        if checked.corners is None:
            continue
        key = (*checked.corners, number[box.name])
        if key in kept:
            reason = "class and corners are those of another box: left out; remove one of them"
            problems.append(
                LabelProblem(picture.file, f"{box.place} ({box.name})", REPEATED, reason)
            )
            continue
        kept[key] = (-1.0 if box.area is None else box.area, box.difficult, box.crowd)
    return _as_boxes(kept)


def _none_left(picture: Annotated, problems: list[LabelProblem]) -> str:
    count = len(picture.annotations)
    last = problems[-1]  # this picture's: each box that is left out has one
    return (
        f"{picture.file}: none of its {count:,} boxes can be used, such as {last.place}: "
        f"{last.kind}; mend it, or remove the boxes to say 'nothing here'"
    )


def _as_boxes(kept: dict[tuple, tuple[float, bool, bool]]) -> Boxes:
    if not kept:
        return NO_BOXES
    numbers = np.array(list(kept), np.float64)
    areas, difficult, crowd = (np.array(column) for column in zip(*kept.values(), strict=True))
    corners = np.ascontiguousarray(numbers[:, :4])
    areas = np.where(areas >= 0, areas, box_areas(corners))
    return Boxes(corners, numbers[:, 4].astype(np.int64), difficult, crowd, areas)


def _empty_pictures(samples: list[Sample]) -> Iterator[str]:
    empty = [s.path for s in samples if isinstance(s.label, Boxes) and not len(s.label)]
    if empty:
        yield (
            f"{len(empty):,} pictures have a label without any box: taken as pictures with "
            f"nothing on them, such as {empty[0]}"
        )
