"""Unequal classes: noticed, said, and met in the way that validation prefers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vitreous.training.loop import Training, train
from vitreous.training.plan import probe_of
from vitreous.training.recipe import Balance

UNEQUAL = 2.0  # the largest class has so many times the samples of the smallest
PILOT_SHARE = 0.04  # of the planned steps, for each way that is tried


@dataclass(frozen=True)
class BalanceChoice:
    """How unequal classes are met, and the validation scores that chose it."""

    balance: Balance
    why: str
    scores: dict[str, float]


def class_counts(targets: Tensor, rows: np.ndarray, classes: int) -> np.ndarray:
    """Training samples of each class, int64 (classes,)."""
    return np.bincount(targets[torch.from_numpy(rows)].numpy(), minlength=classes)


def are_unequal(counts: np.ndarray) -> bool:
    """Whether the largest class is more than `UNEQUAL` times the smallest."""
    return len(counts) > 1 and counts.max() > UNEQUAL * max(1, counts.min())


def class_weights(counts: np.ndarray) -> Tensor:
    """Weights of the balanced loss, float32 (classes,): 1 / count, with mean 1 over samples."""
    inverse = 1.0 / np.maximum(counts, 1)
    return torch.tensor(inverse * counts.sum() / (inverse * counts).sum(), dtype=torch.float32)


def sampling_weights(targets: Tensor, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A weight for each training row, so that every class is drawn equally often."""
    return 1.0 / counts[targets[torch.from_numpy(rows)].numpy()]


def balanced(training: Training, balance: Balance, counts: np.ndarray) -> Training:
    """The training with a way of meeting unequal classes."""
    data = training.data
    return replace(
        training,
        recipe=replace(training.recipe, balance=balance),
        class_weights=class_weights(counts).to(training.device) if balance == "loss" else None,
        sampling_weights=sampling_weights(data.targets, data.train_rows, counts)
        if balance == "sampling"
        else None,
    )


def choose_balance(
    training: Training,
    counts: np.ndarray,
    candidates: Sequence[Balance] = ("none", "loss", "sampling"),
) -> BalanceChoice:
    """Try each way for a short part of the plan on a copy; keep the best balanced accuracy.

    The first of equal ones wins, so that nothing is done without a gain.
    """
    steps = max(20, int(PILOT_SHARE * training.state.planned_steps))
    scores = {way: _pilot(balanced(training, way, counts), steps) for way in candidates}
    best = max(candidates, key=lambda way: scores[way])
    said = ", ".join(f"{way} {score:.3f}" for way, score in scores.items())
    return BalanceChoice(
        best,
        f"classes are unequal ({counts.min()} to {counts.max()} training samples); "
        f"balanced accuracy on validation after {steps} steps: {said}",
        {str(way): score for way, score in scores.items()},
    )


def _pilot(training: Training, steps: int) -> float:
    state = train(probe_of(training, planned_steps=steps))
    return max(row["val_balanced_accuracy"] or 0.0 for row in state.history)
