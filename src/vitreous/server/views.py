"""The run, its answers and its errors as the browser gets them."""

import numpy as np

from vitreous.data.listing import printable
from vitreous.errors import RequestError
from vitreous.report.payload import LARGEST_MATRIX, confused_pairs
from vitreous.report.traces import row_reach
from vitreous.report.words import metric_value, metric_words
from vitreous.runs.run import Run
from vitreous.runs.trials import trial_axes
from vitreous.runs.volumes import plan_of
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.placed import is_placed, placed_answer
from vitreous.server.samples import LARGEST_UPLOAD_BYTES, NotFoundError


def summary_of(explorer: Explorer) -> schemas.RunSummary:
    """What the run is."""
    run, evaluation = explorer.run, explorer.run.evaluation or {}
    card = run.record.network
    return schemas.RunSummary(
        name=printable(run.folder.resolve().name),
        task=run.record.task,  # type: ignore[arg-type]
        classes=[printable(name) for name in run.record.classes],
        unit=run.record.unit,
        network=card["name"],
        parameters=card["parameters"],
        input_shape=list(explorer.input_shape),
        trial=None if not run.of_trials else schemas.TrialFormat(**trial_axes(run)),
        scan=_scan_format(run) if run.of_scans else None,
        status=run.record.status,
        metrics=[_metric(name, found) for name, found in evaluation.get("metrics", {}).items()],
        parts=explorer.samples.counts(),
        samples_missing=explorer.samples.missing,
        warnings=evaluation.get("warnings", []),
        largest_upload_bytes=LARGEST_UPLOAD_BYTES,
        others=list(explorer.others),
    )


def _scan_format(run: Run) -> schemas.ScanFormat:
    spacing_mm = list(plan_of(run.record.data).spacing_mm)
    return schemas.ScanFormat(spacing_mm=spacing_mm, piece=run.record.task == "segment")


def _metric(name: str, found: dict) -> schemas.Metric:
    value, unit = found.get("value"), found.get("unit")
    return schemas.Metric(
        name=name,
        words=f"{metric_words(name)} {metric_value(name, value, unit)}",
        value=value,
        low=found.get("low"),
        high=found.get("high"),
        unit=unit,
        higher_is_better=bool(found["higher_is_better"]),
    )


def answer_of(explorer: Explorer, sample_id: str) -> schemas.Answer:
    """The run's answer for a sample, and how far the plain pass that is shown lies from it."""
    run = explorer.run
    if is_placed(run):
        return placed_answer(explorer, sample_id)
    row = explorer.samples.row(sample_id)
    found = explorer.answer(sample_id)
    plain = explorer.plain_answer(sample_id)
    served = np.array(found.probabilities if found.value is None else [found.value])
    shares = sorted(zip(found.classes, found.probabilities, strict=False), key=lambda one: -one[1])
    width = run.half_width
    ends = (None, None)
    if found.value is not None and width is not None:
        ends = (found.value - width, found.value + width)
    return schemas.Answer(
        sample=row,
        predicted=printable(str(found.predicted)),
        probabilities=[
            schemas.ClassShare(name=printable(name), probability=share) for name, share in shares
        ],
        value=found.value,
        low=ends[0],
        high=ends[1],
        temperature=run.temperature,
        views=run.views.count,
        number_format=explorer.compute.dtype,
        plain_gap=float(np.abs(served - plain).max()),
        areas=[],
        boxes=[],
    )


def traces_of(explorer: Explorer, sample_id: str) -> schemas.Traces:
    """How a trial's traces are drawn. Raises `RequestError` for pictures."""
    run = explorer.run
    if not run.of_trials:
        raise RequestError("this run is not of recordings: it has no traces")
    reach = row_reach(explorer.samples.seen(sample_id)[0])
    return schemas.Traces(reach=reach, unit=trial_axes(run)["unit"])


def errors_of(run: Run, rows: list[schemas.SampleRow]) -> schemas.Errors:
    """Counts of the scored answers. Raises `NotFoundError` where the test part was not scored."""
    evaluation = run.evaluation
    if is_placed(run):
        raise NotFoundError(
            "an answer that says what is where is seldom wholly right or wrong: report.html has "
            "the scores of each class, and the best and worst pictures"
        )
    if evaluation is None:
        raise NotFoundError(
            f"the run is {run.record.status}: its test part was not scored, so there are no errors "
            "to show"
        )
    confusion = evaluation.get("confusion") or {}
    classes = [printable(str(name)) for name in confusion.get("classes", [])]
    matrix = confusion.get("matrix", [])
    pairs = confused_pairs(classes, matrix) if classes else []
    scored = [row for row in rows if row.wrong is not None]
    return schemas.Errors(
        wrong=sum(bool(row.wrong) for row in scored),
        total=len(scored),
        classes=classes,
        matrix=matrix if 0 < len(classes) <= LARGEST_MATRIX else None,
        pairs=[schemas.ConfusedPair(**pair) for pair in pairs],
    )
