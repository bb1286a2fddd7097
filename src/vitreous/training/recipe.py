"""The recipe: the plain numbers of a training, kept with the run."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vitreous.data.augmentation import Augmentation

Balance = Literal["none", "loss", "sampling"]
Optimiser = Literal["adamw"]


@dataclass(frozen=True)
class Recipe:
    """How the network is trained. AdamW (Loshchilov and Hutter 2019), warm-up, cosine decay."""

    batch_size: int
    learning_rate: float  # peak, after warm-up
    optimizer: Optimiser = "adamw"  # what it does with which weights: training/optimisers.py
    weight_decay: float = 0.05  # decoupled; kernels and matrices only, not norms and biases
    warm_up: float = 0.05  # share of the planned steps
    label_smoothing: float = 0.1
    gradient_clip: float = 1.0  # largest norm of all gradients together
    average_share: float = 0.05  # the weight average looks back over this share of the steps
    patience: int = 20  # epochs without a better validation score before it stops
    balance: Balance = "none"  # how unequal classes are met
    watched: int | None = None  # validation samples looked at in each epoch; None: all
    augmentation: Augmentation = field(default_factory=Augmentation)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words, as kept in run.json."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Recipe":
        """The recipe that `to_json` wrote."""
        return Recipe(**{**value, "augmentation": Augmentation(**value["augmentation"])})


PIXELS_A_BATCH = 2**20  # what a step keeps of its maps goes with it: about half a gigabyte


def recipe_for(training_samples: int, size: tuple[int, int], augmentation: Augmentation) -> Recipe:
    """The recipe for a network that starts from nothing, by the number and size of the pictures.

    Small sets take small batches, so that there are enough steps in an epoch, and large pictures
    (height, width) too, so that a step fits into memory; the learning rate goes with the square
    root of the batch, as suits Adam's normalised steps (Malladi et al. 2022).
    """
    wanted = 128 if training_samples >= 8192 else 64 if training_samples >= 1024 else 32
    batch_size = min(wanted, max(16, PIXELS_A_BATCH // (size[0] * size[1])))
    return Recipe(
        batch_size=batch_size,
        learning_rate=2e-3 * (batch_size / 64) ** 0.5,
        augmentation=augmentation,
    )


def patience_for(planned_epochs: float) -> int:
    """Epochs without a better validation score before a training stops: half of the plan.

    Much of what a falling learning rate brings comes late, and a small validation part is noisy: a
    patience that does not know the plan would stop before it.

    >>> patience_for(8), patience_for(90)
    (20, 45)
    """
    return max(20, math.ceil(planned_epochs / 2))


def default_epochs(training_samples: int, batch_size: int) -> int:
    """Epochs when neither --epochs nor --time is given: about 6,000 steps, 15 to 120 epochs."""
    steps_per_epoch = max(1, training_samples // batch_size)
    return min(120, max(15, 6000 // steps_per_epoch))
