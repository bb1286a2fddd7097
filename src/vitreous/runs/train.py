"""`train`: from a folder to a run that can be defended."""

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from vitreous.data.samples import SPLITS, Source, Split
from vitreous.data.split_table import read_split, write_split
from vitreous.errors import DataError, RequestError, unknown_name
from vitreous.networks.network import OWN
from vitreous.runs.clock import Clock
from vitreous.runs.finish import finish
from vitreous.runs.prepare import Prepared, data_record, decode, open_source, prepare
from vitreous.runs.record import RunRecord, command_line, versions
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.set_up import (
    fit_first_layer,
    network_for,
    new_training,
    own_network_card,
    planned,
    recipe_of,
    scaling_of,
    task_of,
    task_settings,
    training_data,
    weights_of,
)
from vitreous.runs.snapshots import Snapshots
from vitreous.runs.talk import Talk
from vitreous.training.checkpoints import load_checkpoint, load_tensors
from vitreous.training.devices import choose_compute, hardware, the_same_compute
from vitreous.training.loop import Training, Watcher, save
from vitreous.training.loop import train as run_loop
from vitreous.training.recipe import Recipe
from vitreous.training.tensorboard import TensorBoardLog

LOGS = (None, "tensorboard")


def train(
    data: str | Path | Source | None = None,
    *,
    task: str | None = None,
    network: str | nn.Module | None = None,
    weights: str = "none",
    accept_weights_licence: bool = False,
    group: str | None = None,
    label: str | None = None,
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
    out: str | Path | None = None,
    resume: str | Path | None = None,
    log: str | None = None,
    quiet: bool = False,
) -> Run:
    """Train a network on labelled pictures and score it once on a sealed test part.

    `data` is a folder, a table, or a `Source` from `vitreous.from_arrays`/`from_dataset`.
    `network` is a name (`lenet5`, `resnet`, any convolutional backbone of timm) or a module;
    `weights` are what it starts from: `none`, `imagenet`, a timm name with its tag, a file, a run.
    With `resume` a broken run goes on to the same weights; the other settings are then its own.

    Raises `DataError` for data that cannot be used and `RequestError` for settings that do not
    fit; KeyboardInterrupt leaves a run that can go on.
    """
    talk = Talk(quiet)
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
    )
    if resume is not None:
        refuse_new_settings(request, out, own is not None)
        return go_on(Path(resume), data, own, log, talk)
    if data is None:
        raise RequestError("name the data to train on, or a run to go on with: --resume RUN")
    source = data if isinstance(data, Source) else Path(data)
    folder = new_folder(out, source)
    try:
        return start(folder, source, request, own, log, talk)
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()  # nothing was begun


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
    talk: Talk,
) -> Run:
    """A new run in `folder`."""
    clock = Clock()
    compute = choose_compute(request.device, own_network=own is not None)
    weights = weights_of(request, own)
    prepared = prepare(data, request, talk, weights)
    clock.lap("prepare")
    task = task_of(prepared)
    examples = training_data(prepared, task, scaling_of(weights, prepared))
    if own is None:
        network = network_for(prepared, task, examples.scaling, request, weights, talk)
        if request.weights == "none":
            fit_first_layer(network, examples, talk)
        card = network.card
    else:
        network, card = own, own_network_card(own, prepared, task, examples.scaling)
    recipe = recipe_of(prepared, examples, request, card.name)
    training = new_training(task, examples, network, recipe, compute, request.seed, 1)
    training, notes = planned(training, request, clock.elapsed(), talk)
    clock.lap("plan")
    record = RunRecord(
        status="running",
        task=task.name,
        task_settings=task_settings(task),
        signal="image",
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
    source, cache = prepared.source, prepared.cache
    write_split(folder / "split.csv", source.samples, prepared.split, cache.skipped, source.skipped)
    training.folder = folder
    save(training)  # the first weights, too: what was random once is never drawn again
    record.write(folder)  # from here on `--resume` can go on
    return fit(Run(folder, record, own), prepared, training, log, clock, talk)


def go_on(
    folder: Path,
    data: str | Path | Source | None,
    own: nn.Module | None,
    log: str | None,
    talk: Talk,
) -> Run:
    """A broken run goes on: its plan, split and recipe are read, nothing is chosen again."""
    clock = Clock()
    record = RunRecord.read(folder)
    run = Run(folder, record, own)
    if record.status == "finished" and (folder / "report.html").exists():
        raise RequestError(f"{folder}: is finished; `vitreous evaluate {folder}` shows its scores")
    prepared = prepared_again(run, data, talk)
    examples = training_data(prepared, run.task, run.scaling)
    training = new_training(
        run.task,
        examples,
        run.untrained_network(),
        Recipe.from_json(record.recipe),
        the_same_compute(record.compute),
        record.seed,
        record.planned_steps,
    )
    training.state = load_checkpoint(
        folder, training.network, training.average, training.optimizers
    )
    training.best_tensors = load_tensors(folder / "network.safetensors")
    clock.lap("prepare")
    state = training.state
    talk.say(f"going on with {folder} at step {state.step:,} of {state.planned_steps:,}")
    record.status = "running"
    record.write(folder)
    return fit(run, prepared, training, log, clock, talk)


def prepared_again(run: Run, data: str | Path | Source | None, talk: Talk) -> Prepared:
    """The data of a run, decoded (from the cache) and split as it was.

    Raises `DataError` when it is not the data that the run was started on.
    """
    request = TrainRequest.from_json(run.record.request)
    where = data if isinstance(data, Source) else Path(data or run.record.data.given)
    source = open_source(where, request, talk)
    cache = decode(source, run.pixel_format, talk)
    if cache.fingerprint != run.record.data.fingerprint:
        raise DataError(
            f"{source.root}: is not the data that {run.folder} was started on "
            "(a file changed, came or went); start a new run"
        )
    parts = {row.sample_id: row.split for row in read_split(run.folder / "split.csv")}
    split: tuple[Split | None, ...] = tuple(
        _used(parts.get(sample.sample_id)) for sample in source.samples
    )
    return Prepared(source, cache, run.pixel_format, split, run.record.data.split_how, [], ())


def _used(part: str | None) -> Split | None:
    """A part as split.csv has it; None for what was skipped."""
    return next((split for split in SPLITS if split == part), None)


def fit(
    run: Run, prepared: Prepared, training: Training, log: str | None, clock: Clock, talk: Talk
) -> Run:
    """Run the loop, then score the test part once and write the report."""
    training.folder = run.folder
    with talk.training(training.metric) as bar:
        names = [sample.sample_id for sample in prepared.source.samples]
        snapshots = Snapshots(training, run.folder, names)
        training.watchers = (bar, snapshots, *log_watchers(log, run.folder))
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
    keep_state(run, training, "running")
    training.network.load_state_dict(training.best_tensors)
    finish(run, prepared, training, clock, talk)
    return run


def keep_state(run: Run, training: Training, status) -> None:
    """Write how far the training came into run.json."""
    best = training.state.best
    run.record.status = status
    run.record.best = vars(best) if best else None
    run.record.write(run.folder)


def log_watchers(log: str | None, folder: Path) -> tuple[Watcher, ...]:
    """The watchers that `--log` asks for."""
    return (TensorBoardLog(folder),) if log == "tensorboard" else ()


def new_folder(out: str | Path | None, data: Path | Source) -> Path:
    """An empty folder for a new run, made at once; an existing run is never overwritten."""
    if out is not None:
        folder = Path(out)
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(
                f"{folder}: is not empty; choose another --out, or go on with --resume {folder}"
            )
        _make(folder, exist_ok=True)
        return folder
    root = data.root if isinstance(data, Source) else data
    stem = re.sub(r"[^\w.-]+", "-", root.resolve().stem) or "run"
    return next(
        folder
        for folder in (Path(f"runs/{stem}-{number}") for number in itertools.count(1))
        if _make(folder, exist_ok=False)
    )


def _make(folder: Path, exist_ok: bool) -> bool:
    """Make a folder, so that no other training takes it; False when it is there already."""
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if exist_ok:
            raise RequestError(f"{folder}: is a file; choose another --out") from None
        return False
    except OSError as error:
        raise RequestError(f"{folder}: cannot be made ({error.strerror}); choose --out") from None
    return True
