"""How the networks for EEG are trained: rates, decay, batches and steps from the literature.

Sources: H. Altaheri et al. 2023 (ATCNet) and their group's later rerun of ten networks on BCI
competition IV 2a (Adam 9e-4, a decay of 1e-3, 48 trials and as many recombined ones a batch, eight
segments, warm-up and a cosine, the last epoch kept); M. Wimpff et al. 2024 (BaseNet: Adam 1e-3,
batches of 64, the same schedule); R. Schirrmeister et al. 2017 with braindecode's later rates
(AdamW 6.25e-4 for the shallow, 1e-2 and a decay of 5e-4 for the deep network, a cosine);
V. Lawhern et al. 2018 (EEGNet: 500 epochs, batches of 64). The reruns train for 1,000 epochs, which
are 6,000 steps; EEGNet's authors for about 1,000 steps, as is done here: minutes on a processor.
"""

from dataclasses import dataclass

from vitreous.data.augmentation import Augmentation
from vitreous.training.batches import steps_per_epoch
from vitreous.training.recipe import Recipe


@dataclass(frozen=True)
class EEGRates:
    """What differs between the networks."""

    learning_rate: float
    weight_decay: float  # decoupled: times the learning rate
    source: str


EEG_RATES: dict[str, EEGRates] = {
    "eegnet": EEGRates(9e-4, 1e-3, "the rerun of ten networks by ATCNet's authors"),
    "shallowconvnet": EEGRates(6.25e-4, 0.0, "braindecode's trialwise decoding"),
    "deep4": EEGRates(1e-2, 5e-4, "braindecode's trialwise decoding"),
    "basenet": EEGRates(1e-3, 1e-3, "Wimpff et al. 2024"),
    "atcnet": EEGRates(9e-4, 1e-3, "the rerun of ten networks by ATCNet's authors"),
}
"""By network; others take those of EEGNet."""

STEPS = 1000
FEWEST_EPOCHS, MOST_EPOCHS = 30, 500
WARM_UP = 0.02  # 20 of 1,000 epochs
SEGMENTS = 8


def eeg_recipe(network: str, training_samples: int) -> Recipe:
    """The recipe of a network for so many trials: the last epoch is kept, nothing is chosen.

    The published batches are for 288 trials and more; fewer trials take smaller ones. Beside each
    trial of a batch there is one put together from pieces of others of its class.
    """
    rates = EEG_RATES.get(network, EEG_RATES["eegnet"])
    return Recipe(
        batch_size=64 if training_samples >= 256 else 32 if training_samples >= 64 else 16,
        learning_rate=rates.learning_rate,
        weight_decay=rates.weight_decay,
        warm_up=WARM_UP,
        label_smoothing=0.0,
        keep="last",
        recombined_segments=SEGMENTS,
        augmentation=Augmentation(why=f"rates of {rates.source}"),
    )


def eeg_epochs(training_samples: int, batch_size: int) -> int:
    """Epochs for about as many steps as the recipe has, neither very few nor very many.

    >>> eeg_epochs(288, 64), eeg_epochs(36, 16), eeg_epochs(9000, 64), eeg_epochs(10, 16)
    (200, 334, 30, 500)
    """
    wanted = -(-STEPS // steps_per_epoch(training_samples, batch_size))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, wanted))
