"""The walk: from any cell of the network to its window, kernel and sum, and on to the input."""

from vitreous.report.front_end import has_front_end, read_bundle
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import note, paragraph, section
from vitreous.report.payload import Payload
from vitreous.report.words import of_these

TITLE = "Walk through the network"


def walk(payload: Payload) -> Html | None:
    """The place where the explorer's pages draw, or why there is no walk in this file."""
    if payload["walk"] is None:
        reason = payload["walk_missing"]
        return section("through", TITLE, _elsewhere(reason)) if reason else None
    if not has_front_end():
        return section("through", TITLE, _elsewhere("the explorer's pages are not built here"))
    samples = of_these(len(payload["walk"]["samples"]), "sample")
    root = tag(
        "template",
        {"shadowrootmode": "open"},
        tag("style", None, Html(read_bundle().style)),
        tag("div", {"class": "walk"}),
    )
    return section(
        "through",
        TITLE,
        paragraph(
            f"This file carries every number of the network for {samples}: choose a layer, "
            "a map, a cell. Window × kernel = sum is computed in this page, in float64, beside the "
            "value that the network gave in float32, and leads on down to the input. Every place "
            "has an address."
        ),
        tag("noscript", None, note("The walk draws in the browser and needs JavaScript.")),
        tag("div", {"id": "walk"}, root),
    )


def _elsewhere(reason: str) -> Html:
    return join(
        [
            paragraph(f"The walk is not in this file: {reason}."),
            paragraph(tag("code", None, "vitreous serve RUN"), " shows it in the browser."),
        ]
    )
