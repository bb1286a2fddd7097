"""From prepared data to a training with its plan: every choice is made here, and said."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vitreous.data.leaks import clusters
from vitreous.data.splits import folds
from vitreous.data.transforms import (
    Scaling,
    TrialScaling,
    fit_scaling,
    fit_trial_scaling,
    to_network_input,
)
from vitreous.errors import DataError, RequestError
from vitreous.inference import Compute
from vitreous.networks import (
    Network,
    NetworkCard,
    Weights,
    build_network,
    default_network,
    find_design,
    find_weights,
)
from vitreous.networks.csp_start import CSP
from vitreous.networks.detectors import detector_name, is_detector
from vitreous.networks.features.pocket import Pocket
from vitreous.networks.network import OWN
from vitreous.networks.transfer import fit_scaling_channels, start_from
from vitreous.networks.weights import NONE, classifier_fits
from vitreous.runs.box_set_up import box_task
from vitreous.runs.places import placed_task
from vitreous.runs.prepare import Prepared
from vitreous.runs.recipes import network_input_shape
from vitreous.runs.request import TrainRequest, seconds
from vitreous.runs.talk import Talk
from vitreous.runs.volumes import network_plan
from vitreous.runs.whole_scans import whole_training_data
from vitreous.tasks import Detect, Regress, Segment, Task, task_for
from vitreous.training.balance import are_unequal, balanced, choose_balance, class_counts
from vitreous.training.batches import TrainingData, steps_per_epoch
from vitreous.training.cheaper_steps import sentences
from vitreous.training.checkpoints import State
from vitreous.training.eeg_recipes import eeg_epochs
from vitreous.training.fastest import Wanted, fastest_path
from vitreous.training.fine_tuning import fine_tuning_epochs
from vitreous.training.head_first import fit_head
from vitreous.training.loop import Training
from vitreous.training.plan import (
    affordable_watch,
    measure_pace,
    steps_in_epochs,
    steps_in_time,
    watching,
)
from vitreous.training.processes import ALONE, Processes
from vitreous.training.recipe import (
    Balance,
    Recipe,
    default_epochs,
    patience_for,
    pocket_epochs,
)
from vitreous.training.resting import rest_early_features
from vitreous.training.validation import watched_metric

EEG_NETWORK = "eegnet"  # where none is asked for
LEAST_TRAINING_SHARE = 0.3  # of --time, however long decoding took
WHITENED_ON = 5000  # training pictures, at most
PROBE_SHARE = 0.04  # of the time for training, spent on measuring the pace


def task_of(prepared: Prepared) -> Task:
    """The task that the labels ask for."""
    if prepared.source.label_kind == "boxes":
        return box_task(prepared)
    labels = [sample.label for sample in prepared.samples(prepared.rows("train"))]
    task = task_for(prepared.source.label_kind, prepared.source.classes, labels)
    if prepared.scans is None or not isinstance(task, Segment):
        return task
    return replace(task, dimensions=3)


def task_settings(task: Task) -> dict[str, Any]:
    """What must be kept of a task besides its name and classes."""
    if isinstance(task, Detect):
        return {"size": list(task.size)}
    if isinstance(task, Segment) and task.dimensions != 2:
        return {"dimensions": task.dimensions}
    return {"center": task.center, "scale": task.scale} if isinstance(task, Regress) else {}


def training_data(
    prepared: Prepared, task: Task, scaling: Scaling | TrialScaling | None = None
) -> TrainingData:
    """Targets and rows; the scaling is fitted on training rows unless it is given.

    Trials need no validation part: their last epoch is kept.
    Raises `DataError` when there is nothing to train or to validate on.
    """
    train_rows, val_rows = prepared.rows("train"), prepared.rows("val")
    parts = {"training": train_rows, "validation": val_rows, "test": prepared.rows("test")}
    if placed := placed_task(task):
        return placed.training_data(prepared, task, scaling)
    of_trials = prepared.source.trials is not None
    for name, rows in parts.items():
        if len(rows) == 0 and not (of_trials and name == "validation"):
            what = "trial" if of_trials else "picture" if prepared.scans is None else "scan"
            raise DataError(f"{prepared.source.root}: no {what} is left for the {name} part")
    used = np.concatenate([train_rows, val_rows])
    encoded = task.encode([sample.label for sample in prepared.samples(used)])
    targets = torch.zeros((len(prepared.source.samples), *encoded.shape[1:]), dtype=encoded.dtype)
    targets[torch.from_numpy(used)] = encoded
    if prepared.scans is not None:
        return whole_training_data(prepared, targets, train_rows, val_rows)
    pixels = prepared.cache.pixels
    fit = fit_trial_scaling if of_trials else fit_scaling
    scaling = scaling or fit(pixels, train_rows)
    kinds = _kinds(prepared) if of_trials else None
    return TrainingData(pixels, targets, train_rows, val_rows, scaling, kinds)


def _kinds(prepared: Prepared) -> np.ndarray | None:
    """Which trials may be recombined: those of one class and one subject, for heads differ."""
    if prepared.source.label_kind != "class":
        return None
    of = [f"{sample.group}\0{sample.label}" for sample in prepared.source.samples]
    return np.unique(of, return_inverse=True)[1]


def weights_of(request: TrainRequest, own_network: nn.Module | None) -> Weights | None:
    """The weights asked for. Raises `RequestError` where they cannot be had or do not fit."""
    if own_network is not None and request.weights != NONE:
        raise RequestError("--weights: your own network brings its own; load them into it first")
    if request.weights == CSP:  # comes from the training trials: see runs/trial_start
        return None
    return find_weights(request.weights, request.network, request.accept_weights_licence)


def scaling_of(weights: Weights | None, prepared: Prepared) -> Scaling | None:
    """The scaling that the weights were trained with, for the channels of these pictures."""
    if weights is None or weights.scaling is None:
        return None
    return fit_scaling_channels(weights.scaling, prepared.pixel_format.channels)


def network_for(
    prepared: Prepared,
    task: Task,
    scaling: Scaling | TrialScaling,
    request: TrainRequest,
    weights: Weights | None,
    talk: Talk,
) -> Network:
    """The network asked for, or the one that suits the data; random start by the seed."""
    planned_network = network_plan(prepared)
    shape, plan = planned_network or (network_input_shape(prepared, request), None)
    name, why = request.network, "asked for by --network"
    trials = prepared.source.trials
    if name is None and (placed := placed_task(task)):
        name, why = placed.network(prepared, weights)
    if name is None and weights is not None:
        name, why = weights.network, "what the weights are of"
    if name is None and trials is not None:
        name, why = EEG_NETWORK, "small, and made for trials of EEG"
    if name is None and prepared.scans is not None:
        name, why = "resnet", "for whole scans, a residual network of three dimensions"
    if name is None:
        pictured = network_input_shape(prepared, request)
        name, why = default_network(pictured, len(prepared.rows("train")))
    if task.name == "detect":
        name = detector_name(name)
    refuse_other_answers(name, task)
    torch.manual_seed(request.seed)
    rate = None if trials is None else trials.sampling_rate_hz
    network = build_network(
        name,
        shape,
        task.outputs,
        scaling=scaling,
        sampling_rate_hz=rate,
        plan=plan,
    )
    talk.say(f"network: {name} with {network.card.parameters:,} parameters ({why})")
    if weights is not None:
        notes = start_from(network, weights, classifier_fits(weights, task.classes))
        licence = weights.licence or "unknown"
        talk.say(f"weights: {weights.name}; trained on {weights.seen}; licence {licence}")
        for note in notes:
            talk.say(f"weights: {note}")
    return network


def refuse_other_answers(name: str, task: Task) -> None:
    """Raises `RequestError` where a network's answers are not of the kind that the task needs."""
    dense = find_design(name)[1].dense
    if task.name == "segment" and not dense:
        raise RequestError(
            f"--network {name}: has one answer a picture, and masks need one a pixel; "
            f"use unet, or unet:{name} or fpn:{name} for a decoder on its features"
        )
    if task.name != "detect" and is_detector(name):
        raise RequestError(f"--network {name}: answers with boxes; it is for pictures with boxes")
    if task.name != "segment" and dense:
        raise RequestError(
            f"--network {name}: answers for each pixel; it is for pictures with masks"
        )


def fit_first_layer(network: Network, data: TrainingData, talk: Talk) -> None:
    """Fit what a new network takes from the training pictures, where it has such a layer."""
    if not isinstance(network.features, Pocket):
        return
    rows = data.train_rows[
        np.linspace(0, len(data.train_rows) - 1, min(WHITENED_ON, len(data.train_rows))).astype(int)
    ]
    inputs = to_network_input(torch.from_numpy(data.pixels[rows]), data.scaling)
    network.features.initialise_from_data(inputs)
    network.card = replace(network.card, whitened_on=len(rows))
    talk.say(f"network: its first layer whitens, fitted on {len(rows):,} training pictures")


def own_network_card(
    network: nn.Module,
    prepared: Prepared,
    task: Task,
    scaling: Scaling | TrialScaling,
    request: TrainRequest,
) -> NetworkCard:
    """The card of a network that the user's own code made."""
    shape = network_input_shape(prepared, request)
    return Network.own_card(network, shape, task.outputs, scaling)


def new_training(
    task: Task,
    data: TrainingData,
    network: nn.Module,
    recipe: Recipe,
    compute: Compute,
    seed: int,
    planned_steps: int,
    processes: Processes = ALONE,
) -> Training:
    """A training that has not begun, with its ways of meeting unequal classes as in the recipe."""
    refuse_empty_parts(len(data.train_rows), recipe.batch_size, processes)
    data = watching(data, recipe.watched, seed)
    rest_early_features(network, recipe.resting_stride)
    counts = _counts(task, data)
    metric, higher_is_better = watched_metric(task, counts is not None and are_unequal(counts))
    training = Training(
        network=network,
        task=task,
        data=data,
        recipe=recipe,
        state=State(planned_steps=planned_steps),
        seed=seed,
        metric=metric,
        higher_is_better=higher_is_better,
        compute=compute,
        processes=processes,
    )
    if placed := placed_task(task):
        weights = placed.class_weights(data, recipe)
        return replace(training, class_weights=None if weights is None
                       else weights.to(training.device))  # fmt: skip
    return training if counts is None else balanced(training, recipe.balance, counts)


def refuse_empty_parts(samples: int, batch_size: int, processes: Processes) -> None:
    """Each process needs a sample of each batch. Raises `RequestError` where one has none."""
    smallest = samples // steps_per_epoch(samples, batch_size)
    if smallest < processes.count:
        raise RequestError(
            f"batches of {smallest} samples cannot be shared by {processes.count} processes; "
            "use a larger --batch-size, more data, or fewer processes"
        )


FEW_FOR_PENALTY = 2000  # training pictures: up to it they are divided to choose the head's penalty
FOLDS_FOR_PENALTY = 5


def head_first(training: Training, prepared: Prepared, talk: Talk) -> list[str]:
    """The last layer fitted on what the trained weights see; what was done, in sentences."""
    recipe = training.recipe
    notes = []
    if recipe.head_first:
        notes.append(fit_head(training, _folds_for_penalty(prepared)).sentence)
    notes.append(f"fine-tuning: {recipe.augmentation.why}")
    if recipe.frozen_norms:
        notes.append("batch norms keep the statistics of the weights, for the set is small")
    if recipe.resting_stride:
        resting = sum(not parameter.requires_grad for parameter in training.network.parameters())
        notes.append(f"{resting} tensors of the first layers, up to maps of stride "
                     f"{recipe.resting_stride}, keep the weights' numbers")  # fmt: skip
    for note in notes:
        talk.say(f"plan: {note}")
    return notes


def _folds_for_penalty(prepared: Prepared) -> np.ndarray | None:
    """By group, as all divisions are; None where there are many pictures, or too few of a class."""
    usable = np.array([part == "train" for part in prepared.split])
    if usable.sum() > FEW_FOR_PENALTY:
        return None
    samples, alike = prepared.source.samples, clusters(prepared.duplicates)
    try:
        return folds(samples, FOLDS_FOR_PENALTY, seed=0, usable=usable, together=alike)
    except DataError:
        return None


def planned(
    training: Training, request: TrainRequest, elapsed_seconds: float, talk: Talk
) -> tuple[Training, list[str]]:
    """The training with its number of steps and its way of meeting unequal classes; and sentences
    about them.
    """
    if request.time is None:
        training, notes = _planned_by_epochs(training, request)
    else:
        training, notes = _planned_by_time(training, seconds(request.time), elapsed_seconds)
    notes += sentences(training.recipe)
    recipe = replace(training.recipe, patience=patience_for(_planned_epochs(training)))
    training, balance_notes = _with_balance(replace(training, recipe=recipe), request)
    notes += balance_notes
    for note in notes:
        talk.say(f"plan: {note}")
    return training, notes


def on_fastest_path(
    training: Training, request: TrainRequest, elapsed_seconds: float, talk: Talk
) -> tuple[Training, list[str]]:
    """The training on the compute path that is the fastest here; a sentence where it was timed."""
    wanted = Wanted(request.precision, request.compile, own_network=request.network == OWN)
    steps, left = None, None
    if request.time is None:
        steps = _steps_by_epochs(training, request)[0]
    else:
        left = _time_left(seconds(request.time), elapsed_seconds)
    compute, notes = fastest_path(training, wanted, steps=steps, seconds=left)
    for note in notes:
        talk.say(f"plan: {note}")
    return replace(training, compute=compute), notes


def _planned_epochs(training: Training) -> float:
    a_epoch = steps_per_epoch(len(training.data.train_rows), training.recipe.batch_size)
    return training.state.planned_steps / a_epoch


def _planned_by_epochs(training: Training, request: TrainRequest) -> tuple[Training, list[str]]:
    batch_size = training.recipe.batch_size
    steps, epochs = _steps_by_epochs(training, request)
    why = "asked for by --epochs" if request.epochs else "by the size of the set"
    note = f"{steps:,} steps of {batch_size} ({epochs} epochs), {why}"
    return replace(training, state=State(planned_steps=steps)), [note]


def _steps_by_epochs(training: Training, request: TrainRequest) -> tuple[int, int]:
    samples, batch_size = len(training.data.train_rows), training.recipe.batch_size
    of_pocket = training.recipe.optimizer == "muon"
    usual = pocket_epochs(samples) if of_pocket else default_epochs(samples, batch_size)
    if isinstance(training.data.scaling, TrialScaling):
        usual = eeg_epochs(samples, batch_size)
    tuned = training.recipe.layer_decay < 1
    if tuned:
        usual = fine_tuning_epochs(samples, batch_size)
    if placed := placed_task(training.task):
        usual = placed.epochs(samples, batch_size, tuned)
    epochs = request.epochs or usual
    return steps_in_epochs(samples, batch_size, epochs), epochs


def _time_left(wanted: float, elapsed_seconds: float) -> float:
    return max(wanted - elapsed_seconds, LEAST_TRAINING_SHARE * wanted)


def _planned_by_time(
    training: Training, wanted: float, elapsed_seconds: float
) -> tuple[Training, list[str]]:
    left = _time_left(wanted, elapsed_seconds)
    deadline = training.processes.now() + left
    pace = measure_pace(training, PROBE_SHARE * left)
    left = deadline - training.processes.now()
    data = training.data
    watched = affordable_watch(pace, left, len(data.val_rows), data.pictures_probed)
    data = watching(training.data, watched, training.seed)
    a_epoch = steps_per_epoch(len(data.train_rows), training.recipe.batch_size)
    steps = steps_in_time(pace, left, a_epoch, len(data.val_rows))
    notes = [
        f"{steps:,} steps of {training.recipe.batch_size} ({steps / a_epoch:.1f} epochs), "
        f"as measured to fit into {left:.0f} s"
    ]
    if watched is not None:
        notes.append(
            f"{watched:,} of {len(training.data.val_rows):,} validation samples are looked at in "
            "each epoch, for all of them would take too much of the time"
        )
    recipe = replace(training.recipe, watched=watched)
    state = State(planned_steps=steps)
    training = replace(training, data=data, recipe=recipe, state=state, deadline=deadline)
    return training, notes


def _with_balance(training: Training, request: TrainRequest) -> tuple[Training, list[str]]:
    if placed_task(training.task):
        return training, []  # its recipe says it
    counts = _counts(training.task, training.data)
    if counts is None:
        if request.balance not in {None, "none"}:
            raise RequestError(f"--balance {request.balance}: is for one class a picture only")
        return training, []
    if request.balance is None and not are_unequal(counts):
        return training, []
    if request.balance is None and not len(training.data.val_rows):
        said = f"{counts.min()} to {counts.max()} training samples a class: taken as they are"
        return training, [f"{said}, for there is no validation part to choose by (see --balance)"]
    if request.balance is not None:
        way: Balance = request.balance  # type: ignore[assignment]  # checked in TrainRequest
        note = (
            f"{counts.min()} to {counts.max()} training samples a class: balance {way}, asked for"
        )
        return balanced(training, way, counts), [note]
    before = training.processes.now()
    choice = choose_balance(training, counts)
    training = balanced(training, choice.balance, counts)
    if training.deadline is not None:  # trying took some of the time that was planned for
        left = training.deadline - before
        share = max(0.05, 1.0 - (training.processes.now() - before) / left)
        steps = max(1, int(share * training.state.planned_steps))
        training = replace(training, state=State(planned_steps=steps))
    return training, [f"{choice.why}: {choice.balance} is used"]


def _counts(task: Task, data: TrainingData) -> np.ndarray | None:
    if task.name != "classify":
        return None
    return class_counts(data.targets, data.train_rows, len(task.classes))
