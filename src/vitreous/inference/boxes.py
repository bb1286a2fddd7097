"""A detector applied: its boxes on pictures of any size, in those pictures' own pixels."""

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor, nn

from vitreous.data.geometry import Placement, Size, fit, place_corners
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.inference.apply import outputs_of
from vitreous.inference.compute import PLAIN, Compute
from vitreous.tasks.detect import Detect, FoundBoxes

LEAST_SIDE = 0.5  # pixels of the picture: what is thinner is no box


def found_boxes(
    network: nn.Module,
    task: Detect,
    batches: Iterable[Tensor],
    scaling: Scaling | TrialScaling,
    compute: Compute = PLAIN,
) -> Iterator[FoundBoxes]:
    """The boxes of each picture of batches uint8 (batch, channels, *task.size), in its pixels."""
    for outputs in outputs_of(network, batches, scaling, compute):
        yield from task.answers(outputs)


def in_picture(found: FoundBoxes, picture: Size, seen: Size) -> FoundBoxes:
    """Boxes that were found in a letterboxed picture of size `seen`, where they lie in the picture
    itself, of size (height, width) `picture`; cut off at its border.
    """
    way = fit(picture, seen)
    corners = place_corners(Placement(seen, picture, way.inverse), found.corners)
    height, width = picture
    corners = np.clip(corners, 0.0, np.array([width, height, width, height], np.float64))
    kept = (corners[:, 2:] - corners[:, :2] >= LEAST_SIDE).all(axis=1)
    cells = None if found.cells is None else found.cells[kept]
    return FoundBoxes(corners[kept], found.classes[kept], found.scores[kept], cells)
