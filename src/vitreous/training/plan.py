"""How many steps: from epochs, or from the time that may be spent, by measuring the pace."""

import copy
from dataclasses import dataclass, replace

import numpy as np

from vitreous.training.batches import PROBED, TrainingData, steps_per_epoch
from vitreous.training.cheaper_steps import full_steps, work_done
from vitreous.training.loop import Training, batches_of_epoch, end_epoch, train_step
from vitreous.training.memory import freed_memory_kept

RESERVE = 0.04  # share of the time kept for what the measurement did not see
WATCH_SHARE = 0.25  # of the time, that one validation may take
WATCHED = 2**32  # a stream of random numbers of its own, beside those of the epochs


def steps_in_epochs(samples: int, batch_size: int, epochs: int) -> int:
    """Steps in so many epochs; no batch is dropped.

    >>> steps_in_epochs(100, 32, 3)
    12
    """
    return epochs * steps_per_epoch(samples, batch_size)


@dataclass(frozen=True)
class Pace:
    """How fast this machine is at a training."""

    seconds_per_step: float  # on average over a training: some can be shorter by plan
    seconds_per_validated: float  # of one validation sample


@freed_memory_kept()
def measure_pace(training: Training, seconds: float) -> Pace:
    """Time real steps, for about `seconds`, and the validation of some samples.

    All is done on a copy, so the training itself starts from the same weights whether or not it
    was measured.
    """
    probe = probe_of(training)
    probe.recipe = full_steps(probe.recipe)
    probe.data = watching(probe.data, probe.data.pictures_probed, probe.seed)
    steps, spent = _timed_steps(probe, seconds)
    started = training.processes.now()
    end_epoch(probe)
    validated = training.processes.now() - started
    step = spent / steps * work_done(training.recipe, 1.0)
    return Pace(step, validated / max(1, len(probe.data.val_rows)))


def steps_in_time(pace: Pace, seconds: float, steps_an_epoch: int, watched: int) -> int:
    """Steps that fit into `seconds` when each epoch, the last one too, ends with a validation.

    >>> steps_in_time(Pace(1.0, 0.1), seconds=1000, steps_an_epoch=90, watched=100)
    860
    """
    validation = pace.seconds_per_validated * watched
    an_epoch = steps_an_epoch * pace.seconds_per_step + validation
    epochs, rest = divmod(seconds * (1.0 - RESERVE), an_epoch)
    more = max(0.0, rest - validation) / pace.seconds_per_step
    return max(1, int(epochs) * steps_an_epoch + int(more))


def affordable_watch(
    pace: Pace, seconds: float, val_samples: int, fewest: int = PROBED
) -> int | None:
    """How many validation samples to look at in each epoch; None for all of them.

    Fewer than all only where one look at all of them would take a quarter of the whole time.
    """
    most = int(WATCH_SHARE * seconds / pace.seconds_per_validated)
    return None if most >= val_samples else max(fewest, most)


def watching(data: TrainingData, count: int | None, seed: int) -> TrainingData:
    """The data with at most `count` validation samples to look at, drawn by the seed."""
    if count is None or count >= len(data.val_rows):
        return data
    generator = np.random.Generator(np.random.Philox(key=[seed, WATCHED]))
    rows = np.sort(generator.choice(data.val_rows, size=count, replace=False))
    return replace(data, val_rows=rows)


def probe_of(training: Training, planned_steps: int = 1_000_000) -> Training:
    """A training of its own on a copy of the network, that leaves no files and tells nobody."""
    return replace(
        training,
        network=copy.deepcopy(training.network),
        state=replace(training.state, planned_steps=planned_steps, history=[]),
        folder=None,
        watchers=(),
        deadline=None,
    )


def _timed_steps(probe: Training, seconds: float) -> tuple[int, float]:
    """Steps done and seconds they took, without the first two, in which caches warm.

    Where steps are so slow that `seconds` are over, two are timed and only the first is left out.
    """
    times: list[float] = []  # of a step, and of waiting for its pictures
    started = probe.processes.now()
    while True:
        for batch in batches_of_epoch(probe):
            train_step(probe, batch.pixels, batch.targets)
            ended = probe.processes.now()
            times.append(ended - started)
            started = ended
            if len(times) >= 3 and sum(times) >= seconds:
                counted = times[2:] if len(times) >= 5 else times[1:]
                return len(counted), sum(counted)
