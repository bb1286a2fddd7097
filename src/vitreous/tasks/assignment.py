"""Which cells of a dense detector learn which true box: task-aligned assignment.

C. Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021, section 3.3: for each true
box the cells are taken whose own answer is best at once in score and in place. So a cell learns
what it already answers best, and a score learns how well its box lies.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SCORE_POWER = 1.0  # of a cell's score for the true class, in its alignment
OVERLAP_POWER = 6.0  # of its box's overlap with the true one
CELLS_A_BOX = 13  # taken for each true box, at most


@dataclass(frozen=True)
class Assignment:
    """What the cells of a batch learn."""

    box: Tensor  # int64 (batch, cells): place of the true box, -1 where there is none
    target: Tensor  # (batch, cells): the score to learn for that box's class, 0 without a box


def pairwise_overlap(truth: Tensor, answers: Tensor) -> Tensor:
    """Intersection over union (batch, truths, cells) of corners (batch, ..., 4)."""
    low = torch.maximum(truth[:, :, None, :2], answers[:, None, :, :2])
    high = torch.minimum(truth[:, :, None, 2:], answers[:, None, :, 2:])
    shared = (high - low).clamp_(min=0).prod(3)
    joined = areas(truth)[:, :, None] + areas(answers)[:, None] - shared
    return shared / joined.clamp_(min=1e-9)


def areas(corners: Tensor) -> Tensor:
    """Square pixels (...) of corners (..., 4); 0 where they are swapped."""
    return (corners[..., 2:] - corners[..., :2]).clamp(min=0).prod(-1)


@torch.no_grad()
def assign(
    scores: Tensor,
    corners: Tensor,
    truth: Tensor,
    classes: Tensor,
    counts: Tensor,
    middles: Tensor,
    strides: Tensor,
) -> Assignment:
    """The true box of each cell, and its target score.

    `scores` (batch, cells, classes) in 0 ... 1 and `corners` (batch, cells, 4) are what the cells
    answer; `truth` (batch, truths, 4), `classes` int64 (batch, truths) and `counts` bool (batch,
    truths), False where there is no box; `middles` (cells, 2) and `strides` (cells,) of the grid.

    A cell may take a box only from within it, of boxes smaller than a cell from within half a cell
    of its middle; of several boxes it takes the one that its answer overlaps most. A target is the
    cell's share of the best alignment with its box, times the best overlap of a cell of that box.
    """
    overlap = pairwise_overlap(truth, corners)
    score = scores.transpose(1, 2).gather(
        1, classes[:, :, None].expand(-1, -1, scores.shape[1])
    )  # (batch, truths, cells)
    alignment = score**SCORE_POWER * overlap**OVERLAP_POWER
    allowed = _within(truth, middles, strides) & counts[:, :, None]
    most = min(CELLS_A_BOX, scores.shape[1])
    ranked = alignment * allowed
    best = ranked.topk(most, dim=2)
    taken = torch.zeros_like(allowed).scatter_(2, best.indices, best.values > 0)
    # of several boxes the one that the cell's answer overlaps most
    choice = torch.where(taken, overlap, torch.full_like(overlap, -1.0)).max(1)
    some = choice.values >= 0
    box = torch.where(some, choice.indices, torch.full_like(choice.indices, -1))
    taken &= box[:, None] == torch.arange(truth.shape[1], device=box.device)[None, :, None]
    alignment = alignment * taken
    most_aligned = alignment.amax(2, keepdim=True)
    best_overlap = (overlap * taken).amax(2, keepdim=True)
    tiny = torch.finfo(alignment.dtype).tiny
    target = (alignment / most_aligned.clamp(min=tiny) * best_overlap).amax(1)
    return Assignment(box, target)


def _within(truth: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Whether each cell may take each box, (batch, truths, cells)."""
    middle = (truth[..., :2] + truth[..., 2:]) / 2
    reach = (truth[..., 2:] - truth[..., :2]) / 2
    away = (middles - middle[:, :, None]).abs()  # (batch, truths, cells, 2)
    least = torch.where(strides == strides.min(), strides / 2, torch.zeros_like(strides))
    return (away <= torch.maximum(reach[:, :, None], least[:, None])).all(3)
