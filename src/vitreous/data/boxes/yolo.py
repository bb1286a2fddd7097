"""YOLO: a text file a picture, a line a box, and data.yaml with the names of the classes.

A line is: class number, then the box's middle x, middle y, width and height as shares of the
picture's width and height. Outlines (class, then x and y of each corner) give the box around them.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vitreous.data.boxes.annotations import Annotated, Annotation, Reading
from vitreous.data.folders import Tree
from vitreous.data.pairing import holds_labels, key_of, pair, split_in
from vitreous.data.pictures import read_file, reason_of
from vitreous.data.samples import Skipped, Split
from vitreous.data.split_names import SPLIT_WORDS
from vitreous.errors import DataError

NAME_FILES = ("classes.txt", "obj.names", "names.txt", "_darknet.labels")
LARGEST_FILE = 10_000_000  # bytes, of data.yaml as of one file of lines


@dataclass(frozen=True)
class Names:
    """What data.yaml or classes.txt says: names by number, and where the parts lie."""

    file: str | None  # None where no file names the classes
    classes: tuple[str, ...]
    parts: dict[Split, list[str]] = field(default_factory=dict)  # folders or lists, as written
    base: str = ""  # `path` of data.yaml


def is_data_yaml(path: Path) -> bool:
    """Whether a YAML file names classes, as YOLO's does."""
    try:
        with path.open("rb") as file:
            start = b"\n" + file.read(1 << 20)
    except OSError:
        return False
    return b"\nnames:" in start or b"\nnames :" in start


def label_files(tree: Tree) -> list[str]:
    """The text files that can be YOLO's: in a folder of labels, or with a picture of their name."""
    keys = {key_of(picture) for picture in tree.pictures}
    return [
        other
        for other in tree.others
        if other.lower().endswith(".txt")
        and posixpath.basename(other).lower() not in NAME_FILES
        and (any(map(holds_labels, other.split("/")[:-1])) or key_of(other) in keys)
    ]


def read_yolo(tree: Tree, yaml_file: str | None) -> Reading:
    """The text files of a folder with their pictures and names.

    An empty text file says that nothing is on a picture; a missing one says nothing, so such a
    picture is skipped, by name. Raises `DataError` where data.yaml cannot be used.
    """
    files = label_files(tree)
    names = _read_names(tree, yaml_file)
    pairs = pair(tree.pictures, files)
    warnings: list[str] = []
    place = _parts_of(tree, names, warnings)
    skipped = list(tree.skipped)
    pictures: list[Annotated] = []
    highest = -1
    for picture, file in pairs.pairs:
        split = place(picture)
        try:
            lines = list(_lines(read_file(tree.root / file, file), names))
        except DataError as error:
            skipped.append(Skipped(picture, f"{file}: {reason_of(error, file)}"))
            continue
        highest = max([highest, *(number for number, _ in lines)])
        pictures.append(Annotated(picture, file, tuple(box for _, box in lines), split))
    for picture in pairs.lonely_pictures:
        reason = "no text file of its name: not labelled; an empty one says 'nothing here'"
        skipped.append(Skipped(picture, reason))
    skipped += [Skipped(x, "a label without a picture of its name") for x in pairs.lonely_labels]
    skipped += [
        Skipped(file, f"{' and '.join(found[:2])} have its name; say which with the folders")
        for file, found in pairs.ambiguous
    ]
    unnamed = names.file is None
    classes = tuple(f"class {n}" for n in range(highest + 1)) if unnamed else names.classes
    where = f"{names.file} names {len(classes)} classes" if names.file else "no file names them"
    return Reading(
        kind="YOLO",
        why=f"{len(files):,} text files (YOLO) say what is on {len(pictures):,} pictures, {where}",
        pictures=pictures,
        classes=classes,
        normalised=True,
        skipped=skipped,
        warnings=warnings + (["no data.yaml or classes.txt names the classes"] if unnamed else []),
        files=[tree.root / f for f in ([names.file] if names.file else []) + [f for _, f in
               pairs.pairs]],
    )  # fmt: skip


def _read_names(tree: Tree, yaml_file: str | None) -> Names:
    if yaml_file is not None:
        return _from_yaml(tree.root, yaml_file)
    for other in tree.others:
        if posixpath.basename(other).lower() in NAME_FILES:
            text = read_file(tree.root / other, other).decode("utf-8-sig", "replace")
            return Names(other, tuple(line.strip() for line in text.splitlines() if line.strip()))
    return Names(None, ())


def _from_yaml(root: Path, file: str) -> Names:
    where = root / file
    content = read_file(where, str(where))
    if len(content) > LARGEST_FILE:
        raise DataError(f"{where}: {len(content):,} bytes are too many for a data.yaml")
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{where}: not readable as YAML ({said}); mend it") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds no keys; it needs names, and train, val and test")
    classes = _classes(value.get("names"), str(where))
    count = value.get("nc")
    if isinstance(count, int) and count != len(classes):
        raise DataError(f"{where}: nc is {count}, but names has {len(classes)}; correct one")
    parts: dict[Split, list[str]] = {}
    for word, split in SPLIT_WORDS.items():
        found = value.get(word)
        listed = found if isinstance(found, list) else [found]
        if found and split not in parts:
            parts[split] = [str(item) for item in listed]
    base = value.get("path")
    return Names(file, classes, parts, str(base) if isinstance(base, str) else "")


def _classes(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        if sorted(value, key=str) != sorted(range(len(value)), key=str):
            raise DataError(f"{where}: names must be numbered 0 to {len(value) - 1}; correct them")
        value = [value[number] for number in range(len(value))]
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: has no names; list them in the order of their numbers")
    names = tuple(str(name) for name in value)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: the class '{twice}' stands there twice; rename one")
    return names


def _parts_of(tree: Tree, names: Names, warnings: list[str]) -> Callable[[str], Split | None]:
    """A function from a picture to its split: by data.yaml's folders and lists, else by folders."""
    folder = posixpath.dirname(names.file) if names.file else ""
    folders: dict[str, Split] = {}
    listed: dict[str, Split] = {}
    known = set(tree.others)
    everything = [*tree.pictures, *tree.others]
    for split, written in names.parts.items():
        for one in written:
            path = _found(one, names.base, folder, everything)
            if path in known:
                listed |= dict.fromkeys(_listed(tree, path, names.base, folder), split)
            elif path is not None:
                folders[path] = split
            elif split == "train" and not any(split_in(p) == split for p in tree.pictures):
                where = tree.root / (names.file or "")
                raise DataError(f"{where}: {split}: {one} is not there; correct the path")
            else:
                warnings.append(f"{names.file}: {split}: {one} is not there: not used")

    def part(picture: str) -> Split | None:
        if picture in listed:
            return listed[picture]
        found = [f for f in folders if not f or picture.startswith(f"{f}/")]
        return folders[max(found, key=len)] if found else split_in(picture)

    return part


def _found(written: str, base: str, folder: str, everything: list[str]) -> str | None:
    """The folder or file, relative to the root, that data.yaml means; tools write it in many ways.

    Tried as it stands, below `path`, and from its end: `../train/images` and `/home/me/set/train`.
    """
    parts = [p for p in written.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    starts = [posixpath.join(folder, base), folder]
    tries = [posixpath.normpath(posixpath.join(start, "/".join(parts))) for start in starts]
    tries += ["/".join(parts[place:]) for place in range(1, len(parts))]
    for path in tries:
        if any(one == path or one.startswith(f"{path}/") for one in everything):
            return path
    return None


def _listed(tree: Tree, file: str, base: str, folder: str) -> Iterator[str]:
    """The pictures that a list names, a path a line."""
    known = set(tree.pictures)
    for line in read_file(tree.root / file, file).decode("utf-8", "replace").splitlines():
        if line.strip() in known:
            yield line.strip()
        elif line.strip() and (path := _found(line.strip(), base, folder, tree.pictures)):
            yield path


def _lines(content: bytes, names: Names) -> Iterable[tuple[int, Annotation]]:
    if len(content) > LARGEST_FILE:
        raise DataError(f"{len(content):,} bytes are too many for the boxes of one picture")
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        place = f"line {number}"
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            raise DataError(f"{place} holds '{line.strip()[:40]}': numbers are needed") from None
        outline = len(values) >= 7 and len(values) % 2 == 1
        if len(values) != 5 and not outline:
            raise DataError(
                f"{place} has {len(values)} numbers; a box is class, middle x, middle y, width, "
                "height"
            )
        kind = int(values[0]) if values[0] == round(values[0], 0) else -1
        if kind < 0 or (names.file is not None and kind >= len(names.classes)):
            known = f"{names.file} names 0 to {len(names.classes) - 1}" if names.file else "from 0"
            raise DataError(
                f"class number without a name: {place} has class {cells[0]}, and {known}; "
                "add its name there, or correct the number"
            )
        name = names.classes[kind] if names.file is not None else f"class {kind}"
        yield kind, Annotation(name, *_corners(values[1:]), place)


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    if len(values) > 4:
        x, y = values[0::2], values[1::2]
        return min(x), min(y), max(x), max(y)
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
