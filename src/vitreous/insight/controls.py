"""Maps that know nothing of the network: what a map has to beat before it is worth a look.

Popular methods often fail to (Clark et al. 2024, "XAI-TRIS", arXiv 2306.12816).
"""

import numpy as np
from scipy.ndimage import generic_gradient_magnitude, sobel

RANDOM_MAPS = 3  # whose scores are averaged

CONTROLS = {"random": "chance", "sobel": "an edge detector", "centre": "a blob in the middle"}


def control_maps(sample: np.ndarray, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Float64 maps (*space) for an input (channels, *space), by the names of `CONTROLS`.

    Random: each place by itself. Sobel: the size of the gradient, summed over channels. Centre: a
    Gaussian around the middle, a quarter of each side wide.
    """
    space = sample.shape[1:]
    generator = np.random.default_rng(seed)
    return {
        "random": [generator.standard_normal(space) for _ in range(RANDOM_MAPS)],
        "sobel": [edges(sample)],
        "centre": [centre_gaussian(space)],
    }


def edges(sample: np.ndarray) -> np.ndarray:
    """The size of Sobel's gradient of an input (channels, *space), summed over channels."""
    sizes = [
        generic_gradient_magnitude(channel.astype(np.float64), sobel, mode="nearest")
        for channel in sample
    ]
    return np.sum(sizes, axis=0)


def centre_gaussian(space: tuple[int, ...]) -> np.ndarray:
    """A Gaussian around the middle of (*space), with a standard deviation of a quarter side."""
    total = np.zeros(space)
    for axis, size in enumerate(space):
        distance = (np.arange(size) - (size - 1) / 2) / (size / 4)
        shape = [1] * len(space)
        shape[axis] = size
        total = total + np.square(distance).reshape(shape)
    return np.exp(-total / 2)
