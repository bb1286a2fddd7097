"""How well structures in scans were found: per structure and patient, in millimetres, with
intervals.

Dice, normalised surface Dice and the 95 % Hausdorff distance are those of MONAI's `DiceMetric`,
`SurfaceDiceMetric` and `HausdorffDistanceMetric` (voxels at the frame belong to the surface), but
for structures that are missing on one side, which have a number here: see `compare_volumes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError
from vitreous.evaluation.mask_comparison import PERCENTILE, border
from vitreous.evaluation.resampling import resample
from vitreous.evaluation.scored import (
    Sampling,
    affordable,
    bounded_score,
    mean_of_classes,
    mean_score,
)
from vitreous.evaluation.scores import Score, undefined
from vitreous.evaluation.segmentation import sampling_of_those
from vitreous.evaluation.weighted import Values, Weights, ratio

TOLERANCE_MM = 1.0  # of the normalised surface Dice
SHARES = ("dice", "surface_dice")
DISTANCES = ("hausdorff95", "volume_error")
UNITS = {"hausdorff95": "mm", "volume_error": "ml"}


@dataclass(frozen=True)
class VolumeComparison:
    """One scan: each figure (classes,), NaN where a class is neither there nor answered.

    `hausdorff95` is in millimetres: of a structure that one side lacks the scan's diagonal.
    """

    dice: NDArray[np.float64]
    surface_dice: NDArray[np.float64]
    hausdorff95: NDArray[np.float64]
    true_ml: NDArray[np.float64]
    answered_ml: NDArray[np.float64]
    accuracy: float  # share of the voxels that are right, the background with them

    @property
    def volume_error(self) -> NDArray[np.float64]:
        """The size of the difference in millilitres."""
        apart = np.abs(self.answered_ml - self.true_ml)
        return np.where(np.isnan(self.dice), np.nan, apart)


def compare_volumes(
    truth: NDArray[np.integer],
    answer: NDArray[np.integer],
    classes: int,
    spacing_mm: Sequence[float],
    *,
    tolerance_mm: float = TOLERANCE_MM,
    ignore: int = IGNORE,
) -> VolumeComparison:
    """Classes (depth, height, width) beside the true ones, voxel on voxel.

    Where truth is `ignore`, the answer counts for nothing. A class that one side lacks has Dice and
    surface Dice 0. Raises `RequestError` for other shapes.
    """
    if truth.shape != answer.shape:
        raise RequestError(f"a truth of shape {truth.shape} and an answer of {answer.shape}")
    spacing = np.asarray(spacing_mm, np.float64)
    valid = truth != ignore
    ml = float(np.prod(spacing)) / 1000
    found = {name: np.full(classes, np.nan) for name in (*SHARES, "hausdorff95")}
    volumes = np.zeros((2, classes))
    diagonal = float(np.linalg.norm(spacing * truth.shape))
    for place in range(classes):
        true_region, region = (truth == place) & valid, (answer == place) & valid
        counts = int(true_region.sum()), int(region.sum())
        volumes[:, place] = np.array(counts) * ml
        if not any(counts):
            continue
        found["dice"][place] = 2 * int((true_region & region).sum()) / sum(counts)
        if all(counts):
            surfaces = surface_figures(true_region, region, spacing, tolerance_mm)
            found["surface_dice"][place], found["hausdorff95"][place] = surfaces
        else:
            found["surface_dice"][place], found["hausdorff95"][place] = 0.0, diagonal
    right = float((truth == answer)[valid].mean()) if valid.any() else float("nan")
    return VolumeComparison(true_ml=volumes[0], answered_ml=volumes[1], accuracy=right, **found)


def surface_figures(
    truth: NDArray[np.bool_],
    answer: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
    tolerance_mm: float,
) -> tuple[float, float]:
    """Normalised surface Dice and the 95 % Hausdorff distance of two regions, none of them empty.

    S. Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", 2021: the
    share of both surfaces' points that lie within the tolerance of the other.
    """
    everywhere = np.ones(truth.shape, bool)
    points = [
        np.argwhere(border(region, everywhere, closed=True)) * spacing_mm
        for region in (truth, answer)
    ]
    distances = [
        KDTree(points[1]).query(points[0])[0],
        KDTree(points[0]).query(points[1])[0],
    ]
    near = sum(int((each <= tolerance_mm + 1e-9).sum()) for each in distances)
    total = sum(len(each) for each in distances)
    return near / total, max(float(np.percentile(each, PERCENTILE)) for each in distances)


@dataclass(frozen=True)
class StructureScores:
    """One row of the table of structures; `scans` counts those where it is."""

    name: str
    scans: int
    true_ml: float  # mean over those scans
    scores: dict[str, Score]

    def to_json(self) -> dict[str, Any]:
        """The row as `evaluation.json` has it."""
        scores = {name: score.to_json() for name, score in self.scores.items()}
        return {"class": self.name, "n": self.scans, "mean_ml": self.true_ml, **scores}


@dataclass(frozen=True)
class VolumeFigures:
    """All figures of a set of scans."""

    metrics: dict[str, Score]  # means over the structures
    per_class: tuple[StructureScores, ...]


def volume_figures(
    scans: Sequence[VolumeComparison], classes: Sequence[str], sampling: Sampling
) -> VolumeFigures:
    """Figures of compared scans, whose patients are the sampling's groups.

    Each is the mean over the scans in which the structure is there or answered, with an interval
    over patients; `metrics` are means over the structures but the first class, the background.
    Raises `RequestError` where there is no scan.
    """
    if not scans:
        raise RequestError("no scan to score; give at least one with its label")
    structures = range(1, len(classes))
    values = {
        name: np.stack([getattr(scan, name) for scan in scans])[:, 1:]
        for name in (*SHARES, *DISTANCES)
    }
    true = np.stack([scan.true_ml for scan in scans])[:, 1:]
    there = true > 0
    parts = _Parts(values, there, sampling)
    metrics = {name: parts.mean_share(name) for name in SHARES}
    metrics |= {name: parts.mean_distance(name) for name in DISTANCES}
    rows = tuple(
        StructureScores(
            classes[place],
            int(there[:, place - 1].sum()),
            float(true[there[:, place - 1], place - 1].mean())
            if there[:, place - 1].any()
            else 0.0,
            parts.row(place - 1, classes[place]),
        )
        for place in structures
    )
    return VolumeFigures(metrics, rows)


@dataclass(frozen=True)
class _Parts:
    values: dict[str, Values]  # (scans, structures)
    there: NDArray[np.bool_]
    sampling: Sampling

    def _drawn(self, name: str):
        values = self.values[name]
        defined = ~np.isnan(values)

        def means(weights: Weights) -> Values:
            return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(float))

        extent = affordable(self.sampling, len(values), values.shape[1])
        return resample(means, self.sampling.groups, **extent)

    def mean_share(self, name: str) -> Score:
        groups = np.array(
            [max(1, self.sampling.groups.count_with(column)) for column in self.there.T], np.float64
        )
        return mean_of_classes(
            self._drawn(name), groups, self.sampling, True, "no structure is there"
        )

    def mean_distance(self, name: str) -> Score:
        """The mean over scans of the mean over each scan's structures."""
        values = self.values[name]
        defined = ~np.isnan(values)
        some = np.asarray(defined.any(axis=1))
        if not some.any():
            return undefined("no structure is there", self.sampling.level, False, UNITS[name])
        means = np.where(defined, values, 0.0).sum(axis=1)[some] / defined.sum(axis=1)[some]
        return mean_score(False, means, sampling_of_those(self.sampling, some), UNITS[name])

    def row(self, place: int, name: str) -> dict[str, Score]:
        absent = f"'{name}' is neither there nor answered"
        fewest = max(1, int(self.sampling.groups.count_with(self.there[:, place])))
        scores: dict[str, Score] = {}
        for share in SHARES:
            drawn = self._drawn(share).columns(place, place + 1)
            scores[share] = bounded_score(True, drawn, self.sampling, fewest, absent)
        for distance in DISTANCES:
            values = self.values[distance][:, place]
            defined = ~np.isnan(values)
            if not defined.any():
                scores[distance] = undefined(absent, self.sampling.level, False, UNITS[distance])
                continue
            sampling = sampling_of_those(self.sampling, defined)
            scores[distance] = mean_score(False, values[defined], sampling, UNITS[distance])
        return scores
