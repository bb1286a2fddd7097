"""Regression of one number a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.data.samples import Label
from vitreous.errors import DataError


@dataclass(frozen=True)
class Regress:
    """A number a sample, learned in units of the training labels' spread.

    `center` and `scale` are the mean and standard deviation of the training labels, so that the
    loss and the learning rate do not depend on the label's unit.
    """

    center: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = ()
    name = "regress"
    outputs = 1

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Standardised targets, float32 (n, 1). Raises `DataError` for what is no number."""
        values = [_number(label) for label in labels]
        return ((torch.tensor(values, dtype=torch.float64) - self.center) / self.scale).float()[
            :, None
        ]

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Mean smooth L1 loss, in units of the labels' standard deviation.

        Linear far away, so that one mislabelled sample cannot lead the training.
        """
        del label_smoothing, class_weights  # have no meaning for numbers
        return F.smooth_l1_loss(outputs, targets)

    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float:
        """What the mean of these samples counts for in a mean over more of them: their number."""
        del class_weights
        return float(len(targets))

    def answers(self, outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Predicted numbers in the label's own unit, (batch, 1)."""
        del temperature
        return outputs.double() * self.scale + self.center

    @staticmethod
    def fitted(labels: Sequence[Label]) -> "Regress":
        """The task with centre and scale of these (training) labels."""
        values = torch.tensor([_number(label) for label in labels], dtype=torch.float64)
        spread = float(values.std(correction=0)) if len(values) else 0.0
        if not math.isfinite(spread) or spread == 0.0:
            raise DataError("all training labels are the same number: there is nothing to learn")
        return Regress(center=float(values.mean()), scale=spread)


def _number(label: Label) -> float:
    if isinstance(label, float | int) and math.isfinite(label):
        return float(label)
    raise DataError(f"label {label!r} is not a number; leave out --task regress for classes")
