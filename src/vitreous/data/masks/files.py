"""Mask files as they are stored: numbers (8 or 16 bits, palettes) or colours, never rounded."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.content import describe_content, picture_format
from vitreous.data.pictures import OPENERS, check_pixels, read_file
from vitreous.errors import DataError

EXACT = ("PNG", "TIFF", "BMP", "GIF")  # formats that keep every value


@dataclass(frozen=True)
class Stored:
    """A mask as the file has it.

    `values` (height, width) are class numbers, or colours packed as red * 65536 + green * 256 +
    blue where `coloured`. `palette` gives the packed colour of each number, where there is one.
    """

    values: NDArray[np.int64]
    coloured: bool
    palette: NDArray[np.int64] | None = None

    def as_colours(self) -> "Stored":
        """The same mask by its colours; grey ones have three equal parts."""
        if self.coloured:
            return self
        if self.palette is not None:
            return Stored(self.palette[self.values], True)
        return Stored(self.values * 0x010101, True)


def read_stored(path: Path, name: str, max_pixels: int) -> Stored:
    """A mask file's values. Raises `DataError` where it is no picture, damaged, or JPEG or WebP:
    those change values at every edge, so that classes appear there that nobody drew.
    """
    content = read_file(path, name)
    if not content:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    kind = picture_format(content)
    if kind is None:
        raise DataError(f"{name}: not a picture: {describe_content(content)}")
    if kind not in EXACT:
        raise DataError(f"{name}: a {kind} mask, whose values are not exact; save it as PNG")
    try:
        with OPENERS[kind](io.BytesIO(content)) as image:
            check_pixels(image.size[::-1], name, max_pixels)
            image.load()
            if image.mode == "P":
                palette = np.asarray(image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
                full = np.zeros((256, 3), np.int64)
                full[: len(palette)] = palette[:256]
                return Stored(np.asarray(image).astype(np.int64), False, _packed(full))
            if image.mode in ("1", "L", "I", "I;16", "I;16B"):
                return Stored(np.asarray(image).astype(np.int64), False)
            if image.mode in ("LA", "La"):
                return Stored(np.asarray(image.getchannel("L")).astype(np.int64), False)
            if image.mode in ("RGB", "RGBA"):
                return _from_colours(np.asarray(image)[..., :3])
    except DataError:
        raise
    except Exception as error:  # broken files make decoders raise anything
        said = " ".join(str(error).split()) or "the decoder gives no reason"
        raise DataError(f"{name}: damaged {kind}: {said}") from None
    raise DataError(f"{name}: a mask in the mode {image.mode}; save it as 8-bit PNG")


def _from_colours(pixels: NDArray[np.uint8]) -> Stored:
    """Colours; numbers where all three parts are equal everywhere (grey stored as colour)."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Stored(red.astype(np.int64), False)
    return Stored(_packed(pixels.astype(np.int64)), True)


@dataclass(frozen=True)
class Scan:
    """What one mask holds: its size, and the pixels of each value, by numbers and by colours."""

    size: tuple[int, int]  # height, width
    numbers: dict[int, int] | None  # None where the file has colours
    colours: dict[int, int]
    palette: bool


def scan(stored: Stored) -> Scan:
    """The values of a mask counted, so that it need not be read again to know what is on it."""
    height, width = stored.values.shape
    values = counted(stored.values)
    if stored.coloured:
        return Scan((height, width), None, values, False)
    colours: dict[int, int] = {}
    for value, pixels in values.items():
        palette = stored.palette
        colour = value * 0x010101 if palette is None else int(palette[value])
        colours[colour] = colours.get(colour, 0) + pixels
    return Scan((height, width), values, colours, stored.palette is not None)


def _packed(colours: NDArray[np.int64]) -> NDArray[np.int64]:
    return (colours[..., 0] << 16) + (colours[..., 1] << 8) + colours[..., 2]


def unpacked(value: int) -> tuple[int, int, int]:
    """Red, green and blue of a packed colour.

    >>> unpacked(0xFF8001)
    (255, 128, 1)
    """
    return value >> 16, value >> 8 & 255, value & 255


def packed(colour: tuple[int, int, int]) -> int:
    """A colour as one number."""
    return (colour[0] << 16) + (colour[1] << 8) + colour[2]


def counted(values: NDArray[np.int64]) -> dict[int, int]:
    """How many pixels each value has."""
    flat = values.ravel()
    if flat.size and int(flat.min()) >= 0 and int(flat.max()) < 1 << 16:
        counts = np.bincount(flat)
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
    present, counts = np.unique(flat, return_counts=True)
    return dict(zip(present.tolist(), counts.tolist(), strict=True))
