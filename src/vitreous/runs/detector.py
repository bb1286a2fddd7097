"""The verbs of a detector's run: its end, later data, and two runs beside each other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.data.boxes.seen import true_boxes
from vitreous.data.samples import Source
from vitreous.errors import RequestError
from vitreous.evaluation.box_calibration import BoxCalibration
from vitreous.evaluation.box_comparison import compare_boxes
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.evaluation.compare import Comparison
from vitreous.evaluation.evaluation import WHOLE
from vitreous.files import write_json
from vitreous.runs.boxes import (
    BoxRunAnswers,
    box_answers_on,
    calibrate_boxes,
    drawn_pictures,
    score_boxes,
    without_answers,
    write_box_predictions,
)
from vitreous.runs.evaluate import (
    default_name,
    labelled_source,
    likeness_warning,
    opened,
    overlap_warning,
    require_known_labels,
    sealed_scores,
)
from vitreous.runs.predict import read_predictions
from vitreous.runs.predict_boxes import task_of_run
from vitreous.runs.prepare import Prepared, decode, refuse_too_many_skipped
from vitreous.runs.run import Run
from vitreous.runs.score_masks import Scored
from vitreous.runs.seen import seen_warnings
from vitreous.runs.talk import Talk
from vitreous.training.devices import serving_compute
from vitreous.training.loop import Training


def score_box_test(run: Run, prepared: Prepared, training: Training, talk: Talk) -> Scored:
    """Calibrate on the validation part, score the test part once and write the predictions."""
    task = task_of_run(run)
    calibration = calibrate_boxes(_answers(prepared, training, "val"), task)
    test = _answers(prepared, training, "test")
    talk.say(f"scoring {len(test.samples):,} test samples, once")
    rows = prepared.rows("train")
    known = without_answers(prepared.samples(rows), prepared.cache.sizes[rows])  # type: ignore
    evaluation = score_boxes(test, task, calibration, known, seed=run.record.seed)
    write_box_predictions(run.folder, test, task.classes, calibration)
    shown = evaluation.boxes.pictures if evaluation.boxes else ()
    drawn = drawn_pictures(shown, prepared.source, test, task.classes, calibration)
    return Scored(evaluation, calibration.to_json(), drawn)


def _answers(prepared: Prepared, training: Training, part: str) -> BoxRunAnswers:
    rows = prepared.rows(part)  # type: ignore[arg-type]
    return box_answers_on(
        training.network,
        training.task,  # type: ignore[arg-type]
        prepared.cache.pixels,
        prepared.cache.sizes,  # type: ignore[union-attr]
        rows,
        prepared.samples(rows),
        training.data.scaling,
        training.compute,
    )


def detector_answers_for(
    run: Run,
    data: str | Path | Source,
    *,
    group: str | None,
    max_skipped: float,
    device: str | None,
    talk: Talk,
) -> tuple[BoxRunAnswers, list[str]]:
    """The run's boxes on a labelled data set, and what to be careful about."""
    source = opened(run, data, group, talk)
    require_known_labels(run, source)
    source = _numbered_as(run, source)
    cache = decode(source, run.pixel_format, talk)
    refuse_too_many_skipped(source, cache, max_skipped, talk)
    rows = np.flatnonzero(cache.usable)
    compute = serving_compute(run.record.compute, device)
    answers = box_answers_on(
        compute.place(run.network),
        task_of_run(run),
        cache.pixels,
        cache.sizes,  # type: ignore[union-attr]
        rows,
        [source.samples[row] for row in rows],
        run.scaling,
        compute,
    )
    warnings = overlap_warning(run, data) + likeness_warning(run, cache.pixels, rows)
    warnings += seen_warnings(run, answers.samples)
    for warning in warnings:
        talk.warn(warning)
    return answers, warnings


def _numbered_as(run: Run, source: Source) -> Source:
    """The source with the run's numbers for its classes: later data may know fewer of them."""
    place = np.array([run.record.classes.index(name) for name in source.classes], np.int64)
    samples = tuple(
        replace(sample, label=replace(boxes, classes=place[boxes.classes]))
        for sample, boxes in ((sample, true_boxes(sample)) for sample in source.samples)
    )
    return replace(source, samples=samples, classes=tuple(run.record.classes))


def evaluate_detector(
    run: Run,
    data: str | Path | Source,
    *,
    name: str | None,
    group: str | None,
    max_skipped: float,
    device: str | None,
    talk: Talk,
) -> dict[str, Any]:
    """Scores on later data, written to evaluation-NAME.json beside the predictions."""
    called = name or default_name(data)
    answers, warnings = detector_answers_for(
        run, data, group=group, max_skipped=max_skipped, device=device, talk=talk
    )
    task, calibration = task_of_run(run), BoxCalibration.from_json(run.record.calibration)
    evaluation = score_boxes(
        answers, task, calibration, seed=run.record.seed, name=called, split=WHOLE
    )
    evaluation = replace(evaluation, warnings=(*warnings, *evaluation.warnings))
    path = run.folder / f"evaluation-{called}.json"
    write_json(path, evaluation.to_json())
    write_box_predictions(run.folder, answers, task.classes, calibration, called)
    talk.say(f"written to {path}")
    return evaluation.to_json()


def compare_detectors(
    first: Run, second: Run, data: str | Path | None, device: str | None, talk: Talk
) -> dict[str, Comparison]:
    """Both runs' average precision, paired by picture, on their common test part or on `data`.

    Raises `RequestError` where the test parts are not the same.
    """
    if data is None:
        source = labelled_source(first, Path(first.record.data.given), None)
        found = [_kept_answers(run) for run in (first, second)]
        if found[0].keys() != found[1].keys():
            raise RequestError(
                f"the test parts of {first.folder} ({len(found[0])} pictures) and {second.folder} "
                f"({len(found[1])}) are not the same; name labelled data to compare them on"
            )
        samples = [s for s in _numbered_as(first, source).samples if s.sample_id in found[0]]
        answers = [[each[sample.sample_id] for sample in samples] for each in found]
    else:
        both = [
            detector_answers_for(run, data, group=None, max_skipped=1.0, device=device, talk=talk)[
                0
            ]
            for run in (first, second)
        ]
        samples, answers = both[0].samples, [each.found for each in both]
    groups = [sample.group for sample in samples]
    return compare_boxes(
        [true_boxes(sample) for sample in samples],
        answers[0],
        answers[1],
        first.record.classes,
        groups=groups if any(groups) else None,
        names=(str(first.folder), str(second.folder)),
    )


def _kept_answers(run: Run) -> dict[str, BoxAnswers]:
    """The boxes of the sealed test part by picture, also of pictures without any."""
    sealed_scores(run)
    place = {name: number for number, name in enumerate(run.record.classes)}
    rows: dict[str, list[Sequence[float]]] = {
        row["sample_id"]: [] for row in read_predictions(run.folder / "counts.csv")
    }
    for row in read_predictions(run.folder / "predictions.csv"):
        sides = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        rows[row["sample_id"]].append([*sides, place[row["class"]], float(row["confidence"])])
    found = {name: np.array(each, np.float64).reshape(-1, 6) for name, each in rows.items()}
    return {
        name: BoxAnswers(each[:, :4], each[:, 4].astype(np.int64), each[:, 5])
        for name, each in found.items()
    }
