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
    """The best so far of one layer: (channels, most), kept sorted; the best are the largest."""

    def __init__(self, most: int, sign: float):
        self.most, self.sign = most, sign
        self.values = self.rows = self.cells = torch.empty(0)

    def add(self, rows: list[int], flat: Tensor, best: Tensor) -> None:
        """`flat` is (batch, channels, cells), `best` (batch, channels) each sample's own best.

        Where in the map the best lies is looked up for those alone that come among the kept: soon
        they are few.
        """
        if not self.values.numel():
            channels = best.shape[1]
            self.values = torch.full((channels, self.most), -torch.inf)
            self.rows = torch.full((channels, self.most), -1)
            self.cells = torch.zeros((channels, self.most), dtype=torch.int64)
        new = self.sign * best.float().cpu()
        better = new > self.values[:, -1]
        changed = torch.nonzero(better.any(0))[:, 0]
        if not len(changed):
            return
        sample, channel = torch.nonzero(better, as_tuple=True)
        maps = flat[sample.to(flat.device), channel.to(flat.device)]
        cells = torch.zeros(new.shape, dtype=torch.int64)
        cells[sample, channel] = (self.sign * maps).argmax(1).cpu()
        candidates = torch.where(better, new, -torch.inf)[:, changed].T
        where = torch.tensor(rows)[None].expand(len(changed), -1)
        all_values = torch.cat([self.values[changed], candidates], 1)
        order = all_values.argsort(dim=1, descending=True, stable=True)[:, : self.most]
        self.values[changed] = all_values.gather(1, order)
        self.rows[changed] = torch.cat([self.rows[changed], where], 1).gather(1, order)
        self.cells[changed] = torch.cat([self.cells[changed], cells[:, changed].T], 1).gather(
            1, order
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, rows and cells, (channels, at most `most`)."""
        found = int((self.values > -torch.inf).sum(1).max()) if self.values.numel() else 0
        kept = (self.sign * self.values, self.rows, self.cells)
        values, rows, cells = (each[:, :found].contiguous().numpy() for each in kept)
        return values, np.where(np.isfinite(values), rows, -1), cells


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

    def keeper(layer: MapLayer):
        highest, lowest = best[layer.name]

        def keep(rows: list[int], maps: Tensor) -> None:
            if tuple(maps.shape[2:]) != layer.cells:  # shared by several levels: this is another
                return
            flat = maps.flatten(2)
            highest.add(rows, flat, flat.amax(2))
            lowest.add(rows, flat, flat.amin(2))

        return keep

    collect(network, batches, {layer.name: keeper(layer) for layer in layers}, total, on_progress)
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
