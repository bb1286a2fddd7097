"""Segmentation: the class of each pixel or voxel.

The loss is the sum of cross-entropy, which is right about each pixel, and of one minus Dice, which
cares for small things as for large ones (F. Milletari et al., "V-Net", 2016; F. Isensee et al.,
"nnU-Net", 2021, use the sum).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.data.masks.mask_label import IGNORE, MaskLabel
from vitreous.data.samples import Label
from vitreous.errors import DataError

Answer = Tensor | Sequence[Tensor]
"""Logits (batch, classes, *space); of a network that answers at several scales a list of them,
the finest first, each next at half the size."""


@dataclass(frozen=True)
class Segment:
    """One class a pixel: softmax, cross-entropy and Dice. `IGNORE` pixels count for nothing."""

    classes: tuple[str, ...]
    dimensions: int = 2  # of space: 3 for volumes
    name = "segment"

    @property
    def outputs(self) -> int:
        """Maps that the head gives: one logit a class."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Pixels of each class, int64 (n, classes); the masks themselves are read batch by batch.

        Raises `DataError` for a label that is no mask.
        """
        counts = torch.zeros(len(labels), len(self.classes), dtype=torch.int64)
        for row, label in enumerate(labels):
            if not isinstance(label, MaskLabel):
                raise DataError(f"label {label!r} is no mask")
            counts[row] = torch.from_numpy(label.pixels)
        return counts

    def loss(
        self,
        outputs: Answer,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Cross-entropy plus one minus Dice, of `Answer` and targets (batch, *space) of any ints.

        Of several scales the weighted mean, each next one counting half: targets of every second
        pixel are taken for it.
        """
        scales = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        weights = [0.5**place for place in range(len(scales))]
        losses = [
            _one_scale(logits, _at_size(targets, logits), label_smoothing, class_weights)
            for logits in scales
        ]
        weighted = [weight * loss for weight, loss in zip(weights, losses, strict=True)]
        return torch.stack(weighted).sum() / sum(weights)

    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float:
        """What the mean of these samples counts for: its pixels that have a class.

        Of several processes the cross-entropy is then that of the whole batch; Dice, which is no
        mean over pixels, is the mean of the parts' Dice.
        """
        valid = targets[targets != IGNORE].long()
        if class_weights is None:
            return float(len(valid))
        return float(class_weights[valid.to(class_weights.device)].sum())

    def answers(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Probabilities (batch, classes, *space) that sum to one; `temperature` calibrates them."""
        return torch.softmax(outputs.float() / temperature, dim=1)


def _one_scale(
    logits: Tensor, targets: Tensor, label_smoothing: float, class_weights: Tensor | None
) -> Tensor:
    targets = targets.long()
    valid = targets != IGNORE
    if not bool(valid.any()):
        return logits.sum() * 0.0  # nothing to learn, but a gradient for every parameter
    # maps of a class each, side by side: softmax over a pixel's few classes is slow, one by one
    logs = torch.log_softmax(logits.contiguous(), dim=1)
    if label_smoothing:
        entropy = F.cross_entropy(
            logs,
            targets,
            weight=class_weights,
            ignore_index=IGNORE,
            label_smoothing=label_smoothing,
        )
    else:
        entropy = F.nll_loss(logs, targets, weight=class_weights, ignore_index=IGNORE)
    return entropy + 1.0 - soft_dice(logs.exp(), targets, valid)


def soft_dice(probabilities: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean Dice over the classes that the targets have, of the batch as one set of pixels.

    2 sum(p t) / (sum(p) + sum(t)) for each class, `probabilities` (batch, classes, *space). The
    whole batch as one set is steadier than a picture by itself, in which a class may have a few
    pixels; of a class without a pixel Dice would say nothing but "less", as cross-entropy does.
    """
    classes = probabilities.shape[1]
    counted = valid.to(probabilities.dtype).flatten(1)
    shared = torch.where(valid, targets, 0).flatten(1)
    by_class = probabilities.flatten(2)
    of_truth = by_class.gather(1, shared.unsqueeze(1)).squeeze(1) * counted
    hits = of_truth.new_zeros(classes).index_add(0, shared.flatten(), of_truth.flatten())
    answered = torch.bmm(by_class, counted.unsqueeze(2)).sum((0, 2))  # no map is written for it
    counts = torch.bincount(targets[valid], minlength=classes).to(hits.dtype)
    dice = 2 * hits / (answered + counts).clamp_min(1e-6)
    there = counts > 0
    return (dice * there).sum() / there.sum()


def _at_size(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets of every second, fourth, ... pixel, for logits of a coarser scale."""
    for axis, (size, wanted) in enumerate(
        zip(targets.shape[1:], logits.shape[2:], strict=True), start=1
    ):
        if size != wanted:
            step = -(-size // wanted)
            targets = targets.index_select(
                axis, torch.arange(0, size, step, device=targets.device)[:wanted]
            )
    return targets
