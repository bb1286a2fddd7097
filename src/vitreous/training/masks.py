"""Learning from masks: crops of pictures and masks together, and whole pictures to validate on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.masks.store import MaskStore
from vitreous.data.moving_together import changed_together
from vitreous.data.windows import WholePicture
from vitreous.inference import Compute, Views
from vitreous.inference.dense import logit_slabs
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.box_recipe import RESTING_STRIDE
from vitreous.training.fine_tuning import FEW
from vitreous.training.processes import Processes
from vitreous.training.recipe import Recipe

MULTIPLE = 32  # of which the sides of crops are multiples: the coarsest stride of most networks
CROP_SHARE = 0.75  # of a picture's side
LARGEST_CROP = {True: 384, False: 256}  # pixels a side: from trained features, from nothing
SMALLEST_CROP = 64
PIXELS_A_BATCH = {True: 2**19, False: 2**18}  # likewise: many small steps learn more in their time
STEPS_AN_EPOCH = 25  # at least: an epoch ends with a look at the validation part
PIXELS_PROBED = 2**22  # of validation pictures that the pace of training is measured on
PIXELS_WATCHED = 2**23  # of validation pictures that an epoch ends with: they say which is best
FEWEST_WATCHED = 16  # of these pictures

KEEPS_TO_A_HALF = 0.6  # of a class's pixels, more in one half than in the other: not mirrored
RARE = 0.001  # share of all pixels, below which a class does not decide that

UNEQUAL = 10.0  # the commonest class has so many times the pixels of the rarest
LARGEST_WEIGHT = 8.0  # of a rare class, times that of a common one

METRICS = ("iou", "dice", "pixel_accuracy")


@dataclass(frozen=True)
class MaskPlaces:
    """What makes batches of a mask store, and judges answers to its pictures (see `Places`)."""

    store: MaskStore
    classes: int
    pictures_probed: int

    def batch(
        self, rows: np.ndarray, augmentation: Augmentation, random: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Crops uint8 (batch, channels, height, width) and their masks uint8 (batch, h, w)."""
        del progress
        places = [int(row) % len(self.store.sizes) for row in rows]
        return changed_together(
            [self.store.pictures[place] for place in places],
            [self.store.masks[place] for place in places],
            augmentation,
            random,
        )

    def validate(
        self,
        network: nn.Module,
        data: TrainingData,
        task: Task,
        compute: Compute,
        processes: Processes,
    ) -> dict[str, float]:
        """Mean loss a picture, and mean IoU and Dice over classes, of all pixels together."""
        names = ("val_loss", *(f"val_{name}" for name in METRICS))
        if not len(data.val_rows):
            return dict.fromkeys(names, math.nan)
        part = processes.part(data.val_rows)
        rows = [self._judged(network, int(row), data, task, compute) for row in part]
        wide = 1 + self.classes**2
        table = torch.tensor(np.array(rows).reshape(len(rows), wide), dtype=torch.float64)
        table = processes.joined(table, len(data.val_rows)).double().numpy()
        confusion = table[:, 1:].sum(axis=0).reshape(self.classes, self.classes)
        found = [float(table[:, 0].mean()), *pixel_metrics(confusion)]
        return {name: processes.agreed(value) for name, value in zip(names, found, strict=True)}

    def _judged(
        self, network: nn.Module, row: int, data: TrainingData, task: Task, compute: Compute
    ) -> np.ndarray:
        """The loss on a picture, then its confusion matrix, in one row."""
        mask = torch.from_numpy(self.store.masks[row].copy())
        picture = WholePicture(self.store.pictures[row])
        confusion = np.zeros(self.classes**2)
        losses, weights = [], []
        for rows, logits in logit_slabs(network, picture, data.scaling, compute):  # type: ignore
            truth = mask[rows]
            weight = float((truth != IGNORE).sum())
            losses.append(float(task.loss(logits[None], truth[None])) if weight else 0.0)
            weights.append(weight)
            confusion += pixel_confusion(truth, logits.argmax(dim=0), self.classes)
        total = sum(weights)
        mean = sum(loss * w for loss, w in zip(losses, weights, strict=True)) / max(total, 1.0)
        return np.concatenate([[mean], confusion])


def pixel_confusion(truth: Tensor, answer: Tensor, classes: int) -> np.ndarray:
    """Pixels by true class and answer, int64 (classes * classes,), of masks of one shape."""
    valid = truth != IGNORE
    cells = truth[valid].long() * classes + answer[valid].long()
    return torch.bincount(cells, minlength=classes**2).numpy()


def pixel_metrics(confusion: np.ndarray) -> tuple[float, float, float]:
    """Mean IoU and Dice over the classes that are there or answered, and the share of right pixels.

    >>> pixel_metrics(np.array([[3.0, 1.0], [0.0, 4.0]]))
    (0.775, 0.873..., 0.875)
    """
    hits, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    used = true + answered > 0
    if not used.any():
        return math.nan, math.nan, math.nan
    hits, both = hits[used], (true + answered)[used]
    dice = 2 * hits / both
    total = confusion.sum()
    accuracy = float(hits.sum() / total) if total else math.nan
    return float((hits / (both - hits)).mean()), float(dice.mean()), accuracy


def crop_for(sizes: np.ndarray, tuned: bool = True) -> tuple[int, int]:
    """Height and width of the crops for pictures of these sizes, (n, 2), by their medians.

    Three quarters of each side, so that no two crops of a picture are the same, at most 384
    pixels (of networks that are not `tuned` from trained features 256), in multiples of 32.

    >>> crop_for(np.array([[360, 480]])), crop_for(np.array([[50, 2000]]), tuned=False)
    ((256, 352), (64, 256))
    """
    height, width = (_crop_side(float(side), tuned) for side in np.median(sizes, axis=0))
    return height, width


def _crop_side(side: float, tuned: bool) -> int:
    wanted = MULTIPLE * int(CROP_SHARE * side / MULTIPLE)
    return min(LARGEST_CROP[tuned], max(SMALLEST_CROP, wanted))


def batch_size_for(crop: tuple[int, int], samples: int, tuned: bool = True) -> int:
    """Crops a step: half a million pixels (from nothing a quarter), from 2 to 16, and several
    steps an epoch.
    """
    most = max(2, min(16, PIXELS_A_BATCH[tuned] // (crop[0] * crop[1])))
    return min(most, 8 if samples < 1000 else 16)


def crops_a_picture(sizes: np.ndarray, samples: int) -> int:
    """How often a picture is seen an epoch, as a crop: large ones, and those of few, several times.

    `sizes` (n, 2) are those of the training pictures, of which there are `samples`. Counted in the
    crops of trained features: an epoch's length does not depend on what a network starts from.
    """
    crop = crop_for(sizes)
    by_area = round(float(np.median(sizes.prod(axis=1))) / (crop[0] * crop[1]))
    by_steps = math.ceil(STEPS_AN_EPOCH * batch_size_for(crop, samples) / max(1, samples))
    return max(1, by_area, by_steps)


def mirrored_axes(masks: Sequence[np.ndarray], classes: int) -> tuple[bool, bool]:
    """Whether up and down, and left and right, may be exchanged: no class keeps to one half.

    Skies are above and streets below; an organ that is labelled "left" lies on one side. What the
    masks of the training pictures show decides, not their names.
    """
    halves = np.zeros((2, 2, classes), np.int64)  # axis, half, class
    for mask in masks:
        for axis in (0, 1):
            middle = mask.shape[axis] // 2
            first = mask[:middle] if axis == 0 else mask[:, :middle]
            second = mask[middle:] if axis == 0 else mask[:, middle:]
            for half, part in enumerate((first, second)):
                counts = np.bincount(part.ravel(), minlength=256)
                halves[axis, half] += counts[:classes]
    common = halves[0].sum(axis=0) >= RARE * max(1, halves[0].sum())
    up_down, left_right = (
        bool((_one_sided(halves[axis])[common] < KEEPS_TO_A_HALF).all()) for axis in (0, 1)
    )
    return up_down, left_right


def _one_sided(halves: np.ndarray) -> np.ndarray:
    """From 0, as many pixels in both halves, to 1, all in one; of each class."""
    return np.abs(halves[0] - halves[1]) / np.maximum(1, halves.sum(axis=0))


def watched_rows(rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The validation pictures that an epoch ends with: all, or an even spread of many pixels.

    `sizes` (n, 2) are those of the `rows`. A look at a hundred whole pictures takes as long as many
    steps, and millions of pixels are enough to tell one epoch from another.
    """
    area = float(np.median(sizes.prod(axis=1))) if len(rows) else 1.0
    most = max(FEWEST_WATCHED, int(PIXELS_WATCHED / max(1.0, area)))
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]


def mask_augmentation(crop: tuple[int, int], up_down: bool, left_right: bool) -> Augmentation:
    """Crops that are zoomed and lit differently, and mirrored along the axes that allow it.

    Where both do, there is no way up, and pictures are turned by any angle.
    """
    mirrored = [words for words, may in (("left to right", left_right), ("top to bottom", up_down))
                if may]  # fmt: skip
    turned = up_down and left_right
    said = [f"crops of {crop[0]}x{crop[1]}", "zoomed, lit a little differently"]
    said += [f"mirrored {' and '.join(mirrored)}" if mirrored else "not mirrored, as a class keeps "
             "to one side"]  # fmt: skip
    if turned:
        said.append("turned by any angle")
    return Augmentation(
        flip_horizontal=left_right,
        flip_vertical=up_down,
        scale=0.3,
        rotate_degrees=180.0 if turned else 5.0,
        brightness=0.1,
        contrast=0.2,
        crop=crop,
        why=", ".join(said),
    )


def mask_recipe(sizes: np.ndarray, samples: int, augmentation: Augmentation, tuned: bool) -> Recipe:
    """The recipe for masks; `tuned` starts from trained features, which then move more slowly.

    AdamW as for whole pictures. Answers are not smoothed: at most pixels they are no matter of
    opinion, and at the others the neighbours disagree already. Mirror images are averaged in, those
    that training showed. As for boxes, the norms of trained features rest in small
    sets, and so do their first layers, whose maps are the largest.
    """
    crop = augmentation.crop or crop_for(sizes, tuned)
    batch_size = batch_size_for(crop, samples, tuned)
    return Recipe(
        batch_size=batch_size,
        learning_rate=(4e-3 if tuned else 8e-3) * (batch_size / 8) ** 0.5,
        weight_decay=0.02,
        warm_up=0.08,
        label_smoothing=0.0,
        average_share=0.05,
        balance="loss",
        layer_decay=0.9 if tuned else 1.0,
        frozen_norms=tuned and samples < FEW,
        resting_stride=RESTING_STRIDE if tuned and samples < FEW else 0,
        augmentation=augmentation,
        views=Views(mirrored=augmentation.flip_horizontal, upside_down=augmentation.flip_vertical),
    )


def mask_epochs(samples: int, batch_size: int, tuned: bool) -> int:
    """Epochs when neither --epochs nor --time is given: about 1,500 steps, or 3,000 from nothing.

    >>> mask_epochs(367, 8, tuned=True), mask_epochs(200, 8, tuned=False)
    (32, 120)
    """
    steps = max(1, -(-samples // batch_size))
    return max(10, (1500 if tuned else 3000) // steps)


def pixel_weights(counts: Tensor) -> Tensor | None:
    """Weights of the classes in the cross-entropy, float32 (classes,), by their training pixels.

    One over the root of a class's share, at most eight times the smallest, so that the mean over
    pixels is one: rare classes count for more, yet not so much that they are answered everywhere.
    None where no class has ten times the pixels of another.
    """
    total = counts.double()
    there = total > 0
    if int(there.sum()) < 2 or float(total[there].max() / total[there].min()) < UNEQUAL:
        return None
    weights = torch.where(there, total.clamp_min(1.0).rsqrt(), torch.zeros_like(total))
    least = weights[there].min()
    weights = weights.clamp(max=float(LARGEST_WEIGHT * least))
    weights[~there] = least
    return (weights * total.sum() / (weights * total).sum()).float()
