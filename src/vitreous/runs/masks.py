"""A training on pictures with masks: its data, its network and its recipe."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vitreous.data.cache import PixelCache
from vitreous.data.masks.store import MaskStore
from vitreous.data.transforms import Scaling, TrialScaling, fit_scaling
from vitreous.errors import DataError, RequestError
from vitreous.networks import Weights
from vitreous.networks.decoders import is_decoder
from vitreous.runs.prepare import Prepared
from vitreous.runs.request import TrainRequest
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.masks import (
    PIXELS_PROBED,
    MaskPlaces,
    crop_for,
    crops_a_picture,
    mask_augmentation,
    mask_recipe,
    mirrored_axes,
    pixel_weights,
    watched_rows,
)
from vitreous.training.recipe import Recipe

LOOKED_AT = 200  # training masks, for what may be mirrored


def masks_of(prepared: Prepared) -> MaskStore:
    """The pictures and masks of prepared data that have masks."""
    assert prepared.masks is not None
    return prepared.masks


def mask_training_data(
    prepared: Prepared, task: Task, scaling: Scaling | TrialScaling | None = None
) -> TrainingData:
    """Crops of pictures and masks to learn from; the scaling is fitted on training rows.

    A picture that is larger than a crop comes several times an epoch, as several rows. Raises
    `DataError` where a part of the split is empty.
    """
    store = masks_of(prepared)
    parts = {part: prepared.rows(part) for part in ("train", "val", "test")}
    for part, rows in parts.items():
        if not len(rows):
            names = {"train": "training", "val": "validation", "test": "test"}
            raise DataError(
                f"{prepared.source.root}: no picture is left for the {names[part]} part"
            )
    train = parts["train"]
    sizes = store.sizes[train]
    again = crops_a_picture(sizes, len(train))
    count = len(prepared.source.samples)
    targets = torch.zeros(count, task.outputs, dtype=torch.int64)
    used = np.concatenate([train, parts["val"]])
    targets[torch.from_numpy(used)] = task.encode(
        [sample.label for sample in prepared.samples(used)]
    )
    probed = max(4, int(PIXELS_PROBED // max(1.0, float(np.median(sizes.prod(axis=1))))))
    pixels = prepared.cache.pixels
    assert isinstance(prepared.cache, PixelCache)
    return TrainingData(
        pixels,
        targets,
        np.concatenate([train + count * time for time in range(again)]),
        watched_rows(parts["val"], store.sizes[parts["val"]]),
        scaling or fit_scaling(pixels, train),
        places=MaskPlaces(store, task.outputs, probed),
    )


def mask_network(prepared: Prepared, weights: Weights | None) -> tuple[str, str]:
    """The network where none is asked for, and why: a decoder on trained features, or a U-Net."""
    del prepared
    if weights is None:
        return "unet", "for masks, from random weights"
    name = weights.network
    dense = name == "unet" or is_decoder(name)
    return name if dense else f"unet:{name}", "a decoder on what the weights are of"


def recipe_for_masks(
    prepared: Prepared, data: TrainingData, request: TrainRequest, tuned: bool
) -> Recipe:
    """The recipe by the sizes and the number of the pictures, and what their masks show.

    Raises `RequestError` for ways of meeting unequal classes that masks do not have.
    """
    del data
    if request.balance == "sampling":
        raise RequestError(
            "--balance sampling: is for one class a picture; pictures with masks show several: "
            "use loss or none"
        )
    store, train = masks_of(prepared), prepared.rows("train")
    sizes = store.sizes[train]
    chosen = train[np.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).astype(int)]
    masks = [store.masks[int(row)] for row in chosen]
    mirrored = mirrored_axes(masks, len(prepared.source.classes))
    augmentation = mask_augmentation(crop_for(sizes, tuned), *mirrored)
    recipe = mask_recipe(sizes, len(train), augmentation, tuned)
    if request.balance == "none":
        return replace(recipe, balance="none")
    return recipe


def weights_of_classes(data: TrainingData, recipe: Recipe) -> Tensor | None:
    """How much each class's pixels count in the loss; None where all count alike."""
    if recipe.balance != "loss":
        return None
    pictures = torch.from_numpy(np.unique(data.train_rows % len(data.targets)))
    return pixel_weights(data.targets[pictures].sum(dim=0))
