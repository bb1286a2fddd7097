"""From rows of the decoded cache to augmented batches, made ahead of the network's need."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation, alternated, augment, random_table
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.data.trial_augmentation import random_crops, recombined
from vitreous.inference import Compute
from vitreous.tasks import Task
from vitreous.training.mixup import Mixup
from vitreous.training.processes import ALONE, Processes


class Places(Protocol):
    """Labels that say where (masks, boxes): how rows become batches, and how answers are judged.

    What a batch holds as targets is a matter between this and the task's loss: a tensor whose
    first axis is the batch, which can be sent to a device.
    """

    @property
    def pictures_probed(self) -> int:
        """Validation samples that the pace of training is measured on."""
        ...

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation, random: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Changed pictures and targets of some training rows, one for each row.

        `random` (rows, len(RANDOM_COLUMNS)) is in [0, 1) and belongs to the rows; `progress` is the
        share of the planned steps that was done when the epoch began.
        """
        ...

    def validate(
        self,
        network: nn.Module,
        data: "TrainingData",
        task: Task,
        compute: Compute,
        processes: Processes,
    ) -> dict[str, float]:
        """Scores on the validation rows by column name, the same ones also where there are none."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """Decoded pictures, or trials, with their targets, and which rows are for what.

    With `places`, `pixels` are what people are shown of the pictures, `targets` what the task
    makes of the labels, and the batches are made by `places`; a training row beyond the pictures
    is one of them again: row modulo their number.
    """

    pixels: np.ndarray  # uint8 (n, channels, height, width), a memory map; or
    # float32 (n, 1, recorded channels, time)
    targets: Tensor  # (n, ...) as the task encodes them; rows that are not used may hold anything
    train_rows: np.ndarray  # int64
    val_rows: np.ndarray  # int64
    scaling: Scaling | TrialScaling  # fitted on the training rows
    kinds: np.ndarray | None = None  # int (n,): trials of one kind can be recombined
    places: Places | None = None

    @property
    def pictures_probed(self) -> int:
        """Validation samples that the pace of training is measured on, at most."""
        return PROBED if self.places is None else self.places.pictures_probed


PROBED = 256


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
    crop_samples: int = 0,
    processes: Processes = ALONE,
    mixup: Mixup | None = None,
    progress: float = 0.0,
) -> Iterator[Batch]:
    """The batches of an epoch from number `start` on; each is a function of (seed, epoch) alone.

    The rows are cut into nearly equal batches, so that no sample is dropped and no batch is too
    small for batch statistics. A thread prepares the next batches while the network computes.
    Several processes have the same batches, and of each its part. With `recombined_segments` there
    is one more trial for each of a batch, behind them, put together of others of its kind. With
    `crop_samples` each trial is a piece of that length, from anywhere in it.
    """
    order = epoch_order(data.train_rows, seed, epoch, sampling_weights)
    parts = np.array_split(order, steps_per_epoch(len(order), batch_size))
    shares = mixup.shares(seed, epoch, len(parts)) if mixup else np.ones(len(parts))
    rows_known = max(len(data.pixels), 1 + int(data.train_rows.max(initial=-1)))
    random = random_table(seed, epoch, rows_known)
    if augmentation.flip_alternating:
        random = alternated(random, seed, epoch)

    changes = TrialChanges.of_epoch(data, seed, epoch, recombined_segments, crop_samples)

    def changed(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        at = torch.from_numpy(rows)
        if data.places is not None:
            return data.places.batch(rows, augmentation, random[at], progress)
        pixels = torch.from_numpy(data.pixels[rows])
        if not pixels.is_floating_point():  # trials are no pictures to be moved and lit
            pixels = augment(pixels, augmentation, random[at])
        if changes is None:
            return pixels, data.targets[at]
        return changes.made(rows)

    def prepare(numbered: tuple[np.ndarray, float]) -> Batch:
        batch, share = numbered
        pixels, targets = changed(processes.part(batch))
        if mixup is not None:
            others, of_others = changed(processes.part(np.roll(batch, 1)))
            pixels = mixup.pixels(pixels, others, share)
            targets = mixup.targets(targets, of_others, share)
        return Batch(pixels, targets, len(batch))

    yield from _ahead(prepare, list(zip(parts, shares, strict=True))[start:])


@dataclass(frozen=True)
class TrialChanges:
    """What happens to trials in an epoch: recombined ones beside them, a piece of each.

    `random` (n, 2 + segments) has a row a trial, in [0, 1): where the pieces of it and of its
    recombined one lie, and whom the segments come from.
    """

    data: TrainingData
    random: np.ndarray
    segments: int
    crop_samples: int

    @staticmethod
    def of_epoch(
        data: TrainingData, seed: int, epoch: int, segments: int, crop_samples: int
    ) -> "TrialChanges | None":
        """By seed and epoch alone; None where nothing happens."""
        if data.kinds is None:
            segments = 0
        if not segments and not crop_samples:
            return None
        random = random_table(seed, epoch, len(data.pixels), 2 + segments).numpy()
        return TrialChanges(data, random, segments, crop_samples)

    def made(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Trials and targets of some rows, with what is made of them behind."""
        trials, targets = self.data.pixels[rows], self.data.targets[torch.from_numpy(rows)]
        places = self.random[rows, 0]
        if self.segments:
            data, kinds = self.data, self.data.kinds
            assert kinds is not None
            new = recombined(data.pixels, kinds, data.train_rows, rows, self.random[:, 2:])
            trials, targets = np.concatenate([trials, new]), targets.repeat(2)
            places = np.concatenate([places, self.random[rows, 1]])
        if self.crop_samples:
            trials = random_crops(trials, self.crop_samples, places)
        return torch.from_numpy(trials), targets


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
