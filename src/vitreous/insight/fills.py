"""What takes the place of a part of an input that is taken away.

Nothing is neutral: a grey patch is an object, too. So whoever takes parts away does it twice, with
the mean of the data and with a blur, and trusts what both say.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

BLUR_SHARE = 1 / 8  # of each side: the standard deviation of the blur, so that no part is left


@dataclass(frozen=True)
class Background:
    """Inputs of the training data, as the network takes them: float32 (n, channels, *space)."""

    samples: Tensor
    name: str = "training data"

    def mean(self) -> Tensor:
        """The mean of each channel: (channels, 1, ...)."""
        space = tuple(range(2, self.samples.ndim))
        return self.samples.mean(dim=(0, *space), keepdim=True)[0]


def mean_fill(inputs: Tensor, background: Background | None = None) -> Tensor:
    """The channels' means everywhere, of the shape of the inputs (batch, channels, *space).

    Without a background zero, which is the mean of what scaling was fitted on.
    """
    if background is None:
        return torch.zeros_like(inputs)
    return background.mean().to(inputs).expand_as(inputs).clone()


def mean_words(background: Background | None) -> str:
    """What `mean_fill` fills with, in words."""
    if background is None:
        return "zero of the scaled input"
    return f"the channels' means of {len(background.samples)} samples of the {background.name}"


def blur_fill(inputs: Tensor, share: float = BLUR_SHARE) -> Tensor:
    """The inputs themselves, blurred until no detail is left: Gaussian, a share of each side."""
    sigma = [0.0, 0.0, *(share * side for side in inputs.shape[2:])]
    blurred = gaussian_filter(
        inputs.detach().cpu().numpy().astype(np.float32), sigma, mode="nearest", truncate=2.5
    )
    return torch.from_numpy(blurred).to(inputs)
