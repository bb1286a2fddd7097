"""Mixup: each picture is laid over another one, and its target is the same mixture.

H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. One share a batch, as in their
code; a picture's partner is the one before it in the batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

STREAM = 2**34  # of random numbers, beside those of the epochs' orders and augmentations


@dataclass(frozen=True)
class Mixup:
    """How pictures and targets are mixed."""

    alpha: float  # shares are drawn from Beta(alpha, alpha)
    classes: int | None = None  # of targets that are class numbers; None: they are numbers to mix

    def shares(self, seed: int, epoch: int, batches: int) -> np.ndarray:
        """The first picture's share in each batch of an epoch, (batches,) in 0.5 ... 1."""
        generator = np.random.Generator(np.random.Philox(key=[seed, STREAM + epoch]))
        drawn = generator.beta(self.alpha, self.alpha, size=batches)
        return np.maximum(drawn, 1 - drawn)  # the other half are the same pairs, turned round

    def pixels(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """The mixture of two batches of pictures (batch, channels, height, width), as they came."""
        mixed = torch.lerp(second.float(), first.float(), share)
        return mixed if first.is_floating_point() else mixed.round_().to(first.dtype)

    def targets(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """The mixture of two batches of targets: shares of classes (batch, classes), or numbers."""
        if self.classes is not None:
            first, second = (F.one_hot(each, self.classes).float() for each in (first, second))
        return torch.lerp(second, first, share)
