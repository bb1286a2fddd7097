"""`evaluate`: a run scored on later data, with a warning when it is not like the training data."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from vitreous.data.recognise import recognise
from vitreous.data.recordings import holds_recordings, read_recordings
from vitreous.data.samples import Source
from vitreous.errors import DataError, RequestError
from vitreous.evaluation.evaluation import WHOLE, Evaluation
from vitreous.evaluation.shift import like_training, picture_features, some_rows
from vitreous.files import write_json
from vitreous.runs.aligning import as_trained
from vitreous.runs.prepare import decode, refuse_too_many_skipped
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.scoring import Answers, answers_on, score, with_kappa, write_predictions
from vitreous.runs.seen import seen_warnings
from vitreous.runs.talk import Talk
from vitreous.runs.trials import settings_of_run, trials_of
from vitreous.runs.trials_seen import seen_trials_warning
from vitreous.training.checkpoints import load_tensors
from vitreous.training.devices import serving_compute


def evaluate(
    run: Run,
    data: str | Path | Source | None = None,
    *,
    name: str | None = None,
    group: str | None = None,
    max_skipped: float = 0.05,
    device: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Scores on labelled data, as evaluation.json has them; written to evaluation-NAME.json.

    Without data, those of the sealed test part, which were found once, at the end of training.
    Raises `DataError` when the data's labels are not the run's classes.
    """
    talk = Talk(quiet)
    if data is None:
        return sealed_scores(run)
    from vitreous.runs.places import placed_task  # which judges with what is below

    if placed := placed_task(run.task):
        return placed.evaluate(
            run, data, name=name, group=group, max_skipped=max_skipped, device=device, talk=talk
        )
    answers, warnings = answers_for(
        run, data, group=group, max_skipped=max_skipped, device=device, talk=talk
    )
    called = name or default_name(data)
    evaluation = score(answers, run.task, None, seed=run.record.seed, name=called, split=WHOLE)
    evaluation = replace(evaluation, warnings=(*warnings, *evaluation.warnings))
    if run.of_trials:
        evaluation = with_kappa(evaluation, answers, run.task, run.record.seed)
    write_predictions(run.folder / f"predictions-{called}.csv", answers, run.task)
    return keep_scores(run, evaluation, called, talk)


def keep_scores(run: Run, evaluation: Evaluation, called: str, talk: Talk) -> dict[str, Any]:
    """Write the scores of later data beside the run's own, and say where; as they were written."""
    path = run.folder / f"evaluation-{called}.json"
    write_json(path, evaluation.to_json())
    talk.say(f"written to {path}")
    return evaluation.to_json()


def sealed_scores(run: Run) -> dict[str, Any]:
    """The scores of the test part. Raises `RequestError` when the run did not come so far."""
    if run.evaluation is None:
        raise RequestError(
            f"{run.folder}: is {run.record.status}, its test part was not scored; "
            f"go on with `vitreous train --resume {run.folder}`"
        )
    return run.evaluation


def answers_for(
    run: Run,
    data: str | Path | Source,
    *,
    group: str | None,
    max_skipped: float,
    device: str | None,
    talk: Talk,
    together: Sequence[Run] = (),
) -> tuple[Answers, list[str]]:
    """The run's answers for all labelled samples of a data set, and what to be careful about.

    `together` are all runs of a study whose answers are averaged: what one has seen, all have.
    """
    source = opened(run, data, group, talk)
    require_known_labels(run, source)
    cache = decode(source, run.pixel_format, talk)
    refuse_too_many_skipped(source, cache, max_skipped, talk)
    rows = np.flatnonzero(cache.usable)
    pixels, warnings = cache.pixels, []
    if run.of_scans:
        from vitreous.runs.whole_scans import later_scans

        scans = later_scans(run, source, talk)
        refuse_too_many_skipped(source, replace(cache, skipped=scans.store.skipped), max_skipped,
                                talk)  # fmt: skip
        rows = np.flatnonzero(cache.usable & scans.store.usable)
        pixels = cast("np.ndarray", scans)  # reads like one
    if source.trials is not None:
        pixels, warnings = as_trained(run, pixels, source.trials.facts, together)
    compute = serving_compute(run.record.compute, device)
    answers = answers_on(
        compute.place(run.network),
        run.task,
        pixels,
        rows,
        [source.samples[row] for row in rows],
        run.scaling,
        compute=compute,
        views=run.views,
    )
    seen = []
    if source.trials is not None:
        seen = seen_trials_warning(together or [run], source, rows)
    warnings += seen or overlap_warning(run, data)
    if not run.of_trials:
        warnings += likeness_warning(run, cache.pixels, rows)
    warnings += seen_warnings(run, answers.samples)
    for warning in warnings:
        talk.warn(warning)
    return replace(answers, temperature=run.temperature, half_width=run.half_width), warnings


def opened(run: Run, data: str | Path | Source, group: str | None, talk: Talk) -> Source:
    """The data set that is given, or as `labelled_source` reads it; what it is, is said."""
    source = data if isinstance(data, Source) else labelled_source(run, Path(data), group)
    talk.say(f"{source.root}: {source.kind}: {source.why}")
    return source


def labelled_source(run: Run, path: Path, group: str | None) -> Source:
    """The data set recognised with the run's own settings, as far as they fit it.

    Later data need not have the column that named the groups, nor the one that held the label.
    """
    request = run.record.request
    if run.of_trials:
        return recordings_like(run, path, group)
    settings = [
        (group or request.get("group"), request.get("label")),
        (group, request.get("label")),
        (group, None),
    ]
    for number, (grouped, label) in enumerate(settings):
        try:
            return recognise(
                path,
                group=grouped,
                task=run.record.task,
                label=label,
                classes=request.get("classes"),
                ignore=request.get("ignore"),
                max_pixels=request["max_pixels"],
                for_training=False,
                slices=request.get("slices"),
            )
        except RequestError:
            if number == len(settings) - 1:
                raise
    raise AssertionError("the last try returns or raises")


def recordings_like(run: Run, path: Path, group: str | None = None) -> Source:
    """The recordings at a path, cut as the run's own were; raises as `recognise` does."""
    settings = settings_of_run(run.record.data, TrainRequest.from_json(run.record.request))
    settings = replace(settings, subject=group or settings.subject)
    if not holds_recordings(path, settings.sampling_rate_hz):
        raise DataError(f"{path}: holds no recording, which {run.folder} was trained on")
    source = read_recordings(path, settings)
    found, wanted = trials_of(source).values.shape[1:], run.pixel_format.size
    if found != wanted:
        raise DataError(
            f"{path}: trials of {found[0]} channels and {found[1]} samples, but {run.folder} takes "
            f"{wanted[0]} and {wanted[1]}"
        )
    return source


def require_known_labels(run: Run, source: Source) -> None:
    """Raises `DataError` when labels are missing or not of the run's kind or classes."""
    if source.label_kind != run.record.data.label_kind:
        raise DataError(
            f"{source.root}: its labels are of the kind '{source.label_kind}', "
            f"the run's are '{run.record.data.label_kind}'"
        )
    unknown = [name for name in source.classes if name not in run.record.classes]
    if unknown:
        raise DataError(
            f"{source.root}: class {', '.join(unknown)} is unknown to {run.folder}, "
            f"which knows {', '.join(run.record.classes)}"
        )


def overlap_warning(run: Run, data: str | Path | Source) -> list[str]:
    """Whether this is the data that the run was trained on: such scores are flattered."""
    path = data.root if isinstance(data, Source) else Path(data)
    if path.resolve() != Path(run.record.data.given).resolve():
        return []
    return [
        "this is the data that the run was trained on: the scores are flattered; "
        "those of the sealed test part are shown without DATA"
    ]


def likeness_warning(run: Run, pixels: np.ndarray, rows: np.ndarray) -> list[str]:
    """A sentence when the pictures can be told from the training pictures at a glance."""
    path = run.folder / "training_pictures.safetensors"
    if not path.is_file():
        return []
    training = load_tensors(path)["glances"].numpy()
    seed = run.record.seed
    likeness = like_training(training, picture_features(pixels, some_rows(rows, seed)), seed=seed)
    return [] if likeness.alike else [likeness.sentence]


def default_name(data: str | Path | Source) -> str:
    """A file name for the scores on a data set."""
    root = data.root if isinstance(data, Source) else Path(data)
    return re.sub(r"[^\w.-]+", "-", root.resolve().stem) or "data"
