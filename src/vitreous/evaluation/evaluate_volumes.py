"""Judge the structures that a network found in scans: figures, best and worst scans."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import RequestError
from vitreous.evaluation.calibration import Calibration
from vitreous.evaluation.evaluate import evaluation_warnings
from vitreous.evaluation.evaluation import Confusion, Evaluation, PictureScore
from vitreous.evaluation.resampling import RESAMPLES, grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.volumes import VolumeComparison, volume_figures

SHOWN = 4  # best and as many worst scans


def evaluate_volumes(
    scans: Sequence[VolumeComparison],
    *,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    groups: Sequence[str | None] | None = None,
    baselines: Mapping[str, Sequence[VolumeComparison]] | None = None,
    confusion: NDArray[np.int64] | None = None,
    calibration: Calibration | None = None,
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge a segmentation of scans: `scans` compare each answer with its truth.

    Groups are patients. Raises `RequestError` where there are not as many sample ids as scans.
    """
    if len(sample_ids) != len(scans):
        raise RequestError(f"{len(sample_ids)} sample ids for {len(scans)} scans")
    grouped = grouping(groups, len(scans))
    sampling = Sampling(grouped, seed, resamples)
    figures = volume_figures(scans, classes, sampling)
    there = np.stack([scan.true_ml > 0 for scan in scans]).sum(axis=0)[1:]
    counts = dict(zip(classes[1:], there.tolist(), strict=True))
    return Evaluation(
        name=name,
        split=split,
        task="segment",
        n=len(scans),
        n_groups=grouped.count if grouped.given else None,
        metrics=figures.metrics,
        per_class=figures.per_class,  # type: ignore[arg-type]  # rows of another kind of table
        baselines={
            label: volume_figures(answers, classes, sampling).metrics
            for label, answers in (baselines or {}).items()
        },
        confusion=None if confusion is None else Confusion(tuple(classes), confusion),
        calibration=calibration,
        pictures=best_and_worst_scans(scans, classes, sample_ids),
        warnings=evaluation_warnings(grouped, figures.metrics, split, counts),
    )


def best_and_worst_scans(
    scans: Sequence[VolumeComparison],
    classes: Sequence[str],
    sample_ids: Sequence[str],
    most: int = SHOWN,
) -> tuple[PictureScore, ...]:
    """The worst scans, the very worst first, then the best, by the mean Dice of structures."""
    dice = np.stack([scan.dice for scan in scans])[:, 1:]
    defined = ~np.isnan(dice)
    usable = np.flatnonzero(defined.any(axis=1))
    means = np.where(defined, dice, 0.0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    order = usable[np.argsort(means[usable], kind="stable")]
    worst = order[: min(most, len(order) - len(order) // 2)].tolist()
    best = [row for row in order[::-1][:most].tolist() if row not in worst]
    return tuple(
        _score(
            "worst" if row in worst else "best",
            row,
            float(means[row]),
            dice,
            scans,
            classes,
            sample_ids,
        )
        for row in (*worst, *best)
    )


def _score(
    kind: str,
    row: int,
    mean: float,
    dice: NDArray[np.float64],
    scans: Sequence[VolumeComparison],
    classes: Sequence[str],
    sample_ids: Sequence[str],
) -> PictureScore:
    weakest = int(np.nanargmin(dice[row]))
    return PictureScore(
        sample_ids[row], kind, mean, scans[row].accuracy, classes[weakest + 1],
        float(dice[row, weakest]),
    )  # fmt: skip
