"""`vitreous inspect DATA`."""

import json as json_module
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.config import Config
from vitreous.cli.inspect_labels import label_lines, labels_table, refuse_for_recordings
from vitreous.cli.inspect_parts import facts_table, item, print_skipped
from vitreous.cli.options import Group, Json, Quiet, TaskName
from vitreous.cli.recording_options import (
    Band,
    Channels,
    Events,
    Notch,
    Only,
    Reference,
    Resample,
    SamplingRate,
    Window,
)
from vitreous.cli.volume_options import Memory, Slices

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from vitreous.data.inspect import Inspection
    from vitreous.data.samples import Source
    from vitreous.runs.talk import Talk

CLASSES_SHOWN = 20


def inspect(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder or table of labelled pictures, scans (DICOM, NIfTI...) or recordings."
        ),
    ],
    group: Group = None,
    task: TaskName = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="The column with the label: of the table, or participants.tsv.", metavar="COLUMN"
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of a mask's classes: a file, or names by commas in their numbers' order.",
            metavar="FILE|NAMES",
        ),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help="The value in masks that is no class, such as 255.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Draw a contact sheet of labelled pictures there.", metavar="OUT.png"),
    ] = None,
    all_pictures: Annotated[
        bool, typer.Option("--all", help="Decode every picture, not a sample of 2,000.")
    ] = False,
    max_pixels: Annotated[int, typer.Option(help="Larger pictures are not decoded.")] = 178_000_000,
    slices: Slices = None,
    memory: Memory = None,
    events: Events = None,
    window: Window = None,
    channels: Channels = None,
    only: Only = None,
    reference: Reference = None,
    notch: Notch = None,
    band: Band = None,
    resample: Resample = None,
    sampling_rate: SamplingRate = None,
    config: Config = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a data set is, what is wrong with it, and what would be trained."""
    from vitreous.data.inspect import inspect_source
    from vitreous.data.recognise import recognise
    from vitreous.data.recordings import holds_recordings
    from vitreous.runs.talk import Talk

    del config
    talk = Talk(quiet or json)
    if holds_recordings(data, sampling_rate):
        pictures_only = {"classes": classes, "ignore": ignore, "sheet": sheet}
        refuse_for_recordings(data, pictures_only | {"slices": slices, "memory": memory})
        flags: dict[str, Any] = {
            "group": group, "task": task, "label": label, "events": events, "window": window,
            "channels": channels, "only": only, "reference": reference, "notch": notch,
            "band": band, "resample": resample, "sampling_rate": sampling_rate,
        }  # fmt: skip
        _inspect_recordings(data, flags, talk, json)
        return
    with talk.counting("looking") as looked:
        source = recognise(
            data, group=group, task=task, label=label, classes=classes, ignore=ignore,
            max_pixels=max_pixels, slices=slices, on_progress=looked,
        )  # fmt: skip
    if source.volumes is not None:
        _inspect_volumes(source, data, group, sheet, all_pictures, memory, talk, json)
        return
    with talk.counting("decoding") as decoded:
        inspection = inspect_source(source, None if all_pictures else 2000, decoded)
    if sheet is not None:
        from vitreous.data.sheet import write_sheet

        drawn = write_sheet(source, sheet)
        talk.say(f"{sheet}: {len(drawn.paths)} pictures with their labels")
    if json:
        print(json_module.dumps(inspection.to_json(), indent=2, ensure_ascii=False))
    else:
        show(inspection, _command(data, group, task, classes, ignore))


def _inspect_volumes(
    source: "Source",
    data: Path,
    group: str | None,
    sheet: Path | None,
    everything: bool,
    memory: str | None,
    talk: "Talk",
    json: bool,
) -> None:
    from vitreous.cli.inspect_volumes import show_volumes
    from vitreous.data.volumes.inspect import inspect_volumes
    from vitreous.data.volumes.sheet import write_volume_sheet

    with talk.counting("reading") as read:
        inspection = inspect_volumes(source, everything=everything, memory=memory, on_progress=read)
    if sheet is not None:
        drawn = write_volume_sheet(source, sheet)
        talk.say(f"{sheet}: three planes of {len(drawn)} scans")
    if json:
        print(json_module.dumps(inspection.to_json(), indent=2, ensure_ascii=False))
    else:
        show_volumes(inspection, data, group)


def _inspect_recordings(data: Path, flags: dict[str, Any], talk: "Talk", json: bool) -> None:
    from vitreous.cli.inspect_recordings import show_recordings
    from vitreous.data.recordings.inspect import inspect_recordings
    from vitreous.runs.request import TrainRequest
    from vitreous.runs.trials import recording_settings

    settings = recording_settings(TrainRequest(**flags))
    with talk.counting("reading") as read:
        inspection = inspect_recordings(data, settings, read)
    if json:
        print(json_module.dumps(inspection.to_json(), indent=2, ensure_ascii=False))
    else:
        show_recordings(inspection, data, flags)


def show(inspection: "Inspection", command: str) -> None:
    """Print an inspection for people: what it is, its classes, its pictures, what is wrong."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.print(f"{inspection.root}: {inspection.kind}", style="bold")
    console.print(f"Because {inspection.why}.\n")
    console.print(_counts_table(inspection))
    console.print()
    if inspection.labels:
        console.print(labels_table(inspection.labels))
        console.print()
    console.print(facts_table(_picture_facts(inspection), "Pictures"))
    print_skipped(console, inspection.skipped)
    if inspection.findings:
        console.print("\nWorth knowing", style="bold")
        for finding in inspection.findings:
            item(console, finding)
    console.print()
    _print_plan(console, inspection, command)


def _counts_table(inspection: "Inspection") -> "Table":
    """A row a class, a column a part; the middle of many classes is left out."""
    from rich.table import Table

    title = "Pictures that show it" if inspection.labels else "Samples"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("" if inspection.label_kind == "number" else "class", overflow="fold")
    for split in inspection.counts:
        table.add_column("pictures" if split == "all" else split, justify="right")
    names = list(next(iter(inspection.counts.values())))
    for name in _ends(names):
        cells = [f"{part.get(name, 0):,}" if name else "..." for part in inspection.counts.values()]
        table.add_row(name or f"... {len(names) - CLASSES_SHOWN:,} more", *cells)
    if len(names) > 1 and inspection.label_kind == "class":
        totals = [f"{sum(part.values()):,}" for part in inspection.counts.values()]
        table.add_row("all", *totals, style="bold")
    return table


def _ends(names: list[str]) -> list[str | None]:
    """All names, or the first and last of many with None between them."""
    if len(names) <= CLASSES_SHOWN + 1:
        return list(names)
    half = CLASSES_SHOWN // 2
    return [*names[:half], None, *names[-half:]]


def _picture_facts(inspection: "Inspection") -> Iterator[tuple[str, str]]:
    all_of = "all" if inspection.decoded == inspection.pictures else f"of {inspection.pictures:,}"
    yield "decoded", f"{inspection.decoded:,} ({all_of})"
    if sizes := inspection.sizes:
        if sizes.different == 1:
            yield "height x width", f"{_size(sizes.median)}, all alike"
        else:
            yield (
                "height x width",
                f"{_size(sizes.smallest)} smallest, {_size(sizes.median)} median, "
                f"{_size(sizes.largest)} largest",
            )
    if inspection.channels:
        yield "colours", _numbered(inspection.channels)
    if inspection.forms:
        yield "stored as", _numbered(inspection.forms)
    if inspection.groups is not None:
        yield "groups", f"{inspection.groups:,}"
    if inspection.labels:
        yield from label_lines(inspection.labels)
    if inspection.numbers:
        yield "labels", ", ".join(f"{name} {n:g}" for name, n in inspection.numbers.items())


def _numbered(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _print_plan(console: "Console", inspection: "Inspection", command: str) -> None:
    plan = inspection.plan
    if plan.error is not None:
        console.print("Training would stop", style="bold")
        item(console, plan.error)
        return
    facts = [("task", plan.task), ("split", plan.split_how), ("parts", _parts(plan.pictures))]
    if plan.input_size:
        channels, height, width = plan.input_size
        what = "crops of pictures of " if plan.task == "segment" else ""
        facts.append(("network sees", f"{what}{channels} x {height} x {width}: {plan.input_why}"))
    facts.append(("start with", command))
    console.print(facts_table(facts, "What train would do"))


def _parts(pictures: dict[str, int]) -> str:
    return ", ".join(f"{part} {count:,}" for part, count in pictures.items())


def _command(
    data: Path, group: str | None, task: str | None, classes: str | None, ignore: int | None
) -> str:
    words = ["vitreous", "train", str(data)]
    words += ["--group", group] if group else []
    words += ["--task", task] if task else []
    words += ["--classes", classes] if classes else []
    words += ["--ignore", str(ignore)] if ignore is not None else []
    return shlex.join(words)
