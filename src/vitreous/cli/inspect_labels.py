"""The part of `vitreous inspect` that is about boxes and masks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vitreous.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

    from vitreous.data.label_facts import LabelFacts

CLASSES_SHOWN = 30


def refuse_for_recordings(data: Path, flags: Mapping[str, object]) -> None:
    """Raises `RequestError` for flags that only pictures know."""
    given = [f"--{name}" for name, value in flags.items() if value is not None]
    if given:
        raise RequestError(f"{data}: holds recordings; {', '.join(given)}: only for pictures")


def labels_table(labels: "LabelFacts") -> "Table":
    """A row a class: boxes in each part, or its share of the labelled pixels."""
    from rich.table import Table

    title = "Boxes" if labels.unit == "boxes" else "Shares of the labelled pixels"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("class", overflow="fold")
    for part in labels.amounts:
        table.add_column("boxes" if part == "all" and labels.unit == "boxes" else part,
                         justify="right")  # fmt: skip
    shares = {part: labels.shares(part) for part in labels.amounts}
    names = list(next(iter(labels.amounts.values()), {}))
    for name in names[:CLASSES_SHOWN]:
        cells = [
            f"{amounts[name]:,}" if labels.unit == "boxes" else f"{shares[part][name]:.2%}"
            for part, amounts in labels.amounts.items()
        ]
        table.add_row(name, *cells)
    if len(names) > CLASSES_SHOWN:
        table.add_row(f"... {len(names) - CLASSES_SHOWN:,} more")
    return table


def label_lines(labels: "LabelFacts") -> Iterator[tuple[str, str]]:
    """Facts about the labels, a name and what there is to say."""
    nothing, pictures = sum(labels.nothing.values()), sum(labels.pictures.values())
    yield "with nothing", f"{nothing:,} of {pictures:,} pictures"
    ignored = sum(labels.ignored.values())
    if labels.unit == "pixels":
        labelled = sum(sum(amounts.values()) for amounts in labels.amounts.values())
        yield "of no class", f"{ignored / max(labelled + ignored, 1):.1%} of the pixels"
        return
    if labels.a_picture:
        middle, most = labels.a_picture
        yield "boxes a picture", f"{middle:g} median, {most:,} most"
    if labels.box_sides:
        least, middle, greatest = labels.box_sides
        yield (
            "box side",
            f"{least:.0f} least, {middle:.0f} median, {greatest:.0f} greatest (root of the area, "
            "pixels)",
        )
    if ignored:
        yield "not scored", f"{ignored:,} boxes are marked difficult or crowd"
