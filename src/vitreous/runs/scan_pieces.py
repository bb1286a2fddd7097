"""Pieces of scans that a network with masks is shown or explained on, as it sees them at once."""

import math

import numpy as np
from numpy.typing import NDArray

from vitreous.data.samples import Sample, Source
from vitreous.data.volumes.fingerprint import volumes_of
from vitreous.data.volumes.patches import Three, cut_patch
from vitreous.data.volumes.sheet import point_of_interest
from vitreous.data.volumes.store import Prepared, prepared
from vitreous.data.volumes.whole import centred
from vitreous.runs.run import Run
from vitreous.runs.volumes import plan_of
from vitreous.training.volume_batches import total_stride

MOST_VOXELS = 2**18  # of a piece: a U-Net of 32 maps keeps some 300 MB of values for it


def piece_size(run: Run) -> Three:
    """Depth, height and width of what is looked at: the plan's patch, halved while it is too large.

    A network with one answer a scan sees the scan whole, whatever its size. Sides stay multiples of
    the network's strides.
    """
    plan = plan_of(run.record.data)
    if run.record.task != "segment":
        return plan.patch
    sides, steps = list(plan.patch), total_stride(plan)
    while math.prod(sides) > MOST_VOXELS:
        axis = max(range(3), key=lambda one: (sides[one] > steps[one], sides[one]))
        halved = max(steps[axis], sides[axis] // 2 // steps[axis] * steps[axis])
        if halved == sides[axis]:
            break
        sides[axis] = halved
    return sides[0], sides[1], sides[2]


def seen_piece(run: Run, source: Source, sample: Sample) -> NDArray[np.float32]:
    """What is looked at of a scan (channels, depth, height, width), as its plan prepares it.

    With masks the piece about most of what is marked. Raises `DataError` for a scan that cannot be
    read.
    """
    values, mask, _ = prepared(volumes_of(source), sample, plan_of(run.record.data))
    if run.record.task != "segment":
        return centred(values, piece_size(run))
    return piece_about(values, point_of_interest(mask, values.shape[1:]), piece_size(run))[0]


def piece_about(
    values: NDArray[np.float32], point: Three, size: Three
) -> tuple[NDArray[np.float32], Three]:
    """The piece about a voxel, within the scan as far as that is large enough, and its start.

    A scan that is smaller lies in the middle, as in training: the start is then below 0.
    """
    starts = [
        (side - wanted) // 2 if side <= wanted else min(max(at - wanted // 2, 0), side - wanted)
        for at, side, wanted in zip(point, values.shape[1:], size, strict=True)
    ]
    start = (starts[0], starts[1], starts[2])
    return cut_patch(Prepared(values, None, {}), start, size)[0], start
