"""Steps that cost less: a piece of each picture at first, a first block that rests at the end.

At first a network learns edges and textures, from three quarters of a picture as well as from all
of it (smaller pictures first: J. Howard for DAWNBench, 2018). The place of the piece is new in each
step, so that it is a shift as well, and whole pictures have the last word. In the end it is the
late layers that learn: the first ones get their place early, and nothing is carried back to them
once their learning rate has come to zero (A. Brock and others, "FreezeOut", arXiv 1706.04983).
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from vitreous.training.recipe import Recipe

PLACES = 2**33  # a stream of random numbers of its own, beside those of epochs and of watching
RESTING_STEP = 0.8  # of a whole step's time, where pocket's first block rests; measured


def early_steps(recipe: Recipe, planned_steps: int) -> int:
    """Steps that see pieces.

    >>> early_steps(Recipe(32, 0.1, early_side=0.875, early_share=0.4), 100)
    40
    """
    return round(recipe.early_share * planned_steps) if recipe.early_side < 1 else 0


def early_piece(
    pixels: Tensor, recipe: Recipe, *, seed: int, step: int, planned_steps: int
) -> Tensor:
    """What a step sees of pictures (batch, channels, height, width): a piece, or all of it.

    Each side of a piece is `recipe.early_side` of the picture's; where it lies depends on
    (seed, step) alone and is the same for the whole batch.
    """
    if step >= early_steps(recipe, planned_steps):
        return pixels
    generator = np.random.Generator(np.random.Philox(key=[seed, PLACES + step]))
    sides = [round(recipe.early_side * side) for side in pixels.shape[2:]]
    top, left = (
        int(generator.integers(0, whole - side + 1))
        for whole, side in zip(pixels.shape[2:], sides, strict=True)
    )
    return pixels[:, :, top : top + sides[0], left : left + sides[1]].contiguous()


def full_steps(recipe: Recipe) -> Recipe:
    """The recipe with whole pictures in every step and nothing that rests."""
    return replace(recipe, early_side=1.0, early_share=0.0, resting="", rests_from=1.0)


def work_done(recipe: Recipe, share: float) -> float:
    """What the first `share` of the planned steps takes; a whole training in full steps takes 1.

    >>> recipe = Recipe(32, 0.1, early_side=0.5, early_share=0.4, resting="0.", rests_from=0.6)
    >>> [round(work_done(recipe, share), 2) for share in (0.0, 0.4, 0.6, 1.0)]
    [0.0, 0.1, 0.3, 0.62]
    """
    early = min(share, recipe.early_share) * (1.0 - recipe.early_side**2)
    resting = max(0.0, share - recipe.rests_from) * (1.0 - RESTING_STEP)
    return share - early - resting


def sentences(recipe: Recipe) -> list[str]:
    """What a plan says of them.

    >>> recipe = Recipe(32, 0.1, early_side=0.875, early_share=0.4, resting="0.", rests_from=0.6)
    >>> for sentence in sentences(recipe): print(sentence)
    the first 40 % of the steps see pieces of pictures, 0.875 of a side
    the first block rests in the last 40 % of the steps
    """
    found = []
    if recipe.early_share:
        found.append(
            f"the first {recipe.early_share:.0%} of the steps see pieces of pictures, "
            f"{recipe.early_side:g} of a side".replace("%", " %")
        )
    if recipe.resting:
        last = f"{1 - recipe.rests_from:.0%}".replace("%", " %")
        found.append(f"the first block rests in the last {last} of the steps")
    return found
