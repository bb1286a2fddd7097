"""Pictures with boxes: how rows become batches, and how answers are judged while training."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation, augment
from vitreous.data.box_augmentation import Labelled, mosaic, moved
from vitreous.data.boxes.boxes import Boxes
from vitreous.evaluation.box_matching import THRESHOLDS, BoxAnswers, match_pictures
from vitreous.evaluation.box_precision import average_precisions
from vitreous.inference import Compute, outputs_of
from vitreous.tasks import Task
from vitreous.tasks.detect import MOST_ANSWERS, Detect, FoundBoxes
from vitreous.training.batches import TrainingData
from vitreous.training.processes import Processes

PICTURES_AT_ONCE = 16  # of validation
PROBED = 32
COLUMNS = ("val_loss", "val_ap", "val_ap50")
MOSAICS_UNTIL = 0.8  # share of the training; the last part shows pictures as they are


@dataclass(frozen=True)
class BoxBatches:
    """`training.batches.Places` of boxes: `labels` are in pixels of `pixels`, one a row."""

    pixels: np.ndarray  # uint8 (n, channels, height, width), mapped
    labels: Sequence[Boxes]
    train_rows: np.ndarray  # int64: partners of mosaics come from these
    task: Detect
    pictures_probed: int = PROBED

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation, random: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Changed pictures uint8 (rows, channels, height, width) and targets of `Detect.encode`.

        What happens to a picture depends on its numbers in `random` alone.
        """
        mosaics = augmentation.mosaic if progress < MOSAICS_UNTIL else 0.0
        changed = [
            self._changed(int(row), replace(augmentation, mosaic=mosaics), numbers)
            for row, numbers in zip(rows, random.numpy(), strict=True)
        ]
        pixels = np.stack([pixels.transpose(2, 0, 1) for pixels, _ in changed])
        light = Augmentation(brightness=augmentation.brightness, contrast=augmentation.contrast)
        targets = self.task.encode([boxes for _, boxes in changed])
        return augment(torch.from_numpy(pixels), light, random), targets

    def _changed(self, row: int, augmentation: Augmentation, numbers: np.ndarray) -> Labelled:
        random = np.random.default_rng(numbers.view(np.uint32).tolist())
        if random.random() >= augmentation.mosaic:
            return moved(self._labelled(row), augmentation, random)
        others = random.choice(self.train_rows, size=3)
        pictures = [self._labelled(int(each)) for each in (row, *others)]
        return mosaic([pictures[i] for i in random.permutation(4)], augmentation, random)

    def _labelled(self, row: int) -> Labelled:
        pixels = np.ascontiguousarray(self.pixels[row].transpose(1, 2, 0))
        return pixels, self.labels[row]

    def validate(
        self,
        network: nn.Module,
        data: TrainingData,
        task: Task,
        compute: Compute,
        processes: Processes,
    ) -> dict[str, float]:
        """Loss, mean AP and AP50 over the classes that the validation rows have."""
        rows = data.val_rows
        if not len(rows):
            return dict.fromkeys(COLUMNS, math.nan)
        del task  # its own
        loss, weight, found = self._judged(network, data, compute, processes.part(rows))
        if processes.several:
            loss = float(processes.summed(torch.tensor([loss * processes.share(weight)])))
        told = processes.joined(_as_numbers(found), len(rows))
        answers = [_from_numbers(each) for each in told]
        truth = [self.labels[row] for row in rows]
        by_class = [
            average_precisions(matches, np.ones((1, len(rows))))[0]
            for matches in match_pictures(truth, answers, self.task.outputs)
        ]
        precisions = np.array([each for each in by_class if not np.isnan(each).any()])
        means = precisions.mean(axis=0) if len(precisions) else np.full(len(THRESHOLDS), math.nan)
        scores = {"val_loss": loss, "val_ap": float(means.mean()), "val_ap50": float(means[0])}
        return {name: processes.agreed(value) for name, value in scores.items()}

    def _judged(
        self,
        network: nn.Module,
        data: TrainingData,
        compute: Compute,
        rows: np.ndarray,
    ) -> tuple[float, float, list[FoundBoxes]]:
        """The mean loss of some rows, what it weighs, and what was found on them."""
        losses, weights, found = 0.0, 0.0, []
        parts = np.array_split(rows, max(1, -(-len(rows) // PICTURES_AT_ONCE)))
        outputs = outputs_of(network, self._batches(parts), data.scaling, compute)
        for part, output in zip(parts, outputs, strict=True):
            targets = self.task.encode([self.labels[row] for row in part])
            weight = self.task.weight(targets)
            losses += weight * float(self.task.loss(output, targets))
            weights += weight
            found += self.task.answers(output)
        return losses / max(weights, 1e-9), weights, found

    def _batches(self, parts: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for part in parts:
            yield torch.from_numpy(np.ascontiguousarray(self.pixels[part]))


def as_answers(found: FoundBoxes) -> BoxAnswers:
    """The boxes in the form that `evaluation` takes, their scores for confidences."""
    return BoxAnswers(found.corners, found.classes, found.scores)


def _as_numbers(found: Sequence[FoundBoxes]) -> Tensor:
    """Float32 (pictures, MOST_ANSWERS * 6), for sending; filled with scores of -1."""
    numbers = np.full((len(found), MOST_ANSWERS, 6), -1.0, np.float32)
    for row, each in enumerate(found):
        numbers[row, : len(each.scores)] = np.column_stack(
            [each.corners, each.classes, each.scores]
        )
    return torch.from_numpy(numbers.reshape(len(found), -1))


def _from_numbers(numbers: Tensor) -> BoxAnswers:
    rows = numbers.double().reshape(-1, 6).numpy()
    rows = rows[rows[:, 5] >= 0]
    return BoxAnswers(rows[:, :4], rows[:, 4].astype(np.int64), rows[:, 5])
