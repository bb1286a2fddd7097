"""Many pictures of one size in one array: what its shape and its numbers mean."""

import gzip
import math
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vitreous.data.pictures import grey_to_8_bits
from vitreous.data.samples import Picture
from vitreous.errors import DataError

CHANNELS = (1, 3, 4)  # grey; red, green, blue; the same with transparency
IN_MEMORY_BYTES = 512 << 20  # larger compressed arrays are unpacked to a temporary file
CHUNK_BYTES = 16 << 20


class Readable(Protocol):
    """A stream of bytes: an open file, or a member of an archive."""

    def read(self, size: int, /) -> bytes:  # noqa: D102
        ...


@dataclass(frozen=True)
class Stack:
    """An array of n pictures, of any layout and number type that could be made sense of."""

    pixels: np.ndarray  # (n, height, width), (n, height, width, c) or (n, c, height, width)
    channels_first: bool
    to_bytes: Callable[[np.ndarray], np.ndarray]  # numbers as stored -> uint8
    meaning: str  # in words, how numbers become bytes

    def picture(self, index: int) -> Picture:
        """Picture `index`: uint8 (height, width, 1 or 3)."""
        pixels = self.to_bytes(np.asarray(self.pixels[index]))
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        elif self.channels_first:
            pixels = pixels.transpose(1, 2, 0)
        if pixels.shape[2] == 4:
            pixels = on_white(pixels)
        height, width, _ = pixels.shape
        return Picture(np.ascontiguousarray(pixels), (height, width))


def make_stack(pixels: np.ndarray, where: str) -> Stack:
    """A `Stack`, or a `DataError` that says why an array holds no pictures. `where` is shown."""
    channels_first = _channels_first(pixels.shape, where)
    to_bytes, meaning = _number_meaning(pixels, where)
    return Stack(pixels, channels_first, to_bytes, meaning)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Red, green, blue, alpha (height, width, 4) laid on white: (height, width, 3)."""
    alpha = pixels[..., 3:].astype(np.uint32)
    mixed = pixels[..., :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def array_from_stream(
    file: Readable, dtype: np.dtype, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """An array from a compressed stream; a large one goes through a temporary file to a map.

    Raises `DataError` where the stream ends early, goes on after the array, or is damaged.
    """
    expected = dtype.itemsize * math.prod(shape)
    if expected <= IN_MEMORY_BYTES:
        parts: list[bytes] = []
        _unpack(file, expected, parts.append, where, shape)
        return np.frombuffer(b"".join(parts), dtype).reshape(shape)
    with tempfile.TemporaryFile() as target:  # its space is given back when the map goes
        _unpack(file, expected, target.write, where, shape)
        target.flush()
        return np.memmap(target, dtype, "r", shape=shape)


def _unpack(
    file: Readable,
    expected: int,
    write: Callable[[bytes], object],
    where: str,
    shape: tuple[int, ...],
) -> None:
    """Pass on exactly the expected bytes, or raise."""
    received = 0
    try:
        while received <= expected and (chunk := file.read(CHUNK_BYTES)):
            received += len(chunk)
            write(chunk)
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise DataError(f"{where}: truncated or damaged ({error})") from None
    if received != expected:
        held = "more" if received > expected else f"{received:,}"
        raise DataError(
            f"{where}: its header promises {expected:,} bytes of data {shape}, it holds {held}; "
            "copy or download it again"
        )


def map_file(path: Path, dtype: np.dtype, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """An array that lies uncompressed in a file, mapped, not read. Empty ones cannot be mapped."""
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)


def _channels_first(shape: tuple[int, ...], where: str) -> bool:
    if len(shape) == 3 and min(shape[1:]) > 0:
        return False
    if len(shape) == 4 and min(shape[1:]) > 0:
        if shape[3] in CHANNELS:
            return False
        if shape[1] in CHANNELS:
            return True
        raise DataError(
            f"{where}: shape {shape} has no axis of 1, 3 or 4 channels in second or last place; "
            "volumes and other signals are no pictures"
        )
    hint = ""
    if len(shape) == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        side = math.isqrt(shape[1])
        hint = f"; if these are flattened pictures, reshape to ({shape[0]}, {side}, {side})"
    raise DataError(
        f"{where}: shape {shape} is no stack of pictures; (n, height, width), "
        f"(n, height, width, channels) or (n, channels, height, width) is{hint}"
    )


def _number_meaning(
    pixels: np.ndarray, where: str
) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """How the array's numbers become 0..255, by their type and range over the whole array."""
    kind = pixels.dtype.kind
    if pixels.dtype == np.uint8:
        return lambda values: values, "0..255 as stored"
    if kind == "b":
        return lambda values: values.astype(np.uint8) * 255, "false is 0, true is 255"
    if kind not in "uif":
        raise DataError(f"{where}: {pixels.dtype} values are no pixels; numbers are needed")
    low, high, whole = _range(pixels, where)
    if low >= 0 and high <= 255 and whole and (kind != "f" or high > 1):
        return lambda values: values.astype(np.uint8), "0..255 as stored"
    if kind == "f" and low >= 0 and high <= 1:
        return _from_unit, "0..1 becomes 0..255"
    if pixels.dtype == np.uint16:
        return grey_to_8_bits, "16 bits: 0..65535 becomes 0..255"
    signals = "; trials of signals? say their sampling rate" if pixels.ndim == 3 else ""
    normalised = f" (already normalised? leave that to the training{signals})" if low < 0 else ""
    raise DataError(
        f"{where}: {pixels.dtype} values from {low:g} to {high:g}{normalised}; "
        "whole numbers in 0..255, or numbers in 0..1, are understood"
    )


def _from_unit(values: np.ndarray) -> np.ndarray:
    return np.round(values.astype(np.float32) * 255).astype(np.uint8)


def _range(pixels: np.ndarray, where: str) -> tuple[float, float, bool]:
    """Lowest, highest, and whether all are whole numbers; in parts, for arrays on the disk."""
    low, high, whole = math.inf, -math.inf, True
    rows = max(1, CHUNK_BYTES // max(1, pixels[:1].nbytes))
    for start in range(0, len(pixels), rows):
        part = np.asarray(pixels[start : start + rows])
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise DataError(f"{where}: holds NaN or infinite values; clean them first")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        whole = whole and (part.dtype.kind != "f" or bool((part == np.round(part)).all()))
    return low, high, whole
