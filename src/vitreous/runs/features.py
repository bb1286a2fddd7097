"""What the layers of a run's network learned, measured on the run's own data, and kept.

found = index_features(run)           # features/ in the run folder
found.probes["features.conv2"].accuracy
found.patches["features.conv2"].patches(channel=3)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vitreous.errors import DataError, RequestError
from vitreous.files import read_json, write_json
from vitreous.insight.attribution import MapLayer, distinct, map_layers
from vitreous.insight.features import (
    LayerCut,
    LayerProbe,
    LayerTuning,
    PatchIndex,
    cut_layers,
    index_patches,
    load_patches,
    probe_layers,
    save_patches,
    tune_layers,
)
from vitreous.runs.run import Run
from vitreous.runs.talk import OnProgress, Talk
from vitreous.runs.training_data import RunData, some_of

FOLDER = "features"
FORMAT = 1
PROBED = 2000  # samples that a probe is fitted on, and as many it is judged on
CUT = 300  # samples on which the answers are compared
MOST_LAYERS = 12  # that are probed and cut, evenly spaced; patches are kept of all


@dataclass(frozen=True)
class RunFeatures:
    """What was found: best patches of all layers; tuning, probes and cuts of some of them."""

    patches: PatchIndex
    tuning: dict[str, LayerTuning]
    probes: dict[str, LayerProbe]
    cuts: dict[str, LayerCut]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, without the patches, which lie in files of their own."""
        return {
            "format": FORMAT,
            "tuning": [one.to_json() for one in self.tuning.values()],
            "probes": [one.to_json() for one in self.probes.values()],
            "cuts": [one.to_json() for one in self.cuts.values()],
        }


def index_features(
    run: Run,
    layers: Sequence[str] | None = None,
    *,
    most_samples: int | None = None,
    talk: Talk | None = None,
) -> RunFeatures:
    """Look at all layers that hold maps, and write `features/` in the run folder.

    One pass over the training and validation parts (or `most_samples` of them) for the patches of
    all layers; a pass over at most 2,000 samples of each part for the probes, which are fitted on
    training and judged on validation samples; the test part stays sealed. Memory is that of one
    batch and of the probes' inputs. Raises `DataError` where the data are gone, and `RequestError`
    for an unknown layer.
    """
    told = talk or Talk(quiet=True)
    data = RunData.open(run, told)
    network = run.network.cpu()
    chosen = _chosen(network, data, layers)
    with told.counting("looking for the best patches") as counted:
        patches = _look_for_patches(run, network, data, chosen, most_samples, counted)
    some = _evenly(chosen, MOST_LAYERS)
    shape = (run.pixel_format.channels, *run.pixel_format.size)
    features = RunFeatures(
        patches,
        {} if run.of_trials else tune_layers(network, some, shape),
        _probes(run, data, network, some, told),
        _cuts(run, data, network, some, told),
    )
    write_json(run.folder / FOLDER / "layers.json", features.to_json())
    return features


def index_best_patches(
    run: Run,
    *,
    network: torch.nn.Module | None = None,
    layers: Sequence[MapLayer] | None = None,
    most_samples: int | None = None,
    on_progress: OnProgress | None = None,
) -> PatchIndex:
    """The best patches of all layers alone, kept in `features/` as `index_features` keeps them.

    `network` is a copy of the run's, where that is used meanwhile, and `layers` those of it that
    hold maps, where they are known: finding them captures the network. Raises `DataError` where
    the data are gone.
    """
    data = RunData.open(run)
    used = run.network.cpu() if network is None else network
    known = _chosen(used, data, None) if layers is None else layers
    return _look_for_patches(run, used, data, known, most_samples, on_progress)


def _chosen(
    network: torch.nn.Module, data: RunData, layers: Sequence[str] | None
) -> list[MapLayer]:
    found = map_layers(network, data.inputs(data.rows("train", "val")[:1]))
    return distinct(found) if layers is None else _named(found, layers)


def _look_for_patches(
    run: Run,
    network: torch.nn.Module,
    data: RunData,
    layers: Sequence[MapLayer],
    most_samples: int | None,
    on_progress: OnProgress | None,
) -> PatchIndex:
    """One pass over the training and validation parts, or some of them; written when it is done."""
    rows = data.rows("train", "val")
    rows = rows if most_samples is None else some_of(rows, most_samples, run.record.seed)
    names = [sample.sample_id for sample in data.samples]
    patches = index_patches(
        network, data.batches(rows), layers, names, total=len(rows), on_progress=on_progress
    )
    save_patches(run.folder / FOLDER, patches)
    return patches


def kept_patches(run: Run) -> PatchIndex | None:
    """The best patches that `index_features` kept; None where it was not called yet."""
    folder = run.folder / FOLDER
    return load_patches(folder) if (folder / "best_patches.json").is_file() else None


def kept_features(run: Run) -> RunFeatures | None:
    """All that `index_features` kept; None where it was not called yet."""
    patches, layers = kept_patches(run), kept_layers(run)
    if patches is None or layers is None:
        return None
    return RunFeatures(
        patches,
        {one["layer"]: LayerTuning.from_json(one) for one in layers["tuning"]},
        {one["layer"]: LayerProbe(**one) for one in layers["probes"]},
        {one["layer"]: LayerCut.from_json(one) for one in layers["cuts"]},
    )


def kept_layers(run: Run) -> dict[str, Any] | None:
    """Tuning, probes and cuts as `index_features` kept them; None where it was not called yet."""
    path = run.folder / FOLDER / "layers.json"
    return read_json(path) if path.is_file() else None


def patch_pixels(
    run: Run, layer: str, channel: int, *, highest: bool = True, data: RunData | None = None
) -> list[tuple[str, float, np.ndarray]]:
    """Sample id, value and pixels uint8 (channels, height, width) of a channel's kept patches.

    Raises `DataError` where nothing is kept, or where the data are gone.
    """
    index = kept_patches(run)
    if index is None:
        raise DataError(f"{run.folder}: its patches are not indexed; call index_features(run)")
    pixels = (data or RunData.open(run)).cache.pixels
    begins = run.views.start_of_one(pixels.shape[-1])  # boxes count from there
    found = []
    for row, value, box in index[layer].patches(channel, highest):
        if box is not None:
            crop = (slice(None), *(slice(first, last + 1) for first, last in box))
            found.append((index.sample_ids[row], value, np.array(pixels[row][..., begins:][crop])))
    return found


def _named(found: list[MapLayer], names: Sequence[str]) -> list[MapLayer]:
    by_name = {layer.name: layer for layer in found}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise RequestError(
            f"layer '{unknown[0]}' holds no maps; those that do: {', '.join(by_name)}"
        )
    return [by_name[name] for name in names]


def _evenly(layers: list[MapLayer], most: int) -> list[MapLayer]:
    places = np.linspace(0, len(layers) - 1, min(most, len(layers))).round().astype(int)
    return [layers[place] for place in places]


def _probes(
    run: Run, data: RunData, network: torch.nn.Module, layers: list[MapLayer], talk: Talk
) -> dict[str, LayerProbe]:
    """Probes for classes; a number or several classes a sample have none."""
    if run.record.task != "classify":
        return {}
    number = {name: place for place, name in enumerate(run.record.classes)}
    labels = np.array([number.get(str(sample.label), -1) for sample in data.samples])
    train, held_out = (
        some_of(data.rows(part), PROBED, run.record.seed) for part in ("train", "val")
    )
    if not len(held_out):
        return {}
    with talk.counting("reading the labels from each layer") as counted:
        return probe_layers(
            network,
            data.batches(train),
            data.batches(held_out),
            labels,
            layers,
            groups=[sample.group for sample in data.samples],
            total=len(train) + len(held_out),
            seed=run.record.seed,
            on_progress=counted,
        )


def _cuts(
    run: Run, data: RunData, network: torch.nn.Module, layers: list[MapLayer], talk: Talk
) -> dict[str, LayerCut]:
    rows = data.rows("val")
    rows = some_of(rows if len(rows) else data.rows("train"), CUT, run.record.seed)
    with talk.counting("cutting channels away") as counted:
        return cut_layers(
            network, lambda: data.batches(rows), layers, total=len(rows), on_progress=counted
        )
