"""Writes tiled TIFF files tile by tile (TIFF 6.0, section 15), which Pillow does not."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHORT, LONG = 3, 4
NONE, DEFLATE = 1, 8


def write_tiled_tiff(
    path: Path,
    size: tuple[int, int],
    read: Callable[[int, int, int, int], np.ndarray],
    *,
    tile: int = 256,
    channels: int = 3,
    deflate: bool = False,
    order: str = "<",
) -> None:
    """A picture of `size` (height, width); `read(top, left, bottom, right)` gives uint8 parts of
    (height, width, channels). `order` is "<" or ">", for the bytes of its numbers.
    """
    across, down = -(-size[1] // tile), -(-size[0] // tile)
    offsets, lengths = [], []
    with path.open("wb") as file:
        file.write((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
        for row in range(down):
            for column in range(across):
                top, left = row * tile, column * tile
                part = read(top, left, min(top + tile, size[0]), min(left + tile, size[1]))
                missing = [(0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)]
                content = np.pad(part, missing, mode="edge").tobytes()
                content = zlib.compress(content, 1) if deflate else content
                offsets.append(file.tell())
                lengths.append(len(content))
                file.write(content)
        place = file.tell() + file.tell() % 2
        file.seek(place)
        file.write(_directory(size, tile, channels, deflate, offsets, lengths, order, place))
        file.seek(4)
        file.write(struct.pack(f"{order}I", place))


def _directory(
    size: tuple[int, int],
    tile: int,
    channels: int,
    deflate: bool,
    offsets: list[int],
    lengths: list[int],
    order: str,
    place: int,
) -> bytes:
    entries = [
        (256, LONG, [size[1]]), (257, LONG, [size[0]]), (258, SHORT, [8] * channels),
        (259, SHORT, [DEFLATE if deflate else NONE]), (262, SHORT, [2 if channels == 3 else 1]),
        (277, SHORT, [channels]), (284, SHORT, [1]), (322, LONG, [tile]), (323, LONG, [tile]),
        (324, LONG, offsets), (325, LONG, lengths),
    ]  # fmt: skip
    head, behind = struct.pack(f"{order}H", len(entries)), b""
    after = place + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        head += struct.pack(f"{order}HHI", tag, kind, len(values))
        if len(packed) <= 4:
            head += packed.ljust(4, b"\0")
        else:
            head += struct.pack(f"{order}I", after + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
    return head + bytes(4) + behind
