"""`vitreous train DATA`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.config import Config
from vitreous.cli.options import Device, Group, Json, Quiet, TaskName
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
from vitreous.cli.volume_options import Dimensions, Memory, Plan, Slices
from vitreous.training.launcher import launched


def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A folder or table of labelled pictures, scans (DICOM, NIfTI...) or recordings."
        ),
    ] = None,
    task: TaskName = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="lenet5, resnet, or a convolutional backbone of timm by its name; for recordings "
            "eegnet, shallowconvnet and others of the table."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="What to start from: none (random), imagenet, timm's name of weights such as "
            "timm:resnet18.a1_in1k, a file (.safetensors, .pth), or a run; for recordings csp: "
            "band-pass filters and common spatial patterns of the training trials."
        ),
    ] = "none",
    accept_weights_licence: Annotated[
        bool,
        typer.Option(
            "--accept-weights-licence",
            help="Use weights whose licence does not allow every use (non-commercial, research).",
        ),
    ] = False,
    group: Group = None,
    label: Annotated[
        str | None,
        typer.Option(help="The column that holds the label: of the table, or participants.tsv."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of a mask's classes: a file, or names by commas in their numbers' order."
        ),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help="The number in masks that belongs to no class.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training part.")] = None,
    time: Annotated[
        str | None,
        typer.Option(
            help="How long decoding and training may take, such as 90s, 10m or 1h30m; "
            "scoring and the report come after it."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side that the network sees.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak, after warm-up.")] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="How unequal classes are met: none, loss or sampling; "
            "by default what validation prefers."
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(help="Larger pictures are skipped, not decoded.")
    ] = 178_000_000,
    max_skipped: Annotated[
        float, typer.Option(help="Share of files that may be unusable before it stops.")
    ] = 0.05,
    seed: Annotated[
        int,
        typer.Option(
            help="The same seed gives the same run on a CPU, with --precision and --compile fixed."
        ),
    ] = 0,
    device: Device = None,
    precision: Annotated[
        str,
        typer.Option(help="float32 or bfloat16 (weights stay float32); auto: the faster, timed."),
    ] = "auto",
    compile: Annotated[
        str, typer.Option(help="yes or no: torch.compile; auto: where it pays, timed.")
    ] = "auto",
    slices: Slices = None,
    memory: Memory = None,
    dimensions: Dimensions = None,
    plan: Plan = None,
    events: Events = None,
    window: Window = None,
    channels: Channels = None,
    only: Only = None,
    reference: Reference = None,
    notch: Notch = None,
    band: Band = None,
    resample: Resample = None,
    sampling_rate: SamplingRate = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="across-subjects, across-sessions, within-session or given: cross-validation, a "
            "run a fold; by default one run, divided as the recordings call for.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs a fold, each from another start.")] = 1,
    folds: Annotated[
        int | None, typer.Option(help="Parts that are tested in turn; of scans by patient.")
    ] = None,
    moving_standardisation: Annotated[
        bool,
        typer.Option(
            "--moving-standardisation",
            help="Recordings: each channel by the mean and deviation of its last seconds.",
        ),
    ] = False,
    align: Annotated[
        str | None,
        typer.Option(
            help="Recordings: Euclidean alignment of each subject's session: training (new ones by "
            "the mean of the training part) or transductive (by their own unlabelled trials)."
        ),
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option(
            help="Recordings: train on pieces of so many seconds, and average the answers for the "
            "pieces of a trial.",
            metavar="SECONDS",
        ),
    ] = None,
    recombine: Annotated[
        int | None,
        typer.Option(
            help="Recordings: beside each training trial one more, of so many pieces of others of "
            "its class and subject (0: none); by default as the network's recipe says."
        ),
    ] = None,
    accept_subject_leak: Annotated[
        bool,
        typer.Option(
            "--accept-subject-leak",
            help="Have subjects in train and test though the label is a subject's.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/DATA-1, -2, ...")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with a run that was stopped or killed.", metavar="RUN"),
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="tensorboard: write the curves for TensorBoard, too.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network, score it once on the sealed test part, and write a report."""
    from vitreous.cli.shown import print_result
    from vitreous.cli.shown_study import print_study
    from vitreous.runs.study import Study
    from vitreous.runs.train import train as train_run

    del config
    speaks = launched().rank == 0
    run = train_run(
        data,
        task=task,
        network=network,
        weights=weights,
        accept_weights_licence=accept_weights_licence,
        group=group,
        label=label,
        classes=classes,
        ignore=ignore,
        epochs=epochs,
        time=time,
        image_size=image_size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        balance=balance,
        max_pixels=max_pixels,
        max_skipped=max_skipped,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
        slices=slices,
        memory=memory,
        dimensions=dimensions,
        plan=plan,
        events=events,
        window=window,
        channels=channels,
        only=only,
        reference=reference,
        notch=notch,
        band=band,
        resample=resample,
        sampling_rate=sampling_rate,
        protocol=protocol,
        seeds=seeds,
        folds=folds,
        moving_standardisation=moving_standardisation,
        align=align,
        crop=crop,
        recombine=recombine,
        accept_subject_leak=accept_subject_leak,
        out=out,
        resume=resume,
        log=log,
        quiet=quiet,
    )
    if not speaks:
        return
    evaluation = run.evaluation or {}
    if as_json:
        print(json.dumps({"run": str(run.folder), "evaluation": evaluation}, indent=2))
        return
    if isinstance(run, Study):
        print_study(evaluation, f"{run.words} on {run.data_root}")
        print(f"study: {run.folder}\nreport: {run.folder / 'report.html'}")
        return
    print_result(evaluation, f"test part of {run.record.data.root}")
    print(f"run: {run.folder}\nreport: {run.folder / 'report.html'}")
