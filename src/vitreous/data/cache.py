"""Pictures decoded once, into a file that is mapped, not loaded.

A cache entry is a folder `pixels-<key>`: `pixels.u8` (uint8, one letterboxed picture after the
other), `meta.json` (what it is; written last). It is made under another name and renamed when it is
whole and on the disk, so that an entry under its own name is never half-written.
"""

import json
import os
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from statistics import median

import numpy as np
import platformdirs

from vitreous.data import cache_folders
from vitreous.data.fingerprint import Progress, fingerprint
from vitreous.data.letterbox import letterbox, match_channels
from vitreous.data.pictures import reason_of
from vitreous.data.samples import Sample, Source
from vitreous.data.threads import map_in_order
from vitreous.errors import DataError

FORMAT = 1
_ROWS_A_TASK = 16


@dataclass(frozen=True)
class PixelFormat:
    """How pictures are stored: letterboxed to `size` (height, width), 1 or 3 channels."""

    size: tuple[int, int]
    channels: int
    why: str = field(default="", compare=False)  # one sentence for people
    scale: float | None = None  # with masks: what networks see of each picture's side, and no box


@dataclass(frozen=True)
class PixelCache:
    """All pictures of a source, row i for `source.samples[i]`."""

    pixels: np.ndarray  # uint8 (n, channels, height, width), mapped from the disk, read-only
    usable: np.ndarray  # bool (n,); unusable rows are black
    skipped: dict[int, str]  # row -> why it could not be used
    sizes: np.ndarray  # int (n, 2): original height, width; 0 where unusable
    fingerprint: str  # of the data set, 32 hex digits


def default_cache_folder() -> Path:
    """Where caches lie: the folder in VITREOUS_CACHE, else the user's cache folder."""
    named = os.environ.get("VITREOUS_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("vitreous"))


def choose_format(source: Source, largest: int = 128, look_at: int = 500) -> PixelFormat:
    """The size and channels to store pictures in, from an even spread of `look_at` of them.

    Pictures that are all of one size of at most `largest` pixels are kept as they are. Else the
    longer side is the median one, at most `largest`, a multiple of 8; pictures of one shape keep
    it, others get a square. One channel where every picture looked at is grey.
    Raises `DataError` where none of them can be read.
    """
    return _format_for(*sizes_and_channels(source, look_at), largest)


def sizes_and_channels(source: Source, look_at: int = 500) -> tuple[list[tuple[int, int]], int]:
    """Height and width of an even spread of pictures; one channel where each of them is grey.

    Raises `DataError` where none of them can be read.
    """
    spread = np.linspace(0, len(source.samples) - 1, min(look_at, len(source.samples)))
    pictures = [_look(source, source.samples[int(i)]) for i in spread]
    seen = [found for found in pictures if found is not None]
    if not seen:
        raise DataError(
            f"{source.root}: none of {len(pictures)} pictures looked at can be read; "
            f"`vitreous inspect` says why"
        )
    return [size for size, _ in seen], 1 if all(grey for _, grey in seen) else 3


def _look(source: Source, sample: Sample) -> tuple[tuple[int, int], bool] | None:
    try:
        picture = source.read(sample, 1)  # as small as the decoder can make it: only looked at
    except DataError:
        return None
    return picture.size, picture.pixels.shape[2] == 1


def _format_for(sizes: list[tuple[int, int]], channels: int, largest: int) -> PixelFormat:
    colour = "grey" if channels == 1 else "colour"
    first = sizes[0]
    if all(size == first for size in sizes) and max(first) <= largest:
        return PixelFormat(first, channels, f"all pictures are {first[0]}x{first[1]}, {colour}")
    side = min(largest, _multiple_of_8(median(max(size) for size in sizes)))
    aspects = [height / width for height, width in sizes]
    if max(aspects) <= 1.02 * min(aspects):
        scale = side / max(first)
        size = (_multiple_of_8(first[0] * scale), _multiple_of_8(first[1] * scale))
        return PixelFormat(size, channels, f"all pictures have the shape of {size[0]}x{size[1]}, "
                           f"{colour}; longer side at most {largest}")  # fmt: skip
    why = f"sizes differ ({colour}): a square of the median longer side, at most {largest}"
    return PixelFormat((side, side), channels, why)


def _multiple_of_8(length: float) -> int:
    return max(8, 8 * round(length / 8))


def open_cache(
    source: Source,
    pixel_format: PixelFormat,
    *,
    folder: Path | None = None,
    workers: int = 2,
    on_progress: Progress | None = None,
) -> PixelCache:
    """The decoded pictures of a source: found in the cache, or decoded into it now, once.

    `folder` is where caches lie (`default_cache_folder()`), `workers` how many threads decode.
    Raises `DataError` where there is no room, with what to do; a picture that cannot be read is no
    error but a row in `skipped`. Safe against being killed, and against another process doing the
    same at the same time.
    """
    if not source.samples:
        raise DataError(f"{source.root}: no pictures found; give a folder that holds some")
    folder = default_cache_folder() if folder is None else folder
    cache_folders.make(folder)
    data_key = fingerprint(source, folder, workers)
    key = _entry_key(source, pixel_format, data_key)
    entry = folder / f"{cache_folders.ENTRY}{key}"
    for _ in range(3):  # again where another process cleaned it away in between
        cached = _open_entry(entry, key, source, pixel_format, data_key)
        if cached is not None:
            return cached
        _build(source, pixel_format, entry, key, workers, on_progress)
    raise DataError(f"{entry}: is removed again and again; name another folder in VITREOUS_CACHE")


def _entry_key(source: Source, pixel_format: PixelFormat, data_key: str) -> str:
    total = blake2b(digest_size=16)
    size = tuple(pixel_format.size)
    stored = (FORMAT, data_key, source.decoding, size, pixel_format.channels)
    total.update(repr(stored).encode())
    for sample in source.samples:  # row i belongs to sample i, so their order counts
        total.update(sample.sample_id.encode(errors="surrogateescape") + b"\0")
    return total.hexdigest()


def _shape(source: Source, pixel_format: PixelFormat) -> tuple[int, int, int, int]:
    return (len(source.samples), pixel_format.channels, *pixel_format.size)


def _open_entry(
    entry: Path, key: str, source: Source, pixel_format: PixelFormat, data_key: str
) -> PixelCache | None:
    """The entry where it is whole; None where it is absent. A broken one is removed."""
    if not entry.is_dir():
        return None
    shape = _shape(source, pixel_format)
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        if (meta["format"], meta["key"], tuple(meta["shape"])) != (FORMAT, key, shape):
            raise ValueError("not what its name says")
        if (entry / "pixels.u8").stat().st_size != int(np.prod(shape, dtype=np.int64)):
            raise ValueError("cut short")
        skipped = {int(row): str(reason) for row, reason in meta["skipped"].items()}
        sizes = np.array(meta["sizes"], np.int64).reshape(len(source.samples), 2)
        pixels = np.memmap(entry / "pixels.u8", np.uint8, mode="r", shape=shape)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        cache_folders.discard(entry)
        return None
    cache_folders.mark_used(entry)
    usable = np.ones(len(source.samples), bool)
    usable[list(skipped)] = False
    return PixelCache(pixels, usable, skipped, sizes, data_key)


def _build(
    source: Source,
    pixel_format: PixelFormat,
    entry: Path,
    key: str,
    workers: int,
    on_progress: Progress | None,
) -> None:
    shape = _shape(source, pixel_format)
    cache_folders.remove_abandoned(entry.parent)
    cache_folders.make_room(entry.parent, int(np.prod(shape, dtype=np.int64)))
    with cache_folders.building(entry) as partial:
        path = partial / "pixels.u8"
        with cache_folders.writing(entry.parent):
            cache_folders.allocate(path, int(np.prod(shape, dtype=np.int64)))
        decoded = _decode_all(source, pixel_format, path, workers, on_progress)
        meta = {"format": FORMAT, "key": key, "shape": shape, **decoded}
        with cache_folders.writing(entry.parent):
            (partial / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _decode_all(
    source: Source,
    pixel_format: PixelFormat,
    path: Path,
    workers: int,
    on_progress: Progress | None,
) -> dict[str, object]:
    """Fill the file at `path`; what could not be read, and sizes. Few pictures are in memory."""
    pixels = np.memmap(path, np.uint8, mode="r+", shape=_shape(source, pixel_format))
    n = len(pixels)
    sizes = np.zeros((n, 2), np.int64)
    skipped: dict[int, str] = {}

    def decode(rows: range) -> range:
        for row in rows:
            try:
                picture = source.read(source.samples[row], max(pixel_format.size))
            except DataError as error:
                skipped[row] = reason_of(error, source.samples[row].path)
                continue
            stored = match_channels(picture.pixels, pixel_format.channels)
            pixels[row] = letterbox(stored, pixel_format.size).transpose(2, 0, 1)
            sizes[row] = picture.size
        return rows

    tasks = (range(start, min(start + _ROWS_A_TASK, n)) for start in range(0, n, _ROWS_A_TASK))
    for rows in map_in_order(decode, tasks, workers):
        if on_progress is not None:
            on_progress(rows.stop, n)
    pixels.flush()
    return {"skipped": dict(sorted(skipped.items())), "sizes": sizes.tolist()}


def clean_cache(folder: Path | None = None, keep_bytes: int = 0) -> int:
    """Remove cache entries, the longest unused first, until `keep_bytes` are left; bytes freed.

    It is called by itself only when the disk has no room for a new entry.
    """
    return cache_folders.clean(default_cache_folder() if folder is None else folder, keep_bytes)
