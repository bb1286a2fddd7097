"""Scans that have one label each: all brought to one spacing and one size, and seen whole."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.samples import Source
from vitreous.data.volumes.fingerprint import VolumeFingerprint
from vitreous.data.volumes.patches import Three, cut_patch
from vitreous.data.volumes.plan import (
    VolumePlan,
    memory_bytes,
    normalisations,
    plan_volumes,
    target_spacing,
)
from vitreous.data.volumes.store import Prepared, VolumeStore
from vitreous.errors import RequestError

MOST_VOXELS = 96**3  # of the median scan: what a processor learns from in hours, not days
LEAST_SIDE, STEP = 16, 8  # voxels: sides are multiples of the step
SIZE_PERCENTILE = 90  # of the scans' sides: larger ones are cut at their borders
LEAST_BATCH, MOST_BATCH = 2, 16
LARGE_SIDE = 64  # voxels of the shortest side: from there on the network's stem steps by four
BYTES_A_VOXEL = {True: 200, False: 1500}
"""Of a scan's input in a training step of the residual network, where it is large or not: 100 to
150, and 1,300, were measured on two cores (benchmarks/scan_memory.py)."""
WEIGHT_BYTES = 100_000_000  # that network's weights, gradients, moments and average, and batches
FINER, ROUNDS = 1.5, 60  # how the spacing is searched for


def plan_whole(fingerprint: VolumeFingerprint, *, memory: str) -> VolumePlan:
    """Spacing, size and batch for scans that a network sees whole.

    As fine as the scans are, or as coarse as it takes for the median scan to have no more than
    `MOST_VOXELS`, and a training step to stay within `memory`; an axis of thick slices is made no
    coarser than the others. Raises `RequestError` where nothing fits.
    """
    budget = memory_bytes(memory)
    own, spacing_why = target_spacing(fingerprint)
    sizes_mm = np.array(
        [np.array(scan.shape) * np.array(scan.spacing_mm) for scan in fingerprint.scans]
    )
    wanted_mm = np.percentile(sizes_mm, SIZE_PERCENTILE, axis=0)
    spacing = np.array(own, float)
    patch = _sides(wanted_mm, spacing)
    for bytes_a_voxel in BYTES_A_VOXEL.values():
        most = min(MOST_VOXELS, (budget - WEIGHT_BYTES) / (LEAST_BATCH * bytes_a_voxel))
        if most < LEAST_SIDE**3:
            raise RequestError(
                f"--memory {memory}: too little for whole scans; allow 200MB at least"
            )
        if math.prod(patch) > most:
            spacing = _coarser(wanted_mm, np.array(own, float), most)
            spacing_why = f"coarser than the scans ({_by(own)} mm), so that a whole one fits"
            patch = _sides(wanted_mm, spacing)
        if whole_step_bytes(patch, LEAST_BATCH) <= budget:
            break
    fits = int((budget - WEIGHT_BYTES) / (math.prod(patch) * _bytes_a_voxel(patch)))
    batch = max(LEAST_BATCH, min(MOST_BATCH, fits, len(fingerprint.scans) // 8))
    normalisation, normal_why = normalisations(fingerprint)
    cut = int((sizes_mm > np.array(patch) * spacing + 1e-6).any(axis=1).sum())
    why = {
        "spacing_mm": spacing_why,
        "patch": "the whole scan" + (f"; {cut} larger ones lose their borders" if cut else ""),
        "batch": f"what fits into {memory}, and an eighth of the scans at most",
        "normalisation": normal_why,
        "widths": "a residual network of three dimensions",
        "mirrored_axes": "none: which side something lies on may be what the label says",
    }
    return VolumePlan(
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        patch=patch,
        batch=batch,
        normalisation=normalisation,
        widths=(32,),
        strides=((1, 1, 1),),
        kernels=((3, 3, 3),),
        memory_bytes=whole_step_bytes(patch, batch),
        why=why,
    )


def plan_for_scans(
    source: Source, fingerprint: VolumeFingerprint, memory: str, dimensions: str | None = None
) -> VolumePlan:
    """The plan that scans get by what labels them: of patches with masks, else of whole scans.

    Raises `RequestError` where nothing fits `memory`, or `dimensions` are asked of whole scans.
    """
    if source.label_kind == "mask":
        return plan_volumes(fingerprint, memory=memory, dimensions=dimensions or "3")
    if dimensions not in (None, "3"):
        raise RequestError(
            f"--dimensions {dimensions}: is for masks; scans with a label each are seen whole, or "
            "by slices: --slices axial"
        )
    return plan_whole(fingerprint, memory=memory)


def whole_step_bytes(patch: Three, batch: int) -> int:
    """What a training step on whole scans is expected to take."""
    return batch * math.prod(patch) * _bytes_a_voxel(patch) + WEIGHT_BYTES


def _bytes_a_voxel(patch: Three) -> int:
    return BYTES_A_VOXEL[min(patch) >= LARGE_SIDE]


def _coarser(size_mm: NDArray, spacing: NDArray, most: float) -> NDArray:
    """The finest spacing, alike along the axes that are not coarser anyway, with so few voxels."""
    low, high = float(spacing.min()), float(spacing.max())
    while _voxels(size_mm, np.maximum(spacing, high)) > most:
        high *= FINER
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if _voxels(size_mm, np.maximum(spacing, middle)) > most:
            low = middle
        else:
            high = middle
    return np.round(np.maximum(spacing, high) + 5e-5, 4)


def _voxels(size_mm: NDArray, spacing: NDArray) -> int:
    return math.prod(_sides(size_mm, spacing))


def _sides(size_mm: NDArray, spacing: NDArray) -> Three:
    sides = [
        max(LEAST_SIDE, STEP * math.ceil(round(size / gap, 3) / STEP))
        for size, gap in zip(size_mm, spacing, strict=True)
    ]
    return sides[0], sides[1], sides[2]


def _by(values) -> str:
    return " x ".join(f"{float(value):g}" for value in values)


def centred(values: NDArray[np.float32], size: Three) -> NDArray[np.float32]:
    """A scan (channels, depth, height, width) of another size, its middle where it was.

    What is added around it is 0, the mean of a normalised scan.
    """
    spare = [side - wanted for side, wanted in zip(values.shape[1:], size, strict=True)]
    start = (spare[0] // 2, spare[1] // 2, spare[2] // 2)
    return cut_patch(Prepared(values, None, {}), start, size)[0]


@dataclass(frozen=True)
class WholeScans:
    """Scans by a plan as an array (n, channels, depth, height, width), read when asked for.

    As far as training and answering need one: a row, or an array of rows. Rows of scans that
    cannot be used are 0.
    """

    store: VolumeStore
    plan: VolumePlan

    def __len__(self) -> int:
        """How many scans."""
        return self.store.count

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, depth, height, width)."""
        return (len(self), len(self.plan.normalisation), *self.plan.patch)

    def __getitem__(self, rows: int | np.integer | NDArray) -> NDArray[np.float32]:
        """One scan (channels, depth, height, width), or several in front of each other."""
        if isinstance(rows, int | np.integer):
            if int(rows) in self.store.skipped:
                return np.zeros(self.shape[1:], np.float32)
            return centred(np.asarray(self.store[int(rows)].values), self.plan.patch)
        several = [self[int(row)] for row in rows]
        return np.stack(several) if several else np.zeros((0, *self.shape[1:]), np.float32)
