"""Whole scans with a label each: trained on, judged and answered like pictures, seen by a plan."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from vitreous.data.augmentation import Augmentation
from vitreous.data.samples import Source
from vitreous.data.volumes.store import as_planned, open_volume_store
from vitreous.data.volumes.whole import WholeScans, centred
from vitreous.errors import DataError, VitreousError
from vitreous.inference.volumes import volume_scaling
from vitreous.runs.predict import Prediction, answer_for
from vitreous.runs.predict_volumes import scans_below
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.volumes import GLANCE, plan_of, scans_of
from vitreous.training.batches import TrainingData
from vitreous.training.devices import serving_compute
from vitreous.training.recipe import Recipe, recipe_for
from vitreous.training.whole_scans import whole_scan_data

WEIGHT_DECAY = 0.05


def whole_training_data(
    prepared: Prepared, targets: Tensor, train_rows: np.ndarray, val_rows: np.ndarray
) -> TrainingData:
    """Scans and their targets, as the loop takes them."""
    scans = scans_of(prepared)
    channels = len(scans.plan.normalisation)
    whole = WholeScans(scans.store, scans.plan)
    return whole_scan_data(whole, targets, train_rows, val_rows, volume_scaling(channels))


def recipe_for_whole_scans(prepared: Prepared, data: TrainingData) -> Recipe:
    """That of pictures, with the batch that the plan has room for."""
    batch = scans_of(prepared).plan.batch
    recipe = recipe_for(len(data.train_rows), GLANCE.size, Augmentation())
    rate = recipe.learning_rate * (batch / recipe.batch_size) ** 0.5
    return replace(recipe, batch_size=batch, learning_rate=rate, weight_decay=WEIGHT_DECAY)


def later_scans(run: Run, source: Source, talk: Talk) -> WholeScans:
    """Scans of a source as the run's network sees them."""
    plan = plan_of(run.record.data)
    with talk.counting("resampling") as made:
        store = open_volume_store(source, plan, on_progress=made)
    return WholeScans(store, plan)


def seen_scans(run: Run, inputs: Iterable[str]) -> Iterator[tuple[str, np.ndarray | VitreousError]]:
    """Scans in files and folders as the network sees them, float32 (channels, depth, height,
    width), under their names; what cannot be read is the error that says why.
    """
    plan = plan_of(run.record.data)
    for found in scans_below(inputs):
        if found.volumes is None or found.sample is None:
            yield found.name, DataError(found.error or f"{found.name}: no scan")
            continue
        try:
            values, _ = as_planned(found.volumes.read(found.sample), plan, found.sample.path)
        except VitreousError as error:
            yield found.name, error
            continue
        yield found.name, centred(values, plan.patch)


def predict_whole_scans(
    runs: Run | Sequence[Run], inputs: Iterable[str], device: str | None = None
) -> Iterator[Prediction]:
    """Answers for files and folders of scans; what cannot be read says why in its `error`.

    Of several runs, of one plan, the mean of their calibrated probabilities (or numbers).
    """
    several = [runs] if isinstance(runs, Run) else list(runs)
    computes = [serving_compute(each.record.compute, device) for each in several]
    networks = [c.place(each.network) for c, each in zip(computes, several, strict=True)]
    run = several[0]
    classes = tuple(run.record.classes)
    for name, seen in seen_scans(run, inputs):
        if isinstance(seen, VitreousError):
            yield Prediction(name, classes, error=str(seen))
            continue
        answers = [
            answer_for(each, network, compute, name, seen)
            for each, network, compute in zip(several, networks, computes, strict=True)
        ]
        yield answers[0] if len(answers) == 1 else _mean(answers)


def _mean(answers: Sequence[Prediction]) -> Prediction:
    """The answers of several runs to one scan as one."""
    first = answers[0]
    if first.value is not None:
        return replace(first, value=float(np.mean([one.value or 0.0 for one in answers])))
    shares = np.mean([one.probabilities for one in answers], axis=0)
    return replace(first, probabilities=tuple(float(share) for share in shares))
