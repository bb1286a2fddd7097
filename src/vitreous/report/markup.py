"""HTML that is escaped by construction: plain strings are text, only `Html` is markup."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_EMPTY = frozenset({"br", "img", "meta", "wbr"})


class Html(str):
    """Markup that may go into a page as it is. Made by `tag`, `join` and files of this package."""

    __slots__ = ()


Content = str | Html | None
Attributes = Mapping[str, str | float | bool | None]


def tag(name: str, attributes: Attributes | None = None, *children: Content) -> Html:
    """One element. Text and attribute values are escaped; None and False attributes are left out.

    >>> tag("p", {"class": "note", "hidden": None}, "a < b", tag("br"))
    '<p class="note">a &lt; b<br></p>'
    """
    opening = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in _EMPTY and not children:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(children)}</{name}>")


def join(children: Any) -> Html:
    """Elements and texts one after the other; texts are escaped, None is left out.

    >>> join(["a & b", None, tag("b", None, "c")])
    'a &amp; b<b>c</b>'
    """
    return Html("".join(text(child) for child in children if child is not None))


def text(content: str) -> Html:
    """Markup as it is; any other string escaped, with control characters made visible."""
    if isinstance(content, Html):
        return content
    return Html(escape(_printable(str(content)), quote=True))


def json_for_html(value: Any) -> Html:
    r"""JSON that can stand in a `<script>` element: no text in it can end the element.

    >>> print(json_for_html({"class": "</script>"}))
    {"class":"\u003c/script\u003e"}
    """
    written = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Html(written)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {key}"
    return f' {key}="{text(str(value))}"'


def _printable(words: str) -> str:
    # A file's name may hold control characters and half surrogates; HTML and UTF-8 may not.
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _unprintable(character) else character for character in words
    )


def _unprintable(character: str) -> bool:
    code = ord(character)
    return (code < 32 and character not in "\t\n\r") or code == 127 or 0xD800 <= code <= 0xDFFF
