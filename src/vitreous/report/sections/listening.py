"""What a decoder of EEG listens to: rhythms, places, what each is worth, and an alarm."""

from collections.abc import Sequence

from vitreous.report.brain_charts import (
    head,
    response_chart,
    scalp_legend,
    spread_chart,
    strongest_words,
)
from vitreous.report.charts import interval_strip
from vitreous.report.listening_shown import HeadShown, ListeningShown, ScalpShown, TakenShown
from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.parts import (
    Cell,
    Column,
    figure,
    note,
    paragraph,
    section,
    strong,
    table,
)
from vitreous.report.payload import Payload
from vitreous.report.svg import padded
from vitreous.report.words import MINUS, of_these, percent

TITLE = "What it listens to"
SMALL = 0.005  # a share of all frequencies that is not worth a row


def listening(payload: Payload) -> Html | None:
    """The section of a run's report; None for pictures, and where nothing could be found."""
    return listening_section(payload["listening"])


def listening_section(found: ListeningShown | None) -> Html | None:
    """The section, of one network or of a study's."""
    if found is None or not (found["heads"] or found["kernels"] or found["taken_away"]):
        return None
    return section("listening", TITLE, _alarm(found), *_worth(found), *_kernels(found),
                   *_heads(found))  # fmt: skip


def _alarm(found: ListeningShown) -> Html | None:
    if found["alarm"]:
        words = found["alarm"][:1].upper() + found["alarm"][1:]
        return note(strong("Alarm: not the brain? "), f"{words}.", style="warning")
    if found["no_alarm"]:
        return paragraph(f"Eyes and muscles: {found['no_alarm']}.")
    return None


def _worth(found: ListeningShown) -> list[Html]:
    rows = found["taken_away"]
    if not rows:
        return []
    explained = (
        f"The same {of_these(found['tested'], 'test trial')} were answered again, without a band, "
        "or with a group of channels held at its mean. What is lost shows what the answers rest "
        "on; a network that never learned to do without a part may also be confused by its absence."
    )
    return [
        tag("h3", None, "What each band and each group of channels is worth"),
        paragraph(explained),
        _worth_table(rows),
    ]


def _worth_table(rows: Sequence[TakenShown]) -> Html:
    ends = [value for row in rows for value in (row["lost"], row["low"], row["high"])]
    known = [100 * value for value in ends if value is not None]
    span = padded(min(0.0, *known), max(0.0, *known))
    shown = [tag("span", None, _points(end / 100, 0)) for end in span]
    columns = [
        Column("without"),
        Column(tag("span", {"class": "ends"}, *shown)),
        Column("lost, in points", numeric=True),
        Column("95\N{NO-BREAK SPACE}% interval", numeric=True),
        Column("accuracy left", numeric=True),
        Column("that is", wide=True),
    ]
    made = [
        (
            row["name"],
            interval_strip(
                span,
                100 * row["lost"],
                None if row["low"] is None else 100 * row["low"],
                None if row["high"] is None else 100 * row["high"],
                row["low"] is not None and row["low"] > 0,
            ),
            Cell(_points(row["lost"]), row["lost"]),
            "" if row["low"] is None else f"{_points(row['low'])} to {_points(row['high'] or 0)}",
            percent(row["without"]),
            tag("small", None, row["what"]),
        )
        for row in rows
    ]
    caption = (
        f"Accuracy lost, of {percent(rows[0]['accuracy'])} with everything; blue: the interval "
        "leaves zero out"
    )
    return table(caption, columns, made, style="strips")


def _points(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}".replace("-", MINUS)


def _kernels(found: ListeningShown) -> list[Html]:
    if not found["kernels"]:
        return []
    columns = [
        Column("band"),
        Column("Hz", numeric=True),
        Column("of the kernels' response", numeric=True),
        Column("of a flat kernel's", numeric=True),
    ]
    rows = [
        (
            band["band"],
            f"{band['low_hz']:g} to {band['high_hz']:g}",
            percent(band["share"]),
            percent(band["flat"]),
        )
        for band in found["bands"]
    ]
    share, flat = (1 - sum(band[of] for band in found["bands"]) for of in ("share", "flat"))
    if flat > SMALL:
        rows.append(("other frequencies", "", percent(share), percent(flat)))
    shares = table("Where the squared gain lies, mean of the kernels", columns, rows)
    return [
        tag("h3", None, "Temporal kernels"),
        tag("div", {"class": "beside"}, _responses(found), shares),
    ]


def _responses(found: ListeningShown) -> Html:
    count, spread = found["kernels"], found["spread"]
    peaks = (
        spread["peaks"] if spread else [(one["name"], one["peak_hz"]) for one in found["curves"]]
    )
    told = ", ".join(f"{hz:.1f}" for _, hz in peaks[:8])
    more = " and others" if len(peaks) > 8 else ""
    described = f"Frequency responses of {count} temporal kernels; peaks at {told} Hz{more}."
    caption = (
        f"Frequency responses of the {count} temporal kernels of {found['whose']}: what each lets "
        "through, its largest gain being 1. "
    )
    if spread is None:
        chart = response_chart(found["curves"], found["frequencies_hz"], found["bands"], described)
        return figure(chart, caption + "Rest on a line for its peak.")
    chart = spread_chart(spread, found["frequencies_hz"], found["bands"], described)
    return figure(
        chart,
        caption + "Line: their median; shaded: the middle half of them; marks above: where each "
        "has its peak.",
    )


def _heads(found: ListeningShown) -> list[Html]:
    heads = found["heads"]
    if not heads:
        return []
    explained = (
        "The maps whose power differs most between the classes, in training trials. A filter says "
        "how the network weighs electrodes, also to cancel what disturbs; it is not where the "
        "signal comes from. That is the pattern (Haufe et al. 2014): where what the filter picks "
        "up shows on the head. Signs are free: only their change from place to place has a meaning."
    )
    return [
        tag("h3", None, "Spatial filters and their patterns"),
        paragraph(explained, scalp_legend()),
        *(_head(one, found) for one in heads),
    ]


def _head(one: HeadShown, found: ListeningShown) -> Html:
    peak = f"{one['curve']['peak_hz']:.1f} Hz"
    described = f"Frequency response of {one['title']}, peak at {peak}."
    chart = response_chart([one["curve"]], found["frequencies_hz"], found["bands"], described,
                           size=(300, 200))  # fmt: skip
    parts = f"{percent(one['separation'], 0)} of its power's variance lies between the classes"
    if one["share"] < 0.999:
        parts += f"; this product is {percent(one['share'], 0)} of its kernel"
    title = tag("figcaption", None, strong(one["title"]), f": peak {peak}; {parts}")
    return tag(
        "figure",
        {"class": "listens"},
        title,
        tag("div", {"class": "listens-response"}, chart),
        _scalp(one["filter"], "filter", "Filter", one["title"]),
        _scalp(one["pattern"], "pattern", "Pattern", one["title"]) if one["pattern"] else None,
    )


def _scalp(shown: ScalpShown, kind: str, title: str, of: str) -> Html:
    drawn: Content = None
    if shown["picture"] is not None:
        drawn = head(shown, f"{title} of {of}")
    words = join([f"{kind}: ", tag("small", None, strongest_words(shown))])
    return tag("div", {"class": "listens-head"}, drawn, tag("p", None, words))
