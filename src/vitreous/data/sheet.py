"""A contact sheet: pictures of a data set with their labels drawn on them."""

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.checks import classes_of
from vitreous.data.letterbox import match_channels
from vitreous.data.masks.mask_label import IGNORE, MaskLabel
from vitreous.data.pictures import reason_of
from vitreous.data.samples import Sample, Source
from vitreous.data.split_table import label_text
from vitreous.errors import DataError, RequestError
from vitreous.files import write_bytes

PICTURES = 24
COLUMNS = 4
SIDE = 360  # pixels of a picture's longer side on the sheet
CAPTION = 20
MARGIN = 8
COVER = 0.5  # how much of the picture a mask hides

Colour = tuple[int, int, int]

# Okabe and Ito's colours, which people with the usual colour blindness tell apart; more by hue
FIRST_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """What was drawn: the picture, and the paths of the samples on it, row by row."""

    image: Image.Image
    paths: tuple[str, ...]


def class_colours(count: int) -> tuple[Colour, ...]:
    """A colour for each of so many classes, always the same for the same place."""
    more = max(0, count - len(FIRST_COLOURS))
    turns = [(0.61803398875 * (place + 1)) % 1 for place in range(more)]  # the golden ratio
    made = [colorsys.hsv_to_rgb(turn, 0.65, 0.95) for turn in turns]
    rest = [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in made]
    return (*FIRST_COLOURS, *rest)[:count]


def write_sheet(source: Source, path: Path, pictures: int = PICTURES) -> Sheet:
    """Draw a sheet of an even spread of samples, with every class on it, and write it as PNG.

    Raises `RequestError` where `path` is no PNG's name.
    """
    if path.suffix.lower() != ".png":
        raise RequestError(f"--sheet {path}: call it .png")
    sheet = draw_sheet(source, pictures)
    content = io.BytesIO()
    sheet.image.save(content, "PNG")
    write_bytes(path, content.getvalue())
    return sheet


def draw_sheet(source: Source, pictures: int = PICTURES) -> Sheet:
    """The sheet of a source: chosen samples with their labels, and the classes' colours below."""
    chosen = _chosen(source, pictures)
    cells = [_cell(source, sample) for sample in chosen]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = MARGIN + COLUMNS * (SIDE + MARGIN)
    legend = _legend(source.classes, width)
    sheet = Image.new("RGB", (width, sum(heights) + MARGIN * (len(rows) + 1) + legend.height),
                      "white")  # fmt: skip
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + column * (SIDE + MARGIN), top))
        top += height + MARGIN
    sheet.paste(legend, (0, top))
    return Sheet(sheet, tuple(sample.path for sample in chosen))


def _chosen(source: Source, count: int) -> list[Sample]:
    """An even spread over the samples, and one for each class that it lacks, in their order."""
    samples = source.samples
    rows = {int(row) for row in np.linspace(0, len(samples) - 1, min(count, len(samples)))}
    shown = {name for row in rows for name in classes_of(samples[row].label, source.classes)}
    lacking = set(source.classes) - shown
    extra: list[int] = []
    for row, sample in enumerate(samples):
        new = lacking & classes_of(sample.label, source.classes)
        if new and len(extra) < count // 2:
            extra.append(row)
            lacking -= new
    kept = sorted(rows - set(extra))[: max(0, count - len(extra))]
    return [samples[row] for row in sorted({*kept, *extra})]


def _cell(source: Source, sample: Sample) -> Image.Image:
    try:
        picture = source.read(sample, None)
    except DataError as error:
        return _captioned(Image.new("RGB", (SIDE, SIDE // 2), "lightgrey"),
                          f"{sample.path}: {reason_of(error, sample.path)}")  # fmt: skip
    image = Image.fromarray(match_channels(picture.pixels, 3))
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    colours = class_colours(len(source.classes))
    if isinstance(sample.label, MaskLabel) and source.read_mask is not None:
        image = covered(image, source.read_mask(sample), colours)
    image = image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
    text = f"{sample.split or ''} {sample.path} {label_text(sample.label)}".strip()
    if isinstance(sample.label, Boxes):
        _draw_boxes(image, sample.label, source.classes, colours, scale)
        text = f"{text} ({len(sample.label)})"
    return _captioned(image, text)


def covered(image: Image.Image, mask: np.ndarray, colours: Sequence[Colour]) -> Image.Image:
    """The picture under its mask's colours; pixels of no class stay as they are."""
    table = np.zeros((256, 3), np.float32)
    table[: len(colours)] = colours
    pixels = np.asarray(image, np.float32)
    mixed = (1 - COVER) * pixels + COVER * table[mask]
    return Image.fromarray(np.where((mask == IGNORE)[..., None], pixels, mixed).astype(np.uint8))


def _draw_boxes(
    image: Image.Image,
    boxes: Boxes,
    classes: Sequence[str],
    colours: Sequence[Colour],
    scale: float,
) -> None:
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    for corners, place, crowd in zip(boxes.corners * scale, boxes.classes, boxes.crowd,
                                     strict=True):  # fmt: skip
        left, top, right, bottom = (float(corner) for corner in corners)
        colour = colours[place]
        outline = [left, top, max(left, right - 1), max(top, bottom - 1)]
        draw.rectangle(outline, outline=colour, width=1 if crowd else 2)
        name = str(classes[place])
        width = draw.textlength(name, font=font)
        draw.rectangle([left, top, left + width + 4, top + 12], fill=colour)
        draw.text((left + 2, top), name, fill=readable_on(colour), font=font)


def readable_on(colour: Colour) -> str:
    """Black or white, whichever can be read on the colour."""
    red, green, blue = colour
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"


def _captioned(image: Image.Image, text: str) -> Image.Image:
    cell = Image.new("RGB", (SIDE, image.height + CAPTION), "white")
    cell.paste(image, (0, 0))
    font = ImageFont.load_default(12)
    draw = ImageDraw.Draw(cell)
    while len(text) > 8 and draw.textlength(text, font=font) > SIDE:
        text = "..." + text[4:]  # the end of a path says more than its beginning
    draw.text((0, image.height + 3), text, fill="black", font=font)
    return cell


def _legend(classes: Sequence[str], width: int) -> Image.Image:
    """Each class's colour and name, in lines."""
    font, line, place = ImageFont.load_default(14), 24, MARGIN
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    places: list[tuple[int, int]] = []
    top = 0
    for name in classes:
        needed = 30 + int(probe.textlength(name, font=font))
        if place + needed > width and place > MARGIN:
            place, top = MARGIN, top + line
        places.append((place, top))
        place += needed
    legend = Image.new("RGB", (width, top + line + MARGIN), "white")
    draw = ImageDraw.Draw(legend)
    for (left, down), name, colour in zip(places, classes, class_colours(len(classes)),
                                          strict=True):  # fmt: skip
        draw.rectangle([left, down + 4, left + 14, down + 18], fill=colour)
        draw.text((left + 18, down + 2), name, fill="black", font=font)
    return legend
