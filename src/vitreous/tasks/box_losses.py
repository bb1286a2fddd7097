"""What a dense detector minimises: scores that say how well their boxes lie, and boxes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.tasks.assignment import areas

FOCUS = 2.0  # power of |target - score| by which easy cells count less


def quality_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """|target - score|^2 times the binary cross-entropy, element by element.

    X. Li et al., "Generalized Focal Loss", 2020, equation 1. `logits` and `targets` of any one
    shape, targets in 0 ... 1: the overlap that the answer should have, 0 for what is not there.
    """
    away = (targets - logits.sigmoid()).abs()
    return away**FOCUS * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def generalised_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of pairs of boxes, less the share of their hull that neither fills, in -1 ... 1.

    H. Rezatofighi et al., "Generalized Intersection over Union", 2019. Corners (..., 4) each.
    """
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    joined = areas(first) + areas(second) - shared
    outer = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(
        first[..., :2], second[..., :2]
    )
    hull = outer.clamp(min=0).prod(-1)
    overlap = shared / joined.clamp(min=1e-9)
    return overlap - (hull - joined) / hull.clamp(min=1e-9)


def distribution_focal_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy with the two whole numbers that each distance lies between.

    "Generalized Focal Loss", equation 6. `logits` (..., bins), `distances` (...) in 0 ... bins - 1;
    the nearer whole number counts more: 2.25 is 2 with weight 0.75 and 3 with 0.25.
    """
    bins = logits.shape[-1]
    distances = distances.clamp(0, bins - 1 - 1e-3)
    below = distances.floor()
    share = distances - below
    log_shares = F.log_softmax(logits, dim=-1)
    place = below.long()[..., None]
    lower = log_shares.gather(-1, place)[..., 0]
    upper = log_shares.gather(-1, place + 1)[..., 0]
    return -(lower * (1 - share) + upper * share)


def mean_distances(logits: Tensor) -> Tensor:
    """The mean of each distribution: logits (..., bins) to (...), in 0 ... bins - 1."""
    numbers = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    return logits.softmax(-1) @ numbers
