"""A figure that is never alone: its interval, how that was found, and which way is better."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Score:
    """One figure. `value`, `low` and `high` are None where it is undefined; `method` says why."""

    value: float | None
    low: float | None
    high: float | None
    level: float  # of the interval, e.g. 0.95
    method: str  # how the interval was found, or "undefined: " and the reason
    higher_is_better: bool
    unit: str | None = None  # of the target, where the figure has one; log loss: nats
    by_chance: float | None = None  # calibration error: calibrated answers stay under it at `level`

    def to_json(self) -> dict[str, Any]:
        """The score as `evaluation.json` has it; no NaN, which JSON does not know."""
        chance = {} if self.by_chance is None else {"by_chance": _finite(self.by_chance)}
        return {
            "value": _finite(self.value),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "level": self.level,
            "method": self.method,
            "higher_is_better": self.higher_is_better,
            "unit": self.unit,
            **chance,
        }

    def __str__(self) -> str:
        """Value and interval for people.

        >>> print(Score(0.9134, 0.881, 0.9401, 0.95, "Wilson", True))
        0.913 (95 % interval 0.881 to 0.940)
        """
        if self.value is None:
            return self.method
        unit = f" {self.unit}" if self.unit else ""
        if self.by_chance is not None:
            return f"{self.value:.3f}{unit} (calibrated answers: up to {self.by_chance:.3f})"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}{unit}"
        ends = f"{self.low:.3f} to {self.high:.3f}"
        return f"{self.value:.3f}{unit} ({self.level:.0%} interval {ends})".replace("%", " %")


def undefined(reason: str, level: float, higher_is_better: bool, unit: str | None = None) -> Score:
    """The score of a figure that cannot be computed here, with the reason in its `method`."""
    return Score(None, None, None, level, f"undefined: {reason}", higher_is_better, unit)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
