"""`vitreous explain RUN INPUT...`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Json, Quiet

if TYPE_CHECKING:
    from vitreous.runs.explain import PictureExplanation


def explain(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders (all pictures below), globs; - reads paths from standard input. "
            "Of recordings all trials, or the one at FILE#SECONDS."
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            help="hirescam (pictures), layercam, finer-cam, occlusion; with Captum "
            "integrated-gradients, expected-gradients, deeplift (trials)."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Where a map is made; by default the last maps.")
    ] = None,
    target_class: Annotated[
        str | None,
        typer.Option("--class", help="What to explain; by default what the network answers."),
    ] = None,
    versus: Annotated[
        str | None, typer.Option(help="Why not this class: explains the difference of the two.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="A picture that is white where the cause lies, or a folder of them, named alike."
        ),
    ] = None,
    pixel: Annotated[
        str | None,
        typer.Option(
            help="Of a run on masks: the pixel X,Y whose answer is explained, to the right and "
            "down from the picture's top-left corner, 0,0."
        ),
    ] = None,
    box: Annotated[
        int | None,
        typer.Option(help="Of a detector: the box to explain; 1, the usual one, is the surest."),
    ] = None,
    voxel: Annotated[
        str | None,
        typer.Option(
            help="Of a run on masks of scans: the voxel X,Y,Z whose answer is explained, counted "
            "from 0 to the patient's right, front and head."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write to; by default RUN/explanations."),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Test each map: about 300 forward passes a picture, and more.")
    ] = True,
    device: Device = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what speaks for an answer and against it, and test whether that is true."""
    from vitreous.runs.explain import explain as explanations
    from vitreous.runs.run import Run
    from vitreous.runs.talk import Talk
    from vitreous.runs.write_explanations import write_explanations

    del config
    loaded, talk = Run.load(run), Talk(quiet)
    found = explanations(
        loaded,
        inputs,
        method,
        layer=layer,
        target_class=target_class,
        versus=versus,
        mask=mask,
        pixel=pixel,
        box=box,
        voxel=voxel,
        check=check,
        device=device,
        stdin=sys.stdin,
        talk=talk,
    )
    folder = out or run / "explanations"

    def tell(one: "PictureExplanation") -> None:
        if not as_json:
            print(in_words(one))

    written = write_explanations(folder, loaded, found, tell)
    if as_json:
        print(json.dumps(written.items, indent=2, ensure_ascii=False))
    pace = f", {written.maps_a_second:.1f} maps a second" if written.maps_a_second else ""
    views = loaded.views.count
    if views > 1:
        talk.say(f"explained is one view of each picture; `predict` averages {views}")
    talk.say(
        f"{written.count:,} files, {written.errors:,} of them with an error{pace}; "
        f"open {folder / 'index.html'}"
    )
    if written.errors or not written.count:
        raise typer.Exit(1)


def in_words(one: "PictureExplanation") -> str:
    """One picture's result, in two or three lines."""
    if one.error is not None or one.map is None:
        return str(one.error)
    confidence = "" if one.confidence is None else f" ({one.confidence:.1%})"
    against = "" if one.versus is None else f", not {one.versus}"
    where = f" at {one.map.layer}" if one.map.layer else ""
    place = "" if one.place is None else f", {one.place.words}"
    lines = [
        f"{one.sample_id}{place}: {one.predicted}{confidence}",
        f"  why {one.explained}{against}: {one.map.method}{where}",
        *(f"  {remark}" for remark in one.map.remarks),
    ]
    if one.map.relative_gap is not None:
        lines.append(f"  completeness gap {one.map.gap:+.3g} of {one.map.claimed:.3g}")
    if one.check is not None:
        lines.append(f"  {one.check.sentence}")
    return "\n".join(lines)
