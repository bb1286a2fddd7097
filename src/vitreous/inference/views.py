"""Several views of a picture, or pieces of a trial, whose answers are averaged.

What training showed alike counts alike.

Mirroring and small shifts at test time take away some of the chance in how a picture was framed.
Which views are right is decided by the augmentation: a network that never saw mirrored pictures is
not asked about them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.data.trial_augmentation import crop_starts

Values = TypeVar("Values", Tensor, np.ndarray)


@dataclass(frozen=True)
class Views:
    """The views of a picture; without any the picture itself is the only one.

    Mirrored and unmirrored ones weigh the same; where shifted, the two shifted views (down to the
    right, and up to the left) together weigh as much as the one in place.
    """

    mirrored: bool = False  # left to right
    shifted_pixels: int = 0  # the border is mirrored where the shift uncovers it
    crop_samples: int = 0  # of trials: the network takes pieces of so many samples
    crop_stride: int = 1  # samples from one piece's start to the next one's
    upside_down: bool = False  # mirrored top to bottom; with `mirrored` that makes four views

    @property
    def needed(self) -> "Views":
        """Without these the network cannot answer: it takes no more than a piece."""
        return Views(crop_samples=self.crop_samples, crop_stride=self.crop_stride)

    def one(self, inputs: Values) -> Values:
        """The inputs as the network takes them: of trials that are cut, the piece in the middle."""
        if not self.crop_samples:
            return inputs
        start = self.start_of_one(inputs.shape[-1])
        return inputs[..., start : start + self.crop_samples]

    def start_of_one(self, samples: int) -> int:
        """The sample of a trial at which `one` begins."""
        return (samples - self.crop_samples) // 2 if self.crop_samples else 0

    @property
    def count(self) -> int:
        """How many views of a picture there are."""
        return (1 + self.mirrored) * (1 + self.upside_down) * (3 if self.shifted_pixels else 1)

    def of(self, inputs: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Weight and picture of each view of (batch, channels, height, width); weights sum to 1.

        Pieces of trials overlap, and reach both ends.
        """
        if self.crop_samples:
            starts = crop_starts(inputs.shape[-1], self.crop_samples, self.crop_stride)
            for start in starts:
                yield 1 / len(starts), inputs[..., start : start + self.crop_samples]
            return
        most = min(self.shifted_pixels, min(inputs.shape[2:]) - 1)
        sides = [inputs, inputs.flip(3)] if self.mirrored else [inputs]
        sides += [side.flip(2) for side in sides] if self.upside_down else []
        for side in sides:
            yield (0.5 if most else 1.0) / len(sides), side
            if most:
                height, width = side.shape[2:]
                padded = F.pad(side, (most,) * 4, mode="reflect")
                for start in (0, 2 * most):
                    shifted = padded[:, :, start : start + height, start : start + width]
                    yield 0.25 / len(sides), shifted


ONE_VIEW = Views()


def averaged(forward, inputs: Tensor, views: Views) -> Tensor:
    """The weighted mean of a network's outputs for the views of its inputs."""
    outputs = [weight * forward(view) for weight, view in views.of(inputs)]
    if len(outputs) == 1:
        return outputs[0]
    return torch.stack(outputs).sum(0)
