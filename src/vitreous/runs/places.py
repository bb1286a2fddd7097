"""What a run does in its own way where labels say where things are: one table, a row a task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.networks import Weights
from vitreous.runs.box_set_up import (
    box_network,
    box_training_data,
    recipe_for_boxes,
)
from vitreous.runs.detector import evaluate_detector, score_box_test
from vitreous.runs.masks import (
    mask_network,
    mask_training_data,
    recipe_for_masks,
    weights_of_classes,
)
from vitreous.runs.prepare import Prepared
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.score_masks import Scored, evaluate_masks_on, score_mask_test
from vitreous.runs.score_volumes import evaluate_scans_on, score_scan_test
from vitreous.runs.talk import Talk
from vitreous.runs.volumes import (
    recipe_for_scans,
    scan_epochs,
    scan_network,
    scan_training_data,
)
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.box_recipe import box_epochs
from vitreous.training.loop import Training
from vitreous.training.masks import mask_epochs
from vitreous.training.recipe import Recipe


@dataclass(frozen=True)
class PlacedTask:
    """The steps of a task whose labels say where; all else is as for whole pictures."""

    training_data: Callable[[Prepared, Task, Scaling | TrialScaling | None], TrainingData]
    network: Callable[[Prepared, Weights | None], tuple[str, str]]  # where none is asked for; why
    recipe: Callable[[Prepared, TrainingData, TrainRequest, bool], Recipe]  # True: trained weights
    class_weights: Callable[[TrainingData, Recipe], Tensor | None]
    epochs: Callable[[int, int, bool], int]  # samples, batch size, trained weights
    score: Callable[[Run, Prepared, Training, Talk], Scored]  # the test part, once
    evaluate: Callable[..., dict[str, Any]]  # on later data; see `evaluate_masks_on`


def placed_task(task: Task) -> PlacedTask | None:
    """The steps of a task whose labels say where; None for all others."""
    volumes = getattr(task, "dimensions", 2) == 3
    return PLACED.get(f"{task.name} volumes" if volumes else task.name)


def taken_as_they_are(data: TrainingData, recipe: Recipe) -> None:
    """No class weights: the loss of a box weighs what is hard, Dice cares for small structures."""
    del data, recipe


PLACED: dict[str, PlacedTask] = {
    "detect": PlacedTask(
        training_data=box_training_data,
        network=box_network,
        recipe=recipe_for_boxes,
        class_weights=taken_as_they_are,
        epochs=box_epochs,
        score=score_box_test,
        evaluate=evaluate_detector,
    ),
    "segment": PlacedTask(
        training_data=mask_training_data,
        network=mask_network,
        recipe=recipe_for_masks,
        class_weights=weights_of_classes,
        epochs=mask_epochs,
        score=score_mask_test,
        evaluate=evaluate_masks_on,
    ),
    "segment volumes": PlacedTask(
        training_data=scan_training_data,
        network=scan_network,
        recipe=recipe_for_scans,
        class_weights=taken_as_they_are,
        epochs=scan_epochs,
        score=score_scan_test,
        evaluate=evaluate_scans_on,
    ),
}
