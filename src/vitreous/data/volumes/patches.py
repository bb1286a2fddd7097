"""Patches of scans for training: some anywhere, some about a structure, however small."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.volumes.augmentation import VolumeAugmentation, augmented
from vitreous.data.volumes.store import Prepared

FOREGROUND_SHARE = 1 / 3  # of the patches, as nnU-Net has it

Three = tuple[int, int, int]


def patch_start(
    scan: Prepared, patch: Three, foreground: bool, generator: np.random.Generator
) -> Three:
    """The first voxel of a patch; it may lie before the scan where the patch is larger.

    With `foreground` a class of the scan is drawn, and one of its voxels lies within the patch.
    """
    shape = scan.values.shape[1:]
    about = None
    if foreground and scan.places:
        classes = sorted(scan.places)
        places = scan.places[classes[int(generator.integers(len(classes)))]]
        about = places[int(generator.integers(len(places)))]
    starts = []
    for axis, (side, wanted) in enumerate(zip(shape, patch, strict=True)):
        spare = side - wanted
        if spare <= 0:
            starts.append(spare // 2)  # the scan in the middle of the patch
            continue
        start = int(generator.integers(spare + 1))
        if about is not None:  # near the drawn voxel, and within the scan
            start = int(about[axis]) - int(generator.integers(wanted // 4, wanted - wanted // 4))
        starts.append(min(max(start, 0), spare))
    return starts[0], starts[1], starts[2]


def cut_patch(
    scan: Prepared, start: Three, patch: Three
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """A patch (channels, *patch) and its mask. Outside the scan values are 0, of no class."""
    inside, placed = [], []
    for begin, wanted, side in zip(start, patch, scan.values.shape[1:], strict=True):
        first, last = max(begin, 0), min(begin + wanted, side)
        inside.append(slice(first, last))
        placed.append(slice(first - begin, last - begin))
    values = np.zeros((len(scan.values), *patch), np.float32)
    values[(slice(None), *placed)] = scan.values[(slice(None), *inside)]
    if scan.mask is None:
        return values, None
    mask = np.full(patch, IGNORE, np.uint8)
    mask[tuple(placed)] = scan.mask[tuple(inside)]
    return values, mask


def random_patch(
    scan: Prepared,
    patch: Three,
    recipe: VolumeAugmentation,
    seed: int,
    *,
    foreground: bool,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> tuple[Tensor, Tensor | None]:
    """A changed patch and its mask; the same for the same seed."""
    start = patch_start(scan, patch, foreground, np.random.default_rng(seed))
    values, mask = cut_patch(scan, start, patch)
    generator = torch.Generator().manual_seed(seed)
    labels = None if mask is None else torch.from_numpy(mask)
    return augmented(torch.from_numpy(values), labels, recipe, generator, spacing_mm)
