"""How often can an interval of a share hold the truth? Exact coverages, nothing simulated.

Of n independent samples a whole number is right, so the coverage of any interval of their share is
a sum of binomial chances, and jumps as the true share moves past an end. This sums it for the
usual intervals: at a true share of 0.97, and over shares from 0.5 to 0.98.

    python -m benchmarks.share_coverage

Writes benchmarks/results/share_coverage.json in a few seconds.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, norm

from benchmarks.results import keep
from vitreous.evaluation.intervals import LEVEL, wilson

QUESTION = "How often do exact 95 % intervals of a share hold the truth?"
BAR = (0.93, 0.97)
SAMPLES = (100, 200, 300, 1000)
SHARES = np.linspace(0.5, 0.98, 4801)
TAIL = (1 - LEVEL) / 2
Ends = NDArray[np.float64]  # (n + 1, 2): the interval after 0 ... n right answers


def wilson_ends(n: int) -> Ends:
    """The package's own interval."""
    return np.array([wilson(right, n) for right in range(n + 1)])


def jeffreys(n: int) -> Ends:
    """Equal tails of the posterior after Jeffreys' prior (Brown, Cai and DasGupta 2001)."""
    right = np.arange(n + 1)
    low, high = (beta.ppf(tail, right + 0.5, n - right + 0.5) for tail in (TAIL, 1 - TAIL))
    return np.stack([np.where(right == 0, 0, low), np.where(right == n, 1, high)], axis=1)


def agresti_coull(n: int) -> Ends:
    """Wald's interval after z**2 / 2 right and as many wrong answers more (1998)."""
    square = norm.ppf(1 - TAIL) ** 2
    share = (np.arange(n + 1) + square / 2) / (n + square)
    half = np.sqrt(square * share * (1 - share) / (n + square))
    return np.stack([share - half, share + half], axis=1)


def clopper_pearson(n: int) -> Ends:
    """The exact test turned round (1934)."""
    return _test_turned_round(n, 1.0)


def mid_p(n: int) -> Ends:
    """The exact test, the observed number itself counted by half (Lancaster 1961)."""
    return _test_turned_round(n, 0.5)


def _test_turned_round(n: int, here: float) -> Ends:
    right = np.arange(n + 1)
    high, rest = np.ones(n + 1), np.zeros(n + 1)  # bisection, all numbers at once
    for _ in range(50):
        middle = (high + rest) / 2
        tail = binom.cdf(right - 1, n, middle) + here * binom.pmf(right, n, middle)
        high, rest = np.where(tail < TAIL, middle, high), np.where(tail < TAIL, rest, middle)
    high[-1] = 1.0
    return np.stack([1 - high[::-1], high], axis=1)


METHODS = {
    "Wilson": wilson_ends,
    "Jeffreys": jeffreys,
    "Agresti and Coull": agresti_coull,
    "mid-P": mid_p,
    "Clopper and Pearson": clopper_pearson,
}


def coverage(ends: Ends, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often the interval holds each true share, exactly."""
    n = len(ends) - 1
    inside = (ends[:, 0] <= shares[:, None]) & (shares[:, None] <= ends[:, 1])
    return (binom.pmf(np.arange(n + 1), n, shares[:, None]) * inside).sum(axis=1)


def main() -> None:
    rows = []
    for n in SAMPLES:
        for name, method in METHODS.items():
            ends = method(n)
            everywhere = coverage(ends, SHARES)
            held = (everywhere >= BAR[0]) & (everywhere <= BAR[1])
            rows.append(
                {
                    "what": f"{name}, {n} samples",
                    "at 0.97": round(float(coverage(ends, np.array([0.97]))[0]), 4),
                    "mean": round(float(everywhere.mean()), 4),
                    "lowest": round(float(everywhere.min()), 4),
                    "highest": round(float(everywhere.max()), 4),
                    "share of shares inside the bar": round(float(held.mean()), 3),
                }
            )
    notes = f"Over 4,801 true shares from 0.5 to 0.98; the bar is {BAR[0]} to {BAR[1]}."
    print(keep("share_coverage", QUESTION, rows, notes))


if __name__ == "__main__":
    main()
