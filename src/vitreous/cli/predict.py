"""`vitreous predict RUN INPUT...`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Quiet


def predict(
    run: Annotated[
        Path, typer.Argument(help="The folder of a run, or of a study, whose runs are averaged.")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders (all pictures below), globs; - reads paths from standard input. "
            "Of a run on recordings: recordings, or folders of them."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="A file to write to; by default standard output.")
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv or json, by default as --out is named, else csv; for a "
            "recording also annotations (MNE's text) or events (BIDS' table).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    device: Device = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Answer for pictures, with calibrated probabilities; bad files become rows with an error."""
    from vitreous.files import atomic_path
    from vitreous.runs.folders import is_study
    from vitreous.runs.predict import predict as answers
    from vitreous.runs.predict import write_predictions
    from vitreous.runs.run import Run

    del config
    named = "json" if as_json or (out is not None and out.suffix == ".json") else "csv"
    if is_study(run):
        from vitreous.runs.study import Study
        from vitreous.runs.study_answers import first_run, predict_study

        study = Study.load(run)
        loaded = first_run(study)
        found = predict_study(study, inputs, device=device)
    else:
        loaded = Run.load(run)
        found = answers(loaded, inputs, device=device, stdin=sys.stdin)
    if out is None:
        count, errors = write_predictions(found, loaded, sys.stdout, file_format or named)
    else:
        with atomic_path(out) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            count, errors = write_predictions(found, loaded, file, file_format or named)
    if not quiet and loaded.record.request.get("align") == "transductive":
        print("transductive: subjects that were not trained on are aligned by these very trials",
              file=sys.stderr)  # fmt: skip
    if not quiet:
        where = f", written to {out}" if out else ""
        what = "trials" if loaded.of_trials else "files"
        print(f"{count:,} {what}, {errors:,} of them with an error{where}", file=sys.stderr)
    if errors or not count:
        raise typer.Exit(1)
