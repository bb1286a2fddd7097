"""What a decoder listens to, made up from known parts, for reports to be looked at and tested."""

import numpy as np
import torch

from vitreous.insight.eeg_ablation import Taken, ablation, artefact_alarm
from vitreous.insight.eeg_filters import kernel_spectra
from vitreous.insight.eeg_listening import Listening, heads_of
from vitreous.networks import build_network

NAMES = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz")
FLAT = ((-3, 9), (3, 9), (-7, 5), (-4, 5), (0, 6), (4, 5), (7, 5), (-8, 0), (-5, 0), (0, 0), (5, 0),
        (8, 0), (-7, -5), (-4, -5), (0, -6))  # fmt: skip
RATE_HZ = 128.0


def positions_m() -> np.ndarray:
    flat = np.array(FLAT) / 100
    height = np.sqrt(np.maximum(0.095**2 - (flat**2).sum(axis=1), 0))
    return np.column_stack([flat, height])


def made_listening(
    *,
    places: bool = True,
    eyes: bool = False,
    whose: str = "this network",
    kept_hz: tuple[float, float] = (0.0, RATE_HZ / 2),
) -> Listening:
    """A network of random weights, one of whose maps listens to 10 Hz over C3."""
    random = np.random.default_rng(0)
    classes = np.arange(40) % 2
    trials = random.standard_normal((40, len(NAMES), 256))
    near = np.exp(-((np.linalg.norm(positions_m() - positions_m()[8], axis=1) / 0.04) ** 2))
    rhythm = np.sin(2 * np.pi * 10 * np.arange(256) / RATE_HZ + random.uniform(0, 6, (40, 1)))
    trials += 3 * near[None, :, None] * (classes[:, None] * rhythm)[:, None]
    network = build_network("eegnet", (1, len(NAMES), 256), 2, seed=0)
    taps = torch.cos(2 * torch.pi * 10 * torch.arange(64) / RATE_HZ) * torch.hann_window(64)
    with torch.no_grad():
        network.features.bank.temporal.weight[1, 0, 0] = taps
        network.features.bank.spatial.weight[2] = torch.from_numpy(near)[None, :, None]
    right = random.random((1, 120)) < 0.9
    names = ("delta", "band", "1 to 4 Hz"), ("alpha", "band", "8 to 13 Hz"), (
        "eyes", "channels", "Fp1, Fp2"), ("central", "channels", "C3, Cz, C4")  # fmt: skip
    lost = {"delta", "eyes"} if eyes else {"alpha", "central"}
    ablations = []
    for name, kind, what in names:
        without = random.random((1, 120)) < 0.5 if name in lost else right
        ablations.append(ablation(Taken(name, kind, what, trials[:0]), right, without,
                                  resamples=100))  # fmt: skip
    return Listening(
        whose=whose,
        kept_hz=kept_hz,
        channels=NAMES,
        positions_m=positions_m() if places else None,
        spectra=tuple(kernel_spectra(network, RATE_HZ, kept_hz)),
        heads=tuple(
            heads_of(network, trials, classes, np.eye(len(NAMES)), RATE_HZ, kept_hz=kept_hz)
        ),
        ablations=tuple(ablations),
        alarm=artefact_alarm(ablations, 0.5),
        tested=120,
    )
