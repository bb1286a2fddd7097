"""Do the 95 % intervals hold the truth 95 times in 100? Simulated test sets with a known truth.

Each scenario draws test sets from a population of answers (a network of known quality, with or
without groups that share their luck), asks the package for its figures, and counts how often the
interval holds the population's value, found on 1.6 million samples. Bar: 93 to 97 %. (Counts are
whole numbers: the coverage of Wilson's interval itself goes up and down with n and the share, from
94 % to 98 % for 100 samples and shares around 0.97.)

    python -m benchmarks.interval_coverage [--simulations 1000]

Writes benchmarks/results/interval_coverage.json. About eight minutes on one core, for which it
resamples 400 times, where the package resamples 1,000 times.
"""

import argparse
import time
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.results import keep
from vitreous.evaluation.compare import compare_paired
from vitreous.evaluation.figures import Sampling, class_figures, number_figures
from vitreous.evaluation.metrics import CLASS_METRICS, NUMBER_METRICS
from vitreous.evaluation.resampling import Grouping

QUESTION = "How often do the 95 % intervals hold the truth?"
BAR = (0.93, 0.97)
POPULATION = 400_000
RESAMPLES = 400


@dataclass(frozen=True)
class Scenario:
    """Answers as softmax(sharpness * (signal + group's luck + noise)) over the classes."""

    name: str
    groups: int
    samples_per_group: int
    classes: int
    separation: float
    group_deviation: float = 0.0
    sharpness: float = 2.5
    rare: float | None = None  # share of the last class; None: all classes alike


SCENARIOS = (
    Scenario("100 samples, accuracy 0.97", 100, 1, 2, 2.66),
    Scenario("200 samples, AUROC 0.96", 200, 1, 2, 1.8),
    Scenario("300 samples, a tenth positive, AUROC 0.955", 300, 1, 2, 1.7, rare=0.1),
    Scenario("300 samples, a tenth positive, AUROC 0.99", 300, 1, 2, 2.3, rare=0.1),
    Scenario("200 samples, 5 classes, accuracy 0.97", 200, 1, 5, 3.3, sharpness=3.0),
    Scenario("300 samples, 5 classes, accuracy 0.83", 300, 1, 5, 2.2),
    Scenario("30 groups of 10", 30, 10, 2, 2.0, 0.7),
    Scenario("12 groups of 20", 12, 20, 2, 2.0, 0.7),
    Scenario("60 groups of 5, 5 classes", 60, 5, 5, 2.5, 0.7),
)


def draw(scenario: Scenario, groups: int, random: np.random.Generator):
    """Truth (n,), probabilities (n, classes) and the grouping of `groups` groups."""
    numbers = np.repeat(np.arange(groups), scenario.samples_per_group)
    shares = np.full(scenario.classes, 1 / scenario.classes)
    if scenario.rare is not None:
        shares[:] = (1 - scenario.rare) / (scenario.classes - 1)
        shares[-1] = scenario.rare
    truth = random.choice(scenario.classes, size=len(numbers), p=shares)
    signal = random.normal(size=(len(numbers), scenario.classes))
    signal[np.arange(len(numbers)), truth] += scenario.separation
    luck = random.normal(size=(groups, scenario.classes)) * scenario.group_deviation
    logits = scenario.sharpness * (signal + luck[numbers])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return truth, probabilities, Grouping(numbers, groups, scenario.samples_per_group > 1)


def classification(scenario: Scenario, simulations: int) -> dict:
    """Coverage of every classification figure of one scenario."""
    groups = POPULATION // scenario.samples_per_group
    population = [draw(scenario, groups, np.random.default_rng(1000 + part)) for part in range(4)]
    true = {
        name: float(np.mean([metric.value(*part[:2]) for part in population]))
        for name, metric in CLASS_METRICS.items()
    }
    random, tally = np.random.default_rng(1), Tally(true)
    names = [str(label) for label in range(scenario.classes)]
    for simulation in range(simulations):
        truth, probabilities, grouping = draw(scenario, scenario.groups, random)
        sampling = Sampling(grouping, simulation, RESAMPLES)
        tally.add(class_figures(truth, probabilities, names, sampling).metrics)
    return {"scenario": asdict(scenario), "figures": tally.result()}


def draw_numbers(groups: int, samples_per_group: int, random: np.random.Generator):
    """Truth, predictions (n,) with heavy-tailed errors that share a group's part, and groups."""
    numbers = np.repeat(np.arange(groups), samples_per_group)
    truth = 50 + 10 * random.normal(size=len(numbers))
    errors = 2 * random.standard_t(6, size=len(numbers)) + 1.5 * random.normal(size=groups)[numbers]
    return truth, truth + errors, Grouping(numbers, groups, samples_per_group > 1)


def regression(groups: int, samples_per_group: int, simulations: int) -> dict:
    """Coverage of the figures of a regression."""
    populations = [
        draw_numbers(POPULATION, 1, np.random.default_rng(2000 + part)) for part in range(4)
    ]  # one sample a group: the same marginal distribution
    true = {
        name: float(np.mean([metric.value(*part[:2]) for part in populations]))
        for name, metric in NUMBER_METRICS.items()
    }
    random, tally = np.random.default_rng(2), Tally(true)
    for simulation in range(simulations):
        truth, predicted, grouping = draw_numbers(groups, samples_per_group, random)
        sampling = Sampling(grouping, simulation, RESAMPLES)
        tally.add(number_figures(truth, predicted, None, sampling).metrics)
    name = f"regression, {groups} groups of {samples_per_group}"
    return {"scenario": {"name": name}, "figures": tally.result()}


def draw_pair(scenario: Scenario, groups: int, random: np.random.Generator):
    """Two networks' answers to the same samples: the second one adds noise to the first."""
    truth, first, grouping = draw(scenario, groups, random)
    logits = np.log(first) + 1.2 * random.normal(size=first.shape)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, first, powers / powers.sum(axis=1, keepdims=True), grouping


def comparison(scenario: Scenario, simulations: int) -> dict:
    """Coverage of the paired differences of two networks."""
    groups = POPULATION // scenario.samples_per_group
    pairs = [draw_pair(scenario, groups, np.random.default_rng(3000 + part)) for part in range(4)]
    true = {
        name: float(np.mean([rule.value(t, a) - rule.value(t, b) for t, a, b, _ in pairs]))
        for name, rule in CLASS_METRICS.items()
        if name != "ece"  # not a difference of unbiased figures
    }
    random, tally = np.random.default_rng(3), Tally(true)
    for simulation in range(simulations):
        truth, first, second, grouping = draw_pair(scenario, scenario.groups, random)
        groups_given = [str(number) for number in grouping.numbers]
        tally.add(
            {
                name: compare_paired(
                    truth,
                    first,
                    second,
                    groups=groups_given,
                    metric=name,
                    seed=simulation,
                    resamples=RESAMPLES,
                ).difference
                for name in true
            }
        )
    return {"scenario": {"name": f"paired: {scenario.name}"}, "figures": tally.result()}


class Tally:
    """Counts how often the intervals hold the true values."""

    def __init__(self, true: dict[str, float]):
        self.true = true
        self.rows = {name: [] for name in true}

    def add(self, scores) -> None:
        """Note the intervals of one simulated test set."""
        for name, true in self.true.items():
            score = scores[name]
            self.rows[name].append(
                (score.value, score.low, score.high, score.low > true, score.high < true)
            )

    def result(self) -> dict:
        """Coverage and width of each figure."""
        return {name: self._figure(name) for name in self.true}

    def _figure(self, name: str) -> dict:
        value, low, high, above, under = np.array(self.rows[name], dtype=float).T
        coverage = float(1 - (above + under).mean())
        return {
            "true": self.true[name],
            "mean_estimate": float(value.mean()),
            "coverage": coverage,
            "coverage_standard_error": float(np.sqrt(coverage * (1 - coverage) / len(value))),
            "interval_above_truth": float(above.mean()),
            "interval_below_truth": float(under.mean()),
            "mean_width": float((high - low).mean()),
            "in_bar": bool(BAR[0] <= round(coverage, 3) <= BAR[1]),
        }


def show(found: dict) -> None:
    print(found["scenario"]["name"])
    for name, figure in found["figures"].items():
        mark = "" if figure["in_bar"] else "  <- outside the bar"
        print(f"  {name:18s} {figure['coverage']:.3f}  width {figure['mean_width']:.4f}{mark}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    arguments = parser.parse_args()
    started, results, simulations = time.perf_counter(), [], arguments.simulations
    jobs = [lambda one=one: classification(one, simulations) for one in SCENARIOS]
    jobs += [lambda: regression(150, 1, simulations), lambda: regression(30, 10, simulations)]
    jobs += [lambda one=one: comparison(one, simulations) for one in (SCENARIOS[1], SCENARIOS[6])]
    for job in jobs:
        results.append(job())
        show(results[-1])
    seconds = round(time.perf_counter() - started, 1)
    print(keep("interval_coverage", QUESTION, rows_of(results), notes_on(simulations, seconds)))


def rows_of(results: list[dict]) -> list[dict]:
    """A row a setting: the share of simulated test sets whose interval holds the truth."""
    return [
        {
            "what": found["scenario"]["name"],
            **{name: round(figure["coverage"], 3) for name, figure in found["figures"].items()},
            "outside the bar": ", ".join(
                name for name, figure in found["figures"].items() if not figure["in_bar"]
            ),
        }
        for found in results
    ]


def notes_on(simulations: int, seconds: float) -> str:
    """What the table is of."""
    return (
        f"Share of {simulations:,} simulated test sets whose 95 % interval holds the truth; the "
        f"bar is {BAR[0]} to {BAR[1]}. {RESAMPLES} resamples each, {seconds:.0f} s in all. "
        "docs/decisions/0005-intervals.md says why some figures lie outside."
    )


if __name__ == "__main__":
    main()
