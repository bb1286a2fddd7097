"""Pictures whose label depends on one known patch, and a small network that learns them.

64 x 64 grey pictures of smooth clouds and bright bars (edges that mean nothing). In one patch of
24 x 24, anywhere, lies a fine pattern: level stripes (class 0) or upright ones (class 1). The
patch is 14 % of the area, and six cells of the last layer wide.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from vitreous.networks import Network

SIDE, PATCH, STRIDE = 64, 24, 4
CHANCE = PATCH**2 / SIDE**2


def pictures(count: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Inputs float32 (count, 1, 64, 64), labels int (count,), masks bool (count, 64, 64)."""
    generator = np.random.default_rng(seed)
    values = np.stack(
        [gaussian_filter(generator.normal(size=(SIDE, SIDE)), 4) for _ in range(count)]
    )
    values *= 0.5 / values.std()
    labels = generator.integers(2, size=count)
    masks = np.zeros((count, SIDE, SIDE), bool)
    stripes = np.tile([1.0, 1.0, -1.0, -1.0], PATCH // 4)[None].repeat(PATCH, 0)
    for picture, label, mask in zip(values, labels, masks, strict=True):
        for _ in range(3):  # bars of any place and brightness
            top, left = generator.integers(0, SIDE - 12, 2)
            height, width = generator.integers(6, 12, 2)
            picture[top : top + height, left : left + width] += generator.choice([-2.5, 2.5])
        top, left = generator.integers(0, SIDE - PATCH, 2)
        rolled = np.roll(stripes, generator.integers(4), axis=1)
        place = (slice(top, top + PATCH), slice(left, left + PATCH))
        picture[place] = 0.7 * (rolled.T if label == 0 else rolled)
        mask[place] = True
    noise = 0.1 * generator.normal(size=values.shape)
    return torch.from_numpy(values + noise)[:, None].float(), labels, masks


def small_network(seed: int = 1) -> Network:
    """Three convolutions, stride 4, the mean over space, one linear layer."""
    torch.manual_seed(seed)
    features = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2),
        nn.BatchNorm2d(12),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 24, 1),
        nn.ReLU(inplace=True),
    )
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 2))
    return Network.of(features, head, (1, SIDE, SIDE))


@lru_cache(maxsize=1)
def trained() -> Network:
    """The network after a few seconds of training, the same for all tests."""
    network = small_network()
    inputs, labels, _ = pictures(512, seed=1)
    truth = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(6):
        for rows in torch.randperm(len(inputs), generator=generator).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs[rows]), truth[rows]).backward()
            optimizer.step()
    return network.eval()
