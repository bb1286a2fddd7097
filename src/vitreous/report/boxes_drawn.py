"""Boxes on their picture: what a detector answered, and what is true."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.sheet import Colour, class_colours, readable_on
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.evaluation.box_mistakes import KINDS, BoxOutcomes

LONGEST_SIDE = 320  # pixels of a drawn picture in the report
# Okabe and Ito's colours, which people with the usual colour blindness tell apart
RIGHT: Colour = (0, 158, 115)
WRONG: Colour = (213, 94, 0)
MISSED: Colour = (86, 180, 233)


def answers_on_picture(
    pixels: NDArray[np.uint8], answers: BoxAnswers, classes: Sequence[str]
) -> Image.Image:
    """The picture uint8 (height, width, 1 or 3) with each answer in its class's colour, named."""
    image, draw, font, width = _canvas(pixels)
    colours = class_colours(len(classes))
    for corners, place, confidence in zip(
        answers.corners[::-1], answers.classes[::-1], answers.confidences[::-1], strict=True
    ):  # the surest last, on top
        _box(draw, corners, colours[place], width)
        _label(draw, font, corners, f"{classes[place]} {confidence:.2f}", colours[place])
    return image


def truth_on_picture(
    pixels: NDArray[np.uint8], truth: Boxes, classes: Sequence[str], scale: float = 1.0
) -> Image.Image:
    """The picture with each true box in its class's colour; dashed what is not asked for."""
    image, draw, _, width = _canvas(pixels)
    colours = class_colours(len(classes))
    for corners, place, aside in zip(
        truth.corners * scale, truth.classes, truth.crowd | truth.difficult, strict=True
    ):
        (_dashed if aside else _box)(draw, corners, colours[place], width)
    return image


def judged_picture(
    pixels: NDArray[np.uint8],
    truth: Boxes,
    answers: BoxAnswers,
    outcomes: BoxOutcomes,
    classes: Sequence[str],
    scale: float = 1.0,
) -> Image.Image:
    """Truth and answer on one picture: right answers green, wrong ones orange and named by what is
    wrong, missed things blue and dashed.

    `scale` is the drawn picture's size by that of the picture that the boxes are in.
    """
    image, draw, font, width = _canvas(pixels)
    for corners, place, kind in zip(
        truth.corners * scale, truth.classes, outcomes.of_truths, strict=True
    ):
        if kind == KINDS.index("missed"):
            _dashed(draw, corners, MISSED, width)
            _label(draw, font, corners, f"{classes[place]} missed", MISSED)
    for corners, place, kind in zip(
        answers.corners * scale, answers.classes, outcomes.of_answers, strict=True
    ):
        if kind < 0:  # not sure enough to count
            continue
        right = KINDS[kind] == "right"
        _box(draw, corners, RIGHT if right else WRONG, width)
        name = str(classes[place])
        said = name if right else f"{name} {KINDS[kind]}"
        _label(draw, font, corners, said, RIGHT if right else WRONG)
    return image


def fitted(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """A picture no larger than the report draws it, and by how much it was made smaller."""
    longest = max(pixels.shape[:2])
    if longest <= LONGEST_SIDE:
        return pixels, 1.0
    scale = LONGEST_SIDE / longest
    image = _image(pixels)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)), scale


def drawn_bytes(image: Image.Image) -> bytes:
    """The drawn picture as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    return Image.fromarray(pixels[..., 0] if grey else pixels).convert("RGB")


def _canvas(pixels: NDArray[np.uint8]):
    image = _image(pixels)
    size = max(10, round(max(image.size) / 45))
    width = max(1, round(max(image.size) / 320))
    return image, ImageDraw.Draw(image), ImageFont.load_default(size), width


def _box(draw: ImageDraw.ImageDraw, corners: NDArray[np.float64], colour: Colour, width: int):
    left, top, right, bottom = (float(corner) for corner in corners)
    draw.rectangle([left, top, max(left, right - 1), max(top, bottom - 1)], outline=colour,
                   width=width)  # fmt: skip


def _dashed(draw: ImageDraw.ImageDraw, corners: NDArray[np.float64], colour: Colour, width: int):
    left, top, right, bottom = (float(corner) for corner in corners)
    dash = max(4.0, 4.0 * width)
    for start in np.arange(left, right, 2 * dash):
        end = min(start + dash, right)
        draw.line([start, top, end, top], fill=colour, width=width)
        draw.line([start, bottom - 1, end, bottom - 1], fill=colour, width=width)
    for start in np.arange(top, bottom, 2 * dash):
        end = min(start + dash, bottom)
        draw.line([left, start, left, end], fill=colour, width=width)
        draw.line([right - 1, start, right - 1, end], fill=colour, width=width)


def _label(
    draw: ImageDraw.ImageDraw,
    font,
    corners: NDArray[np.float64],
    words: str,
    colour: Colour,
) -> None:
    left, top = float(corners[0]), float(corners[1])
    box = draw.textbbox((left + 2, top), words, font=font)
    draw.rectangle([left, top, box[2] + 2, box[3] + 2], fill=colour)
    draw.text((left + 2, top), words, fill=readable_on(colour), font=font)
