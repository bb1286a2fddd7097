"""A study's scores as the table that MOABB's evaluations give, for its statistics and plots."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vitreous.evaluation.metrics import CLASS_METRICS
from vitreous.files import write_text
from vitreous.runs.study_scores import Pooled

COLUMNS = ("score", "time", "samples", "subject", "session", "channels", "n_sessions", "dataset",
           "pipeline")  # fmt: skip


def write_result_table(
    path: Path,
    pooled: Pooled,
    *,
    network: str,
    dataset: str,
    channels: int,
    training_trials: Mapping[int, int],
    seconds: Mapping[int, float],
) -> None:
    """results.csv: a row a subject, session and decoder (the network, and each baseline).

    `score` is, as there, the AUROC of two classes and the accuracy of more, mean over seeds; the
    accuracy as well where a session has one class only. `samples` are training trials and `time`
    the seconds of a training, by fold; of baselines no time is known.
    """
    answers = {network: pooled.probabilities} | {
        name: shares[None] for name, shares in pooled.baselines.items()
    }
    places = [(fact.subject or "", fact.session or "0") for fact in pooled.facts]
    groups = {
        place: np.array([row for row, own in enumerate(places) if own == place])
        for place in sorted(set(places))
    }
    metric = _metric(pooled, groups)
    sessions = {subject: sum(place[0] == subject for place in groups) for subject, _ in groups}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (subject, session), rows in groups.items():
        folds = sorted({int(pooled.fold[row]) for row in rows})
        samples = round(float(np.mean([training_trials[fold] for fold in folds])))
        for name, shares in answers.items():
            scores = [CLASS_METRICS[metric].value(pooled.truth[rows], one[rows]) for one in shares]
            took = np.mean([seconds[fold] for fold in folds]) if name == network else None
            writer.writerow([
                f"{np.mean(scores):.9g}", "" if took is None else f"{took:.4g}", samples, subject,
                session, channels, sessions[subject], dataset, name,
            ])  # fmt: skip
    write_text(path, text.getvalue())


def _metric(pooled: Pooled, groups: Mapping[tuple[str, str], np.ndarray]) -> str:
    two = pooled.probabilities.shape[2] == 2
    both = all(len(np.unique(pooled.truth[rows])) == 2 for rows in groups.values())
    return "auroc" if two and both else "accuracy"
