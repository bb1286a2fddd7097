"""From the fingerprint of scans to how a network will see them, within a memory budget.

The rules are nnU-Net's (F. Isensee et al., Nature Methods 2021) as far as they go: the median
spacing (on the axis of thick slices a finer one), the largest patch that fits, maps halved until
their edge is 4, batches of at least 2. Every choice has its sentence, and can be edited.
"""

import json
import math
import re
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitreous.data.volumes.fingerprint import VolumeFingerprint
from vitreous.errors import DataError, RequestError, unknown_name

Three = tuple[int, int, int]
ThreeMm = tuple[float, float, float]

THICK = 3.0  # times the finest spacing: such slices are thick
THICK_PERCENTILE = 10  # of the spacings on that axis
LEAST_EDGE = 4  # voxels of the coarsest maps
MOST_LEVELS = 6
DIMENSIONS = ("3", "2.5", "2")
SLAB = 8  # slices of a patch of 2.5 dimensions
MOST_WIDTH = 320
LEAST_BATCH = 2
MOST_BATCH = 16
MOST_OF_DATA = 0.05  # of the voxels of all scans, in a batch
DEFAULT_MEMORY = "6GB"
FEWEST_SCANS = 5  # that can show on which side things lie
ONE_SIDED = 0.9  # of the scans
LEAST_SHIFT = 0.02  # of the scan's side: nearer to the middle a side means nothing
FLOAT_BYTES = 4
STATE_COPIES = 5  # weights, gradients, two moments, average
MAPS_A_LEVEL = 36
"""Maps of a level's width and size that a training step takes at its peak: two dozen are kept for
the backward pass or are gradients, the rest is room that the convolutions work in and that freed
memory leaves between what is kept. 32 to 36 were measured on two cores (benchmarks/scan_memory.py),
at patches of 48 to 128 voxels a side."""
UNEVEN_BYTES = 64 * 2**20
"""What memory that is freed and asked for again leaves between, more in one training than in the
next: the same three steps peaked at 0.46 to 0.54 GB in five trials."""

MEMORY = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b?|b)?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Normalisation:
    """How one channel is brought to numbers around 0.

    `ct`: cut at `low` and `high`, less `mean`, by `deviation`: one scale for all scans, for
    Hounsfield units mean something. `z-score`: each scan by its own mean and deviation
    (of its voxels that are not 0 where `over_nonzero`).
    """

    kind: Literal["ct", "z-score"]
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    over_nonzero: bool = False


@dataclass(frozen=True)
class VolumePlan:
    """How scans are seen and by what network. Sizes are along depth, height, width."""

    spacing_mm: ThreeMm
    patch: Three
    batch: int
    normalisation: tuple[Normalisation, ...]  # a channel each
    widths: tuple[int, ...]  # maps at each level, finest first
    strides: tuple[Three, ...]  # from the level above to each level; the first is (1, 1, 1)
    kernels: tuple[Three, ...]  # of each level
    memory_bytes: int  # that a training step is expected to take
    mirrored_axes: tuple[int, ...] = ()  # along which mirror images are as likely as scans
    why: dict[str, str] = field(default_factory=dict)  # a choice -> the sentence about it

    @property
    def levels(self) -> int:
        """How often maps are made, the finest included."""
        return len(self.widths)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> "VolumePlan":
        """A plan back from JSON or TOML. Raises `DataError` where it cannot be one."""
        try:
            plan = cls(
                spacing_mm=_three(value["spacing_mm"], float),
                patch=_three(value["patch"], int),
                batch=int(value["batch"]),
                normalisation=tuple(Normalisation(**one) for one in value["normalisation"]),
                widths=tuple(int(width) for width in value["widths"]),
                strides=tuple(_three(one, int) for one in value["strides"]),
                kernels=tuple(_three(one, int) for one in value["kernels"]),
                memory_bytes=int(value.get("memory_bytes", 0)),
                mirrored_axes=tuple(int(axis) for axis in value.get("mirrored_axes", ())),
                why={str(key): str(said) for key, said in value.get("why", {}).items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: no plan for scans ({error})") from None
        _require_sound(plan, where)
        return plan


def plan_volumes(
    fingerprint: VolumeFingerprint,
    *,
    memory: str = DEFAULT_MEMORY,
    width: int = 16,
    outputs: int | None = None,
    dimensions: str = "3",
) -> VolumePlan:
    """The plan for scans of this fingerprint whose training steps take at most `memory`.

    `width` is that of the finest maps. With `dimensions` 2 a network sees slice by slice, with 2.5
    also the slices next to each, by kernels that reach across slices in the finest maps alone;
    slices lie along the axis of the coarsest spacing, else the depth (axial). Raises `RequestError`
    where nothing fits the budget, or for other dimensions.
    """
    if dimensions not in DIMENSIONS:
        raise unknown_name("--dimensions", dimensions, DIMENSIONS)
    budget = memory_bytes(memory)
    outputs = outputs or len(fingerprint.structures) + 1
    spacing, spacing_why = target_spacing(fingerprint)
    shape = np.median(
        [np.round(np.array(scan.shape) * scan.spacing_mm / spacing) for scan in fingerprint.scans],
        axis=0,
    )
    patch = [max(2 * LEAST_EDGE, int(side)) for side in shape]
    across = None if dimensions == "3" else int(np.argmax(spacing))
    if across is not None:
        patch[across] = 1 if dimensions == "2" else min(SLAB, patch[across])
    while True:
        plan = _with_patch(patch, spacing, fingerprint, width, outputs, across)
        if plan.memory_bytes <= budget:
            break
        # the longest edge in millimetres gives way, so that the patch sees about equally far
        order = np.argsort([-side * mm for side, mm in zip(plan.patch, spacing, strict=True)])
        step = np.prod(np.array(plan.strides), axis=0)
        left = np.array(plan.patch) - step
        axis = next((int(a) for a in order if left[a] >= 2 * LEAST_EDGE and a != across), None)
        if axis is None:
            raise RequestError(
                f"--memory {memory}: the smallest sensible patch needs "
                f"{plan.memory_bytes / 1e9:.1f} GB; allow that, or train on slices with --slices"
            )
        patch = list(plan.patch)
        patch[axis] = int(left[axis])
    batch, batch_why = _batch(plan, fingerprint, spacing, budget)
    normalisation, normal_why = normalisations(fingerprint)
    mirrored, mirrored_why = mirrored_axes(fingerprint)
    seen = np.prod(plan.patch) / max(float(np.prod(shape)), 1.0)
    why = {
        "spacing_mm": spacing_why,
        "patch": f"{min(seen, 1.0):.0%} of the median scan of {_by(shape)} voxels"
        + ("" if seen >= 0.999 else f", the largest that fits into {memory}"),
        "batch": batch_why,
        "normalisation": normal_why,
        "widths": f"{plan.levels} levels: maps are halved until their edge is {LEAST_EDGE}"
        + _dimension_words(dimensions, across),
        "mirrored_axes": mirrored_why,
    }
    memory_needed = step_bytes(plan, batch, len(fingerprint.channels), outputs)
    return replace(
        plan,
        batch=batch,
        normalisation=normalisation,
        memory_bytes=memory_needed,
        mirrored_axes=mirrored,
        why=why,
    )


def target_spacing(fingerprint: VolumeFingerprint) -> tuple[ThreeMm, str]:
    """The spacing that scans are brought to, and why."""
    spacings = np.array([scan.spacing_mm for scan in fingerprint.scans])
    shapes = np.array([scan.shape for scan in fingerprint.scans])
    target = np.median(spacings, axis=0)
    side = np.median(shapes, axis=0)
    axis = int(np.argmax(target))
    others = [other for other in range(3) if other != axis]
    thick = target[axis] > THICK * target[others].min() and side[axis] * THICK < side[others].min()
    why = "the median spacing of the scans"
    if thick:
        target[axis] = max(
            float(np.percentile(spacings[:, axis], THICK_PERCENTILE)), float(target[others].max())
        )
        why += f", but along {('depth', 'height', 'width')[axis]}, where slices are thick, their "
        why += f"{THICK_PERCENTILE}th percentile"
    elif np.ptp(spacings, axis=0).max() < 1e-3:
        why = "all scans have it"
    return _three(np.round(target, 4), float), why


def normalisations(fingerprint: VolumeFingerprint) -> tuple[tuple[Normalisation, ...], str]:
    """One way a channel, and why."""
    made = []
    for name, found in zip(fingerprint.channels, fingerprint.intensities, strict=True):
        if name.upper() == "CT" or (
            fingerprint.modality == "CT" and len(fingerprint.channels) == 1
        ):
            made.append(
                Normalisation(
                    "ct", found.percentile_0_5, found.percentile_99_5, found.mean,
                    max(found.deviation, 1e-6),
                )
            )  # fmt: skip
        else:
            made.append(Normalisation("z-score", over_nonzero=fingerprint.mostly_empty))
    if any(one.kind == "ct" for one in made):
        low, high = made[0].low or 0.0, made[0].high or 0.0
        why = (
            f"CT: cut at {low:.0f} and {high:.0f}, the 0.5th and 99.5th percentile inside "
            "structures, and scaled by their mean and deviation"
        )
    else:
        where = " (of its voxels that are not 0)" if fingerprint.mostly_empty else ""
        why = f"each scan by its own mean and deviation{where}: its unit is its own"
    return tuple(made), why


def mirrored_axes(fingerprint: VolumeFingerprint) -> tuple[tuple[int, ...], str]:
    """The axes along which a mirrored scan could be a scan, and why.

    An axis is out where one structure lies on the same side of another, or of the scan's middle, in
    nearly all scans: mirrored, they would teach what never is.
    """
    centres = np.array(
        [
            [one or (math.nan,) * 3 for one in scan.centres]
            for scan in fingerprint.scans
            if scan.centres
        ],
        np.float64,
    ).reshape(-1, max(len(fingerprint.structures), 1), 3)
    if len(centres) < FEWEST_SCANS:
        return (
            (),
            f"none: fewer than {FEWEST_SCANS} labelled scans do not show what may be mirrored",
        )
    count = centres.shape[1]
    apart = [centres[:, a] - centres[:, b] for a in range(count) for b in range(a)]
    apart += [centres[:, one] - 0.5 for one in range(count)]
    lopsided = np.zeros(3, bool)
    for differences in apart:
        there = differences[~np.isnan(differences).any(axis=1)]
        if len(there) >= FEWEST_SCANS:
            sides = (there > 0).mean(axis=0)
            clear = np.abs(there).mean(axis=0) > LEAST_SHIFT
            lopsided |= clear & ((sides >= ONE_SIDED) | (sides <= 1 - ONE_SIDED))
    axes = tuple(int(axis) for axis in np.flatnonzero(~lopsided))
    names = ("depth", "height", "width")
    out = [names[axis] for axis in range(3) if axis not in axes]
    if not out:
        return axes, "all: structures lie on either side"
    kept = " and ".join(names[axis] for axis in axes) or "none"
    return axes, f"{kept}; along {' and '.join(out)} structures lie on one side"


def _with_patch(
    wanted: list[int],
    spacing: ThreeMm,
    fingerprint: VolumeFingerprint,
    width: int,
    outputs: int,
    across: int | None = None,
) -> VolumePlan:
    """Levels for a patch, and the patch rounded up to what they can halve.

    Along the axis `across`, of slices, nothing is halved, and at most the finest kernels reach.
    """
    strides: list[Three] = [(1, 1, 1)]
    kernels: list[Three] = []
    edges, gaps = np.array(wanted, float), np.array(spacing, float)
    while True:
        # an axis joins when its voxels are no more than twice as far apart as the finest
        near = gaps <= 2.0 * gaps.min() + 1e-9
        if across is not None:
            near = gaps <= 2.0 * np.delete(gaps, across).min() + 1e-9
            near[across] = not kernels and edges[across] > 1
        kernels.append(_three([3 if flag else 1 for flag in near], int))
        if across is not None:
            near[across] = False
        halved = near & (edges / 2 >= LEAST_EDGE)
        if not halved.any() or len(strides) == MOST_LEVELS:
            break
        stride = np.where(halved, 2, 1)
        strides.append(_three(stride, int))
        edges, gaps = edges / stride, gaps * stride
    multiple = np.prod(np.array(strides), axis=0)
    patch = _three(np.ceil(np.array(wanted) / multiple) * multiple, int)
    widths = tuple(min(MOST_WIDTH, width * 2**level) for level in range(len(strides)))
    plan = VolumePlan(spacing, patch, LEAST_BATCH, (), widths, tuple(strides), tuple(kernels), 0)
    return replace(
        plan, memory_bytes=step_bytes(plan, LEAST_BATCH, len(fingerprint.channels), outputs)
    )


def _dimension_words(dimensions: str, across: int | None) -> str:
    if across is None:
        return ""
    axis = ("depth", "height", "width")[across]
    if dimensions == "2":
        return f"; in two dimensions, slice by slice along {axis}"
    return f"; in 2.5 dimensions: slices along {axis}, and those next to each in the finest maps"


def turning_mm(plan: VolumePlan) -> ThreeMm:
    """The spacing as far as turns go: an axis of slices is as one of thick slices, not turned."""
    far = 4 * THICK / 3 * max(plan.spacing_mm)
    later = np.array([*plan.kernels[1:], *plan.strides[1:]]).reshape(-1, 3)
    flat = (later == 1).all(axis=0)
    pairs = zip(plan.spacing_mm, flat, strict=True)
    return _three([far if one and not flat.all() else mm for mm, one in pairs], float)


def _batch(
    plan: VolumePlan, fingerprint: VolumeFingerprint, spacing: ThreeMm, budget: int
) -> tuple[int, str]:
    outputs = len(fingerprint.structures) + 1
    channels = len(fingerprint.channels)
    voxels = sum(
        float(np.prod(np.array(scan.shape) * scan.spacing_mm / np.array(spacing)))
        for scan in fingerprint.scans
    )
    by_data = max(LEAST_BATCH, int(MOST_OF_DATA * voxels / np.prod(plan.patch)))
    batch = LEAST_BATCH
    while batch < min(by_data, MOST_BATCH):
        if step_bytes(plan, batch + 1, channels, outputs) > budget:
            break
        batch += 1
    if batch == LEAST_BATCH:
        return batch, "at least two"
    limit = "of all voxels at most 5 %" if batch == by_data else "what fits and still teaches often"
    return batch, limit


def step_bytes(plan: VolumePlan, batch: int, channels: int, outputs: int) -> int:
    """What a training step is expected to take: maps that are kept, and copies of the weights."""
    voxels = np.array(plan.patch, float)
    maps, parameters, before = 0.0, 0.0, channels
    for width, stride, kernel in zip(plan.widths, plan.strides, plan.kernels, strict=True):
        voxels = voxels / np.array(stride)
        maps += float(np.prod(voxels)) * width * MAPS_A_LEVEL
        parameters += math.prod(kernel) * width * (before + 6 * width)
        before = width
    maps += float(np.prod(plan.patch)) * (channels + 4 * outputs)
    return int(FLOAT_BYTES * (batch * maps + STATE_COPIES * parameters)) + UNEVEN_BYTES


def memory_bytes(text: str) -> int:
    """Bytes of `6GB`, `800 MB` or `6GiB`. Raises `RequestError`.

    >>> memory_bytes("1.5GB"), memory_bytes("2GiB")
    (1500000000, 2147483648)
    """
    found = MEMORY.match(text)
    if not found:
        raise RequestError(f"--memory '{text}': write an amount such as 6GB")
    unit = (found[2] or "b").lower()
    power = "bkmgt".index(unit[0])
    amount = float(found[1]) * (1024 if "i" in unit else 1000) ** power
    if amount < 50e6:
        raise RequestError(f"--memory {text}: less than 50 MB; write an amount such as 6GB")
    return int(amount)


def read_plan(path: Path) -> VolumePlan:
    """A plan from a JSON or TOML file that somebody may have edited. Raises `DataError`."""
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON or TOML ({error})") from None
    return VolumePlan.from_json(value, str(path))


def plan_lines(plan: VolumePlan) -> list[tuple[str, str]]:
    """The plan for people: a name and a sentence each."""
    said = plan.why
    lines = [
        ("spacing", f"{_by(plan.spacing_mm)} mm: {said.get('spacing_mm', 'as asked for')}"),
        ("patch", f"{_by(plan.patch)} voxels: {said.get('patch', 'as asked for')}"),
        ("batch", f"{plan.batch}: {said.get('batch', 'as asked for')}"),
        ("values", said.get("normalisation", "as asked for")),
        (
            "network",
            f"widths {', '.join(map(str, plan.widths))}; {said.get('widths', 'as asked for')}",
        ),
        ("mirrored along", said.get("mirrored_axes", "as asked for")),
        ("memory", f"about {plan.memory_bytes / 1e9:.1f} GB a training step"),
    ]
    return lines


def _require_sound(plan: VolumePlan, where: str) -> None:
    """Raises `DataError` for a plan that no network can follow."""
    if not len(plan.widths) == len(plan.strides) == len(plan.kernels) >= 1:
        raise DataError(f"{where}: widths, strides and kernels need one entry a level")
    multiple = np.prod(np.array(plan.strides), axis=0)
    if plan.batch < 1 or min(plan.patch) < 1 or (np.array(plan.patch) % multiple).any():
        raise DataError(
            f"{where}: patch {_by(plan.patch)} must be a multiple of {_by(multiple)} (its strides)"
        )
    if np.prod(np.array(plan.patch) // multiple) < 2:
        raise DataError(
            f"{where}: of a patch of {_by(plan.patch)} one voxel is left in the coarsest maps, and "
            "norms need several; take a larger patch, or fewer levels"
        )
    if not {*plan.mirrored_axes} <= {0, 1, 2}:
        raise DataError(f"{where}: mirrored_axes are of 0, 1, 2 (depth, height, width)")
    if min(plan.spacing_mm) <= 0 or not plan.normalisation or min(plan.widths) < 1:
        raise DataError(f"{where}: spacing and widths must be above 0, a normalisation a channel")
    for one in plan.normalisation:
        if one.kind not in ("ct", "z-score"):
            raise DataError(f"{where}: normalisation '{one.kind}'; known: ct, z-score")
        if one.kind == "ct" and None in (one.low, one.high, one.mean, one.deviation):
            raise DataError(f"{where}: ct needs low, high, mean and deviation")


def _three(values: Any, kind: type) -> Any:
    first, second, third = (kind(value) for value in values)
    return first, second, third


def _by(values: Any) -> str:
    return " x ".join(f"{float(value):g}" for value in values)
