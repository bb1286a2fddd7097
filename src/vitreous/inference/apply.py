"""A network applied to decoded pictures, in batches and constant memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.inference.compute import PLAIN, Compute
from vitreous.inference.views import ONE_VIEW, Views, averaged

LARGEST_BATCH = 256
NUMBERS_A_BATCH = 2**22  # of input: maps take several times as much memory


def outputs_of(
    network: nn.Module,
    batches: Iterable[Tensor],
    scaling: Scaling | TrialScaling,
    compute: Compute = PLAIN,
    views: Views = ONE_VIEW,
) -> Iterator[Tensor]:
    """Outputs float32 (batch, outputs) on the CPU for each batch of uint8 pictures, or of trials.

    Those of several views of a picture are averaged. The network lies where `compute.place`
    puts it.
    """
    answer = compute.answers_of(network)
    for pixels in batches:
        yield averaged(answer, compute.inputs(pixels, scaling), views).cpu()


def outputs_of_rows(
    network: nn.Module,
    pixels: np.ndarray,
    rows: np.ndarray,
    scaling: Scaling | TrialScaling,
    compute: Compute = PLAIN,
    views: Views = ONE_VIEW,
) -> Tensor:
    """Outputs float32 (rows, outputs) for rows of pictures uint8 (n, channels, height, width).

    Or of trials, float32 (n, 1, recorded channels, time).
    """
    batch_size = min(LARGEST_BATCH, max(1, NUMBERS_A_BATCH // pixels[0].size))
    parts = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    batches = (torch.from_numpy(pixels[part]) for part in parts)
    outputs = list(outputs_of(network, batches, scaling, compute, views))
    return torch.cat(outputs) if outputs else torch.zeros(0, 0)
