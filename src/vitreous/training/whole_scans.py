"""Whole scans as batches, changed at random, with a label each."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.volumes.augmentation import VolumeAugmentation, augmented
from vitreous.data.volumes.whole import WholeScans
from vitreous.inference import Compute
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.processes import Processes
from vitreous.training.validation import validate
from vitreous.training.volume_batches import seed_of


@dataclass(frozen=True)
class WholeScanBatches:
    """How rows become batches of scans (`Places`), and how answers to whole scans are judged."""

    scans: WholeScans
    targets: Tensor  # (n, ...) as the task encodes them
    augmentation: VolumeAugmentation
    pictures_probed: int = 8

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation, random: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Scans float32 (rows, channels, depth, height, width) and their targets.

        `random` (rows, columns) in [0, 1) decides all of it. `augmentation` is for pictures: scans
        have their own.
        """
        del augmentation, progress
        changed = [
            augmented(
                torch.from_numpy(self.scans[int(row)]),
                None,
                self.augmentation,
                torch.Generator().manual_seed(seed_of(numbers)),
                self.scans.plan.spacing_mm,
            )[0]
            for row, numbers in zip(rows, random.double(), strict=True)
        ]
        return torch.stack(changed), self.targets[torch.from_numpy(rows)]

    def validate(
        self,
        network: nn.Module,
        data: TrainingData,
        task: Task,
        compute: Compute,
        processes: Processes,
    ) -> dict[str, float]:
        """The scores of the task, as for pictures."""
        return validate(network, replace(data, places=None), task, compute, processes)


def whole_scan_data(
    scans: WholeScans, targets: Tensor, train_rows: np.ndarray, val_rows: np.ndarray, scaling
) -> TrainingData:
    """What the training loop takes."""
    changes = VolumeAugmentation(scans.plan.mirrored_axes)
    return TrainingData(
        scans,  # type: ignore[arg-type]  # an array as far as it is used
        targets,
        train_rows,
        val_rows,
        scaling,
        places=WholeScanBatches(scans, targets, changes),
    )
