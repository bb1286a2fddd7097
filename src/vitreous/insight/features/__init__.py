"""What the layers of a network learned, measured on the user's own data.

`best_patches`: the parts of real pictures that excite a channel most and least. `tuning`: which
orientation and frequency a channel prefers. `probes`: how well a layer's maps tell the labels, and
how far they can be cut before the answers fall.
"""

from vitreous.insight.features.best_patches import (
    LayerPatches,
    PatchIndex,
    index_patches,
    load_patches,
    save_patches,
)
from vitreous.insight.features.probes import LayerCut, LayerProbe, cut_layers, probe_layers
from vitreous.insight.features.tuning import LayerTuning, tune_layers

__all__ = [
    "LayerCut",
    "LayerPatches",
    "LayerProbe",
    "LayerTuning",
    "PatchIndex",
    "cut_layers",
    "index_patches",
    "load_patches",
    "probe_layers",
    "save_patches",
    "tune_layers",
]
