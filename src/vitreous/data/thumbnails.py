"""Small pictures to compare pictures by: their light, their detail, and a short signature.

Everything is in grey levels (0 to 255), so that thresholds can be read as such.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from vitreous.data.transforms import LUMA

SIDE = 32  # longest side of a thumbnail; smaller pictures are taken as they are
SIGNATURE_SIDE = 8  # a signature is at most this many cells a side: coarse, so copies agree


@dataclass(frozen=True)
class Thumbnails:
    """Pictures made small. Shapes: (n, height, width), `colour` (n, cells)."""

    light: torch.Tensor  # luma, slightly blurred: what a copy shares with its original
    detail: torch.Tensor  # (n,) root mean square of what the blur took: what copying changes most
    colour: torch.Tensor  # coarse blue and red differences to luma; no cells for grey pictures


def make_thumbnails(pixels: np.ndarray) -> Thumbnails:
    """Thumbnails of `pixels` uint8 (n, channels, height, width)."""
    planes = _shrunk(torch.from_numpy(np.ascontiguousarray(pixels)).float())
    luma = planes
    if planes.shape[1] == 3:
        luma = (planes * torch.tensor(LUMA).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    light = blur(luma)
    detail = (luma - light).square().mean(dim=(1, 2, 3)).sqrt()
    colour = planes[:, :0]
    if planes.shape[1] == 3:
        colour = torch.cat([planes[:, 2:] - luma, planes[:, :1] - luma], dim=1)
        colour = F.adaptive_avg_pool2d(colour, _cells(colour))
    return Thumbnails(light[:, 0], detail, colour.flatten(1))


def _shrunk(planes: torch.Tensor) -> torch.Tensor:
    height, width = planes.shape[2:]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return planes
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)


def blur(planes: torch.Tensor) -> torch.Tensor:
    """Binomial blur, weights 1-2-1 in both directions; (n, channels, height, width)."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, 1:-1].mul(2).add_(padded[:, :, :-2]).add_(padded[:, :, 2:])
    return rows[..., 1:-1].mul(2).add_(rows[..., :-2]).add_(rows[..., 2:]).div_(16)


def signatures(light: torch.Tensor) -> torch.Tensor:
    """Coarse light without its mean, (n, cells); its length is the deviation in grey levels."""
    cells = F.adaptive_avg_pool2d(light[:, None], _cells(light)).flatten(1)
    cells = cells - cells.mean(dim=1, keepdim=True)
    return cells / cells.shape[1] ** 0.5


def _cells(planes: torch.Tensor) -> tuple[int, int]:
    """Cells of at least two pixels a side: what resampling moves stays inside them."""
    height, width = planes.shape[-2:]
    longest = min(SIGNATURE_SIDE, max(height, width) // 2)
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
