"""A training on medical scans with masks: their plan, their data, their network and recipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.data.cache import PixelCache, PixelFormat, open_cache
from vitreous.data.leaks import Duplicate, clusters, find_duplicates
from vitreous.data.samples import Source, Split
from vitreous.data.splits import plan_splits
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.data.volumes.fingerprint import VolumeFingerprint, fingerprint_volumes, volumes_of
from vitreous.data.volumes.plan import (
    DEFAULT_MEMORY,
    VolumePlan,
    plan_lines,
    read_plan,
)
from vitreous.data.volumes.store import VolumeStore, open_volume_store
from vitreous.data.volumes.whole import plan_for_scans
from vitreous.errors import DataError, RequestError
from vitreous.files import write_json
from vitreous.inference.volumes import volume_scaling
from vitreous.networks import Weights
from vitreous.networks.features.unet import UNetPlan
from vitreous.runs.prepare import Prepared, refuse_too_many_skipped
from vitreous.runs.record import DataRecord
from vitreous.runs.request import TrainRequest
from vitreous.runs.talk import Talk
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.recipe import Recipe
from vitreous.training.volume_batches import volume_training_data

GLANCE = PixelFormat((64, 64), 1, "the middle axial slice of each scan, to be looked at")
STEPS = 6000  # where neither --epochs nor --time is given, about
FEWEST_EPOCHS, MOST_EPOCHS = 20, 300


@dataclass(frozen=True)
class PreparedScans:
    """What scans have beside glances at them: the plan, and where they lie as planned."""

    plan: VolumePlan
    store: VolumeStore
    channels: tuple[str, ...]
    modality: str | None
    fingerprint: VolumeFingerprint | None = None  # where the scans were looked at for a plan

    def to_json(self) -> dict[str, Any]:
        """What run.json keeps of scans."""
        return {
            "plan": self.plan.to_json(),
            "channels": list(self.channels),
            "modality": self.modality,
        }


def prepare_scans(source: Source, request: TrainRequest, talk: Talk) -> Prepared:
    """Look at all scans, make the plan (or read it), bring the scans to it, split by patient.

    With masks the plan is of patches; with a label each, of whole scans.
    Raises `DataError` where too little is left, `RequestError` where nothing fits the memory.
    """
    if source.label_kind == "none":
        raise RequestError(
            f"{source.root}: {source.kind}: no labels; give masks beside the scans, or a table of "
            "scans with a label each"
        )
    with talk.counting("reading") as read:
        fingerprint = fingerprint_volumes(source, on_progress=read)
    if request.plan is not None and request.dimensions is not None:
        raise RequestError(f"--dimensions {request.dimensions}: --plan says it; give one of them")
    if request.plan is not None:
        plan = read_plan(Path(request.plan))
        if len(plan.normalisation) != len(fingerprint.channels):
            raise RequestError(
                f"--plan {request.plan}: is for {len(plan.normalisation)} channels, the scans have "
                f"{len(fingerprint.channels)}"
            )
    else:
        plan = plan_for_scans(
            source, fingerprint, request.memory or DEFAULT_MEMORY, request.dimensions
        )
    for name, words in plan_lines(plan):
        talk.say(f"plan: {name}: {words}")
    scans = replace(_as_planned(source, plan, talk), fingerprint=fingerprint)
    cache = glances(source, scans)
    refuse_too_many_skipped(source, cache, request.max_skipped, talk)
    copies = equal_scans(cache)
    split = plan_splits(
        source.samples, seed=request.seed, usable=cache.usable, together=clusters(copies)
    )
    talk.say(f"split: {split.how}")
    warnings = (*source.warnings, *split.warnings)
    for warning in warnings:
        talk.warn(warning)
    return Prepared(source, cache, GLANCE, split.split, split.how, copies, warnings, scans=scans)


def scans_again(
    source: Source, record: DataRecord, split: tuple[Split | None, ...], talk: Talk
) -> Prepared:
    """The scans of a run that goes on, by the plan that it has."""
    scans = _as_planned(source, plan_of(record), talk)
    cache = glances(source, scans)
    return Prepared(source, cache, GLANCE, split, record.split_how, [], (), scans=scans)


def _as_planned(source: Source, plan: VolumePlan, talk: Talk) -> PreparedScans:
    with talk.counting("resampling") as made:
        store = open_volume_store(source, plan, on_progress=made)
    volumes = volumes_of(source)
    return PreparedScans(plan, store, volumes.channels, volumes.modality)


def glances(source: Source, scans: PreparedScans) -> PixelCache:
    """The middle slices of the scans; what the store could not use is not usable here either."""
    cache = open_cache(source, GLANCE)
    skipped = {**cache.skipped, **scans.store.skipped}
    usable = cache.usable & scans.store.usable
    return replace(cache, usable=usable, skipped=skipped, fingerprint=scans.store.fingerprint)


def equal_scans(cache: PixelCache) -> list[Duplicate]:
    """Scans whose middle slices are equal to the last grey level: copies.

    Nearly equal ones are no copies here: crops about one organ are all alike.
    """
    found = find_duplicates(cache.pixels, np.flatnonzero(cache.usable))
    return [pair for pair in found if pair.exact]


def plan_of(record: DataRecord) -> VolumePlan:
    """The plan that a run's scans were brought to. Raises `DataError` where it has none."""
    if record.volumes is None:
        raise DataError("run.json: says nothing of scans; train again")
    return VolumePlan.from_json(record.volumes["plan"], "run.json")


def scans_of(prepared: Prepared) -> PreparedScans:
    """The scans of prepared data that have them."""
    assert prepared.scans is not None
    return prepared.scans


def scan_training_data(
    prepared: Prepared, task: Task, scaling: Scaling | TrialScaling | None = None
) -> TrainingData:
    """Patches of scans to learn from. Raises `DataError` where a part of the split is empty."""
    del scaling
    scans = scans_of(prepared)
    parts = {part: prepared.rows(part) for part in ("train", "val", "test")}
    for part, rows in parts.items():
        if not len(rows):
            raise DataError(f"{prepared.source.root}: no scan is left for the {part} part")
    count = len(prepared.source.samples)
    targets = torch.zeros(count, task.outputs, dtype=torch.int64)
    used = np.concatenate([parts["train"], parts["val"]])
    targets[torch.from_numpy(used)] = task.encode(
        [sample.label for sample in prepared.samples(used)]
    )
    pixels = prepared.cache.pixels
    return volume_training_data(
        scans.store,
        scans.plan,
        pixels,
        targets,
        parts["train"],
        parts["val"],
        volume_scaling(len(scans.plan.normalisation)),
    )


def scan_network(prepared: Prepared, weights: Weights | None) -> tuple[str, str]:
    """The network where none is asked for, and why."""
    if weights is not None:
        raise RequestError("--weights: trained weights are for pictures; scans start from nothing")
    levels = scans_of(prepared).plan.levels
    return "unet", f"for scans, {levels} levels by the plan, from random weights"


def network_plan(prepared: Prepared) -> tuple[tuple[int, ...], UNetPlan | None] | None:
    """Input shape (channels, *patch) and, for masks, the U-Net's plan; None for other data."""
    if prepared.scans is None:
        return None
    plan = prepared.scans.plan
    shape = (len(plan.normalisation), *plan.patch)
    if prepared.source.label_kind != "mask":
        return shape, None
    return shape, unet_of(plan)


def unet_of(plan: VolumePlan) -> UNetPlan:
    """The U-Net that a plan asks for."""
    return UNetPlan(
        3,
        plan.widths,
        tuple(tuple(one) for one in plan.strides),
        tuple(tuple(one) for one in plan.kernels),
        norm="instance",
        deep_supervision=max(0, plan.levels - 2),
    )


def recipe_for_scans(
    prepared: Prepared, data: TrainingData, request: TrainRequest, tuned: bool
) -> Recipe:
    """AdamW on a few patches a step. Raises `RequestError` for ways that scans do not have."""
    del data, tuned
    if request.balance not in (None, "none"):
        raise RequestError(
            f"--balance {request.balance}: is for pictures; patches of scans are drawn about small "
            "structures as it is"
        )
    batch = scans_of(prepared).plan.batch
    return Recipe(
        batch_size=batch,
        learning_rate=1e-3 * (batch / 4) ** 0.5,
        weight_decay=0.01,
        label_smoothing=0.0,
        gradient_clip=12.0,
    )


def scan_epochs(samples: int, batch_size: int, tuned: bool) -> int:
    """Epochs where neither --epochs nor --time is given.

    >>> scan_epochs(84, 2, False)
    142
    """
    del tuned
    a_epoch = max(1, samples // batch_size)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, STEPS // a_epoch))


def write_plan(folder: Path, scans: PreparedScans) -> None:
    """plan.json, to be looked at, edited and given to --plan, and fingerprint.json, the facts that
    it rests on.
    """
    write_json(folder / "plan.json", scans.plan.to_json())
    if scans.fingerprint is not None:
        write_json(folder / "fingerprint.json", scans.fingerprint.to_json())
