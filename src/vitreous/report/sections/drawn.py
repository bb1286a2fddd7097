"""Test pictures beside their truth and the answer, where answers say what is where."""

from collections.abc import Sequence

from vitreous.data.sheet import class_colours
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import paragraph, path_words, picture, section
from vitreous.report.payload import DrawnShown, Payload
from vitreous.report.sections.looked_through import viewer

OF_MASKS = (
    "The figure below each is over the classes that are on the picture or were answered; pixels of "
    "no class are not coloured in the truth."
)
OF_SCANS = (
    "Each scan is seen axially, coronally and from the side through the place with most of its "
    "structures, the patient's left on the right; the figures below it are means over structures."
)
OF_BOXES = (
    "In the answer right boxes are green; wrong ones are orange, with what is wrong; true boxes "
    "that were missed are blue and dashed."
)
TITLES = {"worst": "Worst answers", "best": "Best answers"}


def drawn(payload: Payload) -> Html | None:
    """The worst and the best answers of the test part, each beside its truth."""
    shown = payload["drawn"]
    if not shown:
        return None
    of_scans = any(one["scan"] is not None for one in shown)
    detail = OF_BOXES if payload["run"]["task"] == "detect" else OF_MASKS
    what = "scan" if of_scans else "picture"
    explained = f"From left to right: the {what}, the truth, the network's answer. "
    explained += OF_SCANS if of_scans else detail
    viewers = _viewers(shown)
    return section(
        "pictures",
        "Pictures",
        paragraph(explained),
        _legend(payload["run"].get("classes") or []),
        *(_kind(kind, [pair for pair in viewers if pair[0]["kind"] == kind]) for kind in TITLES),
    )


def _viewers(shown: Sequence[DrawnShown]) -> list[tuple[DrawnShown, Html | None]]:
    """Each with the viewer of its scan; those are numbered in their order (`render`)."""
    found: list[tuple[DrawnShown, Html | None]] = []
    number = 0
    for one in shown:
        scan = one["scan"]
        found.append((one, None if scan is None else viewer(number, scan)))
        number += scan is not None
    return found


def _kind(kind: str, shown: Sequence[tuple[DrawnShown, Html | None]]) -> Html | None:
    if not shown:
        return None
    rows = [join([_row(one), made]) for one, made in shown]
    return join([tag("h3", None, TITLES[kind]), *rows])


def _row(one: DrawnShown) -> Html:
    name = one["sample_id"]
    pictures = [
        picture(one["picture"], f"Test picture {name}", "drawn-picture"),
        picture(one["truth"], f"The truth of {name}", "drawn-picture"),
        picture(one["answer"], f"The answer to {name}: {one['words']}", "drawn-picture"),
    ]
    caption = tag(
        "figcaption",
        None,
        tag("b", None, one["words"]),
        f" ({one['more_words']}) ",
        tag("small", None, path_words(name)),
    )
    return tag("figure", {"class": "drawn"}, tag("div", None, *pictures), caption)


def _legend(classes: Sequence[str]) -> Html:
    """Each class with its colour."""
    colours = class_colours(len(classes))
    entries = []
    for name, (red, green, blue) in zip(classes, colours, strict=True):
        style = f"background: rgb({red}, {green}, {blue})"
        swatch = tag("span", {"class": "swatch", "style": style, "aria-hidden": "true"})
        entries.append(tag("li", None, swatch, str(name)))
    return tag("ul", {"class": "class-colours"}, *entries)
