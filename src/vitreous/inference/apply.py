"""A network applied to decoded pictures, in batches and constant memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.transforms import Scaling, to_network_input
from vitreous.networks.modes import evaluating

LARGEST_BATCH = 256
NUMBERS_A_BATCH = 2**22  # of input: maps take several times as much memory


def outputs_of(
    network: nn.Module, batches: Iterable[Tensor], scaling: Scaling, device: str | torch.device
) -> Iterator[Tensor]:
    """Outputs (batch, outputs) on the CPU for each batch of uint8 pictures."""
    for pixels in batches:
        with evaluating(network):  # closed before each yield: the caller's mode is its own
            outputs = network(to_network_input(pixels.to(device), scaling)).float().cpu()
        yield outputs


def outputs_of_rows(
    network: nn.Module,
    pixels: np.ndarray,
    rows: np.ndarray,
    scaling: Scaling,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Outputs float32 (rows, outputs) for rows of a uint8 array (n, channels, height, width)."""
    batch_size = min(LARGEST_BATCH, max(1, NUMBERS_A_BATCH // pixels[0].size))
    parts = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    outputs = list(
        outputs_of(network, (torch.from_numpy(pixels[part]) for part in parts), scaling, device)
    )
    return torch.cat(outputs) if outputs else torch.zeros(0, 0)
