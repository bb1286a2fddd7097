"""Judge the masks that a network answered with: figures, calibration, best and worst pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError
from vitreous.evaluation.calibration import Calibration, ReliabilityBin
from vitreous.evaluation.evaluate import evaluation_warnings
from vitreous.evaluation.evaluation import Confusion, Evaluation, PictureScore
from vitreous.evaluation.mask_comparison import MaskComparison
from vitreous.evaluation.metrics import ECE_BINS, confidence_bin
from vitreous.evaluation.resampling import RESAMPLES, grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.segmentation import segmentation_figures

SHOWN = 6  # best and as many worst pictures
PIXEL_FIGURES = ("iou", "dice", "precision", "recall", "pixel_accuracy")
"""What is told of a baseline: its speckled borders would take longer to measure than all else."""


@dataclass(frozen=True)
class ConfidenceBins:
    """Pixels by the confidence of their answer: how many, how sure together, how many right.

    Each is float64 (ECE_BINS + 1,), the last bin for a confidence of exactly 1.
    """

    count: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ECE_BINS + 1))
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ECE_BINS + 1))
    right: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ECE_BINS + 1))

    def add(
        self,
        confidence: NDArray[np.floating],
        answer: NDArray[np.integer],
        truth: NDArray[np.integer],
    ) -> None:
        """Count the pixels that have a true class; all of one shape, added in place."""
        valid = truth != IGNORE
        sure = confidence[valid].astype(np.float64).clip(0.0, 1.0)
        places = confidence_bin(sure)
        for total, values in (
            (self.count, None),
            (self.confidence, sure),
            (self.right, (answer[valid] == truth[valid]).astype(np.float64)),
        ):
            total += np.bincount(places, values, ECE_BINS + 1)

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap, each bin weighing what it holds."""
        return float(np.abs(self.confidence - self.right).sum() / max(1.0, self.count.sum()))

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """As `evaluation.json` has them; the last one only where it holds a pixel."""
        edges = np.linspace(0, 1, ECE_BINS + 1)
        kept = ECE_BINS + (self.count[-1] > 0)
        return tuple(
            ReliabilityBin(
                float(edges[i]),
                float(edges[min(i + 1, ECE_BINS)]),
                int(n),
                float(self.confidence[i] / n) if n else None,
                float(self.right[i] / n) if n else None,
            )
            for i, n in enumerate(self.count[:kept])
        )


def pixel_calibration(
    temperature: float, before: ConfidenceBins, after: ConfidenceBins
) -> Calibration:
    """`Calibration` from counted pixels before and after the temperature."""
    return Calibration(temperature, before.error, after.error, after.bins())


def evaluate_masks(
    pictures: Sequence[MaskComparison],
    *,
    classes: Sequence[str],
    sample_ids: Sequence[str],
    groups: Sequence[str | None] | None = None,
    background: int | None = None,
    baselines: Mapping[str, Sequence[MaskComparison]] | None = None,
    calibration: Calibration | None = None,
    unit: str = "pixels",
    name: str = "test",
    split: str = "test",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge a segmentation: `pictures` compare each answer with its truth (`compare_masks`).

    Means over classes leave `background` (a class's place) out. Of baselines the figures of pixels
    are told. `unit` is that of the distances. Raises `RequestError` where nothing is to be judged,
    or where there are not as many sample ids as pictures.
    """
    if len(sample_ids) != len(pictures):
        raise RequestError(f"{len(sample_ids)} sample ids for {len(pictures)} pictures")
    grouped = grouping(groups, len(pictures))
    sampling = Sampling(grouped, seed, resamples)
    figures = segmentation_figures(pictures, classes, sampling, background=background, unit=unit)
    compared = {}
    for label, answers in (baselines or {}).items():
        metrics = segmentation_figures(answers, classes, sampling, background=background).metrics
        compared[label] = {name: metrics[name] for name in PIXEL_FIGURES}
    there = np.stack([(picture.confusion.sum(axis=1) > 0) for picture in pictures]).sum(axis=0)
    return Evaluation(
        name=name,
        split=split,
        task="segment",
        n=len(pictures),
        n_groups=grouped.count if grouped.given else None,
        metrics=figures.metrics,
        per_class=figures.per_class,
        baselines=compared,
        confusion=Confusion(tuple(classes), figures.confusion),
        calibration=calibration,
        pictures=best_and_worst(figures.dice, pictures, classes, sample_ids, background),
        warnings=evaluation_warnings(
            grouped, figures.metrics, split, dict(zip(classes, there.tolist(), strict=True))
        ),
    )


def best_and_worst(
    dice: NDArray[Any],
    pictures: Sequence[MaskComparison],
    classes: Sequence[str],
    sample_ids: Sequence[str],
    background: int | None = None,
    most: int = SHOWN,
) -> tuple[PictureScore, ...]:
    """The worst pictures, the very worst first, then the best, by their mean Dice (n, classes)."""
    counted = [place for place in range(len(classes)) if place != background]
    chosen = dice[:, counted]
    defined = ~np.isnan(chosen)
    means = np.where(defined, chosen, 0.0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    usable = np.flatnonzero(defined.any(axis=1))
    order = usable[np.argsort(means[usable], kind="stable")]
    worst, best = order[: min(most, len(order) - len(order) // 2)], order[::-1][:most]
    best = [row for row in best if row not in set(worst.tolist())]
    return tuple(
        _score(kind, int(row), means, chosen, pictures, counted, classes, sample_ids)
        for kind, rows in (("worst", worst), ("best", best))
        for row in rows
    )


def _score(
    kind: str,
    row: int,
    means: NDArray[Any],
    dice: NDArray[Any],
    pictures: Sequence[MaskComparison],
    counted: list[int],
    classes: Sequence[str],
    sample_ids: Sequence[str],
) -> PictureScore:
    confusion = pictures[row].confusion
    accuracy = float(np.trace(confusion) / max(1, confusion.sum()))
    weakest = counted[int(np.nanargmin(dice[row]))]
    return PictureScore(
        sample_ids[row], kind, float(means[row]), accuracy, classes[weakest],
        float(np.nanmin(dice[row])),
    )  # fmt: skip
