"""Errors a user can act on: one line that says what, where, and what to do now."""

from collections.abc import Iterable
from difflib import get_close_matches


class VitreousError(Exception):
    """Data or a request is wrong. The command line prints the message alone and exits with 1."""


class DataError(VitreousError):
    """Something on the disk cannot be used; the message starts with its path."""


class RequestError(VitreousError):
    """What was asked for does not exist or does not fit the data."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> RequestError:
    """A `RequestError` for a name that is not in a table: says the nearest one and lists all.

    >>> print(unknown_name("kernel", "sobelx", ["box", "sobel-x", "sobel-y"]))
    unknown kernel 'sobelx'; did you mean 'sobel-x'? Known: box, sobel-x, sobel-y
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return RequestError(f"unknown {what} '{name}'; {hint}Known: {', '.join(names)}")
