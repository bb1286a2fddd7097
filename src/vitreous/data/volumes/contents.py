"""What can be seen to be wrong in the values of a scan, whatever its header says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_SLICES = 8
MOST_SLICES = 400  # all pairs of more take too long
MOST_PAIRS = 5
LEAST_GAP = 0.5  # of the usual difference
SURE = 0.17  # what exchanging two slices must save of the differences beside them
LOOK_AT = 64  # pixels a side at most: swapped slices show in small pictures, too
AXES = ("depth", "height", "width")


@dataclass(frozen=True)
class Contents:
    """The values of one scan in short."""

    least: float
    greatest: float
    mean: float
    deviation: float
    findings: tuple[str, ...]


def look_at(values: NDArray[np.float32]) -> Contents:
    """Facts and findings of values (channels, depth, height, width), all finite."""
    findings = []
    for channel, one in enumerate(values):
        which = f"channel {channel}: " if len(values) > 1 else ""
        if float(one.min()) == float(one.max()):
            findings.append(f"{which}all voxels have the value {float(one.min()):g}: an empty scan")
            continue
        for axis, name in enumerate(AXES):
            pairs = swapped_slices(one, axis)
            findings += [
                f"{which}slices {first + 1} and {second + 1} along {name} look swapped: exchanged, "
                "they fit their neighbours; look at them"
                for first, second in pairs
            ]
    return Contents(
        float(values.min()),
        float(values.max()),
        float(values.mean(dtype=np.float64)),
        float(values.std(dtype=np.float64)),
        tuple(findings),
    )


def swapped_slices(values: NDArray[np.float32], axis: int) -> list[tuple[int, int]]:
    """Pairs of slices that fit their neighbours far better when they are exchanged.

    Slices change slowly along a body: neighbours differ less than slices two places apart. So the
    sum of the differences between neighbours is least in the right order, and an exchange that
    makes it much smaller puts two slices right.
    """
    slices = np.moveaxis(values, axis, 0)
    if not FEWEST_SLICES <= len(slices) <= MOST_SLICES:
        return []
    apart = _differences(slices)
    usual = float(np.median(np.diagonal(apart, 1)))
    if usual <= 0:
        return []
    found: list[tuple[int, int]] = []
    while len(found) < MOST_PAIRS:
        share, first, second = max(
            (_saved(apart, first, second, usual), first, second)
            for first in range(len(slices))
            for second in range(first + 1, len(slices))
        )
        if share < SURE:
            break
        found.append((first, second))
        order = np.arange(len(slices))  # put right, what is still wrong shows by itself
        order[[first, second]] = second, first
        apart = apart[np.ix_(order, order)]
    return sorted(found)


def _differences(slices: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean absolute difference of each slice to each other, (n, n), of values cut at 1 and 99 %."""
    steps = [max(1, side // LOOK_AT) for side in slices.shape[1:]]
    small = slices[:, :: steps[0], :: steps[1]].reshape(len(slices), -1)
    low, high = np.percentile(small, (1, 99))
    small = np.clip((small - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    return np.stack([np.abs(small - one).mean(axis=1, dtype=np.float64) for one in small])


def _saved(apart: NDArray[np.float64], first: int, second: int, usual: float) -> float:
    """The share of the differences beside two slices that their exchange would save.

    Slices that hardly differ from those beside them (empty ones at the ends) say nothing.
    """
    count = len(apart)
    gaps = {gap for place in (first, second) for gap in (place - 1, place) if 0 <= gap < count - 1}
    exchanged = {first: second, second: first}
    before = sum(apart[gap, gap + 1] for gap in gaps)
    after = sum(apart[exchanged.get(gap, gap), exchanged.get(gap + 1, gap + 1)] for gap in gaps)
    return float(1 - after / before) if before > LEAST_GAP * usual * len(gaps) else 0.0
