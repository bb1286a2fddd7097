"""COCO: one JSON file a part, with pictures, boxes and categories by number.

T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014, and the format's page at
cocodataset.org: bbox is left, top, width and height in pixels from 0; `iscrowd` marks one box
around many things; `area` is that of the thing itself.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from vitreous.data.boxes.annotations import Annotated, Annotation, Reading
from vitreous.data.boxes.json_file import read_label_json
from vitreous.data.folders import Tree
from vitreous.data.labels import class_order
from vitreous.data.samples import LabelProblem, Skipped, Split
from vitreous.data.split_names import first_split
from vitreous.errors import DataError

WITHOUT_PICTURE = "label without a picture"


@dataclass(frozen=True)
class CocoPicture:
    """One entry of `images` that lies on the disk, with its annotations as they stand there."""

    path: str
    size: tuple[int, int] | None  # height, width
    annotations: list[dict[str, Any]]


@dataclass(frozen=True)
class CocoFile:
    """A file's pictures and the names of its categories by number."""

    file: str  # relative to the data root
    split: Split | None
    names: dict[int, str]
    pictures: list[CocoPicture]
    skipped: list[Skipped]
    problems: list[LabelProblem]


def is_coco(path: Path) -> bool:
    """Whether a JSON file begins as COCO's do, by the keys in its first 64 kB."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError:
        return False
    pictures = b'"images"' in start and b'"file_name"' in start
    return pictures or (b'"image_id"' in start and b'"category_id"' in start)


def read_coco(tree: Tree, files: list[str]) -> Reading:
    """COCO files of one data set, a part each, with the pictures that they name."""
    parts = [read_coco_file(tree, file) for file in files]
    if len(parts) > 1 and any(part.split is None for part in parts):
        unclear = next(part.file for part in parts if part.split is None)
        raise DataError(
            f"{tree.root / unclear}: {len(parts)} COCO files, and its name says no part of the "
            "split; call it train, val or test, or give one file alone"
        )
    reading = Reading(
        kind="COCO",
        why="",
        pictures=[],
        classes=class_names(parts),
        skipped=list(tree.skipped),
        files=[tree.root / file for file in files],
    )
    for part in parts:
        reading.skipped += part.skipped
        reading.problems += part.problems
        for picture in part.pictures:
            if unknown := without_name(part, picture):
                reading.skipped.append(Skipped(picture.path, unknown))
                continue
            try:
                boxes = tuple(_boxes(part, picture))
            except DataError as error:
                reading.skipped.append(Skipped(picture.path, f"{part.file}: {error}"))
                continue
            reading.pictures.append(
                Annotated(picture.path, part.file, boxes, part.split, size=picture.size)
            )
    reading.skipped += unlisted(tree, parts)
    shown = ", ".join(posixpath.basename(file) for file in files)
    reading.why = f"{shown} (COCO) says what is on {len(reading.pictures):,} pictures"
    return reading


def read_coco_file(tree: Tree, file: str) -> CocoFile:
    """One file, its pictures found on the disk. Raises `DataError` where it is no COCO file."""
    value = read_label_json(tree.root / file, str(tree.root / file))
    for key in ("images", "categories"):
        if not isinstance(value.get(key), list):
            raise DataError(f"{tree.root / file}: has no list '{key}', as COCO files have")
    names = _names(value["categories"], str(tree.root / file))
    listed = value.get("annotations")
    by_picture, lost = _by_picture(listed if isinstance(listed, list) else [], value["images"])
    problems = [
        LabelProblem(file, f"annotation {number}", WITHOUT_PICTURE,
                     f"image_id {image} is not among the images: left out; add it or remove this")
        for number, image in lost
    ]  # fmt: skip
    places = _Places(tree, posixpath.dirname(file))
    pictures: list[CocoPicture] = []
    skipped: list[Skipped] = []
    for entry in value["images"]:
        named = str(entry.get("file_name", "")) if isinstance(entry, dict) else ""
        path = places.find(named)
        if path is None:
            skipped.append(Skipped(named or "a picture without file_name",
                                   f"named in {file}, but there is no such picture"))  # fmt: skip
            continue
        pictures.append(CocoPicture(path, _size(entry), by_picture.get(_key(entry), [])))
    split = first_split(part for part in _words(file))
    return CocoFile(file, split, names, pictures, skipped, problems)


def class_names(parts: Iterable[CocoFile]) -> tuple[str, ...]:
    """The categories that are used, in the order of their numbers; all where none is used.

    A category that is never used is often no class at all: exports make the project's name one.
    """
    parts = list(parts)
    numbers = {number: name for part in parts for number, name in part.names.items()}
    used = {
        part.names.get(number)
        for part in parts
        for picture in part.pictures
        for annotation in picture.annotations
        if isinstance(number := annotation.get("category_id"), int)
    }
    if len(set(numbers.values())) < len({name for part in parts for name in part.names.values()}):
        return class_order({name for name in used if name})  # files number them differently
    ordered = [numbers[number] for number in sorted(numbers)]
    return tuple(dict.fromkeys(n for n in ordered if n in used)) or tuple(dict.fromkeys(ordered))


def without_name(part: CocoFile, picture: CocoPicture) -> str | None:
    """Why a picture cannot be used whose boxes have a class number without a name."""
    for annotation in picture.annotations:
        number = annotation.get("category_id")
        if not isinstance(number, int) or number not in part.names:
            known = ", ".join(f"{key} {name}" for key, name in sorted(part.names.items())[:8])
            return (
                f"class number without a name: {part.file} gives it category_id {number!r}, which "
                f"is not among its categories ({known}); add it there, or correct the number"
            )
    return None


def unlisted(tree: Tree, parts: Iterable[CocoFile]) -> Iterable[Skipped]:
    """Pictures that lie there and that no file names."""
    known = {picture.path for part in parts for picture in part.pictures}
    for picture in tree.pictures:
        if picture not in known:
            yield Skipped(
                picture, "not named in any COCO file: not labelled; list it there, with no "
                "annotations if nothing is on it"
            )  # fmt: skip


class _Places:
    """Where the picture that a file names lies: beside the file, below the root, or by its name."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self.folder = folder
        self.known = set(tree.pictures) | set(tree.others)
        self.by_name: dict[str, list[str]] = {}
        for picture in tree.pictures:
            self.by_name.setdefault(posixpath.basename(picture), []).append(picture)

    def find(self, named: str) -> str | None:
        named = named.replace("\\", "/")
        for base in (self.folder, ""):
            path = posixpath.normpath(posixpath.join(base, named))
            if named and path in self.known:
                return path
        found = self.by_name.get(posixpath.basename(named), [])
        near = [path for path in found if path.startswith(self.folder)] or found
        return near[0] if len(near) == 1 else _of_the_same_split(near, self.folder)


def _of_the_same_split(paths: list[str], folder: str) -> str | None:
    wanted = first_split(folder.split("/"))
    same = [path for path in paths if first_split(path.split("/")) == wanted]
    return same[0] if len(same) == 1 else None


def _words(file: str) -> list[str]:
    """The words of a path, in which a split may be named: instances_train2017.json."""
    stem = posixpath.splitext(file)[0]
    for mark in "/-. ":
        stem = stem.replace(mark, "_")
    return [word.rstrip("0123456789") for word in reversed(stem.split("_"))]


def _names(categories: list[Any], where: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for entry in categories:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
            raise DataError(f"{where}: a category without a whole number as id; correct it")
        if entry["id"] in names:
            raise DataError(f"{where}: two categories have the id {entry['id']}; number them anew")
        names[entry["id"]] = str(entry.get("name") or f"class {entry['id']}")
    return names


def _by_picture(
    annotations: list[Any], images: list[Any]
) -> tuple[dict[Any, list[dict[str, Any]]], list[tuple[Any, Any]]]:
    known = {_key(entry) for entry in images if isinstance(entry, dict)}
    found: dict[Any, list[dict[str, Any]]] = {}
    lost: list[tuple[Any, Any]] = []
    for place, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            continue
        image = _key(annotation, "image_id")
        if image is not None and image in known:
            found.setdefault(image, []).append(annotation)
        else:
            lost.append((annotation.get("id", place), image))
    return found, lost


def _key(entry: dict[str, Any], name: str = "id") -> int | str | None:
    """A number or text that can be looked up; None for anything else that stands there."""
    value = entry.get(name)
    return value if isinstance(value, int | str) else None


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _boxes(part: CocoFile, picture: CocoPicture) -> Iterable[Annotation]:
    for place, entry in enumerate(picture.annotations):
        where = f"annotation {entry.get('id', place)}"
        box = entry.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise DataError(f"{where} has no bbox of four numbers; draw it or remove it")
        left, top, width, height = map(float, box)
        area = entry.get("area")
        yield Annotation(
            part.names[entry["category_id"]], left, top, left + width, top + height, where,
            crowd=bool(entry.get("iscrowd", 0)),
            area=float(area) if _is_number(area) and area > 0 else None,
        )  # fmt: skip


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
