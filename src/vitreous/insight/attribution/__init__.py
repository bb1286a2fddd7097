"""Attribution: which part of an input speaks for an answer, and which against it.

    maps = attribute(network, inputs)                       # HiResCAM at the last maps
    maps = attribute(network, inputs, [Target(3, versus=5)], method="finer-cam")
    maps[0].values                                          # signed, in input coordinates

No map is true by its looks: `insight.faithfulness` says whether one is.
"""

from vitreous.insight.attribution.layers import (
    AtLayer,
    JoinedLayers,
    MapLayer,
    distinct,
    map_layer,
    map_layers,
)
from vitreous.insight.attribution.methods import METHODS, Method, attribute
from vitreous.insight.attribution.one_place import CellOf, OnePlace, PixelOf, read_layers
from vitreous.insight.attribution.signed_map import SignedMap
from vitreous.insight.attribution.target import Target, predicted_targets

__all__ = [
    "METHODS",
    "AtLayer",
    "CellOf",
    "JoinedLayers",
    "MapLayer",
    "Method",
    "OnePlace",
    "PixelOf",
    "SignedMap",
    "Target",
    "attribute",
    "distinct",
    "map_layer",
    "map_layers",
    "predicted_targets",
    "read_layers",
]
