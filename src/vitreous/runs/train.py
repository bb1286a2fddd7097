"""`train`: from a folder to a run that can be defended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from vitreous.data.samples import SPLITS, Source, Split
from vitreous.data.split_table import read_split, write_split
from vitreous.errors import DataError, RequestError, unknown_name
from vitreous.networks.csp_start import CSP
from vitreous.networks.network import OWN
from vitreous.runs.aligning import alignment_of, as_trained, save_alignment, with_alignment
from vitreous.runs.clock import Clock
from vitreous.runs.finish import finish
from vitreous.runs.folders import is_study, run_folder
from vitreous.runs.places import placed_task
from vitreous.runs.prepare import (
    Prepared,
    data_record,
    decode,
    decode_masks,
    open_source,
    prepare_together,
)
from vitreous.runs.recipes import crops_of, recipe_of
from vitreous.runs.record import RunRecord, command_line, versions
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.set_up import (
    fit_first_layer,
    head_first,
    network_for,
    new_training,
    on_fastest_path,
    own_network_card,
    planned,
    scaling_of,
    task_of,
    task_settings,
    training_data,
    weights_of,
)
from vitreous.runs.snapshots import Snapshots
from vitreous.runs.talk import Talk
from vitreous.runs.trial_start import start_on_trials
from vitreous.runs.trials import TrialStore, asks_for_study, trials_of
from vitreous.runs.volumes import scans_again, write_plan
from vitreous.training.checkpoints import load_checkpoint, load_tensors
from vitreous.training.devices import choose_compute, hardware, the_same_compute
from vitreous.training.head_first import start_as_best
from vitreous.training.loop import Training, Watcher, save
from vitreous.training.loop import train as run_loop
from vitreous.training.processes import Processes, processes_together
from vitreous.training.recipe import Recipe
from vitreous.training.tensorboard import TensorBoardLog

if TYPE_CHECKING:
    from vitreous.runs.study import Study

LOGS = (None, "tensorboard")


@dataclass(frozen=True)
class Member:
    """What a study has ready for each of its runs: data, divided, and what baselines answer."""

    prepared: Prepared
    baselines: dict[str, np.ndarray] | None  # None: found by the run itself
    first: bool  # of the study: its report alone has the table of layers, which all share


def train(
    data: str | Path | Source | None = None,
    *,
    task: str | None = None,
    network: str | nn.Module | None = None,
    weights: str = "none",
    accept_weights_licence: bool = False,
    group: str | None = None,
    label: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    ignore: int | None = None,
    epochs: int | None = None,
    time: str | float | None = None,
    image_size: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    balance: str | None = None,
    max_pixels: int = 178_000_000,
    max_skipped: float = 0.05,
    seed: int = 0,
    device: str | None = None,
    precision: str = "auto",
    compile: str = "auto",
    slices: str | None = None,
    memory: str | None = None,
    plan: str | Path | None = None,
    dimensions: str | None = None,
    events: str | None = None,
    window: str | None = None,
    channels: str | None = None,
    only: str | None = None,
    reference: str | None = None,
    notch: float | None = None,
    band: str | None = None,
    resample: float | None = None,
    sampling_rate: float | None = None,
    protocol: str | None = None,
    seeds: int = 1,
    folds: int | None = None,
    moving_standardisation: bool = False,
    align: str | None = None,
    crop: float | None = None,
    recombine: int | None = None,
    accept_subject_leak: bool = False,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    log: str | None = None,
    quiet: bool = False,
) -> "Run | Study":
    """Train a network on labelled pictures or recordings and score it once on a sealed test part.

    `data` is a folder, a table, or a `Source` from `vitreous.from_arrays`/`from_dataset`.
    `network` is a name (`lenet5`, `resnet`, any convolutional backbone of timm) or a module;
    `weights` are what it starts from: `none`, `imagenet`, a timm name with its tag, a file, a run.
    Scans are trained on by the plan in the file `plan`, or one made to fit `memory` for a network
    of so many `dimensions` (2, 2.5, 3); with `slices` (axial, coronal, sagittal) each slice is a
    picture.
    Recordings with a `protocol`, `folds` or several `seeds` make a `Study`: a run a fold and seed;
    so do whole scans with `folds`, which are divided by patient.
    With `resume` a broken run or study goes on to the same weights; the other settings are then
    its own.
    Under torchrun each process trains on its part of every batch, and the first one writes the run.

    Raises `DataError` for data that cannot be used and `RequestError` for settings that do not
    fit; KeyboardInterrupt leaves a run that can go on.
    """
    if log not in LOGS:
        raise unknown_name("log", str(log), [name for name in LOGS if name])
    own = network if isinstance(network, nn.Module) else None
    request = TrainRequest(
        task=task,
        network=OWN if isinstance(network, nn.Module) else network,
        weights=weights,
        accept_weights_licence=accept_weights_licence,
        group=group,
        label=label,
        classes=classes_text(classes),
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
        plan=None if plan is None else str(plan),
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
    )
    if resume is not None:
        refuse_new_settings(request, out, own is not None)
    elif data is None:
        raise RequestError("name the data to train on, or a run to go on with: --resume RUN")
    with processes_together() as processes:
        talk = Talk(quiet or not processes.first)
        if asks_for_study(request) or (resume is not None and is_study(Path(resume))):
            from vitreous.runs.study import train_study

            return train_study(data, request, own, out, resume, log, processes, talk)
        if resume is not None or data is None:
            return go_on(Path(resume or ""), data, own, log, processes, talk)
        source = data if isinstance(data, Source) else Path(data)
        folder, begun = run_folder(out, source, request, processes)
        if begun:
            run = Run.load(folder, own)
            return run if run.finished else go_on(folder, data, own, log, processes, talk)
        try:
            return start(folder, source, request, own, log, processes, talk)
        finally:
            if processes.first and not any(folder.iterdir()):
                folder.rmdir()  # nothing was begun


def classes_text(classes: str | Path | Sequence[str] | None) -> str | None:
    """The names of classes as `--classes` has them."""
    if classes is None or isinstance(classes, str | Path):
        return None if classes is None else str(classes)
    return ",".join(classes)


def refuse_new_settings(request: TrainRequest, out: object, own_network: bool) -> None:
    """A run goes on as it was planned. Raises `RequestError` naming the settings to leave out."""
    usual = TrainRequest(network=OWN if own_network else None).to_json()
    given = [name for name, value in request.to_json().items() if value != usual[name]]
    given += ["out"] if out is not None else []
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise RequestError(f"--resume goes on with the run's own settings; leave out {flags}")


def start(
    folder: Path,
    data: Path | Source,
    request: TrainRequest,
    own: nn.Module | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
    member: Member | None = None,
) -> Run:
    """A new run in `folder`; a member of a study comes with its data prepared."""
    clock = Clock()
    weights = processes.one_a_machine_first("weights", lambda: weights_of(request, own))
    if member is None:
        prepared = prepare_together(data, request, processes, talk, weights)
        prepared = with_alignment(prepared, request.align, talk)
    else:
        prepared = member.prepared
    of_trials = prepared.source.trials is not None
    # one map of one channel: to lay it channels last is work for nothing
    compute = choose_compute(
        request.device, own is not None or of_trials or prepared.scans is not None, processes
    )
    clock.lap("prepare")
    task = task_of(prepared)
    examples = training_data(prepared, task, scaling_of(weights, prepared))
    if own is None:
        network = network_for(prepared, task, examples.scaling, request, weights, talk)
        if request.weights == "none":
            fit_first_layer(network, examples, talk)
        if weights is None and (of_trials or request.weights == CSP):
            views = crops_of(prepared, request)
            for note in start_on_trials(network, examples, request.weights, views):
                talk.say(note)
        card = network.card
    else:
        network, card = own, own_network_card(own, prepared, task, examples.scaling, request)
    recipe = recipe_of(prepared, examples, task, request, card.name, weights)
    training = new_training(task, examples, network, recipe, compute, request.seed, 1, processes)
    elapsed = processes.agreed(clock.elapsed())
    training, notes = on_fastest_path(training, request, elapsed, talk)
    if weights is not None:
        notes += head_first(training, prepared, talk)
    elapsed = processes.agreed(clock.elapsed())
    training, more = planned(training, request, elapsed, talk)
    notes += more
    if weights is not None and placed_task(task) is None:
        start_as_best(training)
    clock.lap("plan")
    record = RunRecord(
        status="running",
        task=task.name,
        task_settings=task_settings(task),
        signal="eeg" if of_trials else "image" if prepared.scans is None else "volume",
        classes=list(task.classes),
        unit=None,
        data=data_record(prepared, request, data),
        network=card.to_json(),
        recipe=training.recipe.to_json(),
        compute=training.compute.to_json(),
        planned_steps=training.state.planned_steps,
        seed=request.seed,
        request=request.to_json(),
        versions=versions(),
        hardware=hardware(),
        command=command_line(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=notes,
    )
    run = Run(folder, record, own)
    if processes.first:
        begin(run, prepared, training)
    return fit(run, prepared, training, log, clock, talk, member)


def begin(run: Run, prepared: Prepared, training: Training) -> None:
    """Write what the run starts from; from then on `--resume` can go on."""
    source, cache = prepared.source, prepared.cache
    path = run.folder / "split.csv"
    write_split(path, source.samples, prepared.split, cache.skipped, source.skipped)
    save_alignment(run.folder, prepared.alignment)
    if prepared.scans is not None:
        write_plan(run.folder, prepared.scans)
    training.folder = run.folder
    save(training)  # the first weights, too: what was random once is never drawn again
    run.record.write(run.folder)


def go_on(
    folder: Path,
    data: str | Path | Source | None,
    own: nn.Module | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
    member: Member | None = None,
) -> Run:
    """A broken run goes on: its plan, split and recipe are read, nothing is chosen again."""
    clock = Clock()
    record = RunRecord.read(folder)
    run = Run(folder, record, own)
    if run.finished:
        raise RequestError(f"{folder}: is finished; `vitreous evaluate {folder}` shows its scores")
    prepared = processes.one_a_machine_first(
        "decoded", lambda: prepared_again(run, data, talk, member)
    )
    examples = training_data(prepared, run.task, run.scaling)
    training = new_training(
        run.task,
        examples,
        run.untrained_network(),
        Recipe.from_json(record.recipe),
        the_same_compute(record.compute, processes),
        record.seed,
        record.planned_steps,
        processes,
    )
    training.state = load_checkpoint(
        folder, training.network, training.average, training.optimizers
    )
    training.best_tensors = load_tensors(folder / "network.safetensors")
    refuse_another_checkpoint(folder, training)
    clock.lap("prepare")
    state = training.state
    talk.say(f"going on with {folder} at step {state.step:,} of {state.planned_steps:,}")
    record.compute = {**record.compute, "processes": processes.count}
    keep_state(run, training, "running")
    return fit(run, prepared, training, log, clock, talk, member)


def refuse_another_checkpoint(folder: Path, training: Training) -> None:
    """Raises `DataError` where a process has read another checkpoint than the first one."""
    step = training.state.step
    if training.processes.agreed(step) != step:
        raise DataError(
            f"{folder}: not every machine sees the same checkpoint in it; "
            "let all machines share the folder of the run"
        )


def prepared_again(
    run: Run, data: str | Path | Source | None, talk: Talk, member: Member | None = None
) -> Prepared:
    """The data of a run, decoded (from the cache) and split as it was.

    Raises `DataError` when it is not the data that the run was started on.
    """
    request = TrainRequest.from_json(run.record.request)
    where = data if isinstance(data, Source) else Path(data or run.record.data.given)
    source = open_source(where, request, talk)
    parts = {row.sample_id: row.split for row in read_split(run.folder / "split.csv")}
    split: tuple[Split | None, ...] = tuple(
        _used(parts.get(sample.sample_id)) for sample in source.samples
    )
    if source.volumes is not None:
        prepared = scans_again(source, run.record.data, split, talk)
        refuse_other_data(prepared.cache.fingerprint, source, run)
        return prepared
    alignment = alignment_of(run)
    if member is not None:
        cache = member.prepared.cache  # aligned, where the study's trials are
    else:
        cache = decode(source, run.pixel_format, talk)
        if isinstance(cache, TrialStore):
            pixels, _ = as_trained(run, cache.pixels, trials_of(source).facts)
            cache = replace(cache, pixels=pixels)
    refuse_other_data(cache.fingerprint, source, run)
    masks = decode_masks(source, cache, run.pixel_format, talk)
    how = run.record.data.split_how
    return Prepared(source, cache, run.pixel_format, split, how, [], (), alignment, masks)


def refuse_other_data(fingerprint: str, source: Source, run: Run) -> None:
    """Raises `DataError` where data are not those that a run was started on."""
    if fingerprint != run.record.data.fingerprint:
        raise DataError(
            f"{source.root}: is not the data that {run.folder} was started on "
            "(a file changed, came or went); start a new run"
        )


def _used(part: str | None) -> Split | None:
    """A part as split.csv has it; None for what was skipped."""
    return next((split for split in SPLITS if split == part), None)


def fit(
    run: Run,
    prepared: Prepared,
    training: Training,
    log: str | None,
    clock: Clock,
    talk: Talk,
    member: Member | None = None,
) -> Run:
    """Run the loop, then score the test part once and write the report."""
    processes = training.processes
    word = "trials" if run.of_trials else "pictures"
    with talk.training(training.metric, word) as bar:
        if processes.first:
            training.folder = run.folder
            names = [sample.sample_id for sample in prepared.source.samples]
            plain = member or prepared.scans is not None
            snapshots = () if plain else (Snapshots(training, run.folder, names),)
            training.watchers = (bar, *snapshots, *log_watchers(log, run.folder))
        try:
            run_loop(training)
        except KeyboardInterrupt:
            keep_state(run, training, "interrupted")
            talk.say(
                f"stopped after step {training.state.step:,}; go on with "
                f"`vitreous train --resume {run.folder}`; the test part was not looked at"
            )
            raise
    clock.lap("train")
    state = training.state
    share = state.seconds_waiting / max(state.seconds, 1e-9)
    talk.say(f"{share:.1%} of the training time was spent waiting for {word}")
    keep_state(run, training, "running")
    if processes.first:
        training.network.load_state_dict(training.best_tensors)
        baselines = member.baselines if member else None
        finish(run, prepared, training, clock, talk, baselines, member is None or member.first)
    processes.all_reach("the end")
    return run if processes.first else Run.load(run.folder, run.own_network)


def keep_state(run: Run, training: Training, status) -> None:
    """Write how far the training came into run.json."""
    if not training.processes.first:
        return
    best = training.state.best
    run.record.status = status
    run.record.best = vars(best) if best else None
    run.record.write(run.folder)


def log_watchers(log: str | None, folder: Path) -> tuple[Watcher, ...]:
    """The watchers that `--log` asks for."""
    return (TensorBoardLog(folder),) if log == "tensorboard" else ()
