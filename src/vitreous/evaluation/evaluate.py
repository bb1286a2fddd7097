"""Judge a set of answers: figures with intervals beside baselines, and where it goes wrong.

The three functions, one a task, take what the network gave for the samples of one part and return
an `Evaluation`. They read no file, run no network and choose nothing: the temperature and the
baselines come from the training and validation parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError, RequestError
from vitreous.evaluation.calibration import (
    calibrate,
    class_confidence,
    class_probabilities,
    label_confidence,
    label_probabilities,
)
from vitreous.evaluation.evaluation import WHOLE, Confusion, DoubtfulLabel, Evaluation
from vitreous.evaluation.figures import Sampling, class_figures, label_figures, number_figures
from vitreous.evaluation.label_errors import likely_label_errors
from vitreous.evaluation.metrics import top_label
from vitreous.evaluation.most_wrong import (
    most_wrong_classes,
    most_wrong_labels,
    most_wrong_numbers,
)
from vitreous.evaluation.resampling import RESAMPLES, Grouping, grouping
from vitreous.evaluation.scores import Score
from vitreous.evaluation.weighted import Values

FEW_SAMPLES = 30  # of a class, below which its row is hardly more than a hint
FEW_GROUPS = 20  # below which a bootstrap over groups is rough: 12 gave 92 to 95 % for 95 %
SMALL_PART = 100
LABEL_ERRORS_SHOWN = 50


def evaluate_classes(
    truth: NDArray[np.int64],
    logits: Values,
    *,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    groups: Sequence[str | None] | None = None,
    temperature: float = 1.0,
    baselines: Mapping[str, Values] | None = None,
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge a single-label classification.

    `truth` int (n,) are places in `classes`; `logits` float (n, classes) are the network's
    outputs before softmax (logarithms of probabilities serve as well, with a temperature of 1).
    All figures are those of softmax(logits / temperature). `baselines` maps a name to
    probabilities (n, classes). Raises `DataError` where outputs are not finite and
    `RequestError` where the shapes do not fit.
    """
    _check(truth, logits, sample_ids, (len(truth), len(classes)), baselines)
    grouped = grouping(groups, len(truth))
    sampling = Sampling(grouped, seed, resamples)
    probabilities = class_probabilities(logits, temperature)
    figures = class_figures(truth, probabilities, classes, sampling)
    compared = {
        label: class_figures(truth, each, classes, sampling).metrics
        for label, each in (baselines or {}).items()
    }
    counts = np.bincount(truth, minlength=len(classes))
    return Evaluation(
        name=name,
        split=split,
        task="classify",
        n=len(truth),
        n_groups=grouped.count if grouped.given else None,
        metrics=figures.metrics,
        per_class=figures.per_class,
        baselines=compared,
        confusion=confusion(truth, probabilities, classes),
        calibration=calibrate(
            class_confidence(truth, class_probabilities(logits)),
            class_confidence(truth, probabilities),
            temperature,
        ),
        most_wrong=most_wrong_classes(truth, probabilities, classes, sample_ids),
        label_errors=_doubtful(truth, probabilities, classes, sample_ids),
        warnings=evaluation_warnings(
            grouped, figures.metrics, split, dict(zip(classes, counts, strict=True))
        )
        + calibration_warning(figures.metrics["ece"]),
    )


def evaluate_labels(
    truth: NDArray[np.bool_],
    logits: Values,
    *,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    groups: Sequence[str | None] | None = None,
    temperature: float = 1.0,
    baselines: Mapping[str, Values] | None = None,
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge a multi-label classification: as `evaluate_classes`, with sigmoid for softmax.

    `truth` bool (n, classes), `logits` float (n, classes), baselines (n, classes). The reliability
    bins are over all (sample, label) pairs.
    """
    truth = truth.astype(np.bool_)
    _check(truth, logits, sample_ids, (len(truth), len(classes)), baselines)
    grouped = grouping(groups, len(truth))
    sampling = Sampling(grouped, seed, resamples)
    probabilities = label_probabilities(logits, temperature)
    figures = label_figures(truth, probabilities, classes, sampling)
    compared = {
        label: label_figures(truth, each, classes, sampling).metrics
        for label, each in (baselines or {}).items()
    }
    counts = dict(zip(classes, truth.sum(axis=0), strict=True))
    return Evaluation(
        name=name,
        split=split,
        task="classify-multilabel",
        n=len(truth),
        n_groups=grouped.count if grouped.given else None,
        metrics=figures.metrics,
        per_class=figures.per_class,
        baselines=compared,
        calibration=calibrate(
            label_confidence(truth, label_probabilities(logits)),
            label_confidence(truth, probabilities),
            temperature,
        ),
        most_wrong=most_wrong_labels(truth, probabilities, classes, sample_ids),
        warnings=evaluation_warnings(grouped, figures.metrics, split, counts),
    )


def evaluate_numbers(
    truth: Values,
    predicted: Values,
    *,
    unit: str | None = None,
    sample_ids: Sequence[str],
    groups: Sequence[str | None] | None = None,
    baselines: Mapping[str, Values] | None = None,
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge a regression: `truth` and `predicted` float (n,), both in `unit`."""
    _check(truth, predicted, sample_ids, (len(truth),), baselines)
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    grouped = grouping(groups, len(truth))
    sampling = Sampling(grouped, seed, resamples)
    scores = number_figures(truth, predicted, unit, sampling).metrics
    return Evaluation(
        name=name,
        split=split,
        task="regress",
        n=len(truth),
        n_groups=grouped.count if grouped.given else None,
        metrics=scores,
        baselines={
            label: number_figures(truth, each, unit, sampling).metrics
            for label, each in (baselines or {}).items()
        },
        most_wrong=most_wrong_numbers(truth, predicted, sample_ids),
        warnings=evaluation_warnings(grouped, scores, split, {}),
    )


def confusion(truth: NDArray[np.int64], probabilities: Values, classes: Sequence[str]) -> Confusion:
    """Counts of (true class, answered class) over the samples, (n, classes) probabilities."""
    k = len(classes)
    cells = np.bincount(truth * k + top_label(probabilities), minlength=k * k)
    return Confusion(tuple(classes), cells.reshape(k, k))


def _doubtful(
    truth: NDArray[np.int64],
    probabilities: Values,
    classes: Sequence[str],
    sample_ids: Sequence[str],
) -> tuple[DoubtfulLabel, ...]:
    found = likely_label_errors(truth, probabilities)[:LABEL_ERRORS_SHOWN]
    return tuple(
        DoubtfulLabel(sample_ids[one.index], classes[one.given], classes[one.suggested], one.score)
        for one in found
    )


def evaluation_warnings(
    groups: Grouping, scores: Mapping[str, Score], split: str, counts: Mapping[str, Any]
) -> tuple[str, ...]:
    """What a reader has to know before believing the figures; `counts` are samples a class."""
    n = len(groups.numbers)
    where, of_it = ("all", "") if split == WHOLE else (f"the {split} part", f"{split} ")
    said = []
    if n < SMALL_PART:
        said.append(f"only {n} samples in {where}: the intervals are wide")
    if groups.count == 1:
        said.append("all samples are of one group: no interval can be given")
    elif groups.given and groups.count < FEW_GROUPS:
        said.append(f"only {groups.count} groups: the intervals are rough")
    absent = [name for name, count in counts.items() if count == 0]
    few = [f"{name} ({count})" for name, count in counts.items() if 0 < count < FEW_SAMPLES]
    if absent:
        said.append(f"no {of_it}sample of: {_listed(absent)}; figures over classes leave them out")
    if few:
        said.append(f"fewer than {FEW_SAMPLES} {of_it}samples of: {_listed(few)}")
    said += [f"{name} is {score.method}" for name, score in scores.items() if score.value is None]
    return tuple(said)


def calibration_warning(error: Score) -> tuple[str, ...]:
    """That a calibration error says nothing, where calibrated answers come as far by chance."""
    if error.value is None or error.by_chance is None or error.value > error.by_chance:
        return ()
    return (
        f"the calibration error of {error.value:.3f} cannot be told from chance, which brings "
        f"calibrated answers up to {error.by_chance:.3f} on so few samples",
    )


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _check(
    truth: NDArray[Any],
    outputs: NDArray[Any],
    sample_ids: Sequence[str],
    shape: tuple[int, ...],
    baselines: Mapping[str, Values] | None,
) -> None:
    if len(truth) == 0:
        raise DataError("nothing to evaluate: the part has no sample")
    if len(sample_ids) != len(truth):
        raise RequestError(f"{len(sample_ids)} sample ids for {len(truth)} samples")
    for label, values in {"the network": outputs, **(baselines or {})}.items():
        if values.shape != shape:
            raise RequestError(f"answers of {label} have shape {values.shape}, not {shape}")
        if np.isnan(values).any():
            row = int(np.flatnonzero(np.isnan(values).reshape(len(values), -1).any(axis=1))[0])
            raise DataError(f"{sample_ids[row]}: the answer of {label} is not a number")
