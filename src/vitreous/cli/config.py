"""`--config FILE`: the flags of a verb as keys of a TOML file; a flag on the line wins."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from vitreous.errors import DataError, RequestError, unknown_name


def _read(context: typer.Context, path: Path | None) -> Path | None:
    if path is None:
        return None
    known = {item.name for item in context.command.params if item.name} - {"config", "help"}
    settings = {}
    for key, value in _toml(path).items():
        name = key.replace("-", "_")
        if name not in known:
            raise unknown_name(f"key in {path}", key, [item.replace("_", "-") for item in known])
        settings[name] = value
    context.default_map = {**(context.default_map or {}), **settings}
    return path


def _toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path}: not readable as TOML ({error})") from None


Config = Annotated[
    Path | None,
    typer.Option(
        help="A TOML file with any of these flags as keys; flags on the line win.",
        callback=_read,
        is_eager=True,
        metavar="FILE",
    ),
]
