"""How a new network for EEG starts: from what its training trials say (`--weights csp`, norms)."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.convolution.fast.form import using_form
from vitreous.data.transforms import TrialScaling, to_network_input
from vitreous.errors import RequestError
from vitreous.inference import ONE_VIEW, Views
from vitreous.networks import Network
from vitreous.networks.csp_start import CSP, start_from_patterns
from vitreous.networks.modes import evaluation_mode
from vitreous.training.batches import TrainingData

MOST_TRIALS = 500  # an even spread of more: covariances change little
MOST_IN_NORMS = 64  # as in a batch


def start_on_trials(
    network: nn.Module, data: TrainingData, weights: str, views: Views = ONE_VIEW
) -> list[str]:
    """Start a new network by its training trials; sentences about what was done.

    With `weights` "csp" its filter bank is set; in any case its norms start at the statistics that
    its first weights have. A module of the user's own is left as it is. Raises `RequestError` as
    `start_from_csp` does.
    """
    if not isinstance(network, Network):
        if weights == CSP:
            raise RequestError(
                f"--weights {CSP}: is for networks by name; your own starts as it is"
            )
        return []
    notes = [f"weights: {start_from_csp(network, data)}"] if weights == CSP else []
    settle_norms(network, views.one(_some(data, MOST_IN_NORMS)[1]))
    return notes


@torch.no_grad()
def settle_norms(network: nn.Module, inputs: Tensor) -> None:
    """Let the running statistics of batch norms start at those of `inputs`, not at 0 and 1.

    EEGNet's norms follow by a hundredth a step (Keras' momentum of 0.99). After 100 steps a third
    of what they answer with is still the start, and a map whose variance is a hundredth of it is
    answered for ten times too small.
    """
    with evaluation_mode(network):  # nothing is dropped
        norms = [
            each
            for each in network.modules()
            if isinstance(each, nn.BatchNorm2d) and each.running_mean is not None
        ]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        with using_form("fast"):
            network(inputs)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.zero_()  # type: ignore[union-attr]


def start_from_csp(network: Network, data: TrainingData) -> str:
    """Set the network's filter bank by the training trials; one sentence that says what was done.

    Raises `RequestError` for pictures, for answers that are no classes, for trials whose sampling
    rate is not known, and for networks without a filter bank.
    """
    rate = network.card.sampling_rate_hz
    if not isinstance(data.scaling, TrialScaling) or data.targets.dtype != torch.int64:
        raise RequestError(
            f"--weights {CSP}: is for recordings with one class a trial; use another start"
        )
    if rate is None:
        raise RequestError(
            f"--weights {CSP}: needs the sampling rate of the trials; say it (--sampling-rate, "
            "or sampling_rate_hz), or use another start"
        )
    rows, inputs = _some(data, MOST_TRIALS)
    said = start_from_patterns(network, inputs[:, 0].numpy(), data.targets[rows].numpy(), rate)
    network.card = replace(network.card, weights=CSP, weights_seen="these training trials alone")
    return said


def _some(data: TrainingData, most: int) -> tuple[np.ndarray, Tensor]:
    """Rows of training trials, and those trials as a network sees them."""
    count = len(data.train_rows)
    chosen = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
    rows = data.train_rows[chosen]
    return rows, to_network_input(torch.from_numpy(data.pixels[rows]), data.scaling)
