"""Which orientation and frequency a channel prefers: gratings of every kind, and what it says.

As electrodes do it in the visual cortex: a grating of each orientation and frequency in several
phases, the answer averaged over phases and places (De Valois et al. 1982). Orientation selectivity
is one less the circular variance of the answers (Ringach et al. 2002): 0 for a channel that
answers all orientations alike, 1 for one that answers a single one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution.layers import MapLayer
from vitreous.insight.features.collect import collect

ORIENTATIONS = 8
CYCLES_A_PIXEL = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 0.4)
PHASES = 4
BATCH = 16
TUNED = 0.2  # selectivity above which a channel is called tuned


@dataclass(frozen=True)
class LayerTuning:
    """Each channel's preferred grating, and how much it cares.

    `orientation_degrees` is that of the stripes: 0 level, 90 upright. Frequencies are in cycles a
    pixel. A channel that answers no grating (`answers` False) has selectivity 0.
    """

    layer: str
    orientation_degrees: np.ndarray  # float32 (channels,)
    selectivity: np.ndarray  # float32 (channels,), 0 to 1
    frequency: np.ndarray  # float32 (channels,)
    answers: np.ndarray  # bool (channels,)

    @property
    def tuned_share(self) -> float:
        """Share of the channels with a preferred orientation."""
        return float((self.answers & (self.selectivity > TUNED)).mean())

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layer": self.layer,
            "orientation_degrees": self.orientation_degrees.tolist(),
            "selectivity": self.selectivity.tolist(),
            "frequency_cycles_a_pixel": self.frequency.tolist(),
            "answers": self.answers.tolist(),
            "tuned_share": self.tuned_share,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "LayerTuning":
        """What `to_json` wrote."""
        return LayerTuning(
            value["layer"],
            np.array(value["orientation_degrees"], np.float32),
            np.array(value["selectivity"], np.float32),
            np.array(value["frequency_cycles_a_pixel"], np.float32),
            np.array(value["answers"], bool),
        )


def gratings(shape: Sequence[int], amplitude: float = 1.0) -> Tensor:
    """Float32 (orientations x frequencies x phases, channels, height, width), mean zero.

    `shape` is (channels, height, width) of an input; all channels get the same stripes.
    """
    channels, height, width = shape
    down, right = np.mgrid[:height, :width].astype(np.float64)
    waves = []
    for number in range(ORIENTATIONS):
        angle = np.pi * number / ORIENTATIONS  # of the stripes, from level, counter-clockwise
        across = down * np.cos(angle) + right * np.sin(angle)
        waves += [
            np.cos(2 * np.pi * (cycles * across + phase / PHASES))
            for cycles in CYCLES_A_PIXEL
            for phase in range(PHASES)
        ]
    stacked = torch.from_numpy(np.stack(waves)).float()[:, None]
    return amplitude * stacked.expand(-1, channels, -1, -1)


def tune_layers(
    network: nn.Module, layers: Sequence[MapLayer], shape: Sequence[int]
) -> dict[str, LayerTuning]:
    """Orientation and frequency tuning of all channels of the layers, in one pass of 160 gratings.

    `shape` is (channels, height, width). A channel's answer is how far its map is from what it
    makes of an even input, on average over the map: the border, where the padding is, counts too.
    Raises `RequestError` for inputs that are no pictures.
    """
    if len(shape) != 3:
        raise RequestError(
            "gratings are pictures: tuning needs inputs of channels x height x width"
        )
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    even: dict[str, Tensor] = {}
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def keep_even(name: str):
        return lambda rows, maps: even.__setitem__(name, maps[:1])  # noqa: ARG005

    def keep_answers(name: str):
        def keep(_rows: list[int], maps: Tensor) -> None:
            found[name].append((maps - even[name]).abs().flatten(2).mean(2).cpu())

        return keep

    blank = torch.zeros(1, *shape, device=device)
    collect(network, [([0], blank)], {name: keep_even(name) for name in found}, 1)
    waves = gratings(shape).to(device)
    batches = (
        (list(range(start, min(start + BATCH, len(waves)))), waves[start : start + BATCH])
        for start in range(0, len(waves), BATCH)
    )
    collect(network, batches, {name: keep_answers(name) for name in found}, len(waves))
    return {name: _tuning(name, torch.cat(parts).numpy()) for name, parts in found.items()}


def _tuning(layer: str, answers: np.ndarray) -> LayerTuning:
    """From answers (gratings, channels)."""
    kinds = answers.reshape(ORIENTATIONS, len(CYCLES_A_PIXEL), PHASES, -1).mean(2)
    best = kinds.max(0).argmax(0)  # frequency with the largest answer of any orientation
    by_orientation = np.take_along_axis(kinds, best[None, None], axis=1)[:, 0]
    total = by_orientation.sum(0)
    angles = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    resultant = (by_orientation * np.exp(2j * angles)[:, None]).sum(0)
    does = total > 1e-6 * max(1e-12, float(total.max(initial=0.0)))
    selectivity = np.where(does, np.abs(resultant) / np.where(does, total, 1.0), 0.0)
    return LayerTuning(
        layer,
        (np.degrees(np.angle(resultant)) / 2 % 180).astype(np.float32),
        selectivity.astype(np.float32),
        np.array(CYCLES_A_PIXEL, np.float32)[best],
        does,
    )
