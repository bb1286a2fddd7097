"""What a sample keeps of its mask; the pixels are read when they are needed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""The value of pixels that are neither learned from nor scored, in every mask that is read."""

MOST_CLASSES = 255  # 0 ... 254: masks are held in 8 bits


@dataclass(frozen=True, eq=False)
class MaskLabel:
    """Where a picture's mask lies, and how many pixels each class has in it."""

    path: str  # the file, POSIX, relative to the data root; for COCO the JSON file
    pixels: NDArray[np.int64]  # (classes,)
    ignored: int  # pixels that belong to no class

    @property
    def present(self) -> NDArray[np.int64]:
        """The classes that have a pixel, by their places."""
        return np.flatnonzero(self.pixels)
