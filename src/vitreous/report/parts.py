"""What the report's sections are made of: tables, figures, picture cards, notes, facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from vitreous.report.markup import Attributes, Content, Html, join, tag


@dataclass(frozen=True)
class Column:
    """A table's column. Numbers stand to the right, with digits below one another."""

    title: Content
    numeric: bool = False
    wide: bool = False  # text that may break into lines


@dataclass(frozen=True)
class Cell:
    """A cell that sorts by `order` where its text would not."""

    content: Content
    order: float | None = None


Row = Sequence[Content | Cell]


def section(name: str, title: str, *content: Content) -> Html:
    """A section with its heading; `name` is its address in the page."""
    heading = tag("h2", {"id": f"{name}-title"}, title)
    return tag("section", {"id": name, "aria-labelledby": f"{name}-title"}, heading, *content)


def paragraph(*content: Content, style: str | None = None) -> Html:
    """A paragraph of text."""
    return tag("p", {"class": style}, *content)


def note(*content: Content, style: str = "") -> Html:
    """A remark that must not be overlooked."""
    return tag("div", {"class": f"remark {style}".strip(), "role": "note"}, *content)


def bullets(items: Iterable[Content]) -> Html | None:
    """A list; None where there is nothing to list."""
    entries = [tag("li", None, item) for item in items]
    return tag("ul", None, *entries) if entries else None


def figure(content: Content, caption: Content, style: str | None = None) -> Html:
    """A drawing with its caption below."""
    return tag("figure", {"class": style}, content, tag("figcaption", None, caption))


def facts(pairs: Iterable[tuple[str, Content]]) -> Html:
    """Names and values side by side; empty values are left out."""
    rows = [
        tag("div", None, tag("dt", None, name), tag("dd", None, value))
        for name, value in pairs
        if value not in (None, "")
    ]
    return tag("dl", {"class": "facts"}, *rows)


def table(
    caption: Content,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    style: str = "",
    sortable: bool = False,
    foot: Row | None = None,
) -> Html:
    """A table whose first column names the rows. Wide or long ones scroll inside their frame."""
    heads = [
        tag("th", {"scope": "col", "class": "n" if column.numeric else None}, column.title)
        for column in columns
    ]
    body = [_row(row, columns) for row in rows]
    parts: list[Content] = [
        tag("thead", None, tag("tr", None, *heads)),
        tag("tbody", None, *body),
        tag("tfoot", None, _row(foot, columns)) if foot else None,
    ]
    return captioned(caption, {"class": style or None, "data-sortable": sortable}, *parts)


def captioned(caption: Content, attributes: Attributes, *content: Content) -> Html:
    """A table in a frame that scrolls by itself, also with the keyboard, below its caption.

    The caption stands outside, so that it neither scrolls away nor is as narrow as the table.
    """
    name = f"table-{sha256(str(caption).encode('utf-8', 'replace')).hexdigest()[:10]}"
    made = tag("table", {**attributes, "aria-labelledby": name}, *content)
    frame = {"class": "scroll", "tabindex": "0", "role": "region", "aria-labelledby": name}
    title = tag("p", {"class": "caption", "id": name}, caption)
    return tag("div", None, title, tag("div", frame, made))


def disclosure(summary: Content, *content: Content) -> Html:
    """Content that is folded away on the screen, and open on paper."""
    return tag("details", None, tag("summary", None, summary), *content)


def picture(source: str | None, description: str, style: str = "pixels") -> Html:
    """A picture, or an empty frame that says that it is not at hand."""
    if source is None:
        return tag("div", {"class": f"{style} absent"}, tag("span", None, "picture not kept"))
    return tag("img", {"src": source, "alt": description, "class": style})


def cards(pictures: Iterable[Html]) -> Html:
    """Picture cards in rows, as many as fit."""
    return tag("ul", {"class": "cards"}, *(tag("li", None, one) for one in pictures))


def card(source: str | None, description: str, *lines: Content) -> Html:
    """A picture with a few lines below it."""
    texts = [tag("span", None, one) for one in lines if one is not None]
    return tag(
        "figure", {"class": "card"}, picture(source, description), tag("figcaption", None, *texts)
    )


def strong(content: Content) -> Html:
    """Text that matters."""
    return tag("strong", None, content)


def code(content: Content) -> Html:
    """Something that a program reads or writes."""
    return tag("code", None, content)


def path_words(path: str) -> Html:
    """A path that may break after each slash, so that it fits a narrow page."""
    pieces = path.split("/")
    broken = [join([piece, "/", tag("wbr")]) for piece in pieces[:-1]]
    return tag("span", {"class": "path"}, *broken, pieces[-1])


def _row(row: Row, columns: Sequence[Column]) -> Html:
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
    made = []
    for index, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        style = "n" if column.numeric else "wide" if column.wide else None
        attributes = {"class": style, "data-order": cell.order}
        if index == 0:
            made.append(tag("th", {"scope": "row", **attributes}, cell.content))
        else:
            made.append(tag("td", attributes, cell.content))
    return tag("tr", None, *made)
