"""The head first: the last layer fitted on frozen features, before anything else moves.

A random last layer sends random gradients through trained features and spoils them (A. Kumar et
al., "Fine-Tuning can Distort Pretrained Features", 2022). The last layer on fixed inputs is a
convex problem: the features of each picture are computed once and L-BFGS finds the answer, so that
the whole costs little more than one look at every picture.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.networks.modes import evaluating
from vitreous.tasks import Task
from vitreous.training.checkpoints import Best
from vitreous.training.loop import Training
from vitreous.training.validation import validate

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Of the squared weights, for features of unit size; held-out pictures choose."""

MOST_WORK = 2e8  # multiplications a look at all features: beyond it one penalty, fewer iterations
LOOKED_AT = 8192  # training pictures at most: more change a linear layer little
BATCH = 32


@dataclass(frozen=True)
class HeadFit:
    """How the last layer was fitted: loss on held-out pictures by penalty."""

    penalty: float
    losses: dict[float, float]
    pictures: int
    held_out: str  # what they are

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        return (
            f"the last layer was fitted first, on the features of {self.pictures:,} pictures and "
            f"their mirror images (penalty {self.penalty:g}, {self.held_out} loss "
            f"{self.losses[self.penalty]:.3f})"
        )


def fit_head(training: Training, folds: np.ndarray | None = None) -> HeadFit:
    """Fit the network's last linear layer in place; the rest of it is not touched.

    The penalty is the one with the lowest loss on validation pictures; with `folds` (of every row
    of the data, int, read for training rows) by cross-validation within the training pictures: a
    small set has too few validation pictures to say which it is. Nothing here is random but the
    draw of pictures where there are more than `LOOKED_AT`, which goes by the seed.
    """
    layer = last_linear(training.network)
    rows = _some(training.data.train_rows, training.seed)
    mirrored = training.recipe.augmentation.flip_horizontal
    inputs = features_of(training, layer, rows, mirrored)
    targets = _targets(training, rows)
    targets = torch.cat([targets, targets]) if mirrored else targets
    seen = Seen(inputs, targets, len(rows))
    # one choice for all fits: those of the folds see fewer pictures than the last one
    much = inputs.numel() * layer.out_features > MOST_WORK
    answers = _answers(training, seen, much)
    if folds is not None:
        losses = _cross_validated(training, seen, folds[rows], much)
    else:
        val_rows = training.data.val_rows
        val_inputs = features_of(training, layer, val_rows, mirrored=False)
        losses = _losses(training, answers, val_inputs, _targets(training, val_rows))
    best = min(losses, key=lambda penalty: losses[penalty])
    weight, bias = answers[best]
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        training.processes.copy_from_first([layer.weight, layer.bias])
    return HeadFit(best, losses, len(rows), "validation" if folds is None else "cross-validated")


@dataclass(frozen=True)
class Seen:
    """Features (n, inputs) of pictures, perhaps followed by those of their mirror images."""

    inputs: Tensor
    targets: Tensor
    pictures: int

    def only(self, chosen: np.ndarray) -> "Seen":
        """Some of the pictures, by number, with their mirror images."""
        at = torch.from_numpy(chosen)
        every = torch.cat([at + start for start in range(0, len(self.inputs), self.pictures)])
        return Seen(self.inputs[every], self.targets[every], len(chosen))


Answers = dict[float, tuple[Tensor, Tensor]]
"""Weight (outputs, inputs) and bias (outputs,) by penalty, for features as they are."""


def _answers(training: Training, seen: Seen, much: bool) -> Answers:
    """What is fitted to the pictures, from strong to weak, each from the answer before."""
    middle = seen.inputs.mean(0)
    spread = (seen.inputs - middle).square().mean().sqrt().clamp_min(1e-6)
    outputs = last_linear(training.network).out_features
    weights = training.class_weights
    class_weights = None if weights is None else weights.double().cpu()
    weight = torch.zeros(outputs, seen.inputs.shape[1], dtype=torch.float64)
    bias = torch.zeros(outputs, dtype=torch.float64)
    found: Answers = {}
    for penalty in (0.01,) if much else PENALTIES:
        weight, bias = solve(
            training.task,
            (seen.inputs - middle) / spread,
            seen.targets,
            penalty,
            (weight, bias),
            class_weights,
            iterations=50 if much else 200,
        )
        found[penalty] = weight / spread, bias - (weight / spread) @ middle
    return found


def _losses(
    training: Training, answers: Answers, inputs: Tensor, targets: Tensor
) -> dict[float, float]:
    """Mean loss on other pictures, by penalty."""
    return {
        penalty: float(training.task.loss(inputs @ weight.T + bias, targets))
        for penalty, (weight, bias) in answers.items()
    }


def _cross_validated(
    training: Training, seen: Seen, folds: np.ndarray, much: bool
) -> dict[float, float]:
    """Mean loss of each picture by what was fitted on the other folds, by penalty."""
    total: dict[float, float] = {}
    for fold in np.unique(folds):
        answers = _answers(training, seen.only(np.flatnonzero(folds != fold)), much)
        part = torch.from_numpy(np.flatnonzero(folds == fold))
        losses = _losses(training, answers, seen.inputs[part], seen.targets[part])
        for penalty, loss in losses.items():
            total[penalty] = total.get(penalty, 0.0) + loss * len(part) / len(folds)
    return total


def solve(
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    penalty: float,
    start: tuple[Tensor, Tensor],
    class_weights: Tensor | None = None,
    iterations: int = 200,
) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs) and bias (outputs,) of the least mean loss plus penalty.

    That is `task.loss` + penalty / 2 times the sum of squared weights, by L-BFGS from `start` on.
    """
    weight, bias = (each.clone().requires_grad_() for each in start)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = task.loss(inputs @ weight.T + bias, targets, class_weights=class_weights)
        loss = loss + 0.5 * penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)  # type: ignore[arg-type]  # the closure is L-BFGS's own
    return weight.detach(), bias.detach()


def features_of(training: Training, layer: nn.Linear, rows: np.ndarray, mirrored: bool) -> Tensor:
    """What the last layer sees of pictures, float64 (rows, inputs); then of their mirror images."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double().cpu()))
    pixels, compute = training.data.pixels, training.compute
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    try:
        with evaluating(training.network):
            for flip in (False, True) if mirrored else (False,):
                for part in parts:
                    batch = torch.from_numpy(pixels[part])
                    batch = batch.flip(-1) if flip else batch
                    training.forward(compute.inputs(batch, training.data.scaling))
    finally:
        hook.remove()
    return torch.cat(seen)


def last_linear(network: nn.Module) -> nn.Linear:
    """The layer that answers: the last linear one."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def start_as_best(training: Training) -> None:
    """Count the network before its first step as the best: training may not improve on it."""
    scores = validate(
        training.network,
        training.data,
        training.task,
        training.compute,
        training.processes,
        training.recipe.views.needed,
    )
    value = scores[training.metric]
    training.state.best = Best(0, 0, training.metric, value if math.isfinite(value) else None)
    loss = scores["val_loss"]
    training.state.best_loss = loss if math.isfinite(loss) else 0.0  # nothing to validate on


def _targets(training: Training, rows: np.ndarray) -> Tensor:
    targets = training.data.targets[torch.from_numpy(rows)]
    return targets.double() if targets.is_floating_point() else targets


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    if len(rows) <= LOOKED_AT:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, LOOKED_AT, replace=False))
