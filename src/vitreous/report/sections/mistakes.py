"""Where the network errs: confusions, the most wrong pictures, labels that may be wrong."""

from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any

from vitreous.report.charts import confusion_picture
from vitreous.report.markup import Html, join, tag
from vitreous.report.parts import (
    Cell,
    Column,
    captioned,
    card,
    cards,
    paragraph,
    path_words,
    section,
    strong,
    table,
)
from vitreous.report.payload import Confusion, Payload
from vitreous.report.sections.drawn import drawn
from vitreous.report.words import (
    count,
    counted_word,
    label_words,
    number,
    of_these,
    percent,
    sample_word,
)

MOST_WRONG = "Most wrong"
LABELLED_CLASSES = 30  # beyond it a matrix shows no names; the pairs beside it do
NUMBERED_CLASSES = 16  # beyond it the cells are smaller


def confusion(payload: Payload) -> Html | None:
    """The confusion matrix, readable from 2 to hundreds of classes."""
    found = payload["confusion"]
    if found is None:
        return None
    few = len(found["classes"]) <= LABELLED_CLASSES and found["matrix"] is not None
    word = counted_word(payload["run"])
    content = [_matrix(found, word)] if few else [_large(found, word)]
    return section("confusion", "Confusion", *content)


def most_wrong(payload: Payload) -> Html | None:
    """The answers given with most confidence that were wrong, likely label errors, right ones."""
    evaluation = payload["evaluation"]
    if evaluation is None:
        return None
    if payload["drawn"]:
        return drawn(payload)
    if payload["run"]["task"] in ("segment", "detect"):
        return None
    wrong, errors = evaluation["most_wrong"], evaluation["label_errors"]
    pictures = payload["pictures"]
    if sample_word(payload["run"]) == "trial":
        return section("pictures", MOST_WRONG, _wrong_trials(wrong))
    return section(
        "pictures",
        "Pictures",
        tag("h3", None, MOST_WRONG),
        *_wrong(wrong, pictures, payload["run"]),
        *_label_errors(errors, pictures, evaluation["label_errors_found"]),
        *_right(payload["right"], pictures),
    )


def _wrong_trials(rows: list[Mapping[str, Any]]) -> Html:
    """Trials that were answered wrongly, the surest answers first: there is no picture of them."""
    columns = [Column("trial"), Column("truth"), Column("answered"),
               Column("confidence", numeric=True)]  # fmt: skip
    made = [
        (
            path_words(row["sample_id"]),
            str(row["truth"]),
            str(row["predicted"]),
            percent(row["confidence"]) if row.get("confidence") is not None else "",
        )
        for row in rows
    ]
    return table("The test trials that were answered wrongly with most confidence", columns, made)


def level(n: int, total: int) -> int:
    """The shade 1 to 5 of a cell with `n` of its row's `total`: by the root, so that 1 % shows.

    >>> level(1, 100), level(50, 100), level(100, 100)
    (1, 4, 5)
    """
    return min(5, 1 + int(5 * sqrt(n / total)))


def _matrix(found: Confusion, word: str) -> Html:
    classes, matrix = found["classes"], found["matrix"] or []
    corner = tag("th", {"scope": "col", "class": "corner"}, "truth ↓ answer →")
    names = [
        tag("th", {"scope": "col", "title": name}, tag("span", None, name)) for name in classes
    ]
    rows = [_matrix_row(classes, own, row) for own, row in enumerate(matrix)]
    style = "confusion" if len(classes) <= NUMBERED_CLASSES else "confusion small"
    if max(map(len, classes)) > 4:
        style += " turned"
    caption = (
        f"Rows: the true class. Columns: the network's answer. Numbers are test {word}s. Blue is "
        "right, orange is wrong; the stronger the shade, the larger the share of the row."
    )
    head = tag("tr", None, corner, *names, tag("th", {"scope": "col"}, "all"))
    return captioned(caption, {"class": style}, tag("thead", None, head), tag("tbody", None, *rows))


def _matrix_row(classes: list[str], own: int, row: list[int]) -> Html:
    name, total = classes[own], sum(row)
    cells = []
    for other, n in enumerate(row):
        style = f"{'right' if other == own else 'wrong'}-{level(n, total)}" if n else "zero"
        says = f"{name}, answered {classes[other]}: {n} of {total}" if n else None
        cells.append(tag("td", {"class": style, "title": says}, count(n) if n else ""))
    head = tag("th", {"scope": "row", "title": name}, tag("span", None, name))
    return tag("tr", None, head, *cells, tag("td", {"class": "sum"}, count(total)))


def _large(found: Confusion, word: str) -> Html:
    classes = found["classes"]
    picture = None
    if found["matrix"] is not None:
        drawn = confusion_picture(found["matrix"], level)
        note = "Rows: the true class, columns: the answer, both in the order of the class list. "
        note += "Blue on the diagonal is right, orange is wrong; stronger is a larger share."
        picture = tag("figure", None, drawn, tag("figcaption", None, note))
    return join(
        [
            paragraph(f"With {len(classes)} classes, the pairs say more than the matrix."),
            tag("div", {"class": "beside"}, _pairs(found, word), picture),
        ]
    )


def _pairs(found: Confusion, word: str) -> Html:
    rows = [
        (
            pair["truth"],
            pair["predicted"],
            Cell(count(pair["n"]), pair["n"]),
            Cell(percent(pair["share"]), pair["share"]),
        )
        for pair in found["pairs"]
    ]
    columns = [
        Column("truth"),
        Column("answered"),
        Column(f"{word}s", numeric=True),
        Column("of the class", numeric=True),
    ]
    return table("The most frequent confusions", columns, rows, sortable=True)


def _wrong(
    rows: list[Mapping[str, Any]], pictures: Mapping[str, str], run: Mapping[str, Any]
) -> Iterable[Html]:
    if not rows:
        return [paragraph("No answer on the test part was wrong.")]
    if run["task"] == "regress":
        return [
            paragraph("The test pictures whose number was missed by most."),
            cards(_number_card(row, pictures, run.get("unit") or "") for row in rows),
        ]
    return [
        paragraph("Wrong answers on the test part, the most confident first."),
        cards(_class_card(row, pictures) for row in rows),
    ]


def _class_card(row: Mapping[str, Any], pictures: Mapping[str, str]) -> Html:
    truth, predicted = label_words(row["truth"]), label_words(row["predicted"])
    sure = percent(row.get("confidence"))
    right = truth == predicted
    said = f"{predicted}, {sure} sure" if row.get("confidence") is not None else predicted
    alt = f"Test picture {row['sample_id']}: truth {truth}, answered {said}"
    return card(
        pictures.get(row["sample_id"]),
        alt,
        join([tag("small", None, "answered "), strong(predicted), f" {sure}"]),
        None if right else join([tag("small", None, "truth "), strong(truth)]),
        tag("small", None, path_words(row["sample_id"])),
    )


def _number_card(row: Mapping[str, Any], pictures: Mapping[str, str], unit: str) -> Html:
    truth, predicted = float(row["truth"]), float(row["predicted"])
    off = number(abs(predicted - truth))
    alt = f"Test picture {row['sample_id']}: truth {number(truth)}, answered {number(predicted)}"
    return card(
        pictures.get(row["sample_id"]),
        alt,
        join([tag("small", None, "answered "), strong(number(predicted)), f" {unit}"]),
        join([tag("small", None, "truth "), strong(number(truth)), f" {unit}, off by {off}"]),
        tag("small", None, path_words(row["sample_id"])),
    )


def _label_errors(
    rows: list[Mapping[str, Any]], pictures: Mapping[str, str], found: int
) -> Iterable[Html]:
    if not rows:
        return []
    shown = f"; the first {len(rows)} are shown" if found > len(rows) else ""
    return [
        tag("h3", None, "Labels to look at"),
        paragraph(
            f"{of_these(found, 'picture')} whose given label the network finds implausible, by "
            f"confident learning{shown}. Some will be hard pictures with a right label: look "
            "before you change one."
        ),
        cards(_error_card(row, pictures) for row in rows),
    ]


def _error_card(row: Mapping[str, Any], pictures: Mapping[str, str]) -> Html:
    given, suggested = label_words(row["given"]), label_words(row["suggested"])
    alt = f"Picture {row['sample_id']}: labelled {given}, suggested {suggested}"
    return card(
        pictures.get(row["sample_id"]),
        alt,
        join([tag("small", None, "labelled "), strong(given)]),
        join([tag("small", None, "suggested "), strong(suggested)]),
        tag("small", None, path_words(row["sample_id"])),
    )


def _right(rows: Iterable[Mapping[str, Any]], pictures: Mapping[str, str]) -> Iterable[Html]:
    rows = [row for row in rows if row["sample_id"] in pictures]
    if not rows:
        return []
    return [
        tag("h3", None, "Right answers"),
        paragraph("A few for comparison, the classes in turn."),
        cards(_class_card(row, pictures) for row in rows),
    ]
