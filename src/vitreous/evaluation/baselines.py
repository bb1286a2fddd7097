"""What a network has to beat: an answer without looking, and a straight line through thumbnails.

Baselines are fitted on the rows of the training part and answer the rows of the test part, as the
network does, so that the same figures judge both.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV

from vitreous.evaluation.metrics import log_loss
from vitreous.evaluation.weighted import Values, once

MAJORITY = "majority class"
PREVALENCE = "share of each label"
MEAN = "training mean"
LOGISTIC = "logistic regression on 16x16 thumbnails"
RIDGE = "ridge regression on 16x16 thumbnails"

THUMBNAIL_SIDE = 16
MOST_SAMPLES = 10_000  # more training pictures hardly help a straight line, and cost seconds
REGULARISATIONS = (0.0003, 0.003, 0.03)  # C of the logistic regression, from smooth to sharp
HELD_BACK = 0.2  # share of the training rows on which C is chosen
STEPS = 100


@dataclass(frozen=True)
class Baseline:
    """A name, the answers for the test rows, and how they came about.

    `answers` are probabilities (n, classes), or numbers (n,).
    """

    name: str
    answers: Values
    note: str


def majority_class(truth: NDArray[np.int64], n: int, classes: int) -> Baseline:
    """Answers each of n samples with the shares that the classes have in `truth` (training)."""
    shares = np.bincount(truth, minlength=classes) / len(truth)
    return Baseline(MAJORITY, np.tile(shares, (n, 1)), "the class shares of the training part")


def label_prevalence(truth: NDArray[np.bool_], n: int) -> Baseline:
    """Answers each of n samples with the share of each label in `truth` (rows, classes)."""
    note = "the label shares of the training part"
    return Baseline(PREVALENCE, np.tile(truth.mean(axis=0), (n, 1)), note)


def training_mean(truth: Values, n: int) -> Baseline:
    """Answers each of n samples with the mean of `truth` (training)."""
    return Baseline(MEAN, np.full(n, float(truth.mean())), "the mean of the training part")


def thumbnail_logistic(
    pixels: NDArray[np.uint8],
    train_rows: NDArray[np.int64],
    train_truth: NDArray[np.int64],
    test_rows: NDArray[np.int64],
    classes: int,
    *,
    seed: int = 0,
    most: int = MOST_SAMPLES,
) -> Baseline:
    """Multinomial logistic regression on standardised 16x16 thumbnails.

    `pixels` uint8 (rows, channels, height, width), a memory map as well as an array; `train_truth`
    int (training rows,). At most `most` training rows are used, drawn by `seed`; the strength of
    the L2 penalty is chosen on a fifth of them, held back.
    """
    chosen = _some(len(train_rows), most, seed)
    inputs, test_inputs = _standardised(pixels, train_rows[chosen], test_rows)
    truth = train_truth[chosen]
    strength = _chosen_strength(inputs, truth, classes)
    answers = _logistic(inputs, truth, test_inputs, classes, strength)
    return Baseline(LOGISTIC, answers, f"{_fitted_on(chosen, train_rows)}, C = {strength:g}")


def thumbnail_label_logistic(
    pixels: NDArray[np.uint8],
    train_rows: NDArray[np.int64],
    train_truth: NDArray[np.bool_],
    test_rows: NDArray[np.int64],
    *,
    seed: int = 0,
    most: int = MOST_SAMPLES,
) -> Baseline:
    """One logistic regression a label on standardised thumbnails; `train_truth` (rows, classes)."""
    chosen = _some(len(train_rows), most, seed)
    inputs, test_inputs = _standardised(pixels, train_rows[chosen], test_rows)
    truth = train_truth[chosen].astype(np.int64)
    columns = [
        _logistic(inputs, label, test_inputs, 2, REGULARISATIONS[1])[:, 1] for label in truth.T
    ]
    return Baseline(LOGISTIC, np.stack(columns, axis=1), _fitted_on(chosen, train_rows))


def thumbnail_ridge(
    pixels: NDArray[np.uint8],
    train_rows: NDArray[np.int64],
    train_truth: Values,
    test_rows: NDArray[np.int64],
    *,
    seed: int = 0,
    most: int = MOST_SAMPLES,
) -> Baseline:
    """Ridge regression of a number on standardised thumbnails, penalty by leave-one-out."""
    chosen = _some(len(train_rows), most, seed)
    inputs, test_inputs = _standardised(pixels, train_rows[chosen], test_rows)
    model = RidgeCV(alphas=np.logspace(0, 6, 13)).fit(inputs, train_truth[chosen])
    return Baseline(RIDGE, model.predict(test_inputs), _fitted_on(chosen, train_rows))


def thumbnails(
    pixels: NDArray[np.uint8], rows: NDArray[np.int64], side: int = THUMBNAIL_SIDE
) -> NDArray[np.float32]:
    """Means over side x side fields of the pictures in `rows`, (rows, channels * side * side).

    A picture narrower than `side` has its pixels repeated. Values are 0 ... 255.
    """
    parts = [
        _shrunk(_shrunk(np.asarray(pixels[part], np.float32), side, axis=2), side, axis=3)
        for part in np.array_split(rows, max(1, len(rows) // 256))
    ]
    return np.concatenate(parts).reshape(len(rows), -1)


def _shrunk(values: NDArray[np.float32], side: int, axis: int) -> NDArray[np.float32]:
    length = values.shape[axis]
    if length < side:
        return np.take(values, np.arange(side) * length // side, axis=axis)
    edges = np.arange(side + 1) * length // side
    sums = np.add.reduceat(values, edges[:-1], axis=axis)
    shape = [1] * values.ndim
    shape[axis] = side
    return sums / np.diff(edges).astype(np.float32).reshape(shape)


def _some(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Places of at most `most` of n rows, shuffled, so that any part of them is a fair one."""
    return np.random.default_rng(seed).permutation(n)[:most]


def _standardised(
    pixels: NDArray[np.uint8], train_rows: NDArray[np.int64], test_rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    train, test = thumbnails(pixels, train_rows), thumbnails(pixels, test_rows)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 1e-3, deviation, 1.0).astype(np.float32)
    return (train - mean) / scale, (test - mean) / scale


def _chosen_strength(inputs: NDArray[np.float32], truth: NDArray[np.int64], classes: int) -> float:
    """The C with the least log loss on the rows held back; the rows come shuffled."""
    held = max(1, round(HELD_BACK * len(truth)))
    if len(np.unique(truth[held:])) < 2:
        return REGULARISATIONS[1]

    def loss(strength: float) -> float:
        answers = _logistic(inputs[held:], truth[held:], inputs[:held], classes, strength)
        return float(log_loss(truth[:held], answers, once(held))[0])

    return min(REGULARISATIONS, key=loss)


def _logistic(
    inputs: NDArray[np.float32],
    truth: NDArray[np.int64],
    test_inputs: NDArray[np.float32],
    classes: int,
    strength: float,
) -> Values:
    """Probabilities (test rows, classes); a class that training has not got gets none."""
    answers = np.zeros((len(test_inputs), classes))
    known = np.unique(truth)
    if len(known) < 2:
        answers[:, known] = 1.0
        return answers
    model = LogisticRegression(C=strength, max_iter=STEPS)
    with _few_steps_are_enough():
        model.fit(inputs, truth)
    answers[:, known] = model.predict_proba(test_inputs)
    return answers


@contextmanager
def _few_steps_are_enough() -> Iterator[None]:
    """A baseline need not be at its very optimum: stopping early is a penalty like another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _fitted_on(chosen: NDArray[np.int64], train_rows: NDArray[np.int64]) -> str:
    return f"fitted on {len(chosen)} of {len(train_rows)} training pictures"
