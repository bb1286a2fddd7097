"""Is new data like the training data? If a simple model can tell them apart, it is not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from vitreous.evaluation.baselines import thumbnails
from vitreous.evaluation.intervals import area_variance, effective_share
from vitreous.evaluation.scores import Score
from vitreous.evaluation.weighted import Values, area_under_roc, once

MOST_SAMPLES = 2000  # of each side
FEWEST_SAMPLES = 20  # of each side, below which nothing can be said
FOLDS = 5
PENALTY = 0.1  # C: strong, because there are few samples and many features
ALARM = 0.6  # the interval must start above: what is told apart less well is no cause for worry


@dataclass(frozen=True)
class Likeness:
    """How well new data can be told from training data: 0.5 not at all, 1 always.

    `score` is the cross-validated AUROC of that, None for too few samples; `alike` is False where
    its whole interval lies above 0.6; `sentence` says it for people.
    """

    score: Score | None
    alike: bool
    sentence: str


def like_training(training: Values, new: Values, *, seed: int = 0) -> Likeness:
    """Whether new pictures come from where the training pictures came from.

    A classifier two-sample test (Lopez-Paz and Oquab 2017): a logistic regression is trained to
    tell the rows of `training` (m, features) from those of `new` (n, features), and judged by its
    AUROC on rows it has not seen (five folds). `picture_features` makes the rows. What it can see
    is light, contrast, colour, sharpness and coarse layout, not what a picture shows.
    """
    random = np.random.default_rng(seed)
    sides = [rows[random.permutation(len(rows))[:MOST_SAMPLES]] for rows in (training, new)]
    m, n = (len(side) for side in sides)
    if min(m, n) < FEWEST_SAMPLES:
        few = f"{min(m, n)} pictures are too few to say whether they are like the training pictures"
        return Likeness(None, True, few)
    features = np.concatenate(sides).astype(np.float64)
    is_new = np.arange(m + n) >= m
    score = _score(is_new, _out_of_fold(features, is_new, random))
    alike = score.low is None or score.low <= ALARM
    return Likeness(score, alike, _sentence(score, alike))


def some_rows(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """As many of the rows as `like_training` looks at, drawn before any pixel is read.

    Drawn, not taken from the front: data lie on the disk sorted by class.
    """
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_SAMPLES])


def picture_features(pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Values:
    """What a glance sees of the pictures in `rows`, (rows, features).

    `pixels` uint8 (n, channels, height, width). A channel gives its mean, its deviation and its 5 %
    and 95 % quantiles; the mean of the channels gives two sharpnesses (logarithms of the mean
    differences between neighbours one and two pixels apart) and a 4x4 thumbnail.
    """
    chunks = np.array_split(rows, max(1, len(rows) // 256))
    return np.concatenate([_glance(np.asarray(pixels[chunk])) for chunk in chunks])


def _glance(pictures: NDArray[np.uint8]) -> Values:
    flat = pictures.reshape(*pictures.shape[:2], -1).astype(np.float32)
    low, high = np.percentile(flat, [5, 95], axis=2)
    grey = pictures.mean(axis=1, dtype=np.float32)
    contrast = grey.std(axis=(1, 2)) + 1
    steps = [_mean_step(grey, apart) for apart in (1, 2)]
    sharpness = [np.log((step + 0.1) / contrast) for step in steps]
    small = thumbnails(grey[:, None].round().astype(np.uint8), np.arange(len(grey)), side=4)
    columns = [flat.mean(axis=2), flat.std(axis=2), low, high, small, np.stack(sharpness, axis=1)]
    return np.concatenate(columns, axis=1).astype(np.float64)


def _mean_step(grey: NDArray[np.float32], apart: int) -> NDArray[np.float32]:
    across = np.abs(grey[:, :, apart:] - grey[:, :, :-apart]).mean(axis=(1, 2))
    return across + np.abs(grey[:, apart:] - grey[:, :-apart]).mean(axis=(1, 2))


def _out_of_fold(
    features: Values, is_new: NDArray[np.bool_], random: np.random.Generator
) -> Values:
    """Score of each row by a model that has not seen it; folds hold both sides in proportion."""
    fold = np.empty(len(is_new), dtype=np.int64)
    for side in (False, True):
        places = np.flatnonzero(is_new == side)
        fold[places] = random.permutation(len(places)) % FOLDS
    scores = np.empty(len(is_new))
    for held in range(FOLDS):
        out = fold == held
        mean, deviation = features[~out].mean(axis=0), features[~out].std(axis=0)
        scaled = (features - mean) / np.where(deviation > 1e-9, deviation, 1.0)
        model = LogisticRegression(C=PENALTY, max_iter=500, class_weight="balanced")
        model.fit(scaled[~out], is_new[~out])
        scores[out] = model.decision_function(scaled[out])
    return scores


def _score(is_new: NDArray[np.bool_], scores: Values) -> Score:
    area = float(area_under_roc(is_new, scores, once(len(scores)))[0])
    m, n = int((~is_new).sum()), int(is_new.sum())
    variance = area_variance(max(area, 0.5), n, m)  # at 0.5 and under, that of no difference
    low, high = effective_share(area, variance, m + n, min(m, n))
    method = "Wilson with the effective number of samples, Hanley and McNeil's variance"
    return Score(area, low, high, 0.95, method, higher_is_better=False)


def _sentence(score: Score, alike: bool) -> str:
    told = f"a simple model tells them apart with an AUROC of {score}"
    if alike:
        return f"the new pictures look like the training pictures: {told} (0.5 is chance)"
    return (
        f"the new pictures do not look like the training pictures: {told} (0.5 is chance); "
        "compare light, colour, sharpness and framing before trusting the figures"
    )
