"""Detection: boxes of classes, from a dense head without anchors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.samples import Label
from vitreous.errors import DataError
from vitreous.networks.heads.detect import BINS, LEVELS, cell_grid
from vitreous.networks.torchvision_models import BOX_NUMBERS, OwnLosses
from vitreous.tasks.assignment import Assignment, assign
from vitreous.tasks.box_losses import (
    distribution_focal_loss,
    generalised_overlap,
    mean_distances,
    quality_focal_loss,
)

BOX_WEIGHT, DISTRIBUTION_WEIGHT = 2.0, 0.5  # beside 1 for the scores
LEAST_SCORE = 0.01  # of an answer, before its confidence is chosen
MOST_BEFORE, MOST_ANSWERS = 1000, 300  # of a picture, before and after doubled ones are left out
SAME_THING = 0.6  # overlap from which on the less sure of two answers of a class is left out

NO_BOX, COUNTS, ASIDE = 0.0, 1.0, 2.0
"""The last number of a target: padding; a box to learn; one around what is neither learned as that
class nor as background (crowds, difficult things)."""


@dataclass(frozen=True)
class FoundBoxes:
    """A picture's answers, the surest first; corners in pixels of what the network saw."""

    corners: np.ndarray  # float64 (n, 4)
    classes: np.ndarray  # int64 (n,)
    scores: np.ndarray  # float64 (n,), not calibrated
    cells: np.ndarray | None = None  # int64 (n,): the head's cell; None of a whole detector


@dataclass(frozen=True)
class Detect:
    """Boxes of classes in pictures of one `size` (height, width), as the network sees them."""

    classes: tuple[str, ...]
    size: tuple[int, int]
    levels: tuple[int, ...] = LEVELS
    name = "detect"

    @property
    def outputs(self) -> int:
        """Classes: the head answers for each at every cell, and four distributions."""
        return len(self.classes)

    def encode(self, labels: Sequence[Label]) -> Tensor:
        """Targets float32 (n, most boxes, 6): left, top, right, bottom, class, kind of target.

        The boxes are in pixels of what the network sees. Pictures with fewer boxes are filled with
        `NO_BOX`. Raises `DataError` for a label of another kind.
        """
        boxes = [_boxes(label) for label in labels]
        targets = torch.zeros(len(boxes), max(map(len, boxes), default=0), 6)
        for row, each in enumerate(boxes):
            if len(each):
                kinds = np.where(each.crowd | each.difficult, ASIDE, COUNTS)
                numbers = np.column_stack([each.corners, each.classes, kinds])
                targets[row, : len(each)] = torch.from_numpy(numbers).float()
        return targets

    def loss(
        self,
        outputs: Tensor | OwnLosses,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Quality focal loss of all scores, and of cells with a box 1 - GIoU and distributions.

        `outputs` (batch, cells, classes + 4 * BINS), `targets` as `encode` gives them. Sums are
        divided by the sum of the target scores. A detector of torchvision has losses of its own,
        and none (NaN) of its answers.
        """
        del label_smoothing, class_weights  # targets are overlaps; rare classes have focal loss
        if isinstance(outputs, OwnLosses):
            counting = [each[each[:, 5] == COUNTS] for each in targets]
            return outputs.of([e[:, :4] for e in counting], [e[:, 4].long() for e in counting])
        if _are_boxes(outputs):
            return outputs.new_tensor(torch.nan)
        logits, corners, distributions = self._parts(outputs)
        middles, strides = cell_grid(self.size, self.levels, str(outputs.device))
        found = self._assigned(logits, corners, targets)
        some = found.box >= 0
        row, cell = torch.nonzero(some, as_tuple=True)
        own = targets[row, found.box[row, cell]]
        wanted = torch.zeros_like(logits)
        wanted[row, cell, own[:, 4].long()] = found.target[row, cell]
        per_score = quality_focal_loss(logits, wanted)
        aside = self._beside_background(targets) & ~some
        scores = (per_score * ~aside[..., None]).sum()
        whole = found.target.sum().clamp(min=1.0)
        if not len(row):
            return scores / whole
        weight = found.target[row, cell]
        off = 1 - generalised_overlap(corners[row, cell], own[:, :4])
        step = strides[cell, None]
        to_sides = torch.cat([middles[cell] - own[:, :2], own[:, 2:4] - middles[cell]], 1) / step
        spread = distribution_focal_loss(distributions[row, cell], to_sides).mean(1)
        boxes = (weight * (BOX_WEIGHT * off + DISTRIBUTION_WEIGHT * spread)).sum()
        return (scores + boxes) / whole

    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float:
        """What the mean of these samples counts for in a mean over more of them: their boxes."""
        del class_weights
        return float((targets[..., 5] == COUNTS).sum()) + 1e-6  # a part may have none

    def answers(self, outputs: Tensor, temperature: float = 1.0) -> list[FoundBoxes]:
        """Each picture's boxes: the surest of what overlaps, class by class (`torchvision.ops`)."""
        del temperature  # confidences are calibrated after the boxes are chosen
        if _are_boxes(outputs):
            return [_as_found(picture) for picture in outputs]
        logits, corners, _ = self._parts(outputs.float())
        return [self._found(*picture) for picture in zip(logits.sigmoid(), corners, strict=True)]

    def _found(self, scores: Tensor, corners: Tensor) -> FoundBoxes:
        cell, place = torch.nonzero(scores >= LEAST_SCORE, as_tuple=True)
        sure = scores[cell, place]
        if len(sure) > MOST_BEFORE:
            sure, first = sure.topk(MOST_BEFORE)
            cell, place = cell[first], place[first]
        height, width = self.size
        limits = corners.new_tensor([width, height, width, height])
        cut = corners[cell].clamp(min=0).minimum(limits)
        kept = batched_nms(cut, sure, place, SAME_THING)[:MOST_ANSWERS]
        return FoundBoxes(
            cut[kept].double().cpu().numpy(),
            place[kept].cpu().numpy(),
            sure[kept].double().cpu().numpy(),
            cell[kept].cpu().numpy(),
        )

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (batch, cells, classes), corners (batch, cells, 4), distributions (..., 4, BINS).

        Corners are in pixels: the cell's middle and the mean distances to the four sides.
        """
        middles, strides = cell_grid(self.size, self.levels, str(outputs.device))
        logits = outputs[..., : self.outputs]
        distributions = outputs[..., self.outputs :].unflatten(-1, (4, BINS))
        away = mean_distances(distributions) * strides[:, None]
        corners = torch.cat([middles - away[..., :2], middles + away[..., 2:]], -1)
        return logits, corners, distributions

    def _assigned(self, logits: Tensor, corners: Tensor, targets: Tensor) -> Assignment:
        if not targets.shape[1]:
            nothing = torch.full(logits.shape[:2], -1, device=logits.device)
            return Assignment(nothing, torch.zeros_like(logits[..., 0]))
        return assign(
            logits.detach().sigmoid(),
            corners.detach(),
            targets[..., :4],
            targets[..., 4].long(),
            targets[..., 5] == COUNTS,
            *cell_grid(self.size, self.levels, str(logits.device)),
        )

    def _beside_background(self, targets: Tensor) -> Tensor:
        """Cells (batch, cells) within a box that is not learned: not background for certain."""
        middles, _ = cell_grid(self.size, self.levels, str(targets.device))
        inside = (middles >= targets[:, :, None, :2]) & (middles <= targets[:, :, None, 2:4])
        return (inside.all(3) & (targets[..., 5] == ASIDE)[:, :, None]).any(1)


def _are_boxes(outputs: Tensor) -> bool:
    """Whether these are a whole detector's answers; a dense head gives far more numbers a cell."""
    return outputs.shape[-1] == BOX_NUMBERS


def _as_found(picture: Tensor) -> FoundBoxes:
    rows = picture[picture[:, 5] >= 0].double().cpu().numpy()
    return FoundBoxes(rows[:, :4], rows[:, 4].astype(np.int64), rows[:, 5])


def _boxes(label: Label) -> Boxes:
    if isinstance(label, Boxes):
        return label
    raise DataError(f"label {label!r} is no boxes; detection learns from boxes around things")
