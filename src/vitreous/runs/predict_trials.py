"""`predict` for recordings: an answer a trial, and marks in time that MNE and BIDS know."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np

from vitreous.data.recordings import Trials, read_recordings
from vitreous.data.samples import Source
from vitreous.errors import RequestError, VitreousError
from vitreous.inference import outputs_of_rows
from vitreous.runs.aligning import as_trained
from vitreous.runs.predict import Prediction
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.trials import settings_of_run, trials_of
from vitreous.training.devices import serving_compute

ERRORS_SAID = 8


def predict_recordings(
    run: Run, inputs: Sequence[str | Path], device: str | None = None
) -> Iterator[Prediction]:
    """Answers for the trials of recordings: at the run's events, or window by window without them.

    What cannot be read is an answer whose `error` says why, and so is each trial that is left out.
    """
    return predict_together([run], inputs, device)


def predict_together(
    runs: Sequence[Run], inputs: Sequence[str | Path], device: str | None = None
) -> Iterator[Prediction]:
    """`predict_recordings` of several runs whose trials were cut alike: the mean of their answers.

    Each recording is read once, as the first of the runs asks for it.
    """
    first = runs[0]
    classes = tuple(first.record.classes)
    for name in inputs:
        path = Path(name)
        try:
            source = unlabelled(first, path)
        except VitreousError as error:
            yield Prediction(str(name), classes, error=str(error))
            continue
        for item in source.skipped:
            if not item.harmless:
                yield Prediction(item.path, classes, error=item.reason)
        trials = trials_of(source)
        answers = np.mean([_answers(run, trials, device) for run in runs], axis=0)
        length = trials.window_s[1] - trials.window_s[0]
        number = first.task.name == "regress"
        for sample, fact, answer in zip(source.samples, trials.facts, answers, strict=True):
            yield Prediction(
                sample.sample_id,
                classes,
                () if number else tuple(map(float, answer)),
                float(answer[0]) if number else None,
                recording=fact.recording,
                onset_s=fact.start_s,
                duration_s=length,
            )


def _answers(run: Run, trials: Trials, device: str | None) -> np.ndarray:
    """What a run answers for trials that were cut as its own, float64 (n, outputs)."""
    compute = serving_compute(run.record.compute, device)
    pixels, _ = as_trained(run, trials.values[:, None], trials.facts)
    rows = np.arange(len(pixels))
    network = compute.place(run.network)
    outputs = outputs_of_rows(network, pixels, rows, run.scaling, compute, run.views)
    return run.task.answers(outputs, run.temperature).double().numpy()


def unlabelled(run: Run, path: Path) -> Source:
    """The trials of a recording, cut as the run's were; labels need not be known.

    Raises `DataError` for what cannot be read, `RequestError` for what does not fit the network.
    """
    settings = settings_of_run(run.record.data, TrainRequest.from_json(run.record.request))
    settings = replace(settings, label=None, task=None)  # a subject's label is what is asked for
    source = read_recordings(path, settings)
    found, wanted = trials_of(source).values.shape[1:], run.pixel_format.size
    if found != wanted:
        raise RequestError(
            f"{path}: trials of {found[0]} channels and {found[1]} samples, but {run.folder} takes "
            f"{wanted[0]} and {wanted[1]}"
        )
    return source


def errors_said(found: Iterable[Prediction], say: Callable[[str], None]) -> Iterator[Prediction]:
    """The answers as they come; errors, which marks have no room for, are told to `say`."""
    count = 0
    for item in found:
        if item.error is not None:
            count += 1
            if count <= ERRORS_SAID:
                known = item.error.startswith(item.sample_id)
                say(item.error if known else f"{item.sample_id}: {item.error}")
        yield item
    if count > ERRORS_SAID:
        say(f"... and {count - ERRORS_SAID:,} more errors, which --format csv has")


def write_marks(
    predictions: Iterable[Prediction], classes: Sequence[str], file: TextIO, file_format: str
) -> tuple[int, int]:
    """Marks of one recording: MNE's text of annotations, or BIDS' events table with probabilities.

    How many answers there were, and how many of them are errors, which have no mark. Raises
    `RequestError` where the answers are of several recordings, or are numbers.
    """
    writer = csv.writer(file, delimiter="\t" if file_format == "events" else ",",
                        lineterminator="\n")  # fmt: skip
    if file_format == "events":
        writer.writerow(["onset", "duration", "trial_type", *(f"p_{name}" for name in classes)])
    else:
        file.write("# MNE-Annotations\n# onset, duration, description\n")
    recording, count, errors = None, 0, 0
    for item in predictions:
        count += 1
        if item.error is not None:
            errors += 1
            continue
        if not item.probabilities or item.onset_s is None:
            raise RequestError(f"--format {file_format}: is for classes of trials in recordings")
        if recording not in (None, item.recording):
            raise RequestError(
                f"--format {file_format}: marks belong to one recording, these are of {recording} "
                f"and {item.recording}; predict one at a time"
            )
        recording = item.recording
        shares = [f"{share:.6f}" for share in item.probabilities]
        mark = str(item.predicted).replace(",", ";")  # commas divide the columns
        row = [f"{item.onset_s:.6f}", f"{item.duration_s:.6f}", mark]
        writer.writerow([*row, *shares] if file_format == "events" else row)
    return count, errors
