"""`vitreous serve RUN...`."""

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Quiet


def serve(
    runs: Annotated[
        list[Path],
        typer.Argument(help="The folder of a run, and of others to compare its answers with."),
    ],
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8420,
    host: Annotated[
        str, typer.Option(help="The address to listen on; by default this machine alone.")
    ] = "127.0.0.1",
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser, where there is a screen.")
    ] = True,
    token: Annotated[
        bool,
        typer.Option("--token/--no-token", help="Let in only who knows the printed address."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Walk through a run in the browser: from any answer back to the arithmetic. Ctrl-C ends it."""
    from vitreous.server.serve import serve as show

    del config
    show(
        *runs,
        host=host,
        port=port,
        open_browser=open_browser,
        token=token,
        as_json=as_json,
        quiet=quiet,
    )
