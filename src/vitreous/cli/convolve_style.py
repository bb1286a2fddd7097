"""Colours and short texts that the pictures of `vitreous convolve` share."""

from typing import Any

from vitreous.insight.colours import NEGATIVE, POSITIVE

INK, MUTED, FRAME = "#1c2733", "#5b6875", "#c9d1d9"
BLUE, ORANGE = ("#{:02x}{:02x}{:02x}".format(*hue) for hue in (NEGATIVE, POSITIVE))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FRAME,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def number(value: float) -> str:
    """Short for people: whole numbers as they are, others with three digits; a true minus.

    >>> number(-2.0), number(0.11111)
    ('−2', '0.111')
    """
    whole = float(value).is_integer() and abs(value) < 1e6
    shown = f"{int(value)}" if whole else f"{value:.3g}"
    return shown.replace("-", "−")


def short(name: str, length: int = 34) -> str:
    """A name cut to `length` characters."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
