"""Answers of a network for labelled samples, and their scores: one way for every verb."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitreous.data.recordings import Trials
from vitreous.data.samples import Sample
from vitreous.data.split_table import label_text
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.evaluation.baselines import (
    label_prevalence,
    majority_class,
    thumbnail_label_logistic,
    thumbnail_logistic,
    thumbnail_ridge,
    training_mean,
)
from vitreous.evaluation.calibration import (
    LEAST_FOR_INTERVAL,
    fit_label_temperature,
    fit_temperature,
    prediction_half_width,
)
from vitreous.evaluation.chance import kappa_score
from vitreous.evaluation.evaluate import evaluate_classes, evaluate_labels, evaluate_numbers
from vitreous.evaluation.evaluation import Evaluation
from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS, Metric
from vitreous.evaluation.resampling import grouping
from vitreous.files import write_text
from vitreous.inference import ONE_VIEW, PLAIN, Compute, Views, outputs_of_rows
from vitreous.tasks import Task

METRICS: dict[str, dict[str, Metric]] = {
    "classify": CLASS_METRICS,
    "classify-multilabel": LABEL_METRICS,
    "regress": NUMBER_METRICS,
}


@dataclass(frozen=True)
class Answers:
    """A network's outputs for labelled samples, in their order."""

    samples: Sequence[Sample]
    truth: np.ndarray  # as `evaluation.metrics` takes it for the task
    logits: np.ndarray  # float64 (n, outputs); for a regression the numbers themselves, (n,)
    temperature: float = 1.0  # fitted on validation; calibrates probabilities
    half_width: float | None = None  # of a predicted number's 95 % interval, from validation

    @property
    def groups(self) -> list[str | None] | None:
        """The samples' groups; None where no sample has one."""
        groups = [sample.group for sample in self.samples]
        return groups if any(group is not None for group in groups) else None


def answers_on(
    network: nn.Module,
    task: Task,
    pixels: np.ndarray,
    rows: np.ndarray,
    samples: Sequence[Sample],
    scaling: Scaling | TrialScaling,
    *,
    compute: Compute = PLAIN,
    views: Views = ONE_VIEW,
) -> Answers:
    """Run the network on rows of decoded pictures; `samples` are those of the rows, in order."""
    outputs = outputs_of_rows(network, pixels, rows, scaling, compute, views)
    targets = task.encode([sample.label for sample in samples])
    if task.name == "regress":
        truth = np.array([float(sample.label) for sample in samples])  # type: ignore[arg-type]
        return Answers(samples, truth, task.answers(outputs).double().numpy()[:, 0])
    truth = targets.numpy() > 0.5 if task.name == "classify-multilabel" else targets.numpy()
    return Answers(samples, truth, outputs.double().numpy())


@dataclass(frozen=True)
class Calibrated:
    """What the validation part says of the network's doubt."""

    temperature: float = 1.0
    half_width: float | None = None  # of a predicted number's 95 % interval


def calibrate_on(validation: Answers, task: Task) -> Calibrated:
    """Fit what calibrates the answers, on the validation part, which has samples."""
    if task.name == "classify":
        return Calibrated(fit_temperature(validation.logits, validation.truth))
    if task.name == "classify-multilabel":
        return Calibrated(fit_label_temperature(validation.logits, validation.truth))
    return Calibrated(half_width=prediction_half_width(validation.logits - validation.truth))


def no_interval_words(validated: int) -> str:
    """Why predicted numbers have no interval: `validated` samples are too few to take it from."""
    why = f"only {validated} samples" if validated else "no validation part"
    return (
        f"predicted numbers are not calibrated, low and high stay empty: there is {why} that "
        f"their interval could be taken from ({LEAST_FOR_INTERVAL} samples are needed)"
    )


def probabilities(answers: Answers, task: Task) -> np.ndarray:
    """Calibrated probabilities (n, classes), or the numbers (n,) of a regression."""
    if task.name == "regress":
        return answers.logits
    return task.answers(torch.from_numpy(answers.logits), answers.temperature).double().numpy()


def score(
    answers: Answers,
    task: Task,
    baselines: dict[str, np.ndarray] | None,
    *,
    seed: int,
    name: str = "test",
    split: str = "test",
) -> Evaluation:
    """The answers judged, beside the baselines' answers to the same samples."""
    sample_ids = [sample.sample_id for sample in answers.samples]
    if task.name == "regress":
        return evaluate_numbers(
            answers.truth,
            answers.logits,
            sample_ids=sample_ids,
            groups=answers.groups,
            baselines=baselines,
            name=name,
            split=split,
            seed=seed,
        )
    judge = evaluate_classes if task.name == "classify" else evaluate_labels
    return judge(
        answers.truth,
        answers.logits,
        classes=task.classes,
        sample_ids=sample_ids,
        groups=answers.groups,
        temperature=answers.temperature,
        baselines=baselines,
        name=name,
        split=split,
        seed=seed,
    )


def write_predictions(path: Path, answers: Answers, task: Task) -> None:
    """predictions.csv: a row a sample, in the order of the samples."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if task.name == "regress":
        writer.writerow(["sample_id", "truth", "predicted", "low", "high"])
        writer.writerows(_number_rows(answers))
    else:
        writer.writerow(
            ["sample_id", "truth", "predicted", "confidence", *(f"p_{c}" for c in task.classes)]
        )
        writer.writerows(_class_rows(answers, task))
    write_text(path, text.getvalue())


def _class_rows(answers: Answers, task: Task) -> Iterator[list[Any]]:
    several = task.name == "classify-multilabel"
    for sample, shares in zip(answers.samples, probabilities(answers, task), strict=True):
        names = [task.classes[i] for i in np.flatnonzero(shares >= 0.5)]
        predicted = "|".join(names) if several else task.classes[int(shares.argmax())]
        numbers = [f"{share:.9g}" for share in shares]
        yield [
            sample.sample_id,
            label_text(sample.label),
            predicted,
            f"{shares.max():.9g}",
            *numbers,
        ]


def _number_rows(answers: Answers) -> Iterator[list[Any]]:
    width = answers.half_width  # nine digits: what float32 can tell apart
    for sample, value in zip(answers.samples, answers.logits, strict=True):
        ends = ["", ""] if width is None else [f"{value - width:.9g}", f"{value + width:.9g}"]
        yield [sample.sample_id, label_text(sample.label), f"{value:.9g}", *ends]


def baselines_for(
    task: Task,
    pixels: np.ndarray,
    train_rows: np.ndarray,
    targets: torch.Tensor,
    test_rows: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """What the simplest answers give for the test rows, by name: fitted on training rows only."""
    train_targets = targets[torch.from_numpy(train_rows)]
    if task.name == "classify":
        truth = train_targets.numpy()
        found = [
            majority_class(truth, len(test_rows), task.outputs),
            thumbnail_logistic(pixels, train_rows, truth, test_rows, task.outputs, seed=seed),
        ]
    elif task.name == "classify-multilabel":
        truth = train_targets.numpy() > 0.5
        found = [
            label_prevalence(truth, len(test_rows)),
            thumbnail_label_logistic(pixels, train_rows, truth, test_rows, seed=seed),
        ]
    else:
        truth = task.answers(train_targets).double().numpy()[:, 0]
        found = [
            training_mean(truth, len(test_rows)),
            thumbnail_ridge(pixels, train_rows, truth, test_rows, seed=seed),
        ]
    return {baseline.name: baseline.answers for baseline in found}


def trial_baselines_for(
    task: Task,
    trials: Trials,
    train_rows: np.ndarray,
    targets: torch.Tensor,
    test_rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """`baselines_for` of trials: the classical decoders, fitted on training trials only."""
    from vitreous.evaluation.eeg_baselines import eeg_baselines

    train_targets = targets[torch.from_numpy(train_rows)]
    if task.name != "classify":
        truth = task.answers(train_targets).double().numpy()[:, 0]
        mean = training_mean(truth, len(test_rows))
        return {mean.name: mean.answers}
    found = eeg_baselines(
        trials.values,
        trials.sampling_rate_hz,
        train_rows,
        train_targets.numpy(),
        test_rows,
        task.outputs,
    )
    return {baseline.name: baseline.answers for baseline in found}


def with_kappa(evaluation: Evaluation, answers: Answers, task: Task, seed: int) -> Evaluation:
    """The evaluation with Cohen's kappa, by which EEG decoders are compared."""
    if task.name != "classify":
        return evaluation
    grouped = grouping(answers.groups, len(answers.truth))
    found = kappa_score(answers.truth, probabilities(answers, task), grouped, seed=seed)
    return replace(evaluation, metrics={**evaluation.metrics, "kappa": found})
