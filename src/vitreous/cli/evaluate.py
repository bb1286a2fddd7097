"""`vitreous evaluate RUN [DATA]`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Group, Json, Quiet


def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of a study.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="Labelled data; without it the test part's scores are shown."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Names the file: evaluation-NAME.json; by default DATA's.")
    ] = None,
    group: Group = None,
    max_skipped: Annotated[
        float, typer.Option(help="Share of files that may be unusable before it stops.")
    ] = 0.05,
    device: Device = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run with intervals: on later data, too, with a warning when it looks different."""
    from vitreous.cli.shown import print_result
    from vitreous.runs.evaluate import evaluate as score
    from vitreous.runs.folders import is_study
    from vitreous.runs.run import Run

    del config
    if is_study(run):
        _study(run, data, name, device, as_json, quiet)
        return
    loaded = Run.load(run)
    evaluation = score(
        loaded,
        data,
        name=name,
        group=group,
        max_skipped=max_skipped,
        device=device,
        quiet=quiet,
    )
    if as_json:
        print(json.dumps(evaluation, indent=2))
        return
    print_result(evaluation, str(data) if data else f"test part of {loaded.record.data.root}")


def _study(
    folder: Path,
    data: Path | None,
    name: str | None,
    device: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Scores of a study's folds together, or of its averaged networks on later data."""
    from vitreous.cli.shown import print_result
    from vitreous.cli.shown_study import print_study
    from vitreous.runs.study import Study
    from vitreous.runs.study_answers import evaluate_study

    study = Study.load(folder)
    evaluation = evaluate_study(study, data, name=name, device=device, quiet=quiet)
    if as_json:
        print(json.dumps(evaluation, indent=2))
    elif data is None:
        print_study(evaluation, f"{study.words} on {study.data_root}")
    else:
        print_result(evaluation, str(data))
