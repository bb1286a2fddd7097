"""Masks drawn from COCO's polygons and run lengths: each pixel gets the class of what lies there.

Where things lie on one another, the smaller one is on top, so that nothing is hidden by a larger.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.boxes.coco import (
    CocoFile,
    CocoPicture,
    class_names,
    read_coco_file,
    unlisted,
    without_name,
)
from vitreous.data.folders import Progress, Tree, file_reader
from vitreous.data.masks.mask_label import MOST_CLASSES, MaskLabel
from vitreous.data.masks.shapes import region_of
from vitreous.data.masks.source import mask_warnings
from vitreous.data.pictures import read_header, reason_of
from vitreous.data.samples import Sample, Skipped, Source
from vitreous.data.split_names import settle_splits
from vitreous.data.threads import map_in_order
from vitreous.errors import DataError

BACKGROUND = "background"


def read_coco_masks(
    tree: Tree, files: list[str], max_pixels: int, on_progress: Progress | None = None
) -> Source:
    """COCO files as masks: class 0 is background, then the categories in their order.

    Every picture's regions are drawn once to be checked and counted, and again when they are read.
    """
    parts = [read_coco_file(tree, file) for file in files]
    named = class_names(parts)
    classes = named if BACKGROUND in named else (BACKGROUND, *named)
    if len(classes) > MOST_CLASSES:
        raise DataError(f"{tree.root}: {len(classes)} classes; masks can have {MOST_CLASSES}")
    place = {name: number for number, name in enumerate(classes)}
    use, meaning = settle_splits({part.split for part in parts if part.split}, str(tree.root))
    skipped = list(tree.skipped)
    problems = [problem for part in parts for problem in part.problems]
    for part in parts:
        skipped += part.skipped
    skipped += unlisted(tree, parts)
    samples: list[Sample] = []
    drawings: dict[str, tuple[CocoFile, CocoPicture]] = {}
    pictures = [(part, picture) for part in parts for picture in part.pictures]

    def check(one: tuple[CocoFile, CocoPicture]) -> MaskLabel | str:
        return _label(tree, *one, place)

    found = map_in_order(check, pictures, min(4, os.cpu_count() or 1))
    for done, ((part, picture), label) in enumerate(zip(pictures, found, strict=True), start=1):
        if isinstance(label, str):
            skipped.append(Skipped(picture.path, label))
        else:
            split = use[part.split] if part.split else None
            samples.append(Sample(picture.path, picture.path, label, split))
            drawings[picture.path] = (part, picture)
        if on_progress and done % 20 == 0:
            on_progress(done, len(pictures))

    def read_mask(sample: Sample) -> np.ndarray:
        part, picture = drawings[sample.path]
        size = read_header(tree.root / sample.path, sample.path).size
        return _draw(part, picture, place, size)

    shown = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
    return Source(
        root=tree.root,
        kind="COCO regions",
        why=f"{', '.join(files)} (COCO) outlines things on {len(samples):,} pictures, drawn as "
        f"masks of {len(classes)} classes ({shown}); {meaning}",
        label_kind="mask",
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=(*(tree.root / file for file in files), *(tree.root / s.path for s in samples)),
        read=file_reader(tree.root, max_pixels),
        warnings=tuple(mask_warnings(samples, classes)),
        problems=tuple(problems),
        read_mask=read_mask,
    )


def _label(
    tree: Tree, part: CocoFile, picture: CocoPicture, place: dict[str, int]
) -> MaskLabel | str:
    """The counted mask of a picture, or why it cannot be used."""
    if unknown := without_name(part, picture):
        return unknown
    try:
        size = read_header(tree.root / picture.path, picture.path).size
    except DataError as error:
        return reason_of(error, picture.path)
    if picture.size is not None and picture.size != size:
        return (
            f"{part.file} says {picture.size[1]} wide and {picture.size[0]} high, the picture is "
            f"{size[1]} and {size[0]}: give the picture that was outlined, or correct the file"
        )
    try:
        drawn = _draw(part, picture, place, size)
    except DataError as error:
        return f"{part.file}: {error}; outline it anew or remove it"
    return MaskLabel(part.file, np.bincount(drawn.ravel(), minlength=len(place)), 0)


def _draw(
    part: CocoFile, picture: CocoPicture, place: dict[str, int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    regions = list(_regions(part, picture, place, size))
    mask = np.full(size, place.get(BACKGROUND, 0), np.uint8)
    for _, region, number in sorted(regions, key=lambda one: -one[0]):
        mask[region] = number
    return mask


def _regions(
    part: CocoFile, picture: CocoPicture, place: dict[str, int], size: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.bool_], int]]:
    annotation: dict[str, Any]
    for number, annotation in enumerate(picture.annotations):
        try:
            region = region_of(annotation.get("segmentation"), size)
        except (DataError, ValueError, TypeError) as error:
            where = f"annotation {annotation.get('id', number)}"
            raise DataError(f"{where} has {error}") from None
        yield int(region.sum()), region, place[part.names[annotation["category_id"]]]
