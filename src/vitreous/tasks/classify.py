"""Classification: one class a sample, or several (multi-label)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.data.samples import Label
from vitreous.errors import DataError


@dataclass(frozen=True)
class Classify:
    """One class a sample: softmax and cross-entropy."""

    classes: tuple[str, ...]
    name = "classify"

    @property
    def outputs(self) -> int:
        """Numbers that the head gives a sample: one logit a class."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Class numbers, int64 (n,). Raises `DataError` for a label that is not a class."""
        number = {name: index for index, name in enumerate(self.classes)}
        return torch.tensor([_number_of(label, number) for label in labels], dtype=torch.int64)

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy of outputs (batch, classes) and targets int64 (batch,)."""
        return F.cross_entropy(
            outputs, targets, weight=class_weights, label_smoothing=label_smoothing
        )

    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float:
        """What the mean of these samples counts for in a mean over more of them.

        Cross-entropy with class weights is a weighted mean, unless targets are shares of classes.
        """
        if class_weights is None or targets.is_floating_point():
            return float(len(targets))
        return float(class_weights[targets.to(class_weights.device)].sum())

    def answers(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Probabilities (batch, classes) that sum to one; `temperature` calibrates them."""
        return torch.softmax(outputs.float() / temperature, dim=1)


@dataclass(frozen=True)
class ClassifyMultilabel:
    """Any number of classes a sample: a sigmoid and binary cross-entropy for each."""

    classes: tuple[str, ...]
    name = "classify-multilabel"

    @property
    def outputs(self) -> int:
        """Numbers that the head gives a sample: one logit a class."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Ones where the sample has the class, float32 (n, classes)."""
        number = {name: index for index, name in enumerate(self.classes)}
        targets = torch.zeros(len(labels), len(self.classes))
        for row, label in enumerate(labels):
            for name in label if isinstance(label, tuple) else (label,):
                targets[row, _number_of(name, number)] = 1.0
        return targets

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Mean binary cross-entropy; smoothing moves targets towards one half."""
        soft = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
        return F.binary_cross_entropy_with_logits(outputs, soft, weight=class_weights)

    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float:
        """What the mean of these samples counts for in a mean over more of them: their number."""
        del class_weights
        return float(len(targets))

    def answers(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Probability of each class by itself, (batch, classes)."""
        return torch.sigmoid(outputs.float() / temperature)


def _number_of(label: Label, number: dict[str, int]) -> int:
    if isinstance(label, str) and label in number:
        return number[label]
    raise DataError(f"label {label!r} is not one of the classes {', '.join(number)}")
