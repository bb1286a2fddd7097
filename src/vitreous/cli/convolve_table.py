"""The sum behind one cell as tables: window, kernel and products, and what they add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

if TYPE_CHECKING:
    from vitreous.cli.convolve_input import FeatureMap, Input
    from vitreous.convolution import Difference, Terms

LARGEST_GRID = 9  # rows or columns of a kernel that is shown whole
LARGEST_LIST = 15  # samples of a signal's kernel that is shown whole
SHOWN_PRODUCTS = 10
PLAIN_WIDTH = 160  # columns where the output is a file or a pipe


def print_terms(
    given: Input, cell: tuple[int, ...], terms: Terms, computed: Difference, result: FeatureMap
) -> None:
    """Window, kernel, products, their sum, and the value of the fast path beside it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    console.print(f"\n{_heading(given, cell)}", style="bold", markup=False)
    if given.kind == "signal":
        _print_samples(console, given, terms)
    elif max(terms.kernel.shape[1:]) <= LARGEST_GRID:
        _print_grids(console, given, terms)
    else:
        _print_largest(console, terms, ("row", "column"))
    _print_sums(console, given, terms, computed, result)


def _heading(given: Input, cell: tuple[int, ...]) -> str:
    if given.kind == "picture":
        return f"The sum behind row {cell[0]}, column {cell[1]}"
    channel = f" of {given.channel_names[cell[0]]}" if len(given.values) > 1 else ""
    return f"The sum behind sample {cell[1]}{channel}"


def _print_grids(console: Console, given: Input, terms: Terms) -> None:
    rows, columns = terms.positions[:, 0, 0].tolist(), terms.positions[0, :, 1].tolist()
    for place, channel in enumerate(terms.channels):
        texts = cell_texts(terms.window[place])
        window = [
            [f"({text})" if outside else text for text, outside in zip(*line, strict=True)]
            for line in zip(texts, terms.in_padding, strict=True)
        ]
        name = f" ({given.channel_names[channel]})" if len(terms.channels) > 1 else ""
        grids = [
            _grid(f"window{name}", window, rows, columns),
            _grid("kernel", cell_texts(terms.kernel[place])),
            _grid("products", cell_texts(terms.products[place])),
        ]
        _print_beside(console, grids)
    if terms.in_padding.any():
        console.print("in brackets: padding, outside the picture", style="dim")


def _print_beside(console: Console, grids: list[Table]) -> None:
    """Side by side with their signs where there is room, else one below the other."""
    widths = [console.measure(grid).maximum for grid in grids]
    if sum(widths) + 8 > console.width:
        for grid in grids:
            console.print(grid)
        return
    beside = Table.grid(padding=(0, 1))
    middle = (grids[0].row_count + 1) // 2 + 1
    signs = [Padding(sign, (middle, 0, 0, 0)) for sign in ("×", "=")]
    beside.add_row(grids[0], signs[0], grids[1], signs[1], grids[2])
    console.print(beside)


def _grid(
    title: str,
    texts: list[list[str]],
    rows: list[int] | None = None,
    columns: list[int] | None = None,
) -> Table:
    """Numbers in rows and columns; with the places in the input at the edges, where given."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        min_width=len(title),  # a narrower table would break its title
        box=None,
        pad_edge=False,
    )
    if rows is not None:
        table.add_column("", justify="right", style="dim")
    for place in range(len(texts[0])):
        header = "" if columns is None else str(columns[place])
        table.add_column(header, justify="right", header_style="dim")
    for place, line in enumerate(texts):
        table.add_row(*([str(rows[place])] if rows is not None else []), *line)
    return table


def _print_samples(console: Console, given: Input, terms: Terms) -> None:
    if terms.kernel.size > LARGEST_LIST:
        _print_largest(console, terms, ("sample",))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("sample", *_time_column(given), "window", "kernel", "product"):
        table.add_column(name, justify="right")
    for place in range(terms.kernel.shape[1]):
        position = int(terms.positions[place, 0])
        time = [f"{position / rate:.4f}" for rate in _rates(given)]
        text = _text(terms.window[0, place])
        value = f"({text})" if terms.in_padding[place] else text
        weight, product = terms.kernel[0, place], terms.products[0, place]
        table.add_row(str(position), *time, value, _text(weight), _text(product))
    console.print(table)
    if terms.in_padding.any():
        console.print("in brackets: padding, outside the signal", style="dim")


def _rates(given: Input) -> list[float]:
    return [given.sampling_rate_hz] if given.sampling_rate_hz else []


def _time_column(given: Input) -> list[str]:
    return ["seconds"] * len(_rates(given))


def _print_largest(console: Console, terms: Terms, axes: tuple[str, ...]) -> None:
    short = terms.largest(SHOWN_PRODUCTS)
    several = len(terms.channels) > 1
    table = Table(
        title=f"the {len(short.largest)} largest of {terms.products.size:,} products",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in (*(("channel",) if several else ()), *axes, "window", "kernel", "product"):
        table.add_column(name, justify="right")
    for term in short.largest:
        source = ("padding",) * len(axes) if term.source is None else term.source
        numbers = [_text(number) for number in (term.value, term.weight, term.product)]
        table.add_row(*([str(term.channel)] if several else []), *map(str, source), *numbers)
    console.print(table)
    console.print(f"the other {short.rest_count:,} products together: {_exact(short.rest)}")


def _print_sums(
    console: Console, given: Input, terms: Terms, computed: Difference, result: FeatureMap
) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    if len(terms.channels) > 1:
        for channel, value in zip(terms.channels, terms.channel_sums, strict=True):
            table.add_row(f"sum of {given.channel_names[channel]}", _exact(value))
    table.add_row("sum of the products", _exact(terms.total), "float64, straight from the formula")
    table.add_row("the feature map", _exact(computed.computed), result.engine)
    verdict = "explained by rounding" if computed.within else "MORE than rounding explains"
    table.add_row(
        "difference",
        f"{computed.difference:.3g}",
        f"{verdict} (up to {computed.tolerance:.2g})",
    )
    console.print()
    console.print(table)


def cell_texts(values: np.ndarray, digits: int = 4) -> list[list[str]]:
    """Numbers for a grid: whole ones as they are, others all with as many decimals.

    The largest one shows `digits` digits, where it has decimals at all.

    >>> cell_texts(np.array([[0.25, -12.0]])), cell_texts(np.array([[3.0, -12.0]]))
    ([['0.25', '-12.00']], [['3', '-12']])
    """
    finite = values[np.isfinite(values)]
    decimals = 0
    if not (finite == np.rint(finite)).all():
        power = np.floor(np.log10(np.abs(finite).max()))
        decimals = int(np.clip(digits - 1 - power, 0, 12))
    rounded = np.round(values, decimals) + 0.0  # without minus zero
    return [[f"{value:.{decimals}f}" for value in row] for row in rounded]


def _text(value: float) -> str:
    """A number in a list: whole ones as they are, others with four digits."""
    return f"{int(value)}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def _exact(value: float) -> str:
    return f"{value:.10g}"
