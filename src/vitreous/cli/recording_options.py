"""Options about recordings, that several verbs share: `train` and `inspect`."""

from typing import Annotated

import typer

Events = Annotated[
    str | None,
    typer.Option(
        help="Recordings: which events are classes, such as left=T1,right=T2; by default each.",
        metavar="CLASS=EVENT,...",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        help="Recordings: seconds from the event, such as -0.5,4; by default what events last.",
        metavar="FROM,TO",
    ),
]
Channels = Annotated[
    str | None, typer.Option(help="Recordings: channels to use, such as C3,Cz,C4; by default EEG.")
]
Only = Annotated[
    str | None,
    typer.Option(help="Recordings: files whose path this is found in.", metavar="REGEX"),
]
Reference = Annotated[
    str | None, typer.Option(help="Recordings: average, or a channel; by default as recorded.")
]
Notch = Annotated[float | None, typer.Option(help="Recordings: mains to filter out, 50 or 60 Hz.")]
Band = Annotated[
    str | None,
    typer.Option(
        help="Recordings: Hz to keep, such as 4,38, or none; by default 0.5,45 where time runs on.",
        metavar="LOW,HIGH",
    ),
]
Resample = Annotated[
    float | None, typer.Option(help="Recordings: samples a second; by default as recorded.")
]
SamplingRate = Annotated[
    float | None, typer.Option(help="Samples a second of trials in .ts, .npz and .npy.")
]
