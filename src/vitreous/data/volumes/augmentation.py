"""Random changes of patches of scans: turned, enlarged, mirrored together with their classes; and
noise, blur, brightness, contrast and gamma of the values alone.

What is changed, how often and how far is nnU-Net's (F. Isensee et al., 2021, supplement), without
its elastic deformations and simulated low resolutions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vitreous.data.masks.mask_label import IGNORE


@dataclass(frozen=True)
class VolumeAugmentation:
    """Chances are of one patch; ranges are uniform."""

    mirrored_axes: tuple[int, ...] = (0, 1, 2)  # each with a chance of one half
    turn_chance: float = 0.2
    turn_degrees: float = 30.0  # about each axis, in the plane of near voxels
    scale_chance: float = 0.2
    scale: tuple[float, float] = (0.7, 1.4)
    noise_chance: float = 0.1
    noise_variance: float = 0.1
    blur_chance: float = 0.2
    blur_sigma: tuple[float, float] = (0.5, 1.0)  # voxels
    brightness_chance: float = 0.15
    brightness: tuple[float, float] = (0.75, 1.25)
    contrast_chance: float = 0.15
    contrast: tuple[float, float] = (0.75, 1.25)
    gamma_chance: float = 0.3
    gamma: tuple[float, float] = (0.7, 1.5)


NO_AUGMENTATION = VolumeAugmentation(
    (), 0.0, scale_chance=0.0, noise_chance=0.0, blur_chance=0.0, brightness_chance=0.0,
    contrast_chance=0.0, gamma_chance=0.0,
)  # fmt: skip


def augmented(
    values: Tensor,
    mask: Tensor | None,
    recipe: VolumeAugmentation,
    generator: torch.Generator,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> tuple[Tensor, Tensor | None]:
    """One patch changed: values float32 (channels, depth, height, width), mask uint8 (d, h, w).

    Turns keep lengths in millimetres. What comes from outside the patch is the border's value, and
    of no class. The same generator state gives the same change.
    """
    matrix = random_matrix(recipe, generator, spacing_mm)
    if matrix is not None:
        values, mask = moved(values, mask, matrix)
    for axis in recipe.mirrored_axes:
        if _chance(generator) < 0.5:
            values = values.flip(axis + 1)
            mask = None if mask is None else mask.flip(axis)
    return _lit(values, recipe, generator), mask


def random_matrix(
    recipe: VolumeAugmentation, generator: torch.Generator, spacing_mm: tuple[float, float, float]
) -> Tensor | None:
    """A turn and scale about the patch's middle: voxels of the result to voxels of the patch.

    (3, 3), float64, from the middle; None for no change. An axis of thick slices (three times the
    finest spacing) is not turned into the others.
    """
    turns = _chance(generator) < recipe.turn_chance
    angles = [
        math.radians(recipe.turn_degrees * (2 * _chance(generator) - 1)) if turns else 0.0
        for _ in range(3)
    ]
    scaled = _chance(generator) < recipe.scale_chance
    zoom = _between(recipe.scale, generator)
    if not turns and not scaled:
        return None
    finest = min(spacing_mm)
    matrix = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        if max(spacing_mm[first], spacing_mm[second]) > 3 * finest:
            continue
        turn = torch.eye(3, dtype=torch.float64)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    mm = torch.tensor(spacing_mm, dtype=torch.float64)
    matrix = torch.diag(1 / mm) @ matrix @ torch.diag(mm)  # lengths are kept in millimetres
    return matrix / zoom if scaled else matrix


def moved(values: Tensor, mask: Tensor | None, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
    """A patch seen through a matrix about its middle, its size kept."""
    sides = torch.tensor(values.shape[1:], dtype=torch.float64)
    # affine_grid counts x, y, z from -1 to 1 over the whole patch
    unit = torch.diag(1 / sides) @ matrix @ torch.diag(sides)
    theta = torch.zeros(1, 3, 4, dtype=torch.float64)
    theta[0, :, :3] = unit.flip(0, 1)
    grid = F.affine_grid(theta, [1, 1, *values.shape[1:]], align_corners=False).float()
    turned = F.grid_sample(
        values[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    if mask is None:
        return turned, None
    # zeros outside: one is added, so that outside can be told from class 0
    shifted = (mask.float() + 1)[None, None]
    there = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    labels = there[0, 0] - 1
    return turned, torch.where(labels < 0, torch.full_like(labels, IGNORE), labels).to(torch.uint8)


def _lit(values: Tensor, recipe: VolumeAugmentation, generator: torch.Generator) -> Tensor:
    if _chance(generator) < recipe.noise_chance:
        deviation = math.sqrt(_chance(generator) * recipe.noise_variance)
        values = values + deviation * torch.randn(values.shape, generator=generator)
    if _chance(generator) < recipe.blur_chance:
        values = blurred(values, _between(recipe.blur_sigma, generator))
    if _chance(generator) < recipe.brightness_chance:
        values = values * _between(recipe.brightness, generator)
    if _chance(generator) < recipe.contrast_chance:
        middle = values.mean(dim=(1, 2, 3), keepdim=True)
        low, high = values.amin((1, 2, 3), True), values.amax((1, 2, 3), True)
        factor = _between(recipe.contrast, generator)
        values = ((values - middle) * factor + middle).clamp(low, high)
    if _chance(generator) < recipe.gamma_chance:
        values = with_gamma(values, _between(recipe.gamma, generator), _chance(generator) < 0.25)
    return values


def with_gamma(values: Tensor, gamma: float, inverted: bool = False) -> Tensor:
    """Each channel's range bent by an exponent; mean and deviation stay what they were."""
    values = -values if inverted else values
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    deviation = values.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-7)
    low = values.amin((1, 2, 3), True)
    width = (values.amax((1, 2, 3), True) - low).clamp_min(1e-7)
    bent = ((values - low) / width).pow(gamma) * width + low
    bent_deviation = bent.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-7)
    result = (bent - bent.mean(dim=(1, 2, 3), keepdim=True)) / bent_deviation * deviation + mean
    return -result if inverted else result


def blurred(values: Tensor, sigma: float) -> Tensor:
    """Each channel weighed with a Gaussian of `sigma` voxels, an axis after the other."""
    reach = max(1, math.ceil(3 * sigma))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    result = values[:, None]
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]
        shape[2 + axis] = len(kernel)
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
        padded = F.pad(result, padding, mode="replicate")
        result = F.conv3d(padded, kernel.reshape(shape))
    return result[:, 0]


def _chance(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(ends: tuple[float, float], generator: torch.Generator) -> float:
    return ends[0] + (ends[1] - ends[0]) * _chance(generator)
