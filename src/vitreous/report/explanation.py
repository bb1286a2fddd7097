"""The page of `vitreous explain`: each map with its checks, in one file that sends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitreous.insight.controls import CONTROLS
from vitreous.report.charts import Line, line_chart
from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.parts import Column, figure, note, paragraph, path_words, section, table
from vitreous.report.render import whole_page
from vitreous.report.shown import data_uri
from vitreous.report.words import number, of_these, percent

COLOURS = {
    "picture": "where the picture is plain grey",
    "trial": "where the paper is white",
    "scan": "where the planes are plain grey",
}
READING = (
    "Orange speaks for the answer, blue against it, and {nothing} the map says nothing. A map is "
    "only as good as the checks below it: the strongest parts are taken away (deletion) or shown "
    "alone (insertion), under two fills, and the same is done for maps that know nothing of the "
    "network."
)

STYLE = """
.explanation { display: grid; grid-template-columns: minmax(0, 1fr); gap: 10px; }
.explanation img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
"""


@dataclass(frozen=True)
class ExplanationShown:
    """One drawn map, and its item of explanations.json."""

    drawn: bytes  # a PNG
    item: Mapping[str, Any]
    captions: tuple[str, ...]


def explanation_page(
    run: str, shown: Sequence[ExplanationShown], count: int, errors: int, what: str = "picture"
) -> str:
    """The whole page for explanations of a run, the first of them shown; `what` they are of."""
    more = f", of which the first {len(shown)} are shown" if len(shown) < count - errors else ""
    wrong = f"; {of_these(errors, 'file')} could not be used" if errors else ""
    about = f"{of_these(count, what)}{more}{wrong} · {run}"
    return whole_page(
        "explanations",
        "Explanations",
        join([tag("h1", None, "Why these answers"), tag("p", {"class": "about"}, about)]),
        join(
            [
                paragraph(READING.format(nothing=COLOURS[what])),
                *(_one(n, each) for n, each in enumerate(shown)),
            ]
        ),
        beside=("explanations.json",),
        style=STYLE,
    )


def _one(place: int, shown: ExplanationShown) -> Html:
    item = shown.item
    made = item["map"]
    image = tag("img", {"src": data_uri(shown.drawn), "alt": "; ".join(shown.captions)})
    return section(
        f"picture-{place + 1}",
        f"{place + 1}. {item['explained']}" + (f", not {item['versus']}" if item["versus"] else ""),
        tag(
            "div",
            {"class": "explanation"},
            tag("p", None, path_words(item["sample_id"])),
            image,
            *(note(remark, style="warning") for remark in made["remarks"]),
            *_checks(place + 1, item["check"]),
        ),
    )


def _checks(number_of: int, check: Mapping[str, Any] | None) -> list[Content]:
    if check is None:
        return [paragraph("This map was not checked.")]
    style = "warning" if check["alarms"] else ""
    return [
        note(check["sentence"], style=style),
        *_curves(check),
        _scores(number_of, check),
        _further(number_of, check),
    ]


def _curves(check: Mapping[str, Any]) -> list[Html]:
    drawn = []
    for curve in check["map"]["curves"]:
        steps = [100 * k / (len(curve["deletion"]) - 1) for k in range(len(curve["deletion"]))]
        lines = [
            Line("taken away", curve["deletion"], "one"),
            Line("shown alone", curve["insertion"], "two"),
        ]
        chart = line_chart(lines, steps, axes=("per cent of the parts", "answer"))
        drawn.append(figure(chart, f"Filled with {FILLS.get(curve['fill'], curve['fill'])}"))
    return [tag("div", {"class": "charts"}, *drawn)]


FILLS = {"mean": "the mean of the training pictures", "blur": "the picture blurred"}


def _scores(number_of: int, check: Mapping[str, Any]) -> Html:
    with_mask = check["mask_share"] is not None
    columns = [
        Column("map"),
        Column("order is worth", numeric=True),
        Column("ranks go with single parts", numeric=True),
        *([Column("mass in the mask", numeric=True)] if with_mask else []),
    ]
    named = {"this map": check["map"]}
    named |= {CONTROLS.get(name, name): each for name, each in check["controls"].items()}
    rows = [
        [
            name,
            number(each["order"]),
            number(each["patches"]),
            *([percent(each["mass_inside"])] if with_mask else []),
        ]
        for name, each in named.items()
    ]
    caption = (
        f"Picture {number_of}: insertion less deletion area (0: the order says nothing), and rank "
        "correlation with what the answer loses without each part alone; means of both fills"
    )
    if with_mask:
        caption += f". The mask covers {percent(check['mask_share'])}"
    return table(caption, columns, rows)


def _further(number_of: int, check: Mapping[str, Any]) -> Html:
    rows = [
        ["the same map with shuffled weights", number(check["randomised"])],
        ["the same map for the answer that is furthest", number(check["other_target"])],
        *([f"the map of {name}", number(each)] for name, each in check["agreement"].items()),
    ]
    caption = (
        f"Picture {number_of}: rank correlation of this map with others: high is bad in the first "
        f"two rows, and good in the rest. {check['forward_passes']:,} forward passes, "
        f"{check['seconds']:.1f} s"
    )
    return table(caption, [Column("with"), Column("rank correlation", numeric=True)], rows)
