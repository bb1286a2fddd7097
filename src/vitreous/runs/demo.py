"""The demo's data and its one cell: real digits as PNG files, and one sum behind one number."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from vitreous.convolution.terms import Difference, Terms, convolution_terms
from vitreous.data.transforms import to_network_input
from vitreous.errors import RequestError
from vitreous.networks.modes import evaluating
from vitreous.runs.predict import letterboxed
from vitreous.runs.run import Run


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


def strongest_cell(run: Run, picture: Path) -> tuple[str, Terms, Difference]:
    """The most active cell of the network's first convolution for a picture: its layer and sum.

    The terms are computed in float64 from the picture and the kernel; the difference is to the
    number that the network itself computed.
    """
    layer, convolution = first_convolution(run.network)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = convolution.register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0].clone(), output.clone()))
    )
    with evaluating(run.network):
        run.network(network_input(run, picture))
    hook.remove()
    inputs, output = seen[0][0][0].double().numpy(), seen[0][1][0].numpy()
    cell = tuple(int(axis) for axis in np.unravel_index(output.argmax(), output.shape))
    bias = convolution.bias
    terms = convolution_terms(
        inputs,
        convolution.weight.detach().double().numpy(),
        None if bias is None else bias.detach().double().numpy(),
        cell=cell,
        stride=convolution.stride,
        padding=convolution.padding,  # type: ignore[arg-type]
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
    return layer, terms, terms.difference(float(output[cell]))


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Name and module of the network's first two-dimensional convolution."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise RequestError(f"{type(network).__name__}: has no two-dimensional convolution")


def network_input(run: Run, picture: Path) -> torch.Tensor:
    """A picture as the run's network takes it: float32 (1, channels, height, width)."""
    pixels = letterboxed(picture, run, run.record.request["max_pixels"])
    return to_network_input(torch.from_numpy(pixels[None].copy()), run.scaling)
