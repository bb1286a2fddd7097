"""What a training on boxes is made of: task, batches, and the network's name."""

import torch

from vitreous.data.boxes.boxes import NO_BOXES
from vitreous.data.boxes.seen import boxes_as_seen, true_boxes
from vitreous.data.samples import SPLITS
from vitreous.data.transforms import Scaling, TrialScaling, fit_scaling
from vitreous.errors import DataError, RequestError
from vitreous.networks import Weights
from vitreous.networks.detectors import detector_name
from vitreous.networks.torchvision_models import PREFIX as TORCHVISION
from vitreous.runs.prepare import Prepared
from vitreous.runs.request import TrainRequest
from vitreous.tasks import Detect, Task
from vitreous.training.batches import TrainingData
from vitreous.training.box_batches import BoxBatches
from vitreous.training.box_recipe import box_recipe
from vitreous.training.recipe import Recipe

USUAL = "resnet"  # features, where neither --network nor --weights say which


def box_task(prepared: Prepared) -> Detect:
    """Boxes of the source's classes. Raises `DataError` where training pictures have none."""
    samples = prepared.samples(prepared.rows("train"))
    if not any(len(true_boxes(sample)) for sample in samples):
        raise DataError(
            f"{prepared.source.root}: no picture of the training part has a box: there is nothing "
            "to learn; see `vitreous inspect`"
        )
    return Detect(prepared.source.classes, prepared.pixel_format.size)


def box_training_data(
    prepared: Prepared, task: Task, scaling: Scaling | TrialScaling | None = None
) -> TrainingData:
    """Batches that move pictures and boxes together; the scaling is fitted on training rows.

    The boxes of the test part are not there. Raises `DataError` where a part of the split is empty.
    """
    assert isinstance(task, Detect)
    require_all_parts(prepared)
    pixels = prepared.cache.pixels
    train_rows, val_rows = prepared.rows("train"), prepared.rows("val")
    labels = boxes_as_seen(prepared.source.samples, prepared.cache.sizes, task.size)  # type: ignore
    used = {*train_rows.tolist(), *val_rows.tolist()}
    labels = [boxes if row in used else NO_BOXES for row, boxes in enumerate(labels)]
    return TrainingData(
        pixels,
        torch.zeros(len(pixels), 0),
        train_rows,
        val_rows,
        scaling or fit_scaling(pixels, train_rows),
        places=BoxBatches(pixels, labels, train_rows, task),
    )


def box_network(prepared: Prepared, weights: Weights | None) -> tuple[str, str]:
    """The name of the detector where none is asked for, and why."""
    del prepared
    if weights is not None:
        return detector_name(weights.network), "on the features that the weights are of"
    return detector_name(USUAL), "on a residual network's features, fast on a processor too"


def require_all_parts(prepared: Prepared) -> None:
    """Raises `DataError` where a part of the split has no picture."""
    names = {"train": "training", "val": "validation", "test": "test"}
    for part in SPLITS:
        if not len(prepared.rows(part)):
            where = f"the {names[part]} part"
            raise DataError(f"{prepared.source.root}: no picture is left for {where}")


def recipe_for_boxes(
    prepared: Prepared, data: TrainingData, request: TrainRequest, tuned: bool
) -> Recipe:
    """The recipe by the number and size of the pictures; `tuned` starts from trained features.

    Raises `RequestError` for ways of meeting unequal classes that boxes do not have.
    """
    if request.balance not in {None, "none"}:
        raise RequestError(f"--balance {request.balance}: is for one class a picture, or for masks")
    pixel_format = prepared.pixel_format
    return box_recipe(
        len(data.train_rows),
        pixel_format.channels,
        pixel_format.size,
        tuned,
        torchvision=(request.network or "").startswith(TORCHVISION),
    )


def no_class_weights(data: TrainingData, recipe: Recipe) -> None:
    """Rare classes are met by the loss itself, which weighs what is hard."""
    del data, recipe
