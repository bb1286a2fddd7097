"""How many steps: from epochs, or from the time that may be spent, by measuring the pace."""

import copy
import time
from dataclasses import replace

from vitreous.training.batches import steps_per_epoch
from vitreous.training.loop import Training, batches_of_epoch, end_epoch, train_step

RESERVE = 0.04  # share of the time kept for what the measurement did not see


def steps_in_epochs(samples: int, batch_size: int, epochs: int) -> int:
    """Steps in so many epochs; no batch is dropped.

    >>> steps_in_epochs(100, 32, 3)
    12
    """
    return epochs * steps_per_epoch(samples, batch_size)


def steps_in_time(training: Training, seconds: float, probe_share: float = 0.04) -> int:
    """Steps that fit into `seconds`, validation included, by timing real steps on this machine.

    The steps are made on a copy, so the training itself starts from the same weights whether or
    not it was measured.
    """
    probe = probe_of(training)
    steps, spent = _timed_steps(probe, max(0.2, probe_share * seconds))
    started = time.monotonic()
    end_epoch(probe)
    validation = time.monotonic() - started
    per_step = spent / steps + validation / steps_per_epoch(
        len(training.data.train_rows), training.recipe.batch_size
    )
    left = seconds * (1.0 - RESERVE) - spent - validation
    return max(1, int(left / per_step))


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
    """Steps done and seconds they took, the first two (warming caches) left out."""
    steps, started, total = -2, time.monotonic(), 0.0
    while total < seconds or steps < 3:
        for batch in batches_of_epoch(probe):
            train_step(probe, batch.pixels, batch.targets)
            steps += 1
            if steps == 0:
                started = time.monotonic()
            total = time.monotonic() - started
            if steps >= 3 and total >= seconds:
                break
    return steps, total
