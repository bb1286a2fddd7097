"""What an evaluation of boxes has besides scores."""

from dataclasses import dataclass
from typing import Any

from vitreous.evaluation.scores import Score


@dataclass(frozen=True)
class BoxSummary:
    """Counts at the chosen confidence, curves, and the pictures worth looking at."""

    confidence: dict[str, float]  # by class, chosen on validation: from here on an answer counts
    counts: dict[str, int]  # kind of `KINDS` -> boxes
    a_picture: dict[str, Score]
    curves: tuple[dict[str, Any], ...]  # one a class: recall, precision, confidence, thinned
    pictures: tuple[dict[str, Any], ...]  # sample_id, kind (worst, best) and counts

    def to_json(self) -> dict[str, Any]:
        """The summary as `evaluation.json` has it."""
        return {
            "confidence": self.confidence,
            "counts": self.counts,
            "a_picture": {kind: score.to_json() for kind, score in self.a_picture.items()},
            "curves": list(self.curves),
            "pictures": list(self.pictures),
        }
