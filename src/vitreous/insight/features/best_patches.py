"""The patches of the user's own data that excite each channel most, and least.

Natural patches tell people more about a channel than made-up pictures do (Borowski et al. 2021,
arXiv 2010.12606). A picture counts once a channel, with its strongest (or weakest) cell, so that
the patches come from different pictures; a patch is what that cell sees.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vitreous.errors import DataError, RequestError, unknown_name
from vitreous.files import read_json, write_bytes, write_json
from vitreous.insight.attribution.layers import MapLayer
from vitreous.insight.features.collect import Batch, OnProgress, collect
from vitreous.insight.receptive_fields import Box

FORMAT = 1
MOST = 9  # patches a channel of each kind


@dataclass(frozen=True)
class LayerPatches:
    """The strongest and weakest cells of each channel of a layer, one a sample.

    Arrays are (channels, patches), strongest (weakest) first: float32 values; int64 rows of the
    data set; int64 cells, flat places in the map. `ends` has, an input axis, the first and last
    input position that each cell along it sees.
    """

    layer: str
    cells: tuple[int, ...]
    ends: tuple[np.ndarray, ...]  # int64 (cells along the axis, 2)
    highest: tuple[np.ndarray, np.ndarray, np.ndarray]
    lowest: tuple[np.ndarray, np.ndarray, np.ndarray]

    def box(self, cell: int) -> Box:
        """What a cell, by its flat place, sees of the input."""
        place = np.unravel_index(cell, self.cells)
        pairs = [ends[int(at)] for ends, at in zip(self.ends, place, strict=True)]
        if any(first > last for first, last in pairs):
            return None
        return tuple((int(first), int(last)) for first, last in pairs)

    def patches(self, channel: int, highest: bool = True) -> list[tuple[int, float, Box]]:
        """Row of the data set, value and field of each patch of a channel.

        Raises `RequestError` for a channel that is not there.
        """
        values, rows, cells = self.highest if highest else self.lowest
        if not 0 <= channel < len(values):
            raise RequestError(f"layer '{self.layer}': has channels 0 to {len(values) - 1}")
        found = zip(rows[channel], values[channel], cells[channel], strict=True)
        return [(int(row), float(value), self.box(int(cell))) for row, value, cell in found
                if row >= 0]  # fmt: skip


@dataclass(frozen=True)
class PatchIndex:
    """All layers of a network over one data set; `sample_ids` names the rows that occur."""

    layers: dict[str, LayerPatches]
    sample_ids: dict[int, str]
    samples: int  # how many were looked at

    def __getitem__(self, layer: str) -> LayerPatches:
        """The patches of a layer. Raises `RequestError` naming the nearest ones."""
        if layer not in self.layers:
            raise unknown_name("layer", layer, self.layers)
        return self.layers[layer]


class _Running:
    """The best so far of one layer: (channels, most), kept sorted."""

    def __init__(self, most: int, sign: float):
        self.most, self.sign = most, sign
        self.values = self.rows = self.cells = torch.empty(0)

    def add(self, rows: list[int], values: Tensor, cells: Tensor) -> None:
        """Values and cells are (batch, channels), each sample's own best."""
        if not self.values.numel():
            channels = values.shape[1]
            self.values = torch.full((channels, 0), 0.0)
            self.rows = self.cells = torch.full((channels, 0), 0, dtype=torch.int64)
        new = values.float().T.cpu()
        where = torch.tensor(rows)[None].expand(len(new), -1)
        all_values = torch.cat([self.values, new], 1)
        all_rows = torch.cat([self.rows, where], 1)
        all_cells = torch.cat([self.cells, cells.T.cpu()], 1)
        order = (self.sign * all_values).argsort(dim=1, descending=True, stable=True)
        kept = order[:, : self.most]
        self.values, self.rows, self.cells = (
            each.gather(1, kept) for each in (all_values, all_rows, all_cells)
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, rows and cells, (channels, at most `most`)."""
        return self.values.numpy(), self.rows.numpy(), self.cells.numpy()


def index_patches(
    network: nn.Module,
    batches: Iterable[Batch],
    layers: Sequence[MapLayer],
    sample_ids: Sequence[str],
    *,
    total: int,
    most: int = MOST,
    on_progress: OnProgress | None = None,
) -> PatchIndex:
    """The best patches of all layers, in one pass; `sample_ids` are those of all rows.

    Memory is that of one batch, and `most` cells a channel.
    """
    best = {layer.name: (_Running(most, 1.0), _Running(most, -1.0)) for layer in layers}

    def keeper(name: str):
        highest, lowest = best[name]

        def keep(rows: list[int], maps: Tensor) -> None:
            flat = maps.flatten(2)
            highest.add(rows, *flat.max(2))
            lowest.add(rows, *flat.min(2))

        return keep

    collect(network, batches, {name: keeper(name) for name in best}, total, on_progress)
    found = {
        layer.name: LayerPatches(
            layer.name,
            layer.cells,
            tuple(np.stack([axis.first, axis.last], 1) for axis in layer.field.axes),
            best[layer.name][0].arrays(),
            best[layer.name][1].arrays(),
        )
        for layer in layers
    }
    used = {int(row) for each in found.values() for part in (each.highest, each.lowest)
            for row in np.unique(part[1])}  # fmt: skip
    return PatchIndex(found, {row: sample_ids[row] for row in sorted(used)}, total)


def save_patches(folder: Path, index: PatchIndex) -> None:
    """Write `best_patches.safetensors` and `best_patches.json` into a folder, each atomically."""
    tensors = {}
    for name, each in index.layers.items():
        for kind, arrays in (("highest", each.highest), ("lowest", each.lowest)):
            for what, array in zip(("values", "rows", "cells"), arrays, strict=True):
                tensors[f"{name}/{kind}/{what}"] = torch.from_numpy(np.ascontiguousarray(array))
    write_bytes(folder / "best_patches.safetensors", save(tensors))
    about = {
        "format": FORMAT,
        "samples": index.samples,
        "sample_ids": {str(row): name for row, name in index.sample_ids.items()},
        "layers": {
            name: {"cells": list(each.cells), "ends": [ends.tolist() for ends in each.ends]}
            for name, each in index.layers.items()
        },
    }
    write_json(folder / "best_patches.json", about)


def load_patches(folder: Path) -> PatchIndex:
    """What `save_patches` wrote. Raises `DataError` with the path where it is absent or broken."""
    about = read_json(folder / "best_patches.json")
    path = folder / "best_patches.safetensors"
    try:
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']} is not {FORMAT}")
        tensors = load_file(path)
        layers = {name: _layer_of(name, one, tensors) for name, one in about["layers"].items()}
        names = {int(row): str(name) for row, name in about["sample_ids"].items()}
        return PatchIndex(layers, names, int(about["samples"]))
    except (
        OSError,
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        json.JSONDecodeError,
    ) as error:
        raise DataError(f"{path}: not a readable index of patches ({error})") from None


def _layer_of(name: str, about: dict, tensors: dict[str, Tensor]) -> LayerPatches:
    highest, lowest = (
        tuple(tensors[f"{name}/{kind}/{what}"].numpy() for what in ("values", "rows", "cells"))
        for kind in ("highest", "lowest")
    )
    return LayerPatches(
        name,
        tuple(about["cells"]),
        tuple(np.array(ends, np.int64).reshape(-1, 2) for ends in about["ends"]),
        highest,  # type: ignore
        lowest,  # type: ignore
    )
