"""The training loop, on one screen."""

import csv
import io
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vitreous.errors import VitreousError
from vitreous.files import write_text
from vitreous.inference.compute import PLAIN, Compute, Forward
from vitreous.networks.max_norm import keep_norms_limited
from vitreous.tasks import Task
from vitreous.training.averaging import WeightAverage
from vitreous.training.batches import Batch, TrainingData, batches
from vitreous.training.cheaper_steps import early_piece, work_done
from vitreous.training.checkpoints import Best, State, save_checkpoint, save_tensors
from vitreous.training.memory import freed_memory_kept
from vitreous.training.mixup import Mixup
from vitreous.training.optimisers import optimizers_for, prepare_step, wake
from vitreous.training.processes import ALONE, Processes
from vitreous.training.recipe import Recipe
from vitreous.training.resting import folded_norms, resting_norms
from vitreous.training.shared_statistics import shared_statistics
from vitreous.training.validation import validate

SAVE_EVERY_SECONDS = 30.0  # within an epoch; at an epoch's end in any case

SAVE_BLINKS_EVERY_SECONDS = 5.0  # where the last epoch is kept: a save takes longer than they do

WARM_UP_STEPS = 5  # not timed


class Watcher(Protocol):
    """What is told of a training while it runs: progress on a screen, TensorBoard, a test."""

    def step(self, state: State, loss: float, pictures: int) -> None: ...  # noqa: D102
    def epoch(self, state: State, row: dict[str, float | None]) -> None: ...  # noqa: D102


@dataclass
class Training:
    """Everything a training is made of; `state` and the tensors change, the rest does not."""

    network: nn.Module
    task: Task
    data: TrainingData
    recipe: Recipe
    state: State
    seed: int
    metric: str  # the validation column that chooses the best epoch
    higher_is_better: bool
    compute: Compute = PLAIN
    processes: Processes = ALONE  # each has its own Training, and its part of every batch
    folder: Path | None = None  # where checkpoints go; none are kept without it
    watchers: tuple[Watcher, ...] = ()
    deadline: float | None = None  # by `processes.now()`; the plan is shortened to keep it
    class_weights: Tensor | None = None
    sampling_weights: np.ndarray | None = None
    forward: Forward = field(init=False)
    folded: AbstractContextManager = field(init=False)  # norms that rest, within convolutions
    average: WeightAverage = field(init=False)
    optimizers: list[Optimizer] = field(init=False)
    best_tensors: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.compute.place(self.network)
        self.forward = self.compute.training_forward_of(self.network)
        fold = self.recipe.frozen_norms and not self.compute.compiled
        self.folded = folded_norms(self.network) if fold else nullcontext()
        horizon = self.recipe.average_share * self.state.planned_steps
        self.average = WeightAverage(self.network, horizon)
        dtype = getattr(torch, self.compute.dtype)
        self.optimizers = optimizers_for(self.network, self.recipe, dtype)
        self.best_tensors = self.average.snapshot()

    @property
    def device(self) -> str:
        """Where the network lies."""
        return self.compute.device


@freed_memory_kept()
def train(training: Training) -> State:
    """Train to the planned step, or until patience ends; the best weights are kept.

    Every step depends on (seed, step, weights) alone, so that a training that goes on from a
    checkpoint ends with the same weights as one that was never broken. Ctrl-C (and SIGTERM) is
    heard between two steps: a checkpoint is written and KeyboardInterrupt goes on up. Several
    processes do all of this in step, and stop where the first one says.
    """
    t, state = training, training.state
    t.processes.copy_from_first([*t.network.state_dict().values(), *t.average.tensors.values()])
    saved = time.monotonic()
    started = saved - state.seconds
    pacing = Pacing(t)
    with interrupt_between_steps() as interrupted:
        while not is_over(t):
            stop = False
            for batch in timed(batches_of_epoch(t), state):
                loss = train_step(t, batch.pixels, batch.targets)
                state.step, state.batch = state.step + 1, state.batch + 1
                state.loss_sum += loss
                state.seconds = time.monotonic() - started
                for watcher in t.watchers:
                    watcher.step(state, loss, batch.samples)
                pacing.shorten_plan_when_late()
                stop = bool(t.processes.agreed(interrupted()))
                if state.step >= state.planned_steps or stop:
                    break
                if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                    saved = save(t)
            if not stop:
                end_epoch(t)
                state.seconds = time.monotonic() - started
            stop = stop or bool(t.processes.agreed(interrupted()))
            if stop or is_over(t) or save_is_due(t, saved):
                saved = save(t)
            if stop:
                raise KeyboardInterrupt
    wake(t.optimizers)
    return state


def save_is_due(t: Training, saved: float) -> bool:
    """Whether the end of an epoch is kept: a new best at once, epochs of a blink now and then."""
    return t.recipe.keep == "best" or time.monotonic() - saved > SAVE_BLINKS_EVERY_SECONDS


def is_over(t: Training) -> bool:
    """Whether all planned steps are done and validated, or patience has ended."""
    unfinished_epoch = t.state.batch > 0
    steps_left = t.state.step < t.state.planned_steps
    return not (steps_left or unfinished_epoch) or t.state.epochs_since_best >= t.recipe.patience


def train_step(t: Training, pixels: Tensor, targets: Tensor) -> float:
    """One step of the optimiser on uint8 pictures; the loss before it."""
    state = t.state
    pixels = early_piece(
        pixels, t.recipe, seed=t.seed, step=state.step, planned_steps=state.planned_steps
    )
    # dropout depends on (seed, step) alone, and differs between the parts of a batch
    torch.manual_seed((t.seed * 1_000_003 + state.step + t.processes.rank * 2**40) % 2**63)
    prepare_step(t.optimizers, state.step, state.planned_steps, t.recipe)
    set_training_mode(t.network, t.recipe.frozen_norms)
    with shared_statistics(t.processes), t.folded:
        outputs = t.forward(t.compute.inputs(pixels, t.data.scaling))
    loss = t.task.loss(
        outputs,
        targets.to(t.device, non_blocking=True),
        label_smoothing=t.recipe.label_smoothing,
        class_weights=t.class_weights,
    )
    if t.processes.several:
        loss = loss * t.processes.share(t.task.weight(targets, t.class_weights))
    t.network.zero_grad(set_to_none=True)
    loss.backward()
    value = t.processes.sum_gradients(t.network.parameters(), loss.detach())
    if t.recipe.gradient_clip is not None:
        nn.utils.clip_grad_norm_(t.network.parameters(), t.recipe.gradient_clip)
    for optimizer in t.optimizers:
        optimizer.step()
    keep_norms_limited(t.network)
    t.average.update(t.network, state.step)
    if not math.isfinite(value):
        raise VitreousError(
            f"the loss became {value} at step {state.step + 1}; "
            "use a lower learning rate, or look at the labels with `vitreous inspect`"
        )
    return value


def set_training_mode(network: nn.Module, frozen_norms: bool) -> None:
    """Training mode; with `frozen_norms` batch norms answer by the statistics that they have.

    Not those of a head whose `new_norms` have no statistics yet.
    """
    network.train()
    if not frozen_norms:
        return
    for norm in resting_norms(network):
        norm.eval()


def batches_of_epoch(t: Training) -> Iterator[Batch]:
    """The batches that the running epoch still has; none when only its end is still to do."""
    if t.state.step >= t.state.planned_steps:
        return iter(())
    return batches(
        t.data,
        batch_size=t.recipe.batch_size,
        seed=t.seed,
        epoch=t.state.epoch,
        augmentation=t.recipe.augmentation,
        sampling_weights=t.sampling_weights,
        start=t.state.batch,
        recombined_segments=t.recipe.recombined_segments,
        crop_samples=t.recipe.views.crop_samples,
        processes=t.processes,
        mixup=mixup_of(t),
        progress=(t.state.step - t.state.batch) / max(1, t.state.planned_steps),
    )


def mixup_of(t: Training) -> Mixup | None:
    """How pictures are mixed, where the recipe says so."""
    if not t.recipe.mixup:
        return None
    return Mixup(t.recipe.mixup, t.task.outputs if t.task.name == "classify" else None)


def timed(batches: Iterator[Batch], state: State) -> Iterator[Batch]:
    """The batches; the state learns how long each of them was waited for."""
    while True:
        asked = time.monotonic()
        batch = next(batches, None)
        state.seconds_waiting += time.monotonic() - asked
        if batch is None:
            return
        yield batch


def end_epoch(t: Training) -> None:
    """Validate the averaged weights, keep them when they are the best, and write the row."""
    state = t.state
    with averaged_weights(t):
        needed = t.recipe.views.needed
        scores = validate(t.network, t.data, t.task, t.compute, t.processes, needed)
    row: dict[str, float | None] = {
        "step": state.step,
        "epoch": state.epoch + 1,
        "seconds": round(state.seconds, 3),
        "lr": t.optimizers[0].param_groups[0]["lr"],
        "train_loss": state.loss_sum / max(1, state.batch),
        **{name: value if math.isfinite(value) else None for name, value in scores.items()},
    }
    state.history.append(row)
    state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
    if is_better(t, scores):
        state.best = Best(state.epoch, state.step, t.metric, row[t.metric])
        state.best_loss = scores["val_loss"] if math.isfinite(scores["val_loss"]) else 0.0
        state.epochs_since_best = 0
        t.best_tensors = t.average.snapshot()
    else:
        state.epochs_since_best += 1
    for watcher in t.watchers:
        watcher.epoch(state, row)


def is_better(t: Training, scores: dict[str, float]) -> bool:
    """Whether these scores beat the best so far; equal or undefined ones do so by a lower loss.

    Where the recipe keeps the last epoch, every epoch does.
    """
    if t.state.best is None or t.recipe.keep == "last":
        return True
    value, best = scores[t.metric], t.state.best.value
    if best is None or value == best or math.isnan(value):
        return scores["val_loss"] < t.state.best_loss
    return (value > best) == t.higher_is_better


class Pacing:
    """Shortens the plan when the machine turns out too slow for the deadline; never lengthens it.

    The first steps, slow because everything is new, are left out, and nothing is decided before a
    tenth of the plan has been timed: a plan that was cut for a hiccup would stay cut. Steps that
    cost less by plan (`cheaper_steps`) count for what they cost.
    """

    def __init__(self, t: Training) -> None:
        self.t = t
        self.timed_from: tuple[int, float] | None = None
        self.warm_at = t.state.step + WARM_UP_STEPS

    def shorten_plan_when_late(self) -> None:
        """To be asked after each step."""
        t, state = self.t, self.t.state
        if t.deadline is None or state.step < self.warm_at:
            return
        now = t.processes.now()
        if self.timed_from is None:
            self.timed_from = (state.step, now)
        first, started = self.timed_from
        if state.step - first < max(1, state.planned_steps // 10):
            return
        # validations in between included
        pace = (now - started) / (self.work(state.step) - self.work(first))
        left = self.work(state.planned_steps) - self.work(state.step)
        reachable = max(0.0, t.deadline - now) / pace / left if left else 1.0
        steps = int(reachable * (state.planned_steps - state.step))
        if state.step + steps < 0.97 * state.planned_steps:  # small errors are not chased
            state.planned_steps = state.step + steps

    def work(self, step: int) -> float:
        """What the steps up to this one take, in full steps."""
        planned = self.t.state.planned_steps
        return work_done(self.t.recipe, step / planned) * planned


def save(t: Training) -> float:
    """Write the best network and then the checkpoint; the time at which that was done.

    In this order: after a kill between the two, the older checkpoint leads to the same best.
    """
    if t.folder is not None:
        save_tensors(t.folder / "network.safetensors", t.best_tensors, {})
        write_history(t.folder / "history.csv", t.state.history)
        save_checkpoint(t.folder, t.state, t.network, t.average, t.optimizers)
    return time.monotonic()


@contextmanager
def averaged_weights(t: Training) -> Iterator[None]:
    """The network with its averaged weights; its own are put back afterwards."""
    own = {name: value.clone() for name, value in t.network.state_dict().items()}
    t.network.load_state_dict(t.average.tensors)
    try:
        yield
    finally:
        t.network.load_state_dict(own)


@contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Makes Ctrl-C a question that can be asked between steps; a second one stops at once.

    So does SIGTERM, by which torchrun and the queues of clusters end a process.
    """
    heard = False

    def hear(_signal: int, _frame: object) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread hears signals
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_history(path: Path, history: list[dict[str, float | None]]) -> None:
    """history.csv: one row an epoch."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    write_text(path, text.getvalue())
