"""Inside the network: its first kernels, and what its layers make of a few pictures."""

from collections.abc import Sequence

from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import paragraph, path_words, picture, section
from vitreous.report.payload import Payload
from vitreous.report.shown import FiltersShown, LayerShown, MapsShown
from vitreous.report.words import MINUS, number


def inside(payload: Payload) -> Html | None:
    """First-layer filters and feature maps, where the process that made the report had them."""
    filters, maps = payload["filters"], payload["feature_maps"]
    if filters is None and not maps:
        return None
    return section(
        "inside",
        "Inside the network",
        _filters(filters) if filters else None,
        *_feature_maps(maps),
    )


def _filters(filters: FiltersShown) -> Html:
    amount, channels, *sides = filters["shape"]
    shown = len(filters["pictures"])
    some = f" (the first {shown} of {amount})" if shown < amount else ""
    planes = "one channel" if channels == 1 else f"{channels} channels"
    explained = (
        f"The {amount} kernels of the first convolution ({filters['layer']}){some}: each is "
        f"{' × '.join(map(str, sides))} weights over {planes}, slides over the "
        f"{'picture' if filters['slices'] == 1 else 'scan'}, multiplies and adds. "
    )
    if filters["slices"] > 1:
        explained += "Its slices stand side by side, the one nearest to the feet first. "
    if filters["colour"]:
        explained += "Shown as colours around mid-grey, which is zero; all on one scale."
    else:
        explained += "Blue weighs against, orange for, the page's colour is zero; all on one scale."
        if channels > 1:
            explained += " Of each kernel the channel with the largest weights is shown."
    tiles = [
        picture(source, f"Kernel {i} of the first convolution", "pixels tile")
        for i, source in enumerate(filters["pictures"])
    ]
    style = "colour" if filters["colour"] else "signed"
    return join(
        [
            tag("h3", None, "First-layer filters"),
            paragraph(explained),
            tag(
                "figure",
                None,
                tag("div", {"class": "tiles filters"}, *tiles),
                tag("figcaption", None, _legend(style, filters["limit"])),
            ),
        ]
    )


def _feature_maps(maps: Sequence[MapsShown]) -> list[Html]:
    if not maps:
        return []
    explained = (
        "What layers make of a picture, from fine to coarse: each tile is one channel, those with "
        "the largest mean value first. A bright (or orange) cell says that the channel found what "
        "it looks for at that place."
    )
    return [
        tag("h3", None, "Feature maps"),
        paragraph(explained),
        *(_one_picture(one) for one in maps),
    ]


def _one_picture(one: MapsShown) -> Html:
    source = tag(
        "div",
        {"class": "map-input"},
        picture(one["picture"], f"Input picture {one['sample_id']}"),
        tag("small", None, path_words(one["sample_id"])),
    )
    layers = tag("div", {"class": "map-layers"}, *(_layer(layer) for layer in one["layers"]))
    return tag("figure", {"class": "maps"}, source, layers)


def _layer(layer: LayerShown) -> Html:
    channels, height, width = layer["shape"]
    title = tag("b", None, layer["name"])
    size = f" {channels} channels of {height} × {width}"
    if layer["stride"]:
        size += f", stride {layer['stride']}"
    tiles = [
        tag(
            "span",
            {"class": "channel"},
            picture(
                shown["picture"],
                f"{layer['name']}, channel {shown['channel']}",
                "pixels tile " + ("signed-map" if layer["signed"] else "map"),
            ),
            tag("small", None, str(shown["channel"])),
        )
        for shown in layer["channels"]
    ]
    style = "signed" if layer["signed"] else "sequential"
    return tag(
        "div",
        {"class": "map-layer"},
        tag("p", {"class": "map-title"}, title, size, _legend(style, layer["limit"])),
        tag("div", {"class": "tiles"}, *tiles),
    )


def _legend(style: str, limit: float) -> Html:
    low = "0" if style == "sequential" else f"{MINUS}{number(limit)}"
    middle = None if style == "sequential" else tag("span", None, "0")
    bar = tag("span", {"class": f"ramp {style}", "aria-hidden": "true"})
    ends = tag(
        "span",
        {"class": "ramp-ends"},
        tag("span", None, low),
        middle,
        tag("span", None, number(limit)),
    )
    return tag("span", {"class": "legend"}, bar, ends)
