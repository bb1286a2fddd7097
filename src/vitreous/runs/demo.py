"""The demo's data and its one cell: real digits as PNG files, and one sum behind one number."""

from pathlib import Path

import numpy as np
from PIL import Image

from vitreous.insight.cells import Cell
from vitreous.runs.run import Run
from vitreous.runs.trace import trace


def write_digits(folder: Path) -> int:
    """Write the 1,797 handwritten digits that scikit-learn ships as PNG files in class folders.

    8 x 8 pixels of 0 to 16 (Alpaydin and Kaynak 1998, UCI "Optical recognition of handwritten
    digits", CC BY 4.0), stretched to 0 to 255. Returns how many there are.
    """
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pictures = np.round(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return len(pictures)


def strongest_cell(run: Run, picture: Path) -> Cell:
    """The most active cell of the network's first convolution for a picture."""
    traced = trace(run, picture)
    layer = next(name for name in traced.layers if traced.graph[name].operation == "convolution")
    values = traced.array(layer)
    return traced.at(layer, [int(axis) for axis in np.unravel_index(values.argmax(), values.shape)])
