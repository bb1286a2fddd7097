"""Licences of trained weights: which allow any use, and which must be accepted by name."""

import re
from pathlib import Path

from vitreous.errors import RequestError

PERMISSIVE = {
    "apache-2.0": "Apache Licence 2.0",
    "mit": "MIT Licence",
    "bsd-2-clause": "BSD, two clauses",
    "bsd-3-clause": "BSD, three clauses",
    "isc": "ISC Licence",
    "zlib": "zlib Licence",
    "bsl-1.0": "Boost Software Licence 1.0",
    "cc0-1.0": "Creative Commons Zero",
    "cc-by-4.0": "Creative Commons Attribution 4.0",
    "cc-by-3.0": "Creative Commons Attribution 3.0",
    "unlicense": "The Unlicense",
}
"""Identifiers, as model cards write them (SPDX in small letters), that allow any use."""

UNKNOWN = "unknown"

_TEXTS = (  # what a licence's text says of itself; the first that fits
    (r"non-?commercial", "non-commercial"),
    (r"research (use|purposes) only|only for research", "research-only"),
    (r"Apache (Software )?Licen[sc]e,?\s+(Version )?2\.0", "apache-2.0"),
    (r"Permission is hereby granted, free of charge", "mit"),
    (r"Neither the name of .* may be used to endorse", "bsd-3-clause"),
    (r"Redistribution and use in source and binary forms", "bsd-2-clause"),
)


def require_permission(licence: str | None, what: str, accepted: bool) -> None:
    """Raise `RequestError` for a licence that is known and does not allow any use.

    A licence that is not known is no reason to refuse: one's own weights have none. It is said.
    """
    if licence in {None, UNKNOWN} or licence in PERMISSIVE or accepted:
        return
    raise RequestError(
        f"{what}: its licence ({licence}) does not allow every use; read it, and if it allows "
        "yours, add --accept-weights-licence"
    )


def licence_beside(folder: Path) -> str | None:
    """The licence that a model card (README.md) or a LICENSE file in a folder states, or None.

    Apache-2.0's own text says "non-commercial" nowhere, so the order of the rules is safe.
    """
    card = _text(folder / "README.md")
    front = re.match(r"---\s*\n(.*?)\n---", card, re.DOTALL)
    stated = re.search(r"^license:\s*['\"]?([\w.+-]+)", front[1] if front else "", re.MULTILINE)
    if stated:
        return stated[1].lower()
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING"):
        text = _text(folder / name)
        if text:
            return licence_of_text(text)
    return None


def licence_of_text(text: str) -> str:
    """The identifier of a licence's text; "unknown" where no rule fits.

    >>> licence_of_text("Permission is hereby granted, free of charge, to any person")
    'mit'
    """
    found = (name for rule, name in _TEXTS if re.search(rule, text, re.IGNORECASE | re.DOTALL))
    return next(found, UNKNOWN)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:100_000]
    except OSError:
        return ""
