"""Scores of a study: all folds together, by fold, by subject, over seeds, and against chance."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.data.folds import Fold
from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Sample
from vitreous.errors import DataError
from vitreous.evaluation import intervals
from vitreous.evaluation.baselines import MAJORITY
from vitreous.evaluation.chance import kappa_score, permutation_test
from vitreous.evaluation.eeg_baselines import CSP
from vitreous.evaluation.evaluate import (
    calibration_warning,
    confusion,
    evaluate_classes,
    evaluation_warnings,
)
from vitreous.evaluation.evaluation import Evaluation
from vitreous.evaluation.figures import Figures, Sampling, class_figures
from vitreous.evaluation.metrics import top_label
from vitreous.evaluation.resampling import Grouping, grouping, resample
from vitreous.evaluation.scores import Score
from vitreous.evaluation.weighted import mean as weighted_mean
from vitreous.files import write_text
from vitreous.networks.csp_start import CSP as START
from vitreous.runs.predict import read_predictions

START_AT_PATTERNS = (
    "; for trials of movement, eegnet, basenet and atcnet can start at its patterns: --weights csp "
    "--band 8,30"
)
PUNISHED = 0.1  # of accuracy that guessing loses to the division, before it is told

Answered = dict[str, np.ndarray]
"""sample_id -> probabilities (classes,)."""


@dataclass(frozen=True)
class Pooled:
    """The answers of all folds: each trial once a seed."""

    samples: list[Sample]
    facts: list[TrialFacts]
    fold: np.ndarray  # int (n,)
    truth: np.ndarray  # int (n,)
    probabilities: np.ndarray  # float (seeds, n, classes)
    baselines: dict[str, np.ndarray]  # name -> probabilities (n, classes)
    of_subjects: bool

    @property
    def accuracies(self) -> np.ndarray:
        """Whether each seed was right about each trial, float (seeds, n)."""
        return (self.probabilities.argmax(axis=2) == self.truth).astype(float)

    @property
    def groups(self) -> list[str] | None:
        """What the intervals rest on: subjects where there are several, else trials."""
        subjects = [fact.subject or "" for fact in self.facts]
        return subjects if len(set(subjects)) > 1 else None


def read_answers(path: Path, classes: Sequence[str]) -> Answered:
    """Probabilities by sample id from a run's predictions.csv. Raises `DataError`."""
    try:
        return {
            row["sample_id"]: np.array([float(row[f"p_{name}"]) for name in classes])
            for row in read_predictions(path)
        }
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: has no probabilities of these classes ({error})") from None


def write_baselines(
    path: Path, baselines: dict[str, np.ndarray], samples: Sequence[Sample], classes: Sequence[str]
) -> None:
    """What baselines answer for a fold's test trials: a row a baseline and trial."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["baseline", "sample_id", *(f"p_{name}" for name in classes)])
    for name, answers in baselines.items():
        for sample, shares in zip(samples, answers, strict=True):
            writer.writerow([name, sample.sample_id, *(f"{share:.9g}" for share in shares)])
    write_text(path, text.getvalue())


def read_baselines(path: Path, classes: Sequence[str]) -> dict[str, Answered]:
    """The table that `write_baselines` wrote, by baseline."""
    found: dict[str, Answered] = defaultdict(dict)
    for row in read_predictions(path):
        found[row["baseline"]][row["sample_id"]] = np.array(
            [float(row[f"p_{name}"]) for name in classes]
        )
    return dict(found)


def pool(
    samples: Sequence[Sample],
    facts: Sequence[TrialFacts],
    folds: Sequence[Fold],
    answers: Sequence[Sequence[Answered]],
    baselines: Sequence[dict[str, Answered]],
    classes: Sequence[str],
    of_subjects: bool,
) -> Pooled:
    """All test trials with all answers; `answers` and `baselines` are by fold (and seed)."""
    number = {name: index for index, name in enumerate(classes)}
    rows = [(k, int(row)) for k, fold in enumerate(folds) for row in fold.rows("test")]
    ids = [samples[row].sample_id for _, row in rows]
    seeds = len(answers[0])
    found = np.array(
        [
            [answers[k][s][name] for (k, _), name in zip(rows, ids, strict=True)]
            for s in range(seeds)
        ]
    )
    return Pooled(
        [samples[row] for _, row in rows],
        [facts[row] for _, row in rows],
        np.array([k for k, _ in rows]),
        np.array([number[str(samples[row].label)] for _, row in rows]),
        found,
        {
            one: np.array([baselines[k][one][name] for (k, _), name in zip(rows, ids, strict=True)])
            for one in baselines[0]
        },
        of_subjects,
    )


def score_study(
    pooled: Pooled, classes: Sequence[str], folds: Sequence[Fold], seeds: Sequence[int], seed: int
) -> dict[str, Any]:
    """The content of a study's evaluation.json.

    The same keys as a run's, of all folds together; every figure is the mean over the seeds, so
    that it is one network's, not that of their average (`confusion` counts the answers of all).
    Under "study": by fold, by subject, by seed, the averaged networks, differences to the
    baselines, and a permutation test.
    """
    truth, count = pooled.truth, len(seeds)
    stacked = pooled.probabilities.reshape(-1, len(classes))
    all_truth = np.tile(truth, count)
    single = grouping(pooled.groups, len(truth))
    sampling = Sampling(_repeated(single, count), seed)
    figures = class_figures(all_truth, stacked, classes, sampling)
    averaged = evaluate_classes(
        truth,
        np.log(np.maximum(pooled.probabilities.mean(axis=0), 1e-12)),
        classes=classes,
        sample_ids=[sample.sample_id for sample in pooled.samples],
        groups=pooled.groups,
        baselines=pooled.baselines,
        name="study",
        seed=seed,
    )
    kappa = kappa_score(all_truth, stacked, sampling.groups, seed=seed)
    evaluation = replace(
        averaged,
        metrics={**figures.metrics, "kappa": kappa},
        per_class=tuple(replace(row, n=row.n // count) for row in figures.per_class),
        confusion=confusion(all_truth, stacked, classes),
        baselines=_with_kappa(averaged, pooled, single, seed),
        warnings=_warnings(figures, single, truth, classes),
    )
    subjects = _per_subject(pooled, figures.metrics["accuracy"])
    tested = permutation_test(
        truth,
        pooled.probabilities.argmax(axis=2),
        strata=[f"{fact.subject}/{fact.session}" for fact in pooled.facts],
        units=[fact.subject or "" for fact in pooled.facts] if pooled.of_subjects else None,
        seed=seed,
    )
    return evaluation.to_json() | {
        "study": {
            "seeds": list(seeds),
            "per_fold": _per_fold(pooled, folds),
            "per_subject": subjects,
            "per_seed": _per_seed(pooled, seeds),
            "mean_over_subjects": _mean_over_subjects([row["accuracy"] for row in subjects]),
            "whole_subjects": _whole_subjects(pooled),
            "averaged_networks": {
                name: score.to_json() for name, score in averaged.metrics.items()
            },
            "differences": _differences(pooled, single, seed),
            "permutation_test": tested.to_json() | {"sentence": tested.sentence},
        }
    }


def _warnings(
    figures: Figures, groups: Grouping, truth: np.ndarray, classes: Sequence[str]
) -> tuple[str, ...]:
    """What a reader has to know, of the same figures as the table: one network's."""
    counts = dict(zip(classes, np.bincount(truth, minlength=len(classes)), strict=True))
    few = evaluation_warnings(groups, figures.metrics, "test", counts)
    return few + calibration_warning(figures.metrics["ece"])


def _repeated(groups: Grouping, count: int) -> Grouping:
    """The groups of `count` answers to each sample: all answers to one are of its group."""
    given = groups.given or count > 1
    return Grouping(np.tile(groups.numbers, count), groups.count, given)


def _with_kappa(
    averaged: Evaluation, pooled: Pooled, groups: Grouping, seed: int
) -> dict[str, dict[str, Score]]:
    return {
        name: {
            **scores,
            "kappa": kappa_score(pooled.truth, pooled.baselines[name], groups, seed=seed),
        }
        for name, scores in (averaged.baselines or {}).items()
    }


def _share(rights: np.ndarray) -> dict[str, Any]:
    """Mean accuracy of seeds (seeds, n) with Wilson's interval of one network's n trials."""
    value, n = float(rights.mean()), rights.shape[1]
    low, high = intervals.wilson(value * n, n)
    return {"n": n, "accuracy": value, "low": low, "high": high}


def _per_fold(pooled: Pooled, folds: Sequence[Fold]) -> list[dict[str, Any]]:
    rights = pooled.accuracies
    rows = []
    for k, fold in enumerate(folds):
        own = rights[:, pooled.fold == k]
        others = {
            name: float((top_label(answers) == pooled.truth)[pooled.fold == k].mean())
            for name, answers in pooled.baselines.items()
        }
        rows.append(
            {
                "fold": k,
                "name": fold.name,
                **_share(own),
                "by_seed": own.mean(axis=1).tolist(),
                "baselines": others,
                "left_out": len(fold.left_out),
            }
        )
    return rows


def _per_subject(pooled: Pooled, accuracy: Score) -> list[dict[str, Any]]:
    """Each subject's accuracy; of a single one it is the study's `accuracy`, interval and all."""
    subjects = np.array([fact.subject or "" for fact in pooled.facts])
    rights = pooled.accuracies
    rows = [
        {"subject": name, **_share(rights[:, subjects == name])} for name in sorted(set(subjects))
    ]
    return [{**rows[0], "low": accuracy.low, "high": accuracy.high}] if len(rows) == 1 else rows


def _per_seed(pooled: Pooled, seeds: Sequence[int]) -> dict[str, Any]:
    by_seed = pooled.accuracies.mean(axis=1)
    spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
    return {
        "seeds": list(seeds),
        "accuracy": by_seed.tolist(),
        "mean": float(by_seed.mean()),
        "standard_deviation": spread,
    }


def _mean_over_subjects(accuracies: Sequence[float]) -> dict[str, Any] | None:
    """Each subject counts the same, however many trials it has; the interval is over them."""
    values = np.array(accuracies)
    if len(values) < 2:
        return None
    mean, variance = float(values.mean()), float(values.var(ddof=1) / len(values))
    low, high = intervals.effective_share(mean, variance, len(values), fewest=len(values))
    return {
        "accuracy": mean,
        "low": low,
        "high": high,
        "subjects": len(values),
        "method": "Wilson with the effective number of subjects",
    }


def _whole_subjects(pooled: Pooled) -> dict[str, Any] | None:
    """Where labels are subjects': how many are answered rightly by the mean of their trials."""
    if not pooled.of_subjects:
        return None
    subjects = np.array([fact.subject or "" for fact in pooled.facts])
    of = subjects == np.unique(subjects)[:, None]  # (subjects, n)
    truth = pooled.truth[of.argmax(axis=1)]

    def rights(probabilities: np.ndarray) -> np.ndarray:
        return (of @ probabilities).argmax(axis=-1) == truth

    found = rights(pooled.probabilities)  # (seeds, subjects)
    baselines = {name: int(rights(each).sum()) for name, each in pooled.baselines.items()}
    return {**_share(found), "by_seed": found.sum(axis=1).tolist(), "baselines": baselines}


def _differences(pooled: Pooled, groups: Grouping, seed: int) -> dict[str, dict[str, Any]]:
    """Accuracy of the network (mean over seeds) less each baseline's, paired by trial."""
    network = pooled.accuracies.mean(axis=0)
    found = {}
    for name, answers in pooled.baselines.items():
        apart = network - (top_label(answers) == pooled.truth)
        drawn = resample(lambda weights, apart=apart: weighted_mean(apart, weights), groups,
                         seed=seed)  # fmt: skip
        ends = intervals.bootstrap(drawn)[0]
        low, high = ends if ends else (None, None)
        found[name] = {"accuracy": float(apart.mean()), "low": low, "high": high}
    return found


def beaten_by(
    differences: Mapping[str, Mapping[str, Any]], weights: str | None = None
) -> list[str]:
    """A sentence for each baseline that is better than the network beyond doubt.

    `weights` are those that the network started from: its patterns are recommended once.
    """
    remedy = "" if weights == START else START_AT_PATTERNS
    return [
        f"{name} is right more often than the network on the same trials, by "
        f"{-100 * one['accuracy']:.1f} points ({-100 * one['high']:.1f} to "
        f"{-100 * one['low']:.1f}): the network has not learned what is there to be found"
        + (remedy if name == CSP else "")
        for name, one in differences.items()
        if one["high"] is not None and one["high"] < 0
    ]


def guessing_is_punished(found: Mapping[str, Any]) -> list[str]:
    """A sentence where folds test most of what they trained on least, `found` an evaluation.json.

    One subject left out of as many of each class leaves its own class in the minority: guessing the
    majority is then always wrong, and so, in part, is a network that learned nothing.
    """
    share = max(row["n"] for row in found["per_class"]) / found["n"]
    guessed = found["baselines"].get(MAJORITY, {}).get("accuracy", {}).get("value")
    if guessed is None or guessed > share - PUNISHED:
        return []
    return [
        f"guessing the class that a fold trained on most is right on {100 * guessed:.1f} % of the "
        f"test trials, not on {100 * share:.1f} %: what a fold tests, it trained on less of; a "
        "decoder that learned nothing can score below chance here"
    ]
