"""Pictures and masks at the scale that a network sees, decoded once into mapped files.

All pictures of a data set are shrunk by one factor, so that a thing of a size on the slide or in
the street has one size for the network, however large its picture is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np

from vitreous.data import cache_folders
from vitreous.data.cache import (
    PixelCache,
    PixelFormat,
    default_cache_folder,
    sizes_and_channels,
)
from vitreous.data.folders import Progress
from vitreous.data.geometry import place_mask, resize
from vitreous.data.letterbox import match_channels, resized
from vitreous.data.samples import Source
from vitreous.data.threads import map_in_order
from vitreous.errors import DataError

FORMAT = 1
LONGEST_SIDE = 1024  # pixels of the median picture's longer side, beyond which all are shrunk

Size = tuple[int, int]  # height, width


class Rows(Protocol):
    """Arrays by the row of their sample."""

    def __getitem__(self, row: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class MaskStore:
    """What networks learn from: row i belongs to `source.samples[i]`; unusable rows hold nothing.

    `pictures[row]` is uint8 (channels, height, width), `masks[row]` uint8 (height, width): the
    class's place, or `IGNORE`.
    """

    pictures: Rows
    masks: Rows
    sizes: np.ndarray  # int64 (n, 2): height and width at this scale


@dataclass(frozen=True)
class Pile:
    """Arrays of different shapes, one after the other in a mapped file."""

    values: np.ndarray  # uint8 (all of them,)
    shapes: tuple[tuple[int, ...], ...]
    starts: np.ndarray  # int64 (n + 1,)

    def __getitem__(self, row: int, /) -> np.ndarray:
        """The array of a row, a view."""
        part = self.values[self.starts[row] : self.starts[row + 1]]
        return part.reshape(self.shapes[row])


def mask_format(source: Source, longer_side: int | None = None) -> PixelFormat:
    """The scale at which pictures with masks are learned from, and the size to show them in.

    They keep their size, unless the median one's longer side is above `LONGEST_SIDE`; with
    `longer_side` that is what it becomes. The size is that of the pictures where all are alike,
    else a square. Raises `DataError` where none of them can be read.
    """
    sizes, channels = sizes_and_channels(source)
    side = median(max(size) for size in sizes)
    scale = min(1.0, LONGEST_SIDE / side) if longer_side is None else longer_side / side
    alike = len(set(sizes)) == 1
    square = max(32, 8 * round(side * scale / 8))
    size = scaled(sizes[0], scale) if alike else (square, square)
    what = f"all pictures are {sizes[0][0]}x{sizes[0][1]}" if alike else "sizes differ"
    if longer_side is not None:
        why = f"{what}; scaled by {scale:.3g} as --image-size asks"
    elif scale < 1:
        why = f"{what}; scaled by {scale:.3g}, to a median longer side of {LONGEST_SIDE}"
    else:
        why = f"{what}; seen in their own scale"
    return PixelFormat(size, channels, why, scale)


def scaled(size: Size, scale: float) -> Size:
    """Height and width at another scale, in whole pixels.

    >>> scaled((360, 481), 0.5)
    (180, 240)
    """
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def open_mask_store(
    source: Source,
    cache: PixelCache,
    pixel_format: PixelFormat,
    *,
    folder: Path | None = None,
    workers: int = 2,
    on_progress: Progress | None = None,
) -> MaskStore:
    """The pictures and masks of a source, found in the cache or decoded into it now, once.

    Pictures that `cache` holds just so are not held twice. Raises `DataError` where a mask cannot
    be read any more, and where there is no room.
    """
    scale = pixel_format.scale or 1.0
    sizes = np.array(
        [scaled((int(h), int(w)), scale) if h else (0, 0) for h, w in cache.sizes], np.int64
    ).reshape(-1, 2)
    used = sizes[cache.usable]
    same = scale == 1.0 and bool((used == np.array(pixel_format.size)).all())
    folder = default_cache_folder() if folder is None else folder
    cache_folders.make(folder)
    entry = folder / f"{cache_folders.ENTRY}masks-{_key(source, cache, pixel_format)}"
    piles: dict[str, list[tuple[int, ...]]] = {"masks": [(int(h), int(w)) for h, w in sizes]}
    if not same:
        piles["pictures"] = [(pixel_format.channels, int(h), int(w)) for h, w in sizes]
    for _ in range(3):  # again where another process cleaned it away in between
        found = _open(entry, piles)
        if found is not None:
            return MaskStore(found.get("pictures", cache.pixels), found["masks"], sizes)
        _build(source, cache, pixel_format, entry, piles, workers, on_progress)
    raise DataError(f"{entry}: is removed again and again; name another folder in VITREOUS_CACHE")


def _key(source: Source, cache: PixelCache, pixel_format: PixelFormat) -> str:
    told = (FORMAT, cache.fingerprint, pixel_format.scale, pixel_format.channels, source.classes,
            source.why, source.decoding, [sample.sample_id for sample in source.samples],
            sorted(cache.skipped))  # fmt: skip
    return blake2b(repr(told).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _starts(shapes: list[tuple[int, ...]]) -> np.ndarray:
    lengths = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _open(entry: Path, piles: dict[str, list[tuple[int, ...]]]) -> dict[str, Pile] | None:
    """The piles where they are whole; None where they are absent. Broken ones are removed."""
    if not entry.is_dir():
        return None
    found = {}
    try:
        if json.loads((entry / "meta.json").read_text(encoding="utf-8"))["format"] != FORMAT:
            raise ValueError("of another version")
        for name, shapes in piles.items():
            starts = _starts(shapes)
            values = np.memmap(entry / f"{name}.u8", np.uint8, mode="r", shape=(int(starts[-1]),))
            found[name] = Pile(values, tuple(shapes), starts)
    except (OSError, ValueError, TypeError, KeyError):
        cache_folders.discard(entry)
        return None
    cache_folders.mark_used(entry)
    return found


def _build(
    source: Source,
    cache: PixelCache,
    pixel_format: PixelFormat,
    entry: Path,
    piles: dict[str, list[tuple[int, ...]]],
    workers: int,
    on_progress: Progress | None,
) -> None:
    total = sum(int(_starts(shapes)[-1]) for shapes in piles.values())
    cache_folders.remove_abandoned(entry.parent)
    cache_folders.make_room(entry.parent, total)
    with cache_folders.building(entry) as partial:
        filled = {}
        for name, shapes in piles.items():
            starts = _starts(shapes)
            path = partial / f"{name}.u8"
            with cache_folders.writing(entry.parent):
                cache_folders.allocate(path, int(starts[-1]))
            values = np.memmap(path, np.uint8, mode="r+", shape=(int(starts[-1]),))
            filled[name] = Pile(values, tuple(shapes), starts)
        for done in _filled(source, cache, pixel_format, filled, workers):
            if on_progress is not None:
                on_progress(done, len(source.samples))
        for pile in filled.values():
            pile.values.flush()  # type: ignore[attr-defined]  # a memory map
        with cache_folders.writing(entry.parent):
            meta = json.dumps({"format": FORMAT})
            (partial / "meta.json").write_text(meta, encoding="utf-8")


def _filled(
    source: Source,
    cache: PixelCache,
    pixel_format: PixelFormat,
    piles: dict[str, Pile],
    workers: int,
) -> Iterator[int]:
    """Decode each usable row into the piles; how many are done."""
    read_mask = source.read_mask
    assert read_mask is not None

    def decode(row: int) -> None:
        sample = source.samples[row]
        size = piles["masks"].shapes[row]
        mask = read_mask(sample)
        piles["masks"][row][:] = place_mask(resize(mask.shape, size), mask)  # type: ignore
        if "pictures" in piles:
            pixels = match_channels(source.read(sample, None).pixels, pixel_format.channels)
            piles["pictures"][row][:] = resized(pixels, (size[0], size[1])).transpose(2, 0, 1)

    rows = [int(row) for row in np.flatnonzero(cache.usable)]
    for done, _ in enumerate(map_in_order(decode, rows, workers), start=1):
        yield done
