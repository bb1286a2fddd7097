"""Scans as a network sees them: on the plan's spacing, normalised, in mapped files, made once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data import cache_folders
from vitreous.data.cache import default_cache_folder
from vitreous.data.fingerprint import fingerprint as data_key
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.pictures import reason_of
from vitreous.data.samples import Sample, Source
from vitreous.data.threads import map_in_order
from vitreous.data.volumes.fingerprint import volumes_of
from vitreous.data.volumes.grid import Grid
from vitreous.data.volumes.plan import Normalisation, VolumePlan
from vitreous.data.volumes.reading import Volumes
from vitreous.data.volumes.resample import resampled, spaced
from vitreous.data.volumes.volume import Volume
from vitreous.errors import DataError

FORMAT = 1
PLACES_KEPT = 2_000  # voxels of each class of each scan, to draw patches about
WORKERS = 2


@dataclass(frozen=True)
class Prepared:
    """One scan as networks see it, mapped from the disk."""

    values: NDArray[np.float32]  # (channels, depth, height, width), normalised
    mask: NDArray[np.uint8] | None  # (depth, height, width): the class's place, or IGNORE
    places: dict[int, NDArray[np.int64]]  # class -> some of its voxels, (n, 3)


@dataclass(frozen=True)
class VolumeStore:
    """All scans of a source; row i is `source.samples[i]`."""

    entry: Path
    key: str  # of the data set and the plan
    fingerprint: str  # of the data set alone
    skipped: dict[int, str]  # row -> why it could not be used
    count: int

    @property
    def usable(self) -> np.ndarray:
        """Bool (n,)."""
        usable = np.ones(self.count, bool)
        usable[list(self.skipped)] = False
        return usable

    def __getitem__(self, row: int) -> Prepared:
        """A scan, its arrays mapped. Raises `KeyError` for rows that are skipped."""
        if row in self.skipped:
            raise KeyError(row)
        values = np.load(self.entry / f"{row}.values.npy", mmap_mode="r")
        path = self.entry / f"{row}.mask.npy"
        if not path.is_file():
            return Prepared(values, None, {})
        with np.load(self.entry / f"{row}.places.npz") as kept:
            places = {int(name): kept[name] for name in kept.files}
        return Prepared(values, np.load(path, mmap_mode="r"), places)


def open_volume_store(
    source: Source,
    plan: VolumePlan,
    *,
    folder: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VolumeStore:
    """The scans of a source prepared by a plan: found in the cache, or made into it now.

    A scan that cannot be used is in `skipped`. Raises `DataError` where there is no room.
    """
    folder = folder or default_cache_folder()
    cache_folders.make(folder)
    data = data_key(source, folder)
    told = json.dumps(
        [FORMAT, data, plan.spacing_mm, [vars(one) for one in plan.normalisation], source.classes,
         [sample.sample_id for sample in source.samples]]
    )  # fmt: skip
    key = blake2b(told.encode(errors="surrogateescape"), digest_size=16).hexdigest()
    entry = folder / f"{cache_folders.ENTRY}volumes-{key}"
    for _ in range(3):  # again where another process cleaned it away in between
        skipped = _skipped_in(entry)
        if skipped is not None:
            cache_folders.mark_used(entry)
            return VolumeStore(entry, key, data, skipped, len(source.samples))
        _build(source, plan, entry, on_progress)
    raise DataError(f"{entry}: is removed again and again; name another folder in VITREOUS_CACHE")


def _skipped_in(entry: Path) -> dict[int, str] | None:
    """What an entry leaves out; None where there is no whole entry."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise ValueError("of another version")
        return {int(row): str(reason) for row, reason in meta["skipped"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        cache_folders.discard(entry)
        return None


def _build(
    source: Source,
    plan: VolumePlan,
    entry: Path,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    volumes = volumes_of(source)
    cache_folders.remove_abandoned(entry.parent)
    cache_folders.make_room(entry.parent, _bytes_needed(volumes, source.samples, plan))
    skipped: dict[int, str] = {}
    with cache_folders.building(entry) as partial:

        def make(row: int) -> str | None:
            sample = source.samples[row]
            try:
                values, mask, _ = prepared(volumes, sample, plan)
            except DataError as error:
                return reason_of(error, sample.path)
            with cache_folders.writing(entry.parent):
                _write(partial, row, values, mask, len(source.classes))
            return None

        rows = range(len(source.samples))
        for row, reason in zip(rows, map_in_order(make, rows, WORKERS), strict=True):
            if reason is not None:
                skipped[row] = reason
            if on_progress:
                on_progress(row + 1, len(rows))
        with cache_folders.writing(entry.parent):
            meta = {"format": FORMAT, "skipped": skipped}
            (partial / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _bytes_needed(volumes: Volumes, samples: Sequence[Sample], plan: VolumePlan) -> int:
    voxels = 0.0
    for sample in samples:
        grid = volumes.grid(sample.sample_id)
        voxels += float(np.prod(np.array(grid.shape) * grid.spacing_mm / np.array(plan.spacing_mm)))
    return int(1.1 * voxels * (4 * len(plan.normalisation) + 1))


def _write(
    folder: Path,
    row: int,
    values: NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    classes: int,
) -> None:
    np.save(folder / f"{row}.values.npy", values)
    if mask is not None:
        np.save(folder / f"{row}.mask.npy", mask)
        places = {str(place): some_places(mask, place) for place in range(1, classes)}
        kept: dict[str, Any] = {name: where for name, where in places.items() if len(where)}
        np.savez(folder / f"{row}.places.npz", **kept)


def some_places(mask: NDArray[np.uint8], place: int) -> NDArray[np.int64]:
    """Voxels of a class, an even spread of those that there are, int64 (n, 3)."""
    found = np.flatnonzero(mask == place)
    if len(found) > PLACES_KEPT:
        found = found[np.linspace(0, len(found) - 1, PLACES_KEPT).astype(np.int64)]
    return np.stack(np.unravel_index(found, mask.shape), axis=1).astype(np.int64)


def prepared(
    volumes: Volumes, sample: Sample, plan: VolumePlan
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, Grid]:
    """A scan as the plan wants it, its mask, and the grid that both lie on.

    Raises `DataError` where it cannot be read or has other channels than the plan.
    """
    volume = volumes.read(sample)
    values, grid = as_planned(volume, plan, sample.path)
    if not isinstance(sample.label, MaskLabel):
        return values, None, grid
    mask = volumes.read_label(sample)
    moved = resampled(mask[None], volume.grid, grid, nearest=True)[0]
    return values, moved, grid


def as_planned(volume: Volume, plan: VolumePlan, name: str) -> tuple[NDArray[np.float32], Grid]:
    """A volume's values normalised and on the plan's spacing, and their grid."""
    if len(volume.values) != len(plan.normalisation):
        raise DataError(
            f"{name}: has {len(volume.values)} channels, the others {len(plan.normalisation)}; "
            "give it all of them, or leave it out"
        )
    grid = spaced(volume.grid, plan.spacing_mm)
    values = resampled(volume.values, volume.grid, grid)
    for channel, how in enumerate(plan.normalisation):
        values[channel] = normalised(values[channel], how)
    return values, grid


def normalised(values: NDArray[np.float32], how: Normalisation) -> NDArray[np.float32]:
    """One channel (depth, height, width) in numbers around 0, float32."""
    if how.kind == "ct":
        assert None not in (how.low, how.high, how.mean, how.deviation)
        cut = np.clip(values, how.low, how.high)
        return ((cut - how.mean) / how.deviation).astype(np.float32)  # type: ignore[operator]
    chosen = values[values != 0] if how.over_nonzero and (values != 0).any() else values
    mean = float(chosen.mean(dtype=np.float64))
    deviation = float(chosen.std(dtype=np.float64))
    made = ((values - mean) / max(deviation, 1e-8)).astype(np.float32)
    if how.over_nonzero:
        made[values == 0] = 0.0  # what lies around the body stays out of it
    return made
