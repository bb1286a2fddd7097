"""Options about medical scans, that several verbs share: `train` and `inspect`."""

from pathlib import Path
from typing import Annotated

import typer

Slices = Annotated[
    str | None,
    typer.Option(
        help="Scans: take each slice as a picture; axial, coronal or sagittal. With masks --label "
        "names a structure: is it in the slice?",
        metavar="PLANE",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Scans: what a training step may take, such as 6GB; it decides patch and batch.",
        metavar="AMOUNT",
    ),
]
Dimensions = Annotated[
    str | None,
    typer.Option(
        help="Scans with masks: 3 (as usual), 2 (slice by slice) or 2.5 (the slices next to each "
        "as well), for thick slices or little memory.",
        metavar="NUMBER",
    ),
]
Plan = Annotated[
    Path | None,
    typer.Option(
        help="Scans: an edited plan (spacing, patch, batch...) in JSON or TOML, in place of the "
        "one that is made; each run has its own in plan.json.",
        metavar="FILE",
    ),
]
