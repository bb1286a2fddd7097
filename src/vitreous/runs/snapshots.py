"""Small pictures of the learning itself: first-layer kernels and a few maps, by epoch."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.data.transforms import to_network_input
from vitreous.errors import RequestError
from vitreous.insight.filters import first_filters
from vitreous.insight.maps import chosen_maps, strongest_channels
from vitreous.training.batches import steps_per_epoch
from vitreous.training.checkpoints import State, save_tensors
from vitreous.training.loop import Training, averaged_weights

PICTURES = 2  # of the validation part, always the same
CHANNELS = 8  # of each map: those that are strongest at the first snapshot
ABOUT = 30  # snapshots a run, however many epochs it has; the first ten epochs have one each


class Snapshots:
    """Writes `snapshots/epoch-NNNN.safetensors` in the run folder; a watcher of the loop.

    Tensors: `kernels` float32 (out, in, height, width) of the first convolution, and float16
    `map.<picture>.<layer>` (channels, height, width), all of the averaged weights that are
    validated; the header names the pictures and the channels.
    """

    def __init__(self, training: Training, folder: Path, names: list[str]) -> None:
        self.training, self.folder = training, folder / "snapshots"
        of_validation = len(training.data.val_rows) > 0
        rows = (training.data.val_rows if of_validation else training.data.train_rows)[:PICTURES]
        self.names = [names[row] for row in rows]
        inputs = to_network_input(
            torch.from_numpy(np.asarray(training.data.pixels[rows])), training.data.scaling
        )
        self.inputs = training.recipe.views.one(inputs)
        self.channels: dict[str, list[int]] = {}

    def step(self, state: State, loss: float, pictures: int) -> None:
        """Nothing happens between epochs."""

    def epoch(self, state: State, row: dict[str, float | None]) -> None:
        """A snapshot, when one is due."""
        del row
        if not self._is_due(state):
            return
        with averaged_weights(self.training):
            tensors = self._tensors()
        metadata = {"pictures": "\n".join(self.names), "channels": repr(self.channels)}
        save_tensors(self.folder / f"epoch-{state.epoch:04d}.safetensors", tensors, metadata)

    def _is_due(self, state: State) -> bool:
        data, recipe = self.training.data, self.training.recipe
        epochs = state.planned_steps / steps_per_epoch(len(data.train_rows), recipe.batch_size)
        every = max(1, round(epochs / ABOUT))
        return state.epoch <= 10 or state.epoch % every == 0 or state.step >= state.planned_steps

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {}
        with suppress(RequestError):  # a network without such a convolution still has maps
            tensors["kernels"] = torch.from_numpy(first_filters(self.training.network).weights)
        pictures = []
        with suppress(RequestError):  # nor need its maps be of a kind that can be shown
            pictures = chosen_maps(self.training.network, self.inputs.to(self.training.device))
        for number, layers in enumerate(pictures):
            for layer in layers:
                name = f"map.{number}.{layer.name}"
                chosen = self.channels.setdefault(name, strongest_channels(layer.maps, CHANNELS))
                tensors[name] = torch.from_numpy(layer.maps[chosen]).half()
        return tensors
