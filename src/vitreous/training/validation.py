"""The few numbers that are watched while training, on the validation part."""

import math

import numpy as np
import torch
from torch import nn

from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS
from vitreous.inference import ONE_VIEW, PLAIN, Compute, Views, outputs_of_rows
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.processes import ALONE, Processes

WATCHED = {  # task -> (column that chooses the best epoch, whether higher is better)
    "classify": ("val_accuracy", True),
    "classify-multilabel": ("val_mean_average_precision", True),
    "regress": ("val_mae", False),
    "segment": ("val_iou", True),
    "detect": ("val_ap", True),
}
BALANCED = ("val_balanced_accuracy", True)

COLUMNS = {  # task -> the metrics that history.csv has
    "classify": {name: CLASS_METRICS[name] for name in ("accuracy", "balanced_accuracy")},
    "classify-multilabel": {
        name: LABEL_METRICS[name] for name in ("mean_average_precision", "macro_f1")
    },
    "regress": {name: NUMBER_METRICS[name] for name in ("mae", "r2")},
}


def watched_metric(task: Task, unequal_classes: bool) -> tuple[str, bool]:
    """The column that chooses the best epoch, and whether higher is better."""
    if task.name == "classify" and unequal_classes:
        return BALANCED
    return WATCHED[task.name]


def validate(
    network: nn.Module,
    data: TrainingData,
    task: Task,
    compute: Compute = PLAIN,
    processes: Processes = ALONE,
    views: Views = ONE_VIEW,
) -> dict[str, float]:
    """Validation loss (no smoothing, no weights) and the task's metrics, by column name.

    All are NaN where there is no validation part. Each of several processes answers for its part of
    the rows; the first one's scores are all's.
    """
    if data.places is not None:
        return data.places.validate(network, data, task, compute, processes)
    if not len(data.val_rows):
        return dict.fromkeys(
            ("val_loss", *(f"val_{name}" for name in COLUMNS[task.name])), math.nan
        )
    part = processes.part(data.val_rows)
    outputs = outputs_of_rows(network, data.pixels, part, data.scaling, compute, views)
    outputs = processes.joined(outputs, len(data.val_rows))
    targets = data.targets[torch.from_numpy(data.val_rows)]
    truth, answers = truth_and_answers(task, outputs, targets)
    scores = {"val_loss": float(task.loss(outputs, targets))}
    for name, metric in COLUMNS[task.name].items():
        scores[f"val_{name}"] = metric.value(truth, answers)
    return {name: processes.agreed(value) for name, value in scores.items()}


def truth_and_answers(
    task: Task, outputs: torch.Tensor, targets: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Targets and outputs in the form that `evaluation.metrics` takes for the task."""
    answers = task.answers(outputs).numpy().astype(np.float64)
    if task.name == "regress":
        return task.answers(targets).numpy().astype(np.float64)[:, 0], answers[:, 0]
    if task.name == "classify-multilabel":
        return targets.numpy() > 0.5, answers
    return targets.numpy(), answers
