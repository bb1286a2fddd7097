"""Labels that say where things are: which layout of boxes or masks a folder has."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from vitreous.data.boxes.coco import is_coco, read_coco
from vitreous.data.boxes.source import boxes_source
from vitreous.data.boxes.tables import has_boxes, read_box_tables
from vitreous.data.boxes.voc import is_annotation, read_voc
from vitreous.data.boxes.yolo import is_data_yaml, label_files, read_yolo
from vitreous.data.folders import Progress, Tree, walk_tree
from vitreous.data.listing import is_hidden
from vitreous.data.masks.class_table import given_table
from vitreous.data.masks.coco import read_coco_masks
from vitreous.data.masks.source import mask_pairs, read_masks
from vitreous.data.pairing import LABEL_FOLDERS, PICTURE_FOLDERS, holds_labels
from vitreous.data.samples import Source
from vitreous.data.split_names import split_of
from vitreous.data.tables import is_table_name
from vitreous.errors import DataError, RequestError

PLACED_TASKS = ("detect", "segment")  # tasks whose labels say where
ENTRIES_LOOKED_AT = 2_000  # of a folder: signs of labels are everywhere or nowhere
SUFFIXES = (".xml", ".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, as far as it matters here."""

    task: str | None
    group: str | None  # a column of a table of boxes
    label: str | None
    classes: str | Path | Sequence[str] | None
    ignore: int | None
    max_pixels: int
    on_progress: Progress | None


def is_label_file(path: Path) -> bool:
    """Whether a file by itself describes a data set of boxes: COCO JSON, data.yaml, a table."""
    suffix = path.suffix.lower()
    return (
        (suffix == ".json" and is_coco(path))
        or (suffix in (".yaml", ".yml") and is_data_yaml(path))
        or (is_table_name(path.name) and has_boxes(path))
    )


def shows_places(folder: Path) -> bool:
    """Whether a folder's names hint at boxes or masks, so that it is worth to read them all."""
    names = list(_names(folder, 2))
    folders = {name.lower() for name, is_folder in names if is_folder}
    if folders & PICTURE_FOLDERS and folders & LABEL_FOLDERS:
        return True
    if any(holds_labels(name) and split_of(name) is None and name.lower() not in LABEL_FOLDERS
           for name in folders):  # fmt: skip
        return True  # trainannot/ beside train/
    files = [Path(name) for name, is_folder in names if not is_folder]
    return any(
        file.suffix.lower() in SUFFIXES or file.name.lower() == "_annotations.csv" for file in files
    ) or (bool(folders & LABEL_FOLDERS) and any(file.suffix == ".txt" for file in files))


def read_places(root: Path, wanted: Wanted, only: Path | None = None) -> Source | None:
    """The boxes or masks that a folder holds; None where it holds neither.

    `only` is the one file of labels that was given. Boxes go before masks where both are there and
    no task is asked for; what is not used is said. Raises `DataError` where labels are there but
    cannot be used, `RequestError` where the request does not fit them.
    """
    tree = walk_tree(root, wanted.on_progress)
    found = _found(tree, root, only)
    if wanted.task != "segment" and (source := _boxes(tree, found, wanted)):
        return source
    if wanted.task == "detect":
        raise RequestError(
            f"{root}: --task detect needs boxes: Pascal VOC XML, COCO JSON, YOLO text files with "
            "data.yaml, or a table with four corners a line"
        )
    return _masks(tree, found, wanted)


@dataclass(frozen=True)
class _Found:
    """Files of labels by their kind, relative to the root."""

    coco: list[str]
    voc: list[str]
    yaml: list[str]
    text: list[str]
    tables: list[str]


def _found(tree: Tree, root: Path, only: Path | None) -> _Found:
    others = tree.others if only is None else [only.relative_to(root).as_posix()]
    by_suffix = {
        suffix: [o for o in others if o.lower().endswith(suffix)]
        for suffix in (".json", ".xml", ".yaml", ".yml", ".csv", ".tsv")
    }
    xml = by_suffix[".xml"]
    yaml = [f for f in [*by_suffix[".yaml"], *by_suffix[".yml"]] if is_data_yaml(root / f)]
    tables = [*by_suffix[".csv"], *by_suffix[".tsv"]]
    return _Found(
        coco=[file for file in by_suffix[".json"] if is_coco(root / file)],
        voc=xml if any(is_annotation(root / file) for file in xml[:20]) else [],
        yaml=yaml,
        text=label_files(tree) if only is None or yaml else [],
        tables=[file for file in tables if has_boxes(root / file)],
    )


def _boxes(tree: Tree, found: _Found, wanted: Wanted) -> Source | None:
    if found.coco:
        coco = _one_kind_of_coco(found.coco)
        reading = read_coco(tree, coco)
        if not any(one.annotations for one in reading.pictures) and _only_regions(reading.skipped):
            return None  # outlines without boxes: masks
    elif found.voc:
        reading = read_voc(tree)
    elif found.text:
        reading = read_yolo(tree, found.yaml[0] if found.yaml else None)
    elif found.tables:
        reading = read_box_tables(tree, found.tables, wanted.group, wanted.label)
    else:
        return None
    if reading.kind != "table of boxes":
        _refuse_columns(wanted, reading.kind)
    if wanted.ignore is not None or wanted.classes is not None:
        flag = "--ignore" if wanted.ignore is not None else "--classes"
        raise RequestError(f"{flag} is for masks; {tree.root} has boxes ({reading.kind})")
    source = boxes_source(tree.root, reading, wanted.max_pixels, wanted.on_progress)
    return replace(source, why=source.why + _beside(found, reading.kind))


def _one_kind_of_coco(files: list[str]) -> list[str]:
    """COCO publishes person_keypoints and captions of the same pictures beside the instances."""
    instances = [file for file in files if "instances" in file.rsplit("/", 1)[-1]]
    return instances or files


def _only_regions(skipped: list) -> bool:
    return any("has no bbox" in item.reason for item in skipped)


def _beside(found: _Found, used: str) -> str:
    kinds = {"COCO": found.coco, "Pascal VOC": found.voc, "YOLO": found.yaml}
    others = [kind for kind, files in kinds.items() if files and kind != used]
    return f"; {' and '.join(others)} labels lie there, too, and are not used" if others else ""


def _masks(tree: Tree, found: _Found, wanted: Wanted) -> Source | None:
    pairs = mask_pairs(tree)
    if pairs is None and found.coco:
        _refuse_columns(wanted, "COCO")
        if wanted.ignore is not None or wanted.classes is not None:
            raise RequestError("COCO names its classes itself; leave out --classes and --ignore")
        files = _one_kind_of_coco(found.coco)
        return read_coco_masks(tree, files, wanted.max_pixels, wanted.on_progress)
    if pairs is None:
        if wanted.task == "segment":
            raise RequestError(
                f"{tree.root}: --task segment needs masks: images/ and masks/ with the same names, "
                "train/ and trainannot/, or COCO regions"
            )
        return None
    _refuse_columns(wanted, "masks")
    if wanted.ignore is not None and not 0 <= wanted.ignore < 1 << 16:
        raise RequestError(f"--ignore {wanted.ignore}: use a value that a mask can hold")
    return read_masks(
        tree,
        pairs,
        table=given_table(wanted.classes) if wanted.classes is not None else None,
        ignore=wanted.ignore,
        max_pixels=wanted.max_pixels,
        on_progress=wanted.on_progress,
    )


def _refuse_columns(wanted: Wanted, kind: str) -> None:
    if wanted.group:
        raise RequestError(
            f"--group '{wanted.group}': {kind} labels have no columns; give a regular expression "
            r"with one group in parentheses, such as '(slide\d+)', that is searched in the paths"
        )
    if wanted.label:
        raise RequestError(f"--label '{wanted.label}': {kind} labels have no columns")


def _names(folder: Path, levels: int) -> Iterator[tuple[str, bool]]:
    """Names of some entries and whether they are folders, so many levels deep."""
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, ENTRIES_LOOKED_AT):
                if is_hidden(entry.name):
                    continue
                is_folder = entry.is_dir()
                yield entry.name, is_folder
                if is_folder and levels > 1:
                    yield from _names(Path(entry.path), levels - 1)
    except OSError as error:
        if error.errno is None:
            raise DataError(f"{folder}: not readable") from None
