"""`--config FILE`: the flags of a verb as keys of a TOML file; a flag on the line wins."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from vitreous.errors import DataError, RequestError, unknown_name


def _read(context: typer.Context, path: Path | None) -> Path | None:
    if path is None:
        return None
    known = _flags(context)
    settings = {}
    for key, value in _toml(path).items():
        flag = key.replace("_", "-")
        if flag not in known:
            raise unknown_name(f"key in {path}", key, known)
        settings[known[flag]] = value
    context.default_map = {**(context.default_map or {}), **settings}
    return path


def _flags(context: typer.Context) -> dict[str, str]:
    """The long spelling of each option (arguments: their name) and what the function calls it."""
    found = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        spellings = [item[2:] for item in parameter.opts if item.startswith("--")] or [name]
        found.update({spelling.replace("_", "-"): name for spelling in spellings})
    return {flag: name for flag, name in found.items() if flag not in {"config", "help"}}


def _toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
