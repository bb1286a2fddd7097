"""Whether a confidence of 0.8 is right eight times in ten, and the one number that mends it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

from vitreous.evaluation import weighted
from vitreous.evaluation.metrics import ECE_BINS, calibration_error, confidence_bin, top_label
from vitreous.evaluation.weighted import Values

TEMPERATURES = (0.05, 20.0)  # the search stays inside: separable validation data would go to zero
LEAST_FOR_INTERVAL = 19  # residuals for an interval of 95 %: of fewer no rank is high enough


def fit_temperature(logits: Values, truth: NDArray[np.int64]) -> float:
    """The temperature T for which softmax(logits / T) has the least log loss (Guo et al. 2017).

    `logits` (n, classes) and `truth` (n,) are of the validation part, never of the test part.
    The loss is convex in 1 / T, so one bounded search finds it. Where every validation sample is
    right, less and less temperature would be better without end; such data say nothing about
    doubt, and the logits are left as they are (T is not let under 1).
    """

    def loss(inverse: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) * inverse, axis=1)
        return -float(np.take_along_axis(scaled, truth[:, None], axis=1).mean())

    return _search(loss, separable=bool((top_label(logits) == truth).all()))


def fit_label_temperature(logits: Values, truth: NDArray[np.bool_]) -> float:
    """`fit_temperature` for a multi-label task: one T for sigmoid(logits / T), (n, classes)."""
    signed = np.where(truth, logits, -logits).astype(np.float64)

    def loss(inverse: float) -> float:
        return float(np.logaddexp(0, -signed * inverse).mean())

    return _search(loss, separable=bool((signed > 0).all()))


def _search(loss: Callable[[float], float], separable: bool) -> float:
    """Minimise over 1 / T on a log scale, on which a convex loss still has one valley."""
    coolest, hottest = (1.0 if separable else TEMPERATURES[0]), TEMPERATURES[1]
    found = minimize_scalar(
        lambda logarithm: loss(float(np.exp(-logarithm))),
        bounds=(np.log(coolest), np.log(hottest)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    candidates = [float(np.exp(found.x)), coolest, 1.0]  # an end can be the best place
    return min(candidates, key=lambda temperature: loss(1 / temperature))


def class_probabilities(logits: Values, temperature: float = 1.0) -> Values:
    """softmax(logits / temperature), (n, classes), in float64."""
    return softmax(logits.astype(np.float64) / temperature, axis=1)


def label_probabilities(logits: Values, temperature: float = 1.0) -> Values:
    """sigmoid(logits / temperature), (n, classes), in float64."""
    return expit(logits.astype(np.float64) / temperature)


@dataclass(frozen=True)
class ReliabilityBin:
    """The samples whose confidence lies in [low, high), and how often they are right.

    `confidence` and `accuracy` are means over the bin; None where it is empty.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """The bin as `evaluation.json` has it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Calibration:
    """Confidence against outcome, before and after the temperature; bins are of the after."""

    temperature: float
    ece_before: float
    ece_after: float
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The calibration as `evaluation.json` has it."""
        return {**vars(self), "bins": [each.to_json() for each in self.bins]}


def calibrate(
    before: tuple[Values, NDArray[np.bool_]],
    after: tuple[Values, NDArray[np.bool_]],
    temperature: float,
) -> Calibration:
    """`Calibration` from (confidence, outcome) pairs (n,) before and after the temperature."""
    return Calibration(
        temperature, _error(*before), _error(*after), tuple(reliability_bins(*after))
    )


def _error(confidence: Values, outcome: NDArray[np.bool_]) -> float:
    weights = weighted.once(len(confidence))
    return float(calibration_error(confidence, confidence - outcome, weights)[0])


def class_confidence(
    truth: NDArray[np.int64], probabilities: Values
) -> tuple[Values, NDArray[np.bool_]]:
    """Confidence in the most probable class and whether it is the true one, each (n,)."""
    return probabilities.max(axis=1), top_label(probabilities) == truth


def label_confidence(
    truth: NDArray[np.bool_], probabilities: Values
) -> tuple[Values, NDArray[np.bool_]]:
    """Probability of each (sample, label) and whether it applies, each (n * classes,)."""
    return probabilities.ravel(), truth.ravel()


def reliability_bins(confidence: Values, outcome: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """The 15 bins of the expected calibration error, which is their mean |gap| weighted by n.

    A sixteenth bin, from 1 to 1, is there where a confidence is exactly 1.
    """
    index = confidence_bin(confidence)
    edges = np.append(np.linspace(0, 1, ECE_BINS + 1), 1.0)
    n = np.bincount(index, minlength=ECE_BINS + 1)
    sums = [np.bincount(index, value, minlength=ECE_BINS + 1) for value in (confidence, outcome)]
    return [
        ReliabilityBin(
            low=float(edges[place]),
            high=float(edges[place + 1]),
            n=int(n[place]),
            confidence=float(sums[0][place] / n[place]) if n[place] else None,
            accuracy=float(sums[1][place] / n[place]) if n[place] else None,
        )
        for place in range(ECE_BINS + 1)
        if place < ECE_BINS or n[place]
    ]


def prediction_half_width(residuals: Values, level: float = 0.95) -> float | None:
    """Half the width of an interval around a predicted number that holds the true one.

    Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): the (n + 1) * level-th smallest
    |residual| of the validation part. For new samples of the same kind the interval holds the
    truth with at least that probability, whatever the distribution. None where there are too few
    residuals (fewer than `LEAST_FOR_INTERVAL` for 95 %).

    >>> prediction_half_width(np.arange(-50.0, 50.0), level=0.9)
    45.0
    """
    rank = int(np.ceil((len(residuals) + 1) * level - 1e-9))
    return float(np.sort(np.abs(residuals))[rank - 1]) if 0 < rank <= len(residuals) else None
