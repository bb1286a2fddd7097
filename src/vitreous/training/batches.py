"""From rows of the decoded cache to augmented batches, made ahead of the network's need."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vitreous.data.augmentation import Augmentation, alternated, augment, random_table
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.data.trial_augmentation import recombined
from vitreous.training.mixup import Mixup
from vitreous.training.processes import ALONE, Processes


@dataclass(frozen=True)
class TrainingData:
    """Decoded pictures, or trials, with their targets, and which rows are for what."""

    pixels: np.ndarray  # uint8 (n, channels, height, width), a memory map; or
    # float32 (n, 1, recorded channels, time)
    targets: Tensor  # (n, ...) as the task encodes them; rows that are not used may hold anything
    train_rows: np.ndarray  # int64
    val_rows: np.ndarray  # int64
    scaling: Scaling | TrialScaling  # fitted on the training rows
    kinds: np.ndarray | None = None  # int (n,): trials of one kind can be recombined


@dataclass(frozen=True)
class Batch:
    """What one step sees: `pixels` as in `TrainingData` (batch, ...), and targets.

    Of several processes each has a part of the batch; `samples` are those of all.
    """

    pixels: Tensor
    targets: Tensor
    samples: int


def epoch_order(
    rows: np.ndarray, seed: int, epoch: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """The rows in the order of an epoch; the same for the same seed and epoch.

    With `weights` (one a row), rows are drawn with replacement in proportion to them.
    """
    even = 2 * epoch  # the odd ones are for what happens to pictures (`random_table`)
    generator = np.random.Generator(np.random.Philox(key=[seed, even]))
    if weights is None:
        return generator.permutation(rows)
    return generator.choice(rows, size=len(rows), p=weights / weights.sum())


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches an epoch: none is dropped.

    >>> steps_per_epoch(100, 32)
    4
    """
    return max(1, -(-samples // batch_size))


def batches(
    data: TrainingData,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    augmentation: Augmentation,
    sampling_weights: np.ndarray | None = None,
    start: int = 0,
    recombined_segments: int = 0,
    processes: Processes = ALONE,
    mixup: Mixup | None = None,
) -> Iterator[Batch]:
    """The batches of an epoch from number `start` on; each is a function of (seed, epoch) alone.

    The rows are cut into nearly equal batches, so that no sample is dropped and no batch is too
    small for batch statistics. A thread prepares the next batches while the network computes.
    Several processes have the same batches, and of each its part. With `recombined_segments` there
    is one more trial for each of a batch, behind them, put together of others of its kind.
    """
    order = epoch_order(data.train_rows, seed, epoch, sampling_weights)
    parts = np.array_split(order, steps_per_epoch(len(order), batch_size))
    shares = mixup.shares(seed, epoch, len(parts)) if mixup else np.ones(len(parts))
    random = random_table(seed, epoch, len(data.pixels))
    if augmentation.flip_alternating:
        random = alternated(random, seed, epoch)

    recombine = recombination(data, recombined_segments, seed, epoch)

    def changed(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels, at = torch.from_numpy(data.pixels[rows]), torch.from_numpy(rows)
        if not pixels.is_floating_point():  # trials are no pictures to be moved and lit
            pixels = augment(pixels, augmentation, random[at])
        if recombine is None:
            return pixels, data.targets[at]
        return torch.cat([pixels, recombine(rows)]), data.targets[at].repeat(2)

    def prepare(numbered: tuple[np.ndarray, float]) -> Batch:
        batch, share = numbered
        pixels, targets = changed(processes.part(batch))
        if mixup is not None:
            others, of_others = changed(processes.part(np.roll(batch, 1)))
            pixels = mixup.pixels(pixels, others, share)
            targets = mixup.targets(targets, of_others, share)
        return Batch(pixels, targets, len(batch))

    yield from _ahead(prepare, list(zip(parts, shares, strict=True))[start:])


def recombination(
    data: TrainingData, segments: int, seed: int, epoch: int
) -> Callable[[np.ndarray], Tensor] | None:
    """What makes a new trial beside each of some rows in this epoch; None where none are made."""
    kinds = data.kinds
    if not segments or kinds is None:
        return None
    random = random_table(seed, epoch, len(data.pixels), segments).numpy()
    return lambda rows: torch.from_numpy(
        recombined(data.pixels, kinds, data.train_rows, rows, random)
    )


def _ahead(prepare, parts: list, waiting: int = 3) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        pending = [thread.submit(prepare, rows) for rows in parts[:waiting]]
        for following in range(waiting, len(parts) + waiting):
            if not pending:
                return
            batch = pending.pop(0).result()
            if following < len(parts):
                pending.append(thread.submit(prepare, parts[following]))
            yield batch
