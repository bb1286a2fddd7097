"""One map: what each place of an input speaks for or against an answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.insight.attribution.target import Target


@dataclass(frozen=True)
class SignedMap:
    """What the places of one input speak for (above 0) or against (below 0) the target.

    `values` float32 (*space) has the input's coordinates; `cells` are the layer's own, before they
    were laid over the input, where the method works at a layer. `gap` is how far the values' sum
    is from what the method claims they sum to (`claimed`): None where it claims nothing.
    """

    values: np.ndarray
    method: str
    target: Target
    score: float  # the explained number: an output before softmax, or a difference of two
    layer: str | None = None
    baseline: str | None = None  # what the input was compared with, in words
    cells: np.ndarray | None = None
    claimed: float | None = None
    gap: float | None = None
    seconds: float = 0.0  # of work for this map
    remarks: tuple[str, ...] = ()  # what to know before one believes it, in sentences

    @property
    def positive_mass(self) -> np.ndarray:
        """Float64 (*space): the positive values as shares of their sum; zeros where none is."""
        positive = np.maximum(self.values.astype(np.float64), 0.0)
        total = positive.sum()
        return positive / total if total > 0 else positive

    @property
    def relative_gap(self) -> float | None:
        """The gap as a share of what was claimed."""
        if self.gap is None or not self.claimed:
            return None
        return abs(self.gap) / abs(self.claimed)

    def mass_inside(self, mask: np.ndarray) -> float:
        """Share of the positive mass where `mask` bool (*space) is true."""
        return float(self.positive_mass[np.asarray(mask, bool)].sum())

    def to_json(self, with_values: bool = False) -> dict[str, Any]:
        """Plain values for JSON; the map itself, as nested lists, only where asked for."""
        return {
            "method": self.method,
            "layer": self.layer,
            "target": self.target.to_json(),
            "score": self.score,
            "baseline": self.baseline,
            "shape": list(self.values.shape),
            "low": float(self.values.min(initial=0.0)),
            "high": float(self.values.max(initial=0.0)),
            "claimed": self.claimed,
            "gap": self.gap,
            "relative_gap": self.relative_gap,
            "seconds": self.seconds,
            "remarks": list(self.remarks),
            **({"values": self.values.tolist()} if with_values else {}),
        }


def remarks_on(values: np.ndarray, layer: str | None) -> tuple[str, ...]:
    """What has to be said of a map that shows nothing, or only one side."""
    where = f"at {layer} " if layer else ""
    if not values.any():
        return (
            f"the map {where}is zero everywhere: nothing there speaks for or against the answer in "
            "the first order; take another layer, or occlusion",
        )
    if values.max() <= 0:
        return (
            f"the map {where}has no positive value: nothing there speaks for the answer; "
            "it rests on what is the same for every input (biases), or on other layers",
        )
    return ()
