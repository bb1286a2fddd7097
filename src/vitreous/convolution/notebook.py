"""The terms behind one cell as a few lines of HTML, for notebooks."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vitreous.convolution.terms import Terms

LARGEST_PLANE = 121  # weights a channel: larger kernels are listed by their largest terms
CHANNELS = 3  # planes shown; the others are one sum each
LISTED = 12

# Inherits the notebook's own colours, so that it fits light and dark ones.
CELL = "padding:2px 6px;text-align:right;font-variant-numeric:tabular-nums"


def terms_html(terms: "Terms") -> str:
    """Window x kernel = products, channel by channel, and their sum."""
    channel, *position = terms.cell
    place = f"map {channel}" + (f", position {tuple(position)}" if position else "")
    bias = "" if terms.bias is None else f" + bias {terms.bias:.6g}"
    planes = terms.window.ndim == 3 and terms.window[0].size <= LARGEST_PLANE
    return (
        f"<p><b>{terms.operation}</b>, {place}</p>"
        + (_planes(terms) if planes else _list(terms))
        + f"<p>sum of {terms.products.size} products {terms.products.sum():.6g}{bias} = "
        f"<b>{terms.total:.6g}</b></p>"
    )


def _planes(terms: "Terms") -> str:
    shown = "".join(_plane(terms, number) for number in range(len(terms.channels))[:CHANNELS])
    others = len(terms.channels) - CHANNELS
    rest = terms.channel_sums[CHANNELS:].sum()
    return shown + (f"<p>{others} more channels: {rest:.6g}</p>" if others > 0 else "")


def _plane(terms: "Terms", number: int) -> str:
    parts = (
        _matrix(terms.window[number], "window"),
        "×",
        _matrix(terms.kernel[number], "kernel"),
        "=",
        _matrix(terms.products[number], f"products, sum {terms.channel_sums[number]:.6g}"),
    )
    cells = "".join(f'<td style="border:0">{part}</td>' for part in parts)
    return f"<p>input channel {terms.channels[number]}</p><table><tr>{cells}</tr></table>"


def _matrix(values: np.ndarray, caption: str) -> str:
    rows = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{value:.3g}</td>' for value in row) + "</tr>"
        for row in values
    )
    return f"<table><caption>{caption}</caption>{rows}</table>"


def _list(terms: "Terms") -> str:
    summary = terms.largest(LISTED)
    rows = "".join(
        f'<tr><td style="{CELL}">{term.channel}</td><td style="{CELL}">{term.source or "padding"}'
        f'</td><td style="{CELL}">{term.value:.4g}</td><td style="{CELL}">{term.weight:.4g}</td>'
        f'<td style="{CELL}">{term.product:.4g}</td></tr>'
        for term in summary.largest
    )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("channel", "from", "value", "weight", "product")
    )
    return (
        f"<table><tr>{head}</tr>{rows}</table><p>{summary.rest_count} more: {summary.rest:.6g}</p>"
    )
