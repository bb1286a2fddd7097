"""The recipe: the plain numbers of a training, kept with the run."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from vitreous.data.augmentation import Augmentation
from vitreous.inference import Views
from vitreous.networks.features.pocket import patch_stride

Balance = Literal["none", "loss", "sampling"]
Optimiser = Literal["adamw", "muon"]
Schedule = Literal["cosine", "linear"]
Keep = Literal["best", "last"]


@dataclass(frozen=True)
class Recipe:
    """How the network is trained: AdamW (Loshchilov and Hutter 2019), or Muon (see `muon`)."""

    batch_size: int
    learning_rate: float  # peak, after warm-up
    optimizer: Optimiser = "adamw"  # what it does with which weights: training/optimisers.py
    weight_decay: float = 0.05  # decoupled; kernels and matrices only, not norms and biases
    matrix_factor: float = 1.0  # with muon: learning rate of the head's matrix, times the kernels'
    bias_factor: float = 1.0  # with muon: learning rate of biases, times the kernels'
    warm_up: float = 0.05  # share of the planned steps
    schedule: Schedule = "cosine"  # how the learning rate falls after the warm-up
    label_smoothing: float = 0.1
    gradient_clip: float | None = 1.0  # largest norm of all gradients together; None: any
    average_share: float = 0.05  # the weight average looks back over this share of the steps
    patience: int = 20  # epochs without a better validation score before it stops
    keep: Keep = "best"  # the weights of the best validated epoch, or of the last one
    balance: Balance = "none"  # how unequal classes are met
    recombined_segments: int = 0  # beside each trial one more, of so many pieces of its class
    layer_decay: float = 1.0  # of the learning rate, from each block to the one before it
    frozen_norms: bool = False  # batch norms keep the statistics that the weights came with
    resting_stride: int = 0  # layers up to the features' maps of this stride keep their numbers
    mixup: float = 0.0  # alpha of the shares in which pictures are mixed; 0: they are not
    head_first: bool = False  # the last layer was fitted before the first step
    early_side: float = 1.0  # of a picture's sides: the pieces that the first steps see
    early_share: float = 0.0  # of the planned steps: those first ones
    resting: str = ""  # with muon: how the names of parameters begin that rest in the end
    rests_from: float = 1.0  # the share of the planned steps at which their learning rate is zero
    watched: int | None = None  # validation samples looked at in each epoch; None: all
    augmentation: Augmentation = field(default_factory=Augmentation)
    views: Views = field(default_factory=Views)  # averaged when scoring and predicting

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words, as kept in run.json."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Recipe":
        """The recipe that `to_json` wrote."""
        nested = {
            "augmentation": _augmentation_from(value["augmentation"]),
            "views": Views(**value.get("views", {})),
        }
        return Recipe(**{**value, **nested})


def _augmentation_from(value: dict[str, Any]) -> Augmentation:
    crop = value.get("crop")
    return Augmentation(**{**value, "crop": None if crop is None else tuple(crop)})


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


BATCH_OF_RATES = 2000  # the batch that the learning rates below were published for
EARLY_SIDE, EARLY_SHARE, RESTS_FROM = 28 / 32, 0.4, 0.6  # docs/decisions/0007-pocket.md


def pocket_recipe(
    training_samples: int, size: tuple[int, int], augmentation: Augmentation
) -> Recipe:
    """The recipe of the network `pocket`: Muon for kernels, a linear fall, few epochs.

    Learning rates are those of the CIFAR-10 records of 2025 for batches of 2,000 (whose loss is a
    sum); for smaller ones they go with the root of the batch. About fifty batches make an epoch.
    The views that are averaged in the end are those that the augmentation shows. Where pieces leave
    the last maps as large as they are, the first steps see them, and the first block rests in the
    last steps (`cheaper_steps`).
    """
    wanted = 2 ** round(math.log2(max(1, training_samples / 50)))
    room = PIXELS_A_BATCH * patch_stride(min(size)) ** 2 // (size[0] * size[1])
    batch_size = max(32, min(wanted, room, 1024))
    shift = 1 if int(augmentation.shift * min(size)) else 0
    cheaper = shift > 0 and min(size) // patch_stride(min(size)) >= 32
    return Recipe(
        batch_size=batch_size,
        learning_rate=0.24 * (batch_size / BATCH_OF_RATES) ** 0.5,
        optimizer="muon",
        weight_decay=0.0024,
        matrix_factor=7.0,
        bias_factor=440.0,
        warm_up=0.0,
        schedule="linear",
        gradient_clip=None,
        augmentation=replace(augmentation, flip_alternating=augmentation.flip_horizontal),
        views=Views(augmentation.flip_horizontal, shift),
        early_side=EARLY_SIDE if cheaper else 1.0,
        early_share=EARLY_SHARE if cheaper else 0.0,
        resting="features.blocks.0." if cheaper else "",
        rests_from=RESTS_FROM if cheaper else 1.0,
    )


def pocket_epochs(training_samples: int) -> int:
    """Epochs for `pocket` when neither --epochs nor --time is given: more for smaller sets.

    >>> [pocket_epochs(samples) for samples in (50_000, 10_000, 1000, 100)]
    [8, 18, 57, 60]
    """
    return max(8, min(60, round(8 * (50_000 / max(1, training_samples)) ** 0.5)))


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
