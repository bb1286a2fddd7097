"""Small random changes of training pictures: a readable recipe, and one batched function.

A picture's changes depend on the seed, the epoch and the picture's row alone: not on the order of
batches, nor on how many processes share the work.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from vitreous.data.trivial_augment import trivial_augment

RANDOM_COLUMNS = (
    "flip_horizontal",
    "flip_vertical",
    "shift_x",
    "shift_y",
    "scale",
    "rotate",
    "brightness",
    "contrast",
    "erase",
    "erase_x",
    "erase_y",
)


@dataclass(frozen=True)
class Augmentation:
    """How much training pictures may change; zero and False are off.

    Shifts, turns and zooms fill what they uncover by mirroring the picture at its border.
    """

    flip_horizontal: bool = False  # half of the pictures, left to right
    flip_alternating: bool = False  # left to right in every second epoch, not at random
    flip_vertical: bool = False  # half of the pictures, top to bottom
    shift: float = 0.0  # at most this share of the side, each way; whole pixels where alone
    scale: float = 0.0  # zoomed by a factor between 1 / (1 + scale) and 1 + scale
    rotate_degrees: float = 0.0  # turned by at most this much, each way
    brightness: float = 0.0  # at most this share of the full range is added or taken away
    contrast: float = 0.0  # times a factor between 1 - contrast and 1 + contrast, about the mean
    trivial: bool = False  # one random change a picture (`trivial_augment`), before all others
    crop: tuple[int, int] | None = None  # with masks: height and width of what is cut out
    erase: float = 0.0  # half of the pictures lose a square of this share of the shorter side
    mosaic: float = 0.0  # pictures with boxes: this share of them is made of four
    why: str = ""  # one sentence for people


def default_augmentation(channels: int, height: int, width: int) -> Augmentation:
    """A light recipe by a simple rule, said in `why`.

    Mirroring is for colour pictures only: grey ones may be digits, letters, or scans in which left
    and right differ. Zoom and light are for pictures of 64 pixels and more, where they are cheap
    beside the network.
    """
    large = min(height, width) >= 64
    said = "mirrored" if channels == 3 else "not mirrored, because grey pictures may be letters"
    return Augmentation(
        flip_horizontal=channels == 3,
        shift=0.08,
        scale=0.15 if large else 0.0,
        brightness=0.1 if large else 0.0,
        contrast=0.15 if large else 0.0,
        why=f"{'colour' if channels == 3 else 'grey'} pictures of {height}x{width}: shifted, {said}"
        + (", zoomed, lit a little differently" if large else ""),
    )


def random_table(seed: int, epoch: int, n: int, k: int = len(RANDOM_COLUMNS)) -> torch.Tensor:
    """Float32 numbers in [0, 1), shape (n, k): row i belongs to sample i.

    Counter-based (Philox 4x32-10 family; Salmon et al. 2011, "Parallel random numbers: as easy as
    1, 2, 3"): row i is the same for every n, and unrelated between seeds and epochs.

    >>> bool((random_table(1, 2, 5)[3] == random_table(1, 2, 500)[3]).all())
    True
    """
    odd = (2 * epoch + 1) % 2**64  # the even ones are for the orders of pictures
    key = np.array([seed % 2**64, odd], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return torch.from_numpy(generator.random((n, k), dtype=np.float32))


def alternated(random: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
    """The table of an epoch, its left-right flips taken from the first epoch, turned in odd ones.

    So each picture is seen from both sides equally often (K. Jordan, arXiv 2404.00498, section
    3.6), and still depends on seed, epoch and row alone.
    """
    place = RANDOM_COLUMNS.index("flip_horizontal")
    first = random if epoch == 0 else random_table(seed, 0, len(random), random.shape[1])
    mirrored = (first[:, place] < 0.5) ^ (epoch % 2 == 1)
    random = random.clone()
    random[:, place] = torch.where(mirrored, 0.25, 0.75)
    return random


def augment(batch: torch.Tensor, recipe: Augmentation, random: torch.Tensor) -> torch.Tensor:
    """Change every picture of a batch its own way.

    `batch` is uint8 (b, c, h, w) and so is the result; `random` is float (b, k) in [0, 1), with
    the columns of `RANDOM_COLUMNS`. Without zoom and turn pixels are only moved, by whole pixels.
    """
    column = {name: random[:, i] for i, name in enumerate(RANDOM_COLUMNS)}
    if recipe.trivial:  # in place of turning and light, whose random numbers it takes
        batch = trivial_augment(batch, column["rotate"], column["brightness"], column["contrast"])
    if recipe.rotate_degrees:
        batch = _warp(batch, recipe, column)
    elif recipe.scale:
        batch = _zoom(batch, recipe, column)
    elif recipe.flip_horizontal or recipe.flip_vertical or recipe.shift:
        batch = _move(batch, recipe, column)
    if recipe.brightness or recipe.contrast:
        batch = _relight(batch, recipe, column)
    if recipe.erase:
        batch = _erase(batch, recipe, column)
    return batch.round_().clamp_(0, 255).to(torch.uint8) if batch.is_floating_point() else batch


def _move(
    batch: torch.Tensor, recipe: Augmentation, column: dict[str, torch.Tensor]
) -> torch.Tensor:
    b, c, h, w = batch.shape
    rows = _moved_index(h, recipe.flip_vertical, recipe.shift, column["flip_vertical"],
                        column["shift_y"])  # fmt: skip
    columns = _moved_index(w, recipe.flip_horizontal, recipe.shift, column["flip_horizontal"],
                           column["shift_x"])  # fmt: skip
    places = rows[:, :, None] * w + columns[:, None, :]  # (b, h, w)
    flat = places.reshape(b, 1, h * w).expand(b, c, h * w).to(batch.device)
    return batch.reshape(b, c, h * w).gather(2, flat).reshape(b, c, h, w)


def _moved_index(
    side: int, flip: bool, shift: float, flip_random: torch.Tensor, shift_random: torch.Tensor
) -> torch.Tensor:
    """Which source pixel each target pixel takes along one axis, int64 (b, side)."""
    most = min(int(shift * side), side - 1)
    offset = (shift_random * (2 * most + 1)).floor().long() - most
    index = torch.arange(side, device=offset.device)[None] + offset[:, None]
    index = index.abs()
    index = torch.where(index > side - 1, 2 * (side - 1) - index, index)
    if not flip:
        return index
    return torch.where(flip_random[:, None] < 0.5, side - 1 - index, index)


def _warp(
    batch: torch.Tensor, recipe: Augmentation, column: dict[str, torch.Tensor]
) -> torch.Tensor:
    _, _, h, w = batch.shape
    zoom = (1 + recipe.scale) ** _between(column["scale"], -1, 1)
    angle = math.radians(recipe.rotate_degrees) * _between(column["rotate"], -1, 1)
    mirror_x = _sign(recipe.flip_horizontal, column["flip_horizontal"])
    mirror_y = _sign(recipe.flip_vertical, column["flip_vertical"])
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    shift_x = 2 * recipe.shift * _between(column["shift_x"], -1, 1)  # normalised: side is 2
    shift_y = 2 * recipe.shift * _between(column["shift_y"], -1, 1)
    # where each target place looks in the source, in affine_grid's normalised coordinates
    rows = [
        torch.stack([mirror_x * cos, -mirror_x * sin * (h / w), shift_x], dim=1),
        torch.stack([mirror_y * sin * (w / h), mirror_y * cos, shift_y], dim=1),
    ]
    theta = torch.stack(rows, dim=1).to(batch.device, torch.float32)
    grid = F.affine_grid(theta, list(batch.shape), align_corners=False)
    return F.grid_sample(
        batch.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _zoom(
    batch: torch.Tensor, recipe: Augmentation, column: dict[str, torch.Tensor]
) -> torch.Tensor:
    """`_warp` without a turn: first the rows, then the columns, in 0.4 of its time."""
    _, _, h, w = batch.shape
    zoom = (1 + recipe.scale) ** _between(column["scale"], -1, 1)
    mirror_x = _sign(recipe.flip_horizontal, column["flip_horizontal"])
    mirror_y = _sign(recipe.flip_vertical, column["flip_vertical"])
    shift_x = recipe.shift * _between(column["shift_x"], -1, 1)
    shift_y = recipe.shift * _between(column["shift_y"], -1, 1)
    above, below, down = (each.to(batch.device) for each in _seen(h, mirror_y / zoom, shift_y))
    left, right, across = (each.to(batch.device) for each in _seen(w, mirror_x / zoom, shift_x))
    result = torch.empty(batch.shape, dtype=torch.float32, device=batch.device)
    for i, picture in enumerate(batch):
        rows = torch.lerp(
            picture.index_select(1, above[i]).float(),
            picture.index_select(1, below[i]).float(),
            down[i][None, :, None],
        )
        torch.lerp(
            rows.index_select(2, left[i]), rows.index_select(2, right[i]), across[i], out=result[i]
        )
    return result


def _seen(
    side: int, factor: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two source pixels that each target pixel lies between, and how far it is to the second.

    Each (b, side). Places are pixel centres about the middle; outside, the picture is mirrored at
    its border.
    """
    centred = torch.arange(side) + 0.5 - side / 2
    place = (factor[:, None] * centred + (side * shift)[:, None] + side / 2).abs() % (2 * side)
    place = torch.where(place > side, 2 * side - place, place)
    place = (place - 0.5).clamp(0, side - 1)
    first = place.floor()
    return first.long(), (first + 1).clamp(max=side - 1).long(), place - first


def _relight(
    batch: torch.Tensor, recipe: Augmentation, column: dict[str, torch.Tensor]
) -> torch.Tensor:
    shape = (-1, 1, 1, 1)
    factor = 1 + recipe.contrast * _between(column["contrast"], -1, 1).reshape(shape)
    added = 255 * recipe.brightness * _between(column["brightness"], -1, 1).reshape(shape)
    factor, added = factor.to(batch.device), added.to(batch.device)
    pixels = batch if batch.is_floating_point() else batch.float()
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    return pixels.mul_(factor).add_(mean * (1 - factor) + added)  # a tensor of our own by now


def _erase(
    batch: torch.Tensor, recipe: Augmentation, column: dict[str, torch.Tensor]
) -> torch.Tensor:
    _, _, h, w = batch.shape
    side = max(1, round(recipe.erase * min(h, w)))
    top = (column["erase_y"] * (h - side + 1)).floor()[:, None]
    left = (column["erase_x"] * (w - side + 1)).floor()[:, None]
    y, x = torch.arange(h, device=top.device)[None], torch.arange(w, device=top.device)[None]
    in_rows = (y >= top) & (y < top + side) & (column["erase"][:, None] < 0.5)
    in_columns = (x >= left) & (x < left + side)
    mask = (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(batch.device)
    mean = batch.float().mean(dim=(2, 3), keepdim=True)
    return torch.where(mask, mean.to(batch.dtype), batch)


def _between(uniform: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * uniform


def _sign(flip: bool, uniform: torch.Tensor) -> torch.Tensor:
    ones = torch.ones_like(uniform)
    return torch.where(uniform < 0.5, -ones, ones) if flip else ones
