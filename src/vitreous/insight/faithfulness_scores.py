"""What the checks of a map found, as numbers and in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vitreous.insight.controls import CONTROLS

ALIKE = 0.7  # rank correlation above which two maps are said to be the same
STILL = 0.05  # of the answer: where nothing moves it by more, no map can be judged


@dataclass(frozen=True)
class Curve:
    """The answer while parts are taken away, or put into the fill, in a map's order.

    Both run from none to all of the parts, in equal steps.
    """

    fill: str
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Mean answer while the strongest parts go first: small is good."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Mean answer while the strongest parts come first: large is good."""
        return _area(self.insertion)

    @property
    def order(self) -> float:
        """Insertion less deletion: what the map's order is worth; 0 for one that says nothing."""
        return self.insertion_area - self.deletion_area


@dataclass(frozen=True)
class MapScores:
    """One map, tested on one input; of random maps the mean of several."""

    order: float  # mean over fills of insertion less deletion
    patches: float | None  # mean over fills: rank correlation with what single parts do
    mass_inside: float | None = None  # positive mass in the given mask
    curves: tuple[Curve, ...] = ()

    def beats(self, other: "MapScores") -> bool:
        """Whether it is better in both ways of asking."""
        own = -1.0 if self.patches is None else self.patches
        others = -1.0 if other.patches is None else other.patches
        return self.order > other.order and own > others


@dataclass(frozen=True)
class Faithfulness:
    """Whether a map says what the network does, beside maps that know nothing of it."""

    map: MapScores
    controls: Mapping[str, MapScores]
    answer: float  # for the whole input
    answers_of_fills: Mapping[str, float]  # for nothing but the fill
    randomised: float | None = None  # rank correlation with the map of shuffled weights
    other_target: float | None = None  # ... with the map for the answer that is furthest
    mask_share: float | None = None  # of the area
    agreement: Mapping[str, float | None] = field(default_factory=dict)  # method -> correlation
    forward_passes: int = 0  # of one input each, for the curves and patches
    seconds: float = 0.0
    nothing_shown: bool = False  # the map is zero everywhere

    @property
    def moves(self) -> float:
        """How far the answer moved in all that was tried."""
        everything = [self.answer, *self.answers_of_fills.values()]
        for scores in (self.map, *self.controls.values()):
            for curve in scores.curves:
                everything += [*curve.deletion, *curve.insertion]
        return max(everything) - min(everything)

    @property
    def beaten(self) -> dict[str, bool]:
        """Each control, and whether the map beats it."""
        return {name: self.map.beats(scores) for name, scores in self.controls.items()}

    @property
    def alarms(self) -> tuple[str, ...]:
        """What speaks against believing the map, in sentences; none where all is well."""
        return tuple(_alarms(self))

    @property
    def sentence(self) -> str:
        """The result in words, alarms included."""
        return _sentence(self)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        plain["map"] = _scores_json(self.map)
        plain["controls"] = {name: _scores_json(each) for name, each in self.controls.items()}
        return {
            **plain,
            "moves": self.moves,
            "beaten": self.beaten,
            "alarms": list(self.alarms),
            "sentence": self.sentence,
        }


def _scores_json(scores: MapScores) -> dict[str, Any]:
    curves = [
        {
            **asdict(curve),
            "deletion_area": curve.deletion_area,
            "insertion_area": curve.insertion_area,
        }
        for curve in scores.curves
    ]
    return {**asdict(scores), "curves": curves}


def _alarms(found: Faithfulness):
    if found.nothing_shown:
        yield "the map is zero everywhere"
        return
    if found.moves < STILL:
        yield (
            f"whatever is taken away, the answer moves by no more than {found.moves:.3f}: no map "
            "can be judged on this input"
        )
    for name, is_beaten in found.beaten.items():
        if not is_beaten:
            yield f"it does not beat {CONTROLS.get(name, name)}"
    if found.randomised is not None and found.randomised > ALIKE:
        yield (
            f"it looks the same with shuffled weights (rank correlation {found.randomised:.2f}): "
            "it does not show what was learned"
        )
    if found.other_target is not None and found.other_target > ALIKE:
        yield (
            f"it looks the same for another answer (rank correlation {found.other_target:.2f}): "
            "it does not say why this one"
        )
    if found.map.mass_inside is not None:
        yield from _mask_alarm(found)


def _mask_alarm(found: Faithfulness):
    others = {name: each.mass_inside or 0.0 for name, each in found.controls.items()}
    best = max(others, key=lambda name: others[name], default=None)
    inside = found.map.mass_inside or 0.0
    if best is not None and inside <= others[best]:
        yield (
            f"it puts {inside:.0%} of its mass into the mask, no more than "
            f"{CONTROLS.get(best, best)} does ({others[best]:.0%})"
        )


def _sentence(found: Faithfulness) -> str:
    if found.nothing_shown:
        return "The map is zero everywhere: it explains nothing."
    numbers = ", ".join(
        f"{CONTROLS.get(name, name)} {each.order:+.2f}" for name, each in found.controls.items()
    )
    patches = found.map.patches
    ranks = "undefined" if patches is None else f"{patches:+.2f}"
    measured = (
        f"its order is worth {found.map.order:+.2f} of the answer ({numbers}), and its ranks go "
        f"with what single patches do by {ranks}"
    )
    alarms = found.alarms
    if not alarms:
        return f"The map holds: {measured}; chance, edges and the centre do worse."
    return f"Do not lean on this map: {'; '.join(alarms)}. Measured: {measured}."


def _area(values: tuple[float, ...]) -> float:
    return float(np.trapezoid(values) / max(1, len(values) - 1))
