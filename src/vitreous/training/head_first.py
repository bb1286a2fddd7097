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
"""Of the squared weights, for features of unit size; validation chooses."""

MOST_WORK = 2e8  # multiplications a look at all features: beyond it one penalty, fewer iterations
LOOKED_AT = 8192  # training pictures at most: more change a linear layer little
BATCH = 32


@dataclass(frozen=True)
class HeadFit:
    """How the last layer was fitted: validation loss by penalty."""

    penalty: float
    losses: dict[float, float]
    pictures: int

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        return (
            f"the last layer was fitted first, on the features of {self.pictures:,} pictures and "
            f"their mirror images (penalty {self.penalty:g}, validation loss "
            f"{self.losses[self.penalty]:.3f})"
        )


def fit_head(training: Training) -> HeadFit:
    """Fit the network's last linear layer in place; the rest of it is not touched.

    The penalty is the one with the lowest validation loss. Nothing here is random but the draw of
    pictures where there are more than `LOOKED_AT`, which goes by the seed.
    """
    layer = last_linear(training.network)
    rows = _some(training.data.train_rows, training.seed)
    mirrored = training.recipe.augmentation.flip_horizontal
    inputs = features_of(training, layer, rows, mirrored)
    val_inputs = features_of(training, layer, training.data.val_rows, mirrored=False)
    middle, spread = inputs.mean(0), (inputs - inputs.mean(0)).square().mean().sqrt()
    spread = spread.clamp_min(1e-6)
    targets = _targets(training, rows)
    targets = torch.cat([targets, targets]) if mirrored else targets
    val_targets = _targets(training, training.data.val_rows)
    weights = training.class_weights
    class_weights = None if weights is None else weights.double().cpu()
    found: dict[float, tuple[float, Tensor, Tensor]] = {}
    weight = torch.zeros(layer.out_features, inputs.shape[1], dtype=torch.float64)
    bias = torch.zeros(layer.out_features, dtype=torch.float64)
    much = inputs.numel() * layer.out_features > MOST_WORK
    # from strong to weak, each from the answer before
    for penalty in (0.01,) if much else PENALTIES:
        weight, bias = solve(
            training.task,
            (inputs - middle) / spread,
            targets,
            penalty,
            (weight, bias),
            class_weights,
            iterations=50 if much else 200,
        )
        outputs = (val_inputs - middle) / spread @ weight.T + bias
        loss = float(training.task.loss(outputs, val_targets))
        found[penalty] = (loss, weight.clone(), bias.clone())
    best = min(found, key=lambda penalty: found[penalty][0])
    _, weight, bias = found[best]
    with torch.no_grad():
        layer.weight.copy_(weight / spread)
        layer.bias.copy_(bias - (weight / spread) @ middle)
        training.processes.copy_from_first([layer.weight, layer.bias])
    losses = {penalty: loss for penalty, (loss, _, _) in found.items()}
    return HeadFit(best, losses, len(rows))


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
