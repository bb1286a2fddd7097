"""What a data set of scans is like: sizes, spacings, intensities inside structures, classes.

The idea, and which facts decide a plan, are nnU-Net's: F. Isensee et al., "nnU-Net: a
self-configuring method for deep learning-based biomedical image segmentation", Nature Methods 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.cache import default_cache_folder
from vitreous.data.fingerprint import fingerprint as data_key
from vitreous.data.masks.mask_label import IGNORE, MaskLabel
from vitreous.data.pictures import reason_of
from vitreous.data.samples import Sample, Source
from vitreous.data.threads import map_in_order
from vitreous.data.volumes.contents import look_at
from vitreous.data.volumes.reading import Volumes
from vitreous.errors import DataError, RequestError
from vitreous.files import read_json, write_json

FORMAT = 1
VOXELS_A_SCAN = 10_000  # of the foreground, drawn to know its intensities
WORKERS = 2
EMPTY_SHARE = (
    0.25  # of zeros around the body, from where on they are left out of mean and deviation
)


@dataclass(frozen=True)
class ScanFacts:
    """One scan, turned to RAS: sizes and spacings along depth, height, width."""

    sample_id: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    stored_as: str  # letters of the file's own axes
    channels: int
    zeros: float  # share of voxels that are exactly 0 in all channels
    least: float
    greatest: float
    findings: tuple[str, ...] = ()
    centres: tuple[tuple[float, float, float] | None, ...] = ()
    """Of each structure, in shares of the sides; None where it is not there."""


@dataclass(frozen=True)
class Intensities:
    """Values of one channel in the foreground of all scans."""

    mean: float
    deviation: float
    percentile_0_5: float
    median: float
    percentile_99_5: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Structure:
    """One class over all scans."""

    name: str
    voxels: int
    scans: int  # in which it is
    median_ml: float  # of those


@dataclass(frozen=True)
class VolumeFingerprint:
    """All that a plan rests on. Made by `fingerprint_volumes`."""

    scans: tuple[ScanFacts, ...]
    channels: tuple[str, ...]  # their names; "channel 1" where the data have none
    modality: str | None  # CT, MR, ... where the data say one for all
    intensities: tuple[Intensities, ...]  # a channel each, inside structures
    structures: tuple[Structure, ...]  # but for the background; empty without masks
    unreadable: dict[str, str] = field(default_factory=dict)  # sample id -> why

    @property
    def median_shape(self) -> tuple[float, float, float]:
        """Median sides in voxels along depth, height, width."""
        return _three(np.median([scan.shape for scan in self.scans], axis=0))

    @property
    def median_spacing_mm(self) -> tuple[float, float, float]:
        """Median spacing along depth, height, width."""
        return _three(np.median([scan.spacing_mm for scan in self.scans], axis=0))

    @property
    def voxels(self) -> int:
        """Of all scans."""
        return sum(int(np.prod(scan.shape)) for scan in self.scans)

    @property
    def mostly_empty(self) -> bool:
        """Whether zeros lie around the bodies, as after skull stripping."""
        return float(np.median([scan.zeros for scan in self.scans])) > EMPTY_SHARE

    def to_json(self) -> dict[str, Any]:
        """Plain values, `format` first."""
        medians = {"median_shape": self.median_shape, "median_spacing_mm": self.median_spacing_mm}
        return {"format": FORMAT, **medians, **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> "VolumeFingerprint":
        """The fingerprint back from JSON. Raises `DataError` where it is none."""
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']}, known is {FORMAT}")
            return cls(
                scans=tuple(
                    ScanFacts(
                        **{
                            **scan,
                            "shape": tuple(scan["shape"]),
                            "spacing_mm": tuple(scan["spacing_mm"]),
                            "findings": tuple(scan["findings"]),
                            "centres": tuple(one and _three(one) for one in scan["centres"]),
                        }
                    )
                    for scan in value["scans"]
                ),
                channels=tuple(value["channels"]),
                modality=value["modality"],
                intensities=tuple(Intensities(**one) for one in value["intensities"]),
                structures=tuple(Structure(**one) for one in value["structures"]),
                unreadable=dict(value["unreadable"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: no fingerprint of scans ({error})") from None


@dataclass(frozen=True, eq=False)
class _Look:
    facts: ScanFacts
    drawn: NDArray[np.float32]  # (channels, voxels) of the foreground


def fingerprint_volumes(
    source: Source,
    *,
    samples: Sequence[Sample] | None = None,
    folder: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VolumeFingerprint:
    """Read the scans (all of the source, or some of its samples) and put together their facts.

    Of all scans it is computed once: it lies in the cache `folder` under the data's own key.
    A scan that cannot be read is in `unreadable`. Raises `DataError` where none can be.
    """
    volumes = volumes_of(source)
    if samples is not None:
        return _looked(source, volumes, samples, on_progress)
    folder = folder or default_cache_folder()
    kept = folder / f"scans-{data_key(source, folder)}.json"
    if kept.is_file():
        try:
            return VolumeFingerprint.from_json(read_json(kept), str(kept))
        except DataError:  # of an older version
            kept.unlink(missing_ok=True)
    found = _looked(source, volumes, source.samples, on_progress)
    write_json(kept, found.to_json())
    return found


def volumes_of(source: Source) -> Volumes:
    """The source's scans. Raises `RequestError` where it has none."""
    if source.volumes is None:
        raise RequestError(f"{source.root}: holds {source.kind}; scans are needed here")
    return source.volumes


def _looked(
    source: Source,
    volumes: Volumes,
    samples: Sequence[Sample],
    on_progress: Callable[[int, int], None] | None,
) -> VolumeFingerprint:
    looks: list[_Look] = []
    unreadable: dict[str, str] = {}
    results = map_in_order(
        lambda sample: _look(volumes, sample, len(source.classes)), samples, WORKERS
    )
    for done, (sample, look) in enumerate(zip(samples, results, strict=True), start=1):
        if isinstance(look, str):
            unreadable[sample.sample_id] = look
        else:
            looks.append(look)
        if on_progress:
            on_progress(done, len(samples))
    if not looks:
        first = next(iter(unreadable.items()), ("", "there are none"))
        raise DataError(f"{source.root}: no scan can be read: {first[0]}: {first[1]}")
    most = max(look.facts.channels for look in looks)
    drawn = [look.drawn for look in looks if look.facts.channels == most]
    names = volumes.channels
    if len(names) != most:
        names = tuple(f"channel {number + 1}" for number in range(most))
    return VolumeFingerprint(
        scans=tuple(look.facts for look in looks),
        channels=names,
        modality=volumes.modality,
        intensities=tuple(_intensities(values) for values in np.concatenate(drawn, axis=1)),
        structures=_structures(source, volumes),
        unreadable=unreadable,
    )


def _look(volumes: Volumes, sample: Sample, classes: int) -> _Look | str:
    try:
        volume = volumes.read(sample)
        masked = isinstance(sample.label, MaskLabel)
        mask = volumes.read_label(sample) if masked else None
    except DataError as error:
        return reason_of(error, sample.path)
    contents = look_at(volume.values)
    zeros = float((volume.values == 0).all(axis=0).mean())
    shape = volume.grid.shape
    facts = ScanFacts(
        sample_id=sample.sample_id,
        shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        spacing_mm=_three(volume.spacing_mm),
        stored_as=volume.stored.letters,
        channels=len(volume.values),
        zeros=zeros,
        least=contents.least,
        greatest=contents.greatest,
        findings=contents.findings,
        centres=() if mask is None else _centres(mask, classes),
    )
    return _Look(facts, _foreground(volume.values, mask))


def _centres(
    mask: NDArray[np.uint8], classes: int
) -> tuple[tuple[float, float, float] | None, ...]:
    """The middle of each structure's voxels in shares of the sides."""
    found: list[tuple[float, float, float] | None] = []
    for place in range(1, classes):
        where = np.argwhere(mask == place)
        share = (where.mean(axis=0) + 0.5) / np.array(mask.shape) if len(where) else None
        found.append(None if share is None else _three(np.round(share, 4)))
    return tuple(found)


def _foreground(values: NDArray[np.float32], mask: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    """Values (channels, voxels) of voxels in structures; without masks, of those above the mean.

    The draw is the same each time.
    """
    inside = None if mask is None else np.flatnonzero((mask > 0) & (mask != IGNORE))
    if inside is None or not len(inside):
        first = values[0].ravel()
        inside = np.flatnonzero(first >= first.mean())
    if len(inside) > VOXELS_A_SCAN:
        inside = np.random.default_rng(len(inside)).choice(inside, VOXELS_A_SCAN, replace=False)
    return values.reshape(len(values), -1)[:, inside]


def _intensities(values: NDArray[np.float32]) -> Intensities:
    low, median, high = (float(x) for x in np.percentile(values, (0.5, 50.0, 99.5)))
    return Intensities(
        mean=float(values.mean(dtype=np.float64)),
        deviation=float(values.std(dtype=np.float64)),
        percentile_0_5=low,
        median=median,
        percentile_99_5=high,
        least=float(values.min()),
        greatest=float(values.max()),
    )


def _structures(source: Source, volumes: Volumes) -> tuple[Structure, ...]:
    labelled = [s for s in source.samples if isinstance(s.label, MaskLabel)]
    if not labelled:
        return ()
    voxels = np.stack([s.label.pixels for s in labelled if isinstance(s.label, MaskLabel)])
    ml = np.array([volumes.grid(sample.sample_id).voxel_mm3 / 1000 for sample in labelled])
    found = []
    for place, name in enumerate(source.classes[1:], start=1):
        there = voxels[:, place] > 0
        median = float(np.median((voxels[:, place] * ml)[there])) if there.any() else 0.0
        found.append(Structure(name, int(voxels[:, place].sum()), int(there.sum()), median))
    return tuple(found)


def _three(values: Sequence[float] | NDArray) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
