"""Scans as pictures: three planes through a point, seen as radiologists see them.

Axial from the feet, coronal from the front: the patient's left is on the viewer's right, with
letters at the borders that say so. Sagittal: the front is on the left.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vitreous.data.masks.mask_label import IGNORE, MaskLabel
from vitreous.data.samples import Sample, Source
from vitreous.data.sheet import class_colours
from vitreous.data.volumes.volume import Volume
from vitreous.errors import DataError, RequestError
from vitreous.files import write_bytes

PLANES = ("axial", "coronal", "sagittal")
SCANS = 12
SIDE = 220  # pixels of the longest edge of a plane
MARGIN, CAPTION = 8, 20
COVER = 0.45  # how much of the scan a structure hides
LETTERS = {  # left, right, top, bottom of each plane
    "axial": "RLAP",
    "coronal": "RLSI",
    "sagittal": "APSI",
}
AXIS = {"axial": 0, "coronal": 1, "sagittal": 2}


def plane(values: NDArray, name: str, index: int) -> NDArray:
    """One slice of values (depth, height, width) laid as it is looked at, (rows, columns).

    The axes grow to the head, the front and the right; pictures grow down and to the right.
    """
    if name == "axial":
        return values[index, ::-1, ::-1]  # rows to the back, columns to the left
    if name == "coronal":
        return values[::-1, index, ::-1]  # rows to the feet, columns to the left
    if name == "sagittal":
        return values[::-1, ::-1, index]  # rows to the feet, columns to the back
    raise RequestError(f"unknown plane '{name}'; known: {', '.join(PLANES)}")


def plane_spacing(spacing_mm: Sequence[float], name: str) -> tuple[float, float]:
    """Millimetres of a row and of a column in `plane`'s picture."""
    depth, height, width = spacing_mm
    return {"axial": (height, width), "coronal": (depth, width), "sagittal": (depth, height)}[name]


def windowed(values: NDArray, window: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Values brought to 0 ... 255: by a window (least, greatest), else the 1st and 99th %."""
    low, high = window or tuple(np.percentile(values, (1.0, 99.0)))
    scale = 255.0 / max(float(high) - float(low), 1e-12)
    return np.clip((values - float(low)) * scale, 0, 255).astype(np.uint8)


def point_of_interest(mask: NDArray[np.uint8] | None, shape: Sequence[int]) -> tuple[int, int, int]:
    """The voxel whose three planes show most: where most of the labelled voxels lie."""
    if mask is not None and ((mask > 0) & (mask != IGNORE)).any():
        inside = (mask > 0) & (mask != IGNORE)
        first, second, third = (
            int(np.argmax(inside.sum(axis=tuple(a for a in range(3) if a != axis))))
            for axis in range(3)
        )
        return first, second, third
    return shape[0] // 2, shape[1] // 2, shape[2] // 2


def three_planes(
    volume: Volume,
    mask: NDArray[np.uint8] | None,
    classes: int,
    point: tuple[int, int, int] | None = None,
    side: int = SIDE,
) -> Image.Image:
    """Axial, coronal and sagittal planes through a point, side by side, in right proportions.

    `mask` (depth, height, width) is laid over in the classes' colours, but for class 0.
    """
    values = volume.values[0]
    point = point or point_of_interest(mask, values.shape)
    window = (float(np.percentile(values, 1.0)), float(np.percentile(values, 99.0)))
    longest = max(
        size * mm for size, mm in zip(values.shape, volume.spacing_mm, strict=True)
    )  # mm, shown as `side` pixels, so that all planes have one scale
    cells = []
    for name in PLANES:
        picture = windowed(plane(values, name, point[AXIS[name]]), window)
        colours = np.repeat(picture[..., None], 3, axis=2)
        if mask is not None:
            colours = covered(colours, plane(mask, name, point[AXIS[name]]), classes)
        row_mm, column_mm = plane_spacing(volume.spacing_mm, name)
        size = (
            max(1, round(picture.shape[1] * column_mm * side / longest)),
            max(1, round(picture.shape[0] * row_mm * side / longest)),
        )
        cells.append(
            _lettered(Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC), name)
        )
    height = max(cell.height for cell in cells)
    sheet = Image.new("RGB", (sum(c.width for c in cells) + 2 * MARGIN, height), "black")
    left = 0
    for cell in cells:
        sheet.paste(cell, (left, (height - cell.height) // 2))
        left += cell.width + MARGIN
    return sheet


def covered(colours: NDArray[np.uint8], mask: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """A picture (rows, columns, 3) under the colours of its structures; class 0 is left free."""
    table = np.zeros((256, 3), np.float32)
    table[1:classes] = class_colours(classes)[1:]
    shown = ((mask > 0) & (mask != IGNORE))[..., None]
    mixed = (1 - COVER) * colours + COVER * table[mask]
    return np.where(shown, mixed, colours).astype(np.uint8)


def _lettered(image: Image.Image, name: str) -> Image.Image:
    """The plane with letters at its four borders."""
    framed = Image.new("RGB", (image.width + 24, image.height + 28), "black")
    framed.paste(image, (12, 14))
    draw, font = ImageDraw.Draw(framed), ImageFont.load_default(11)
    left, right, top, bottom = LETTERS[name]
    middle_x, middle_y = framed.width / 2, framed.height / 2
    for letter, place, anchor in (
        (left, (1, middle_y), "lm"),
        (right, (framed.width - 1, middle_y), "rm"),
        (top, (middle_x, 0), "mt"),
        (bottom, (middle_x, framed.height - 1), "mb"),
    ):
        draw.text(place, letter, fill="yellow", font=font, anchor=anchor)
    return framed


def write_volume_sheet(source: Source, path: Path, scans: int = SCANS) -> tuple[str, ...]:
    """Draw three planes of an even spread of scans and write them as PNG; the sample ids drawn.

    Raises `RequestError` where `path` is no PNG's name.
    """
    if path.suffix.lower() != ".png":
        raise RequestError(f"--sheet {path}: call it .png")
    samples = source.samples
    rows = sorted({int(row) for row in np.linspace(0, len(samples) - 1, min(scans, len(samples)))})
    cells = [_cell(source, samples[row]) for row in rows]
    lines = [cells[start : start + 2] for start in range(0, len(cells), 2)]
    heights = [max(cell.height for cell in line) for line in lines]
    width = max(sum(cell.width + MARGIN for cell in line) for line in lines) + MARGIN
    legend = _legend(source.classes, width) if source.label_kind == "mask" else None
    below = legend.height if legend else 0
    sheet = Image.new("RGB", (width, sum(heights) + MARGIN * (len(lines) + 1) + below), "white")
    top = MARGIN
    for line, height in zip(lines, heights, strict=True):
        left = MARGIN
        for cell in line:
            sheet.paste(cell, (left, top))
            left += cell.width + MARGIN
        top += height + MARGIN
    if legend:
        sheet.paste(legend, (0, top))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_bytes(path, content.getvalue())
    return tuple(samples[row].sample_id for row in rows)


def _cell(source: Source, sample: Sample) -> Image.Image:
    volumes = source.volumes
    assert volumes is not None
    try:
        volume = volumes.read(sample)
        masked = isinstance(sample.label, MaskLabel)
        mask = volumes.read_label(sample) if masked else None
    except DataError as error:
        return _captioned(Image.new("RGB", (3 * SIDE, SIDE // 2), "lightgrey"), str(error))
    picture = three_planes(volume, mask, len(source.classes))
    label = "" if masked or sample.label is None else f" {sample.label}"
    return _captioned(picture, f"{sample.path}{label}")


def _captioned(image: Image.Image, text: str) -> Image.Image:
    cell = Image.new("RGB", (image.width, image.height + CAPTION), "white")
    cell.paste(image, (0, 0))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(12)
    while len(text) > 8 and draw.textlength(text, font=font) > image.width:
        text = "..." + text[4:]
    draw.text((0, image.height + 3), text, fill="black", font=font)
    return cell


def _legend(classes: Sequence[str], width: int) -> Image.Image:
    legend = Image.new("RGB", (width, 24), "white")
    draw, font, left = ImageDraw.Draw(legend), ImageFont.load_default(14), MARGIN
    for name, colour in zip(classes[1:], class_colours(len(classes))[1:], strict=True):
        draw.rectangle([left, 4, left + 14, 18], fill=colour)
        draw.text((left + 18, 2), name, fill="black", font=font)
        left += 36 + int(draw.textlength(name, font=font))
    return legend
