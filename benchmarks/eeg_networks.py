"""The networks for EEG of which braindecode has the same, with its weights, and trials for them."""

import warnings

import numpy as np
import torch
from torch import nn

from vitreous.networks import Network, build_network
from vitreous.networks.braindecode_weights import load_braindecode

BATCH, ELECTRODES, SAMPLES, CLASSES = 64, 22, 1000, 4
PAIRS = {
    "eegnet": "EEGNet",
    "shallowconvnet": "ShallowFBCSPNet",
    "deep4": "Deep4Net",
    "atcnet": "ATCNet",
}


def trials(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a 1/f spectrum, deviation 1, and labels."""
    generator = np.random.default_rng(seed)
    spectrum = np.fft.rfft(generator.standard_normal((count, ELECTRODES, SAMPLES)))
    spectrum /= np.maximum(1, np.arange(spectrum.shape[-1])) ** 0.5
    signals = np.fft.irfft(spectrum, n=SAMPLES)
    return (signals / signals.std()).astype(np.float32), generator.integers(0, CLASSES, count)


def their_module(name: str, seed: int = 0) -> nn.Module:
    """The module of braindecode, as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from braindecode import models

        torch.manual_seed(seed)
        return getattr(models, PAIRS[name])(n_chans=ELECTRODES, n_times=SAMPLES, n_outputs=CLASSES)


def our_network(name: str) -> Network:
    """Ours, with the weights of `their_module`."""
    network = build_network(name, (1, ELECTRODES, SAMPLES), CLASSES)
    load_braindecode(network, their_module(name).state_dict())
    return network
