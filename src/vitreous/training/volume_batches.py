"""Patches of scans as batches, and how a network does on whole scans while it trains."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.volumes.augmentation import NO_AUGMENTATION, VolumeAugmentation
from vitreous.data.volumes.patches import FOREGROUND_SHARE, random_patch
from vitreous.data.volumes.plan import VolumePlan, turning_mm
from vitreous.data.volumes.store import VolumeStore
from vitreous.inference import Compute
from vitreous.inference.volumes import volume_probabilities
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.processes import Processes

FEWEST_BATCHES = 40  # an epoch: scans are taken several times where they are few
SURE = 1e-3  # the least share that the loss is counted with: float16 ends there


@dataclass(frozen=True)
class VolumePatches:
    """Scans on the disk, as training takes them (`Places`): row modulo the number of scans."""

    store: VolumeStore
    plan: VolumePlan
    augmentation: VolumeAugmentation
    pictures_probed: int = 4

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation, random: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Patches float32 (rows, channels, *patch) and classes uint8 (rows, *patch).

        `random` (rows, columns) in [0, 1) decides all of it. `augmentation` is for pictures: scans
        have their own.
        """
        del augmentation, progress
        values, masks = [], []
        for row, numbers in zip(rows, random.double(), strict=True):
            patch, mask = random_patch(
                self.store[int(row) % self.store.count],
                self.plan.patch,
                self.augmentation,
                seed_of(numbers),
                foreground=float(numbers[2]) < FOREGROUND_SHARE,
                spacing_mm=turning_mm(self.plan),
            )
            assert mask is not None
            values.append(patch)
            masks.append(mask)
        return torch.stack(values), torch.stack(masks)

    def validate(
        self,
        network: nn.Module,
        data: TrainingData,
        task: Task,
        compute: Compute,
        processes: Processes,
    ) -> dict[str, float]:
        """Dice (mean over structures of the mean over scans), IoU and cross-entropy of whole scans,
        on the plan's grid. All NaN where there is no validation part.
        """
        names = ("val_loss", "val_iou", "val_dice")
        if not len(data.val_rows):
            return dict.fromkeys(names, math.nan)
        found = [
            self._judged(network, int(row), len(task.classes), compute)
            for row in processes.part(data.val_rows)
        ]
        rows = torch.tensor(found, dtype=torch.float64).reshape(len(found), -1)
        rows = processes.joined(rows, len(data.val_rows)).numpy()
        counts = rows[:, 1:].reshape(len(rows), 3, -1)  # hits, true, answered of each structure
        hits, true, answered = counts.transpose(1, 0, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = 2 * hits / (true + answered)
            union = (true + answered - hits).sum(axis=0)
            iou = hits.sum(axis=0) / union
        scores = (
            float(rows[:, 0].mean()),
            float(np.nanmean(iou)) if (union > 0).any() else 0.0,
            float(np.nanmean(_column_means(dice))) if np.isfinite(dice).any() else 0.0,
        )
        return {n: processes.agreed(s) for n, s in zip(names, scores, strict=True)}

    def _judged(self, network: nn.Module, row: int, classes: int, compute: Compute) -> list[float]:
        """Cross-entropy of one scan; hits, true and answered voxels of each structure."""
        scan = self.store[row]
        assert scan.mask is not None
        shares = volume_probabilities(
            network, np.asarray(scan.values), self.plan.patch, total_stride(self.plan), compute
        )
        truth, answer = np.asarray(scan.mask), shares.argmax(axis=0)
        valid = truth != IGNORE
        kept = np.where(valid, truth, 0)
        of_truth = np.take_along_axis(shares, kept[None].astype(np.int64), axis=0)[0]
        loss = -np.log(np.maximum(of_truth[valid].astype(np.float64), SURE)).mean()
        pairs = np.bincount(kept[valid] * classes + answer[valid], minlength=classes**2)
        confusion = pairs.reshape(classes, classes)
        hits = np.diagonal(confusion)[1:]
        return [float(loss), *hits, *confusion.sum(axis=1)[1:], *confusion.sum(axis=0)[1:]]


def seed_of(numbers: Tensor) -> int:
    """A seed from a row's first two random numbers in [0, 1), float64."""
    return int(numbers[0] * 2**24) * 2**24 + int(numbers[1] * 2**24)


def _column_means(values: np.ndarray) -> np.ndarray:
    """Means over the scans in which a structure is there or answered; NaN where there is none."""
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    count = defined.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def total_stride(plan: VolumePlan) -> tuple[int, ...]:
    """Voxels of a scan per cell of the coarsest maps."""
    return tuple(int(side) for side in np.prod(np.array(plan.strides), axis=0))


def repeated_rows(rows: np.ndarray, scans: int, batch: int) -> np.ndarray:
    """Training rows, each as often as an epoch of enough batches asks for: row + k * scans."""
    times = max(1, -(-FEWEST_BATCHES * batch // max(len(rows), 1)))
    return np.concatenate([rows + time * scans for time in range(times)])


def volume_training_data(
    store: VolumeStore,
    plan: VolumePlan,
    pixels: np.ndarray,
    targets: Tensor,
    train_rows: np.ndarray,
    val_rows: np.ndarray,
    scaling,
    *,
    augmented: bool = True,
) -> TrainingData:
    """What the training loop takes: `pixels` are glances at the scans, for people."""
    recipe = VolumeAugmentation(plan.mirrored_axes) if augmented else NO_AUGMENTATION
    return TrainingData(
        pixels,
        targets,
        repeated_rows(train_rows, store.count, plan.batch),
        val_rows,
        scaling,
        places=VolumePatches(store, plan, recipe),
    )
