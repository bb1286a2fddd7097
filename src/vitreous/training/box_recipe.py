"""The recipe of a detector, by the number and size of the pictures and by what it starts from."""

from math import floor, log2

from vitreous.data.box_augmentation import box_augmentation
from vitreous.training.fine_tuning import FEW
from vitreous.training.recipe import PIXELS_A_BATCH, Recipe

LAYER_DECAY = 0.9  # of the learning rate, from each block to the one before it
RESTING_STRIDE = 4  # trained features keep the numbers of their layers up to maps of this stride
LEARNING_RATE = 1.5e-3
OTHER_RATE = 3e-4  # of torchvision's detectors, whose heads have no batch norms
MOST_A_BATCH = 16


def box_recipe(
    samples: int, channels: int, size: tuple[int, int], trained: bool, torchvision: bool = False
) -> Recipe:
    """AdamW for detectors; `trained` where the features start from weights, `torchvision` for its
    detectors.

    Small batches, so that there are many steps: each picture has many cells and boxes. Trained
    features move slower, the slower the nearer they are to the picture; in small sets their first
    layers and their norms rest, those of the head never do.
    """
    fitting = 2 ** floor(log2(max(2, PIXELS_A_BATCH / (size[0] * size[1]))))
    return Recipe(
        batch_size=min(MOST_A_BATCH, fitting, max(2, samples // 4)),
        learning_rate=OTHER_RATE if torchvision else LEARNING_RATE,
        weight_decay=0.05,
        warm_up=0.08,
        label_smoothing=0.0,
        gradient_clip=10.0,
        layer_decay=LAYER_DECAY if trained else 1.0,
        frozen_norms=trained and samples < FEW,
        resting_stride=RESTING_STRIDE if trained and samples < FEW else 0,
        augmentation=box_augmentation(channels, *size),
    )


def box_epochs(samples: int, batch_size: int, tuned: bool = False) -> int:
    """Epochs when neither --epochs nor --time is given: about 3,000 steps, 12 to 100 epochs.

    >>> box_epochs(200, 8), box_epochs(20_000, 8)
    (100, 12)
    """
    del tuned
    return min(100, max(12, 3000 // max(1, samples // batch_size)))
