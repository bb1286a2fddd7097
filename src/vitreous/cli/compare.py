"""`vitreous compare RUN RUN [DATA]`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Json, Quiet


def compare(
    first: Annotated[Path, typer.Argument(help="A run, or a study.")],
    second: Annotated[Path, typer.Argument(help="Another one of the same task.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="Labelled data; without it the runs' common test part is used."),
    ] = None,
    device: Device = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which of two runs is better and by how much, paired on the same samples."""
    from vitreous.cli.shown import print_comparisons
    from vitreous.errors import RequestError
    from vitreous.runs.aligning import transductive_words
    from vitreous.runs.compare import compare as compare_runs
    from vitreous.runs.compare_studies import compare_studies, two_studies
    from vitreous.runs.folders import is_study
    from vitreous.runs.run import Run

    del config
    studies = [is_study(folder) for folder in (first, second)]
    if any(studies):
        if data is not None:
            raise RequestError(f"{data}: studies are compared on what they tested; leave it out")
        both = two_studies(first, second, studies)
        found, runs = compare_studies(*both), [study.runs for study in both]
    else:
        pair = Run.load(first), Run.load(second)
        found = compare_runs(*pair, data, device=device, quiet=quiet)
        runs = [[run] for run in pair]
    for folder, own in zip((first, second), runs, strict=True):
        for words in [] if quiet else transductive_words(own):
            print(f"{folder}: {words}", file=sys.stderr)
    if as_json:
        print(json.dumps({name: item.to_json() for name, item in found.items()}, indent=2))
        return
    print_comparisons(found, str(first), str(second))
