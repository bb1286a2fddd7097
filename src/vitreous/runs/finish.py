"""The end of a training: calibrate, score the test part once, write answers and the report."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from vitreous.data.transforms import to_network_input
from vitreous.errors import RequestError
from vitreous.evaluation.shift import picture_features
from vitreous.files import write_json
from vitreous.insight.eeg_listening import Listening
from vitreous.insight.filters import Filters, first_filters
from vitreous.insight.maps import chosen_maps
from vitreous.insight.receptive_fields import field_sizes
from vitreous.networks.graph import Graph, capture
from vitreous.networks.table import network_table
from vitreous.report.extras import Drawn, Extras, PictureMaps, picture_bytes
from vitreous.report.payload import wanted_pictures, wanted_walk
from vitreous.report.render import write_report
from vitreous.report.traces import traces_png
from vitreous.report.walk import WalkSample, walk_shown
from vitreous.runs.clock import Clock
from vitreous.runs.listening import listening_of_run
from vitreous.runs.places import placed_task
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.scoring import (
    Answers,
    Calibrated,
    answers_on,
    baselines_for,
    calibrate_on,
    no_interval_words,
    score,
    trial_baselines_for,
    with_kappa,
    write_predictions,
)
from vitreous.runs.seen import seen_warnings
from vitreous.runs.talk import Talk
from vitreous.runs.trials import trial_axes
from vitreous.runs.trials_seen import remember_training_trials
from vitreous.runs.volumes import scans_of
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import save_tensors
from vitreous.training.loop import Training

REMEMBERED = 2000  # training pictures whose statistics are kept, to know later data by
MAPS_OF = 3  # pictures whose feature maps are shown


def finish(
    run: Run,
    prepared: Prepared,
    training: Training,
    clock: Clock,
    talk: Talk,
    baselines: dict[str, np.ndarray] | None = None,
    with_table: bool = True,
) -> None:
    """Score, write evaluation.json, predictions.csv and the report, and mark the run finished.

    `baselines` are answers for the test rows where they were found before (several runs on one
    division have the same). Without `with_table` the report has no table of layers, which takes
    seconds to capture.
    """
    if placed := placed_task(run.task):
        scored = placed.score(run, prepared, training, talk)
        seen = seen_warnings(run, prepared.samples(prepared.rows("test")))
        evaluation = replace(scored.evaluation, warnings=(*seen, *scored.evaluation.warnings))
        write_json(run.folder / "evaluation.json", evaluation.to_json())
        run.record.calibration = scored.calibration
        end(run, prepared, training, clock, with_table, scored.drawn)
        return
    calibrated, uncalibrated = _calibrated(prepared, training)
    test = replace(_answers(prepared, training, "test"), **asdict(calibrated))
    talk.say(f"scoring {len(test.samples):,} test samples, once")
    alone = baselines is None
    if baselines is None:
        baselines = baselines_of(prepared, training.data, run.task, run.record.seed)
    evaluation = score(test, run.task, baselines, seed=run.record.seed)
    seen = seen_warnings(run, test.samples)
    alignment = prepared.alignment
    said = [alignment.words] if alignment is not None and alignment.transductive else []
    evaluation = replace(evaluation, warnings=(*said, *uncalibrated, *seen, *evaluation.warnings))
    if run.of_trials:
        evaluation = with_kappa(evaluation, test, run.task, run.record.seed)
    accuracy = evaluation.metrics.get("accuracy") if alone else None
    listening = listening_of_run(prepared, training, run.task, accuracy)
    if listening and listening.alarm and listening.alarm.raised:
        talk.warn(listening.alarm.words)
        warnings = (listening.alarm.words, *evaluation.warnings)
        evaluation = replace(evaluation, warnings=warnings)
    run.record.calibration = asdict(calibrated)
    write_json(run.folder / "evaluation.json", evaluation.to_json())
    write_predictions(run.folder / "predictions.csv", test, run.task)
    end(run, prepared, training, clock, with_table, listening=listening)


def end(
    run: Run,
    prepared: Prepared,
    training: Training,
    clock: Clock,
    with_table: bool,
    drawn: Sequence[Drawn] = (),
    listening: Listening | None = None,
) -> None:
    """Keep what later data are compared with, mark the run finished, and write the report."""
    if run.of_trials:
        remember_training_trials(run, prepared)
    else:
        remember_training_pictures(run, prepared)
    clock.lap("evaluate")
    waiting = {"waiting_for_pictures": round(training.state.seconds_waiting, 3)}
    run.record.seconds = clock.seconds() | waiting
    run.record.status = "finished"
    run.record.planned_steps = training.state.planned_steps  # as shortened to keep the time
    run.record.write(run.folder)  # before the report, which shows it
    write_report(run.folder, extras_of(run, prepared, training, with_table, listening, drawn))


def baselines_of(
    prepared: Prepared, data: TrainingData, task: Task, seed: int
) -> dict[str, np.ndarray]:
    """What the simplest answers give for the test rows of prepared data, by name."""
    test_rows = prepared.rows("test")
    if prepared.source.trials is not None:
        return trial_baselines_for(
            task, prepared.source.trials, data.train_rows, data.targets, test_rows
        )
    return baselines_for(
        task, prepared.cache.pixels, data.train_rows, data.targets, test_rows, seed
    )


def _calibrated(prepared: Prepared, training: Training) -> tuple[Calibrated, list[str]]:
    """What the validation part says of the network's doubt, and what it is too small to say."""
    if not len(prepared.rows("val")):  # of few trials all train: decision 0014
        calibrated = Calibrated()
    else:
        calibrated = calibrate_on(_answers(prepared, training, "val"), training.task)
    numbers = training.task.name == "regress" and calibrated.half_width is None
    return calibrated, [no_interval_words(len(prepared.rows("val")))] if numbers else []


def _answers(prepared: Prepared, training: Training, part: str) -> Answers:
    rows = prepared.rows(part)  # type: ignore[arg-type]
    return answers_on(
        training.network,
        training.task,
        training.data.pixels,
        rows,
        prepared.samples(rows),
        training.data.scaling,
        compute=training.compute,
        views=training.recipe.views,
    )


def remember_training_pictures(run: Run, prepared: Prepared) -> None:
    """Keep what a glance sees of some training pictures, so that later data can be compared."""
    rows = prepared.rows("train")
    chosen = rows[np.linspace(0, len(rows) - 1, min(REMEMBERED, len(rows))).round().astype(int)]
    glances = picture_features(prepared.cache.pixels, chosen)
    save_tensors(
        run.folder / "training_pictures.safetensors", {"glances": torch.from_numpy(glances)}, {}
    )


def extras_of(
    run: Run,
    prepared: Prepared,
    training: Training,
    with_table: bool = True,
    listening: Listening | None = None,
    drawn: Sequence[Drawn] = (),
) -> Extras:
    """What the report shows that only this process has: pictures, kernels, maps, the table."""
    row_of = {sample.sample_id: row for row, sample in enumerate(prepared.source.samples)}
    pixels = prepared.cache.pixels
    shown = [] if run.of_trials else wanted_pictures(run.folder)
    shown = shown or [one.sample_id for one in drawn]
    wanted = {name: picture_bytes(pixels[row_of[name]]) for name in shown}
    network = training.network.cpu().eval()
    if prepared.scans is not None:  # maps of three dimensions and a walk: in the explorer
        return Extras(
            wanted,
            filters=_kernels(network),
            network_table=_table_of_scans(network, prepared) if with_table else (),
            drawn=drawn,
        )
    # curves in Hz say more of kernels in time than tiles of their weights
    filters = None if listening and listening.spectra else _kernels(network)
    maps: list[PictureMaps] = []
    with suppress(RequestError):
        maps = _maps(network, training, pixels, list(wanted)[:MAPS_OF], row_of, wanted)
    graph = _graph(network, prepared, training) if with_table else None
    table = [] if graph is None else network_table(graph, field_sizes(graph))
    walk, missing = None, ""
    if graph is not None and placed_task(run.task) is None:
        samples = _walked(run, training, pixels, row_of)
        try:
            trial = trial_axes(run) if run.of_trials else None
            walk = walk_shown(graph, samples, run.record.network["name"], trial=trial)
        except RequestError as error:  # too many numbers
            missing = str(error)
    return Extras(
        pictures=wanted,
        filters=filters,
        feature_maps=maps,
        network_table=table,
        listening=listening,
        drawn=drawn,
        walk=walk,
        walk_missing=missing,
    )


def _kernels(network) -> Filters | None:
    with suppress(RequestError):  # a user's own network may have no such convolution
        return first_filters(network)
    return None


def _table_of_scans(network, prepared: Prepared) -> list[dict[str, Any]]:
    """The table of layers for one patch, or one whole scan."""
    plan = scans_of(prepared).plan
    with suppress(RequestError):
        graph = capture(network, torch.zeros(1, len(plan.normalisation), *plan.patch))
        return network_table(graph, field_sizes(graph))
    return []


def _graph(network, prepared: Prepared, training: Training) -> Graph | None:
    with suppress(RequestError):  # a way through the layers that depends on the input
        return capture(
            network, _inputs(prepared.cache.pixels, prepared.rows("train")[:1], training)
        )
    return None


def _walked(run: Run, training: Training, pixels, row_of: dict[str, int]) -> list[WalkSample]:
    """Wrong and right answers in turn, with what the network was given."""
    return [
        WalkSample(
            answer,
            _inputs(pixels, np.array([row]), training),
            traces_png(pixels[row][0]) if run.of_trials else picture_bytes(pixels[row]),
        )
        for answer in wanted_walk(run.folder)
        if (row := row_of.get(answer["sample_id"])) is not None
    ]


def _maps(network, training, pixels, shown, row_of, pictures) -> list[PictureMaps]:
    if not shown:
        return []
    inputs = _inputs(pixels, np.array([row_of[name] for name in shown]), training)
    maps = chosen_maps(network, inputs)
    return [
        PictureMaps(name, pictures[name], layers) for name, layers in zip(shown, maps, strict=True)
    ]


def _inputs(pixels: np.ndarray, rows: np.ndarray, training: Training) -> torch.Tensor:
    inputs = to_network_input(torch.from_numpy(pixels[rows]), training.data.scaling)
    return training.recipe.views.one(inputs)
