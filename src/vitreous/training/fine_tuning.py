"""The recipe for a network that starts from trained weights."""

import re
from collections.abc import Sequence

from vitreous.data.augmentation import Augmentation, default_augmentation
from vitreous.inference import Views
from vitreous.training.recipe import Recipe

FEW = 1000  # training pictures: under it norms keep their statistics, and answers are averaged

MANY = 20_000  # training pictures: from it on they are mixed; short trainings have no use for it

INSIDE_A_HEAD = ("head.model.backbone.features.", "head.model.backbone.body.")
"""Where torchvision's detectors, which are heads here, have their features."""

LAYER_DECAY = 0.85  # of the learning rate, from each block to the one before it


def fine_tuning_recipe(samples: int, channels: int, size: tuple[int, int]) -> Recipe:
    """The recipe by the number, channels and size (height, width) of the training pictures.

    AdamW at a small rate that falls towards the first layers, which know most of what pictures have
    in common (K. Clark et al., "ELECTRA", 2020, used it so); a warm-up that does not tear at them;
    the last layer fitted first. In batches of few pictures the norms keep the statistics of the
    thousands that they have seen. Large sets are mixed (`mixup`), with the share of torchvision's
    recipes. What is learned from few pictures depends on how they happen to lie: the answers for a
    picture and its mirror image are averaged.
    """
    augmentation = fine_tuning_augmentation(samples, channels, size)
    batch_size = 32 if samples < 8192 else 64
    return Recipe(
        batch_size=batch_size,
        learning_rate=2e-4 * (batch_size / 32) ** 0.5,
        weight_decay=0.05,
        warm_up=0.1,
        layer_decay=LAYER_DECAY,
        frozen_norms=samples < FEW,
        mixup=0.2 if samples >= MANY else 0.0,
        head_first=True,
        average_share=0.1,
        augmentation=augmentation,
        views=Views(mirrored=augmentation.flip_horizontal and samples < FEW),
    )


def fine_tuning_augmentation(samples: int, channels: int, size: tuple[int, int]) -> Augmentation:
    """Mirrored and shifted as ever; colour pictures also through TrivialAugment.

    Grey ones may be digits or scans, which a turn of 135 degrees makes into something else.
    """
    light = default_augmentation(channels, *size)
    if channels != 3:
        return light
    return Augmentation(
        flip_horizontal=light.flip_horizontal,
        shift=light.shift,
        scale=light.scale,
        trivial=True,
        why=f"{samples:,} colour pictures: mirrored, shifted, zoomed, and one random change of "
        "random strength each (TrivialAugment)",
    )


def fine_tuning_epochs(samples: int, batch_size: int) -> int:
    """Epochs when neither --epochs nor --time is given: about 2,000 steps, 5 to 30 epochs.

    >>> fine_tuning_epochs(200, 32), fine_tuning_epochs(50_000, 64)
    (30, 5)
    """
    return min(30, max(5, 2000 // max(1, samples // batch_size)))


def learning_rate_factors(names: Sequence[str], decay: float) -> dict[str, float]:
    """For each parameter, in order from the picture to the answer, its share of the rate.

    The last layer goes at the full rate; each block before it at `decay` times the one after.
    """
    units = [unit_of(name) for name in names]
    depth = {unit: number for number, unit in enumerate(dict.fromkeys(_joined(units)))}
    deepest = max(depth.values(), default=0)
    return {
        name: decay ** (deepest - depth[unit])
        for name, unit in zip(names, _joined(units), strict=True)
    }


def unit_of(name: str) -> str:
    """What moves together: the block that a parameter is in; "" before and between blocks.

    >>> unit_of("features.backbone.blocks.2.1.conv_pw.weight")
    'features.backbone.blocks.2.1'
    >>> unit_of("features.backbone.stages_0.blocks.1.gamma")
    'features.backbone.stages_0.blocks.1'
    >>> unit_of("features.backbone.conv_stem.weight"), unit_of("head.linear.bias")
    ('', 'head.linear')
    >>> unit_of("head.model.backbone.features.backbone.blocks.2.1.conv_pw.weight")
    'head.model.backbone.features.backbone.blocks.2.1'
    """
    if name.startswith("head.") and not name.startswith(INSIDE_A_HEAD):
        return ".".join(name.split(".")[:2])
    block = re.match(r"(.*?\.\d+(?:\.(?:blocks\.)?\d+)?|.*?_\d+\.blocks\.\d+)\.", name)
    return block[1] if block else ""


def _joined(units: Sequence[str]) -> list[str]:
    """Parameters outside blocks belong to the block before them; the first ones are a stem."""
    joined, current = [], "stem"
    for unit in units:
        current = unit or current
        joined.append(current)
    return joined
