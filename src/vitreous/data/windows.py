"""Parts of a picture, read when they are needed: of large TIFF files only the blocks they lie in.

A block (a tile, or a strip) of a TIFF file is decoded by putting its bytes behind a small header of
its own, with the tags that say how it is packed: whatever Pillow can decode as a whole, it decodes
so, by the same rules (TIFF 6.0, sections 3, 15 and 22).
"""

import math
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from vitreous.data.letterbox import match_channels
from vitreous.data.pictures import MAX_PIXELS, check_pixels, decode, read_header, read_picture
from vitreous.errors import DataError

WHOLE_PIXELS = 2**24  # up to which a picture is decoded at once, whatever its format
HELD_BYTES = 96 * 2**20  # of decoded blocks, which neighbouring windows share

WIDTH, HEIGHT, COMPRESSION, ORIENTATION, PLANAR = 256, 257, 259, 274, 284
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
SHORTS = (258, COMPRESSION, 262, 266, 277, 317, 320, 338, 339, 530)
"""Bits, compression, meaning of values, order of bits, channels, predictor, palette, alpha, kind of
numbers, subsampling: as they are, for each block."""
JPEG_TABLES = 347
SHORT, LONG, UNDEFINED = 3, 4, 7


class Windows(Protocol):
    """A picture that is read part by part."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Uint8 (channels, bottom - top, right - left)."""
        ...


@dataclass(frozen=True)
class WholePicture:
    """A picture that lies in memory: uint8 (channels, height, width)."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Uint8 (channels, bottom - top, right - left), a view."""
        return self.pixels[:, top:bottom, left:right]


@dataclass(frozen=True)
class Shrunk:
    """A picture that is read part by part, in another size: each part is resized by itself."""

    picture: Windows
    size: tuple[int, int]

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Uint8 (channels, bottom - top, right - left)."""
        height, width = self.picture.size
        down, across = height / self.size[0], width / self.size[1]
        first = (math.floor(top * down), math.floor(left * across))
        last = (min(height, math.ceil(bottom * down)), min(width, math.ceil(right * across)))
        part = self.picture.read(*first, *last)
        box = (
            left * across - first[1],
            top * down - first[0],
            min(right * across, width) - first[1],
            min(bottom * down, height) - first[0],
        )
        planes = [
            np.asarray(
                Image.fromarray(plane).resize(
                    (right - left, bottom - top), Image.Resampling.BICUBIC, box=box
                )
            )
            for plane in part
        ]
        return np.stack(planes)


def open_windows(path: Path, name: str, channels: int, max_pixels: int = MAX_PIXELS) -> Windows:
    """A picture file with 1 or 3 channels, decoded at once, or a large TIFF file by its blocks.

    Only other files than TIFF are bound to `max_pixels`. Raises `DataError` as `read_picture` does,
    and for large TIFF files that cannot be read by blocks.
    """
    header = read_header(path, name)
    if header.format == "TIFF" and header.size[0] * header.size[1] > WHOLE_PIXELS:
        return TiffWindows(path, name, channels)
    picture = read_picture(path, name, None, max_pixels)
    return WholePicture(match_channels(picture.pixels, channels).transpose(2, 0, 1))


@dataclass
class TiffWindows:
    """A TIFF file's first picture by windows; its blocks are decoded one at a time."""

    path: Path
    name: str
    channels: int
    _held: "OrderedDict[int, np.ndarray]" = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        try:
            with self.path.open("rb") as file:
                self._order = file.read(2)
                file.seek(0)
                with TiffImageFile(file) as image:
                    self._tags: dict[int, Any] = {tag: image.tag_v2[tag] for tag in image.tag_v2}
        except DataError:
            raise
        except Exception as error:  # broken files make the parser raise anything
            raise DataError(f"{self.name}: damaged TIFF: {error}") from None
        self._check()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self._tags[HEIGHT]), int(self._tags[WIDTH])

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Uint8 (channels, bottom - top, right - left). Raises `DataError` for a broken block."""
        window = np.empty((self.channels, bottom - top, right - left), np.uint8)
        high, wide = self._block
        for row in range(top // high, -(-bottom // high)):
            for column in range(left // wide, -(-right // wide)):
                block = self._decoded(row * self._across + column)
                first_row, first_column = row * high, column * wide
                rows = slice(max(top, first_row), min(bottom, first_row + high))
                columns = slice(max(left, first_column), min(right, first_column + wide))
                window[:, rows.start - top : rows.stop - top,
                       columns.start - left : columns.stop - left] = block[
                    :, rows.start - first_row : rows.stop - first_row,
                    columns.start - first_column : columns.stop - first_column
                ]  # fmt: skip
        return window

    @property
    def _tiled(self) -> bool:
        return TILE_OFFSETS in self._tags

    @property
    def _block(self) -> tuple[int, int]:
        """Height and width of a block."""
        if self._tiled:
            return int(self._tags[TILE_HEIGHT]), int(self._tags[TILE_WIDTH])
        height, width = self.size
        return min(int(self._tags.get(ROWS_PER_STRIP, height)), height), width

    @property
    def _across(self) -> int:
        return -(-self.size[1] // self._block[1])

    def _check(self) -> None:
        high, wide = self._block
        height, _ = self.size
        expected = self._across * -(-height // high)
        if self._tags.get(PLANAR, 1) != 1:
            raise DataError(
                f"{self.name}: stores its channels one after the other, which cannot be read by "
                "windows; save it with interleaved channels"
            )
        if self._tags.get(ORIENTATION, 1) != 1:
            raise DataError(f"{self.name}: is turned by its orientation; save it upright")
        if high * wide > WHOLE_PIXELS:
            raise DataError(
                f"{self.name}: is stored in blocks of {high} x {wide} pixels; save it as a tiled "
                "TIFF, with tiles of 256 or 512"
            )
        if any(len(places) != expected for places in self._places()):
            raise DataError(f"{self.name}: damaged TIFF: its list of blocks is not whole")

    def _places(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        names = (TILE_OFFSETS, TILE_BYTES) if self._tiled else (STRIP_OFFSETS, STRIP_BYTES)
        first, second = (_several(self._tags.get(name, ())) for name in names)
        return first, second

    def _decoded(self, number: int) -> np.ndarray:
        """A block, uint8 (channels, rows, columns), decoded or held from before."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        offsets, lengths = self._places()
        high, wide = self._block
        if not self._tiled:
            high = min(high, self.size[0] - number * high)
        with self.path.open("rb") as file:
            file.seek(offsets[number])
            content = file.read(lengths[number])
        check_pixels((high, wide), self.name, WHOLE_PIXELS)
        picture = decode(self._alone(content, (high, wide)), self.name)
        block = match_channels(picture.pixels, self.channels).transpose(2, 0, 1)
        self._held[number] = block
        while len(self._held) > 1 and sum(each.nbytes for each in self._held.values()) > HELD_BYTES:
            self._held.popitem(last=False)
        return block

    def _alone(self, content: bytes, size: tuple[int, int]) -> bytes:
        """A TIFF file of one block."""
        order = "<" if self._order == b"II" else ">"
        entries: list[tuple[int, int, int, bytes]] = []  # tag, type, count, value

        def add(tag: int, kind: int, values: bytes | list[int]) -> None:
            code = {SHORT: "H", LONG: "I"}.get(kind, "")
            packed = values if isinstance(values, bytes) else struct.pack(
                f"{order}{len(values)}{code}", *values)  # fmt: skip
            entries.append((tag, kind, len(values), packed))

        for tag, value in ((WIDTH, size[1]), (HEIGHT, size[0]), (ROWS_PER_STRIP, size[0]),
                           (STRIP_BYTES, len(content)), (STRIP_OFFSETS, 0)):  # fmt: skip
            add(tag, LONG, [value])
        for tag in SHORTS:
            if tag in self._tags:
                values = _several(self._tags[tag])
                add(tag, SHORT, [int(value) for value in values])
        if JPEG_TABLES in self._tags:
            add(JPEG_TABLES, UNDEFINED, bytes(self._tags[JPEG_TABLES]))
        entries.sort()
        place = 8 + 2 + 12 * len(entries) + 4
        behind = b""
        directory = struct.pack(f"{order}H", len(entries))
        data_at = place + sum(len(v) + len(v) % 2 for *_, v in entries if len(v) > 4)
        for tag, kind, count, value in entries:
            if tag == STRIP_OFFSETS:
                value = struct.pack(f"{order}I", data_at)
            directory += struct.pack(f"{order}HHI", tag, kind, count)
            if len(value) <= 4:
                directory += value.ljust(4, b"\0")
            else:
                directory += struct.pack(f"{order}I", place + len(behind))
                behind += value + b"\0" * (len(value) % 2)
        header = self._order + struct.pack(f"{order}HI", 42, 8)
        return header + directory + struct.pack(f"{order}I", 0) + behind + content


def _several(value: Any) -> tuple[Any, ...]:
    """A tag's values; Pillow gives a single one by itself."""
    return value if isinstance(value, tuple) else (value,)
