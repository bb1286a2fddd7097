"""The verbs together, and how errors leave: one line and an exit status, never a traceback."""

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from vitreous import __version__
from vitreous.cli import (
    compare,
    convolve,
    demo,
    evaluate,
    explain,
    inspect,
    predict,
    serve,
    train,
)
from vitreous.errors import RequestError, VitreousError
from vitreous.training.launcher import is_said_here, launched

GOOD, WRONG, USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="vitreous",
    help="Convolutional networks you can see through: train, score, and look inside.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for verb in (
    inspect.inspect,
    train.train,
    evaluate.evaluate,
    predict.predict,
    explain.explain,
    compare.compare,
    serve.serve,
    convolve.convolve,
    demo.demo,
):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit(GOOD)


@app.callback()
def about(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Convolutional networks you can see through: train, score, and look inside."""
    del version  # its callback has acted
    verb = context.invoked_subcommand
    if verb != "train" and launched().count > 1:
        raise RequestError(f"{verb} works in one process; call `vitreous {verb}` without torchrun")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = app(prog_name="vitreous", standalone_mode=False)
    except VitreousError as error:
        _say(error, str(error))
        status = WRONG
    except (KeyboardInterrupt, typer.Abort) as error:
        _say(error, "interrupted")
        status = INTERRUPTED
    except BrokenPipeError:
        # the reader (head, less) has enough: say nothing, also not at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = GOOD
    except OSError as error:  # a full disk, a folder that may not be written to
        where = f"{error.filename}: " if error.filename else ""
        _say(error, f"{where}{error.strerror or error}")
        status = WRONG
    except typer.Exit as end:
        status = end.exit_code
    except TyperException as error:  # wrong usage: Typer says what and how
        status = _show_usage(error) if is_said_here(error) else USAGE
    sys.exit(status or GOOD)


def _say(error: BaseException, line: str) -> None:
    """One line on standard error; of several processes, one says it."""
    if is_said_here(error):
        print(f"vitreous: {line}", file=sys.stderr)


def _show_usage(error: TyperException) -> int:
    """Typer's own account of wrong usage; its concrete errors know how to show themselves."""
    show = getattr(error, "show", None)
    if show is None:
        print(f"vitreous: {error}", file=sys.stderr)
    else:
        show()
    return getattr(error, "exit_code", USAGE)
