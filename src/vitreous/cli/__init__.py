"""The command line: `main`, and one file a verb."""

from vitreous.cli.app import main

__all__ = ["main"]
