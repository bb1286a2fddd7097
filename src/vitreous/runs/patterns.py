"""A network for EEG that starts from what its training trials say: `--weights csp`."""

from dataclasses import replace

import numpy as np
import torch

from vitreous.data.transforms import TrialScaling, to_network_input
from vitreous.errors import RequestError
from vitreous.networks import Network
from vitreous.networks.csp_start import CSP, start_from_patterns
from vitreous.training.batches import TrainingData

MOST_TRIALS = 500  # an even spread of more: covariances change little


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
    count = len(data.train_rows)
    chosen = np.linspace(0, count - 1, min(count, MOST_TRIALS)).astype(np.int64)
    rows = data.train_rows[chosen]
    inputs = to_network_input(torch.from_numpy(data.pixels[rows]), data.scaling)[:, 0].numpy()
    said = start_from_patterns(network, inputs, data.targets[rows].numpy(), rate)
    network.card = replace(network.card, weights=CSP, weights_seen="these training trials alone")
    return said
