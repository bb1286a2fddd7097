"""`vitreous predict RUN INPUT...`."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Quiet

if TYPE_CHECKING:
    from vitreous.runs.run import Run


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
        Path | None,
        typer.Option(
            help="A file to write to; by default standard output. Of a run on masks or boxes also "
            "a new folder: for tables, COCO's JSON, overlays, and masks or Pascal VOC's XML."
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv or json, by default as --out is named, else csv; for a "
            "recording also annotations (MNE's text) or events (BIDS' table), for boxes also coco.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    pixel_size: Annotated[
        str | None,
        typer.Option(help="With masks: the side of a pixel, such as 0.65um, for areas in a unit."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="With boxes: those at least so sure, 0 to 1; by default what validation chose."
        ),
    ] = None,
    device: Device = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Answer for pictures, with calibrated probabilities; bad files become rows with an error."""
    from vitreous.errors import RequestError
    from vitreous.files import atomic_path
    from vitreous.runs.folders import is_study
    from vitreous.runs.predict import predict as answers
    from vitreous.runs.predict import write_predictions
    from vitreous.runs.run import Run
    from vitreous.runs.talk import Talk

    del config
    named = "json" if as_json or (out is not None and out.suffix == ".json") else "csv"
    if is_study(run):
        from vitreous.runs.study import Study
        from vitreous.runs.study_answers import first_run, predict_study

        study = Study.load(run)
        loaded = first_run(study)
        answering = partial(predict_study, study, inputs, device=device)
    else:
        loaded = Run.load(run)
        answering = partial(answers, loaded, inputs, device=device, stdin=sys.stdin)
    if file_format == "annotations" and out is not None and out.suffix.lower() == ".csv":
        raise RequestError(f"--out {out}: MNE reads such text from .txt; name the file so")
    if confidence is not None and loaded.record.task != "detect":
        raise RequestError(f"--confidence: is for boxes, and {run} answers with none")
    if pixel_size is not None and (loaded.record.task != "segment" or loaded.of_scans):
        raise RequestError(f"--pixel-size: is for masks of pictures, and {run} answers with none")
    of_masks = loaded.record.task == "segment"
    if of_masks and loaded.of_scans:
        with Talk(quiet).counting("answering, planes of a scan") as counted:
            viewed = out is not None and out.suffix.lower() not in (".csv", ".json")
            found = answering(on_progress=counted, viewed=viewed)
            count, errors = _write_scans(found, loaded, out, file_format or named)
    elif of_masks:
        count, errors = _write_masks(answering(), loaded, out, file_format or named, pixel_size)
    elif loaded.record.task == "detect":
        count, errors = _write_boxes(loaded, inputs, out, file_format or named, device, confidence)
        if not quiet:
            print(_counting_words(loaded, confidence), file=sys.stderr)
    elif out is None:
        found = _told(answering(), file_format)
        count, errors = write_predictions(found, loaded, sys.stdout, file_format or named)
    else:
        found = _told(answering(), file_format)
        with atomic_path(out) as new, new.open("w", newline="", encoding="utf-8") as file:
            count, errors = write_predictions(found, loaded, file, file_format or named)
    if not quiet and loaded.record.request.get("align") == "transductive":
        print("transductive: subjects that were not trained on are aligned by these very trials",
              file=sys.stderr)  # fmt: skip
    if not quiet:
        where = f", written to {out}" if out else ""
        what = "trials" if loaded.of_trials else "scans" if loaded.of_scans else "files"
        print(f"{count:,} {what}, {errors:,} of them with an error{where}", file=sys.stderr)
    if errors or not count:
        raise typer.Exit(1)


def _told(found: "Iterator[Any]", file_format: str | None) -> "Iterator[Any]":
    """The answers; with their errors on standard error, where the format has no room for them."""
    from vitreous.runs.predict import MARKS
    from vitreous.runs.predict_trials import errors_said

    if file_format not in MARKS:
        return found
    return errors_said(found, lambda words: print(words, file=sys.stderr))


def _write_scans(
    found: "Iterator[Any]", run: "Run", out: Path | None, file_format: str
) -> tuple[int, int]:
    """Masks in the scans' own geometry to a folder, or the table of volumes alone."""
    from vitreous.data.volumes.dicom_seg import SAID
    from vitreous.errors import RequestError
    from vitreous.files import atomic_path
    from vitreous.runs.predict_volumes import remarks_said, write_scan_folder, write_scan_table

    found = remarks_said(found, lambda words: print(words, file=sys.stderr))
    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        if file_format == "dicom-seg":
            print(SAID, file=sys.stderr)
        return write_scan_folder(found, run, out, file_format)
    if file_format == "dicom-seg":
        raise RequestError("--format dicom-seg: name a new folder for the files with --out")
    if out is None:
        return write_scan_table(found, sys.stdout, file_format)
    with atomic_path(out) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        return write_scan_table(found, file, file_format)


def _write_masks(
    found: "Iterator[Any]", run: "Run", out: Path | None, file_format: str, pixel_size: str | None
) -> tuple[int, int]:
    """Masks to a folder, or the table of classes alone; pictures and errors counted."""
    from vitreous.errors import unknown_name
    from vitreous.files import atomic_path
    from vitreous.runs.predict_masks import PixelSize, write_folder, write_table

    size = PixelSize.parse(pixel_size)
    if file_format not in ("csv", "json"):
        raise unknown_name("format", file_format, ("csv", "json"))
    if out is None:
        return write_table(found, sys.stdout, file_format, size)
    if out.suffix.lower() not in (".csv", ".json"):
        return write_folder(found, run, out, size)
    with atomic_path(out) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        return write_table(found, file, file_format, size)


def _counting_words(run: "Run", confidence: float | None) -> str:
    """From where on boxes count, and who says so."""
    from vitreous.evaluation.box_calibration import confidence_words
    from vitreous.runs.predict_boxes import counting_from

    why = "--confidence" if confidence is not None else (
        "as validation chose by F1 and counts; --confidence gives more or fewer"
    )  # fmt: skip
    words = confidence_words(counting_from(run, confidence), run.record.classes)
    return f"boxes from a confidence of {words} on ({why})"


def _write_boxes(
    run: "Run",
    inputs: list[str],
    out: Path | None,
    file_format: str,
    device: str | None,
    confidence: float | None,
) -> tuple[int, int]:
    """Boxes to standard output, a file, or a folder of everything; pictures and errors counted."""
    from vitreous.files import atomic_path
    from vitreous.runs.predict_boxes import predict_boxes, write_box_folder, write_boxes

    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        return write_box_folder(run, inputs, out, device, sys.stdin, confidence)
    found = predict_boxes(run, inputs, device=device, stdin=sys.stdin, confidence=confidence)
    if out is None:
        return write_boxes(found, run.record.classes, sys.stdout, file_format)
    with atomic_path(out) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        return write_boxes(found, run.record.classes, file, file_format)
