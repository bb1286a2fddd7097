"""Made-up inputs that excite a channel: an extra, to be read beside the real patches only.

They need not look like anything the network was made for, and can be made to show what one likes
(Geirhos et al. 2024, arXiv 2306.04719); people guess a channel's meaning worse from them than from
real patches (Borowski et al. 2021, arXiv 2010.12606). So each comes with its label.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution.layers import MapLayer, replaced_output
from vitreous.networks.modes import evaluation_mode

STEPS = 128
RATE = 0.05
JITTER_SHARE = 1 / 16  # of each side: where the pattern lies shall not matter
LABEL = "synthetic: made to excite the channel, not found in any data"


@dataclass(frozen=True)
class Synthetic:
    """An input, as the network takes it, that was made to excite one channel."""

    layer: str
    channel: int
    inputs: np.ndarray  # float32 (channels, *space), within what the real inputs hold
    value: float  # the channel's mean at the end
    start: float  # and on the even input it began from
    label: str = LABEL


def synthetic_input(
    network: nn.Module,
    layer: MapLayer,
    channel: int,
    shape: tuple[int, ...],
    limits: tuple[float, float] = (-2.0, 2.0),
    steps: int = STEPS,
    seed: int = 0,
) -> Synthetic:
    """Climb to an input (channels, *space) on which a channel's mean is large.

    The input is the inverse Fourier transform of what is changed, low frequencies moving more, as
    in natural pictures (Olah et al. 2017), squashed into `limits` and shifted a little at each
    step. Raises `RequestError` for a channel that is not there.
    """
    if not 0 <= channel < layer.channels:
        raise RequestError(f"layer '{layer.name}': has channels 0 to {layer.channels - 1}")
    generator = torch.Generator().manual_seed(seed)
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    scale = _spectrum_scale(shape[1:]).to(device)
    start = 0.01 * torch.randn((shape[0], *scale.shape, 2), generator=generator)
    spectrum = start.to(device).requires_grad_()
    optimizer = torch.optim.Adam([spectrum], lr=RATE)
    kept: list[Tensor] = []

    def keep(maps: Tensor) -> Tensor:
        kept[:] = [maps]
        return maps

    values = []
    with evaluation_mode(network), torch.enable_grad(), replaced_output(network, layer.name, keep):
        made = _input_of(spectrum, scale, shape[1:], limits)
        for _ in range(steps + 1):
            made = _input_of(spectrum, scale, shape[1:], limits)
            network(_shifted(made, generator)[None])
            value = kept[0][0, channel].mean()
            values.append(float(value.detach()))
            (spectrum.grad,) = torch.autograd.grad(-value, spectrum)
            optimizer.step()
    final = made.detach().float().cpu().numpy()
    return Synthetic(layer.name, channel, final, values[-1], values[0])


def _spectrum_scale(space: tuple[int, ...]) -> Tensor:
    """One over the frequency, shaped like a real Fourier transform; the mean like the lowest."""
    frequencies = [np.fft.fftfreq(size) for size in space[:-1]] + [np.fft.rfftfreq(space[-1])]
    squares = np.zeros(tuple(map(len, frequencies)))
    for axis, each in enumerate(frequencies):
        wide = [1] * len(space)
        wide[axis] = len(each)
        squares = squares + np.square(each).reshape(wide)
    sizes = np.maximum(np.sqrt(squares), 1 / max(space))
    return torch.from_numpy(1 / sizes / np.sqrt(np.prod(space))).float()


def _input_of(
    spectrum: Tensor, scale: Tensor, space: tuple[int, ...], limits: tuple[float, float]
) -> Tensor:
    whole = torch.view_as_complex(spectrum) * scale
    axes = tuple(range(1, 1 + len(space)))
    plain = torch.fft.irfftn(whole, s=space, dim=axes, norm="forward")
    low, high = limits
    return low + (high - low) * torch.sigmoid(plain)


def _shifted(made: Tensor, generator: torch.Generator) -> Tensor:
    axes = tuple(range(1, made.ndim))
    most = [max(1, round(size * JITTER_SHARE)) for size in made.shape[1:]]
    steps = [int(torch.randint(-one, one + 1, (1,), generator=generator)) for one in most]
    return torch.roll(made, steps, axes)
