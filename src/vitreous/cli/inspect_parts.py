"""What every kind of `vitreous inspect` prints alike."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from vitreous.data.samples import Skipped

FILES_SHOWN = 3  # a reason


def facts_table(facts: Iterable[tuple[str, str]], title: str) -> "Table":
    """Names and what there is to say about each, under a title."""
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None,
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def print_skipped(console: "Console", skipped: Sequence["Skipped"]) -> None:
    """Each reason once, with its first files; hidden and system files in one line."""
    harmful = [one for one in skipped if not one.harmless]
    harmless = len(skipped) - len(harmful)
    if harmful:
        console.print(f"\nCannot be used: {len(harmful):,} files", style="bold")
        for reason, files in _by_reason(harmful).items():
            shown = ", ".join(file.path for file in files[:FILES_SHOWN])
            more = f", ... ({len(files):,})" if len(files) > FILES_SHOWN else ""
            item(console, f"{reason}: {shown}{more}")
    if harmless:
        first = next(one for one in skipped if one.harmless)
        console.print(f"\nLeft out, no harm: {harmless:,} ({first.path}: {first.reason})")


def _by_reason(skipped: Iterable["Skipped"]) -> dict[str, list["Skipped"]]:
    from vitreous.data.inspect import general_reason

    groups: dict[str, list[Skipped]] = {}
    for item in skipped:
        groups.setdefault(general_reason(item.reason), []).append(item)
    return dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))


def item(console: "Console", text: str) -> None:
    """One line of a list, folded under itself."""
    from rich.padding import Padding
    from rich.table import Table

    line = Table.grid(padding=(0, 1))
    line.add_row("-", text)
    console.print(Padding(line, (0, 0, 0, 2)))
