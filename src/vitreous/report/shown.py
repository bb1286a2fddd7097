"""Kernels and feature maps as they are shown: a few small pictures with their scale."""

from base64 import b64encode
from typing import TypedDict

import numpy as np

from vitreous.insight.colours import png_bytes, sequential_pixels, signed_pixels, symmetric_limit
from vitreous.insight.filters import (
    Filters,
    filter_pictures,
    signed_pictures,
    strongest_planes,
)
from vitreous.insight.maps import LayerMaps, strongest_channels
from vitreous.report.extras import PictureMaps, small_picture

DataUri = str  # "data:image/png;base64,..."

MOST_FILTERS = 96
CHANNELS_A_LAYER = 8
LARGEST_MAP = 64  # pixels a side; larger maps are averaged down


class FiltersShown(TypedDict):
    """The first convolution: one picture a kernel, all on the scale from -limit to +limit."""

    layer: str
    shape: list[int]  # filters, input channels, height, width; of kernels in space depth before
    limit: float
    slices: int  # of a kernel in space, side by side in its picture; 1 of others
    colour: bool  # three input channels as red, green, blue; else the strongest plane, signed
    pictures: list[DataUri]


class ChannelShown(TypedDict):
    """One feature map."""

    channel: int
    picture: DataUri


class LayerShown(TypedDict):
    """The strongest channels of a layer, all on one scale; signed: -limit..limit, else 0..limit."""

    name: str
    shape: list[int]  # channels, height, width
    stride: int | None
    signed: bool
    limit: float
    channels: list[ChannelShown]


class MapsShown(TypedDict):
    """A picture and the maps that a few layers make of it, finest first."""

    sample_id: str
    picture: DataUri
    layers: list[LayerShown]


def data_uri(content: bytes, media_type: str = "image/png") -> DataUri:
    """A file's content as an address that needs no request.

    >>> data_uri(b"abc", "text/plain")
    'data:text/plain;base64,YWJj'
    """
    return f"data:{media_type};base64,{b64encode(content).decode('ascii')}"


def filters_shown(filters: Filters | None) -> FiltersShown | None:
    """Pictures of at most 96 kernels; None stays None."""
    if filters is None:
        return None
    pictures = _pictures(filters)[:MOST_FILTERS]
    shape = list(filters.weights.shape)
    if filters.slices > 1:
        shape[2:] = [filters.slices, shape[2], (shape[3] + 1) // filters.slices - 1]
    return FiltersShown(
        layer=filters.layer,
        shape=shape,
        limit=filters.limit,
        slices=filters.slices,
        colour=filters.weights.shape[1] == 3 and filters.slices == 1,
        pictures=[data_uri(png_bytes(picture)) for picture in pictures],
    )


def _pictures(filters: Filters) -> np.ndarray:
    if filters.slices == 1:
        return filter_pictures(filters)
    strongest = strongest_planes(filters.weights)  # three channels of scans are no colours
    return signed_pictures(filters)[np.arange(len(strongest)), strongest]


def maps_shown(maps: PictureMaps) -> MapsShown:
    """The picture and the strongest channels of each layer."""
    return MapsShown(
        sample_id=maps.sample_id,
        picture=data_uri(*small_picture(maps.picture)),
        layers=[layer_shown(layer) for layer in maps.layers],
    )


def layer_shown(layer: LayerMaps) -> LayerShown:
    """At most 8 channels, chosen by their mean size, on one scale."""
    chosen = strongest_channels(layer.maps, CHANNELS_A_LAYER)
    maps = smaller(layer.maps[chosen])
    signed, limit = bool((maps < 0).any()), symmetric_limit(maps)
    pixels = signed_pixels(maps, limit) if signed else sequential_pixels(maps, limit)
    return LayerShown(
        name=layer.name,
        shape=list(layer.maps.shape),
        stride=layer.stride,
        signed=signed,
        limit=limit,
        channels=[
            ChannelShown(channel=channel, picture=data_uri(png_bytes(picture)))
            for channel, picture in zip(chosen, pixels, strict=True)
        ],
    )


def smaller(maps: np.ndarray, largest: int = LARGEST_MAP) -> np.ndarray:
    """Maps (channels, height, width) averaged over squares until no side is above `largest`.

    >>> smaller(np.arange(4.0).reshape(1, 1, 4), largest=2).tolist()
    [[[0.5, 2.5]]]
    """
    square = -(-max(maps.shape[1:]) // largest)
    if square <= 1:
        return maps
    rows, columns = (_means_along(square, length) for length in maps.shape[1:])
    return rows @ maps @ columns.T


def _means_along(square: int, length: int) -> np.ndarray:
    """The matrix (ceil(length / square), length) that averages each run of `square` cells."""
    cell = np.arange(length) // square
    matrix = (np.arange(cell[-1] + 1)[:, None] == cell).astype(np.float32)
    return matrix / matrix.sum(axis=1, keepdims=True)
