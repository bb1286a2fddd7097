"""Options that several verbs share, so that they read and work the same."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on the way.")]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; by default a GPU if there is one.")
]
Group = Annotated[
    str | None,
    typer.Option(
        help="What belongs together (patient, slide): a table's column, or a regular expression "
        "with one group on the path, such as '(patient_[0-9]+)'.",
        metavar="COLUMN|REGEX",
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task", help="classify, regress, detect or segment; by default what the labels are."
    ),
]
