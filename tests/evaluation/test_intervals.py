"""Intervals: against scipy, against their definitions, and by how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm, skew

from vitreous.evaluation import areas, intervals
from vitreous.evaluation.figures import Sampling, class_figures, number_figures
from vitreous.evaluation.metrics import CLASS_METRICS, NUMBER_METRICS
from vitreous.evaluation.resampling import Grouping, Resampled, draws, grouping, resample


@given(trials=st.integers(1, 500), data=st.data())
def test_wilson_equals_scipy(trials, data):
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    low, high = intervals.wilson(successes, trials)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_effective_share_of_independent_samples_is_nearly_wilson():
    variance = 0.9 * 0.1 / 400
    found = intervals.effective_share(0.9, variance, n_groups=400, fewest=400)
    assert found == pytest.approx(intervals.wilson(360, 400), abs=1e-3)


def test_groups_are_drawn_whole_and_chunks_do_not_matter():
    groups = Grouping(np.array([0, 0, 1, 1, 1, 2]), 3, given=True)
    drawn = resample(lambda weights: weights, groups, resamples=50, seed=4)
    assert (drawn.resampled[:, 0] == drawn.resampled[:, 1]).all()
    assert (drawn.resampled[:, 2] == drawn.resampled[:, 4]).all()
    assert (drawn.resampled[:, [0, 2, 5]].sum(axis=1) == 3).all()
    assert drawn.estimate.tolist() == [1] * 6
    one_by_one = np.concatenate(list(draws(3, 50, rows=1, seed=4)))
    np.testing.assert_array_equal(drawn.resampled[:, [0, 2, 5]], one_by_one)
    assert not np.array_equal(one_by_one, np.concatenate(list(draws(3, 50, rows=7, seed=5))))


def test_bootstrap_of_a_mean_finds_its_standard_error():
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 4)) + random.normal(size=(50, 1))  # 50 groups of 4
    groups = grouping([str(row // 4) for row in range(200)], 200)
    drawn = resample(lambda weights: weights @ values.ravel() / 200, groups, resamples=4000)
    expected = values.mean(axis=1).var(ddof=1) / 50
    assert drawn.variance[0] == pytest.approx(expected, rel=0.1)
    [interval] = intervals.bootstrap(drawn)
    assert interval is not None
    assert interval[0] < values.mean() < interval[1]


def test_a_class_without_mistakes_still_brings_doubt():
    """A majority class with mistakes and a rare one without: the rare one's doubt must count."""
    random = np.random.default_rng(0)
    common = random.binomial(400, 0.9, size=1000) / 400
    resampled = np.stack([common, np.ones(1000)], axis=1)
    drawn = Resampled(np.array([0.9, 1.0]), resampled, resampled[:0], 420)
    low, high = intervals.mean_of_classes(drawn, np.array([400.0, 20.0]))
    blind, _ = intervals.effective_share(0.95, common.var() / 4, 420, 420)
    assert low < blind - 0.02
    assert low < 0.95 < high


def resampled_shares(right, trials, groups=10**6):
    """What drawing would bring for independent shares: their binomial variance, to the digit."""
    shares = np.array(right) / trials
    apart = np.sqrt(shares * (1 - shares) / trials)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(shares))).reshape(len(shares), -1).T
    return Resampled(shares, shares + signs * apart, signs[:0], groups)


@pytest.mark.parametrize("right", [81, 99, 100, 0])
def test_mean_of_one_class_is_wilson(right):
    found = intervals.mean_of_classes(resampled_shares([right], 100), np.array([100.0]))
    assert found == pytest.approx(intervals.wilson(right, 100), abs=1e-5)


def test_mean_of_classes_against_the_slow_search():
    """Every pair of shares is tried: the ends are the means of the likeliest pair, no surprise."""
    right, trials = np.array([47.0, 26.0]), np.array([50.0, 30.0])
    seen = float((right / trials).mean())
    means = []
    for mean in np.linspace(0.7, 0.99, 581):
        first = np.linspace(max(2 * mean - 1, 0) + 1e-6, min(2 * mean, 1) - 1e-6, 4001)
        pairs = np.stack([first, 2 * mean - first], axis=1)
        chances = right * np.log(pairs) + (trials - right) * np.log1p(-pairs)
        likeliest = pairs[chances.sum(axis=1).argmax()]
        deviation = 1.959964 * np.sqrt((likeliest * (1 - likeliest) / trials).sum()) / 2
        means += [mean] if abs(mean - seen) <= deviation else []
    found = intervals.mean_of_classes(resampled_shares(right, trials), trials)
    assert found == pytest.approx((means[0], means[-1]), abs=1e-3)


@given(right=st.floats(0.5, 49.5), strength=st.floats(1e-6, 1e6), sign=st.sampled_from([-1, 1]))
def test_tilted_shares_meet_lagranges_condition(right, strength, sign):
    share = float(intervals._tilted(np.array([right / 50]), np.array([50.0]), sign * strength)[0])
    slope = right * (1 - share) - (50 - right) * share
    assert slope == pytest.approx(sign * strength * share * (1 - share), rel=1e-6, abs=1e-6)


def test_classes_that_go_together_make_a_mean_less_certain():
    apart = resampled_shares([40, 40], 50)
    column = apart.resampled[:, :1]
    together = Resampled(apart.estimate, np.hstack([column, column]), apart.left_out, 10**6)
    of_one = intervals.wilson(40, 50)
    found = intervals.mean_of_classes(together, np.array([50.0, 50.0]))
    assert found == pytest.approx(of_one, abs=1e-4)
    low, high = intervals.mean_of_classes(apart, np.array([50.0, 50.0]))
    assert of_one[0] < low < 0.8 < high < of_one[1]


@pytest.mark.parametrize("area", [0.6, 0.9, 0.97, 0.2])
def test_binormal_variance_is_that_of_normal_scores(area):
    random, positives, negatives = np.random.default_rng(0), 20, 35
    above = random.normal(np.sqrt(2) * norm.ppf(area), 1, size=(8000, positives, 1))
    below = random.normal(size=(8000, 1, negatives))
    areas_found = (above > below).mean(axis=(1, 2))
    expected = areas.binormal_variance(area, np.array(positives), np.array(negatives))
    assert areas_found.var() == pytest.approx(float(expected), rel=0.06)


def test_area_interval_ends_where_the_area_seen_is_a_surprise():
    sides = np.array([40.0]), np.array([60.0])
    variance = 1.7 * float(areas.binormal_variance(0.93, *sides)[0])
    low, high = areas.area_interval(0.93, variance, *sides, known_from=30, n_groups=10**6)
    for end in (low, high):
        at = 1.7 * float(areas.binormal_variance(end, *sides)[0])
        assert abs(0.93 - end) == pytest.approx(1.959964 * np.sqrt(at), rel=1e-4)
    assert 0.93 - low > high - 0.93  # the nearer to 1, the smaller


def test_a_variance_known_from_few_samples_is_drawn_up_to_the_curves():
    sides = np.array([40.0]), np.array([60.0])
    model = float(areas.binormal_variance(0.95, *sides)[0])
    widths = {
        (share, known): np.diff(areas.area_interval(0.95, share * model, *sides, known, 100))[0]
        for share, known in [(0.3, 2), (0.3, 50), (0.3, 10**9), (1.0, 2), (2.0, 2)]
    }
    assert widths[0.3, 10**9] < widths[0.3, 50] < widths[0.3, 2] < widths[1.0, 2] < widths[2.0, 2]
    perfect = areas.area_interval(1.0, 0.0, *sides, known_from=0, n_groups=100)
    assert 0.9 < perfect[0] < 0.99
    assert perfect[1] == 1


def test_misplaced_groups_are_those_on_the_wrong_side():
    positive = np.array([0, 0, 0, 1, 1, 1, 1], dtype=bool)
    score = np.array([1.0, 2, 6, 3, 4, 6, 7])
    by_itself = grouping(None, 7)
    assert areas.misplaced_groups(positive, score, by_itself) == 1  # 6; the positives: 3, 4, 6
    assert areas.misplaced_groups(~positive, score, by_itself) == 3  # 1, 2, 6 of 3 and 4
    assert areas.misplaced_groups(positive, positive.astype(float), by_itself) == 0
    assert areas.misplaced_groups(positive | True, score, by_itself) == 0
    pairs = grouping(["a", "b", "c", "d", "d", "d", "e"], 7)
    assert areas.misplaced_groups(~positive, score, pairs) == 2  # a, b, c against d and e


@given(skewness=st.floats(-8, 8), deviation=st.floats(-20, 20), count=st.integers(3, 500))
def test_halls_transformation_turns_back(skewness, deviation, count):
    plain, gamma = np.array([deviation]), np.array([skewness])
    there = intervals._without_skewness(plain, gamma, count)
    back = intervals._with_skewness(float(there[0]), skewness, count)
    assert back == pytest.approx(deviation, abs=1e-2)
    farther = intervals._without_skewness(plain + 0.1, gamma, count)
    assert farther[0] >= there[0]


def test_moments_of_groups_are_those_of_their_sums():
    random = np.random.default_rng(0)
    sums, sizes = random.gamma(1, size=30), np.full(30, 4.0)
    apart = sums - sums.mean()
    mean, error, skewness = (
        float(each[0]) for each in intervals._moments(np.ones((1, 30)), apart, sizes)
    )
    assert mean == pytest.approx(0, abs=1e-12)
    assert error == pytest.approx((sums / 4).std(ddof=1) / np.sqrt(30))
    assert skewness == pytest.approx(skew(sums, bias=False))
    times = random.multinomial(30, np.full(30, 1 / 30))
    again = np.repeat(sums / 4, times)
    mean, error, skewness = (
        float(each[0]) for each in intervals._moments(times[None].astype(float), apart, sizes)
    )
    assert mean == pytest.approx(again.mean() - sums.mean() / 4)
    assert error == pytest.approx(again.std(ddof=1) / np.sqrt(30))
    assert skewness == pytest.approx(skew(again, bias=False))


def by_chance(confidence, gap=None, groups=None, **settings):
    bins = np.minimum(np.floor(confidence * 15).astype(int), 15)
    groups = grouping(groups, len(confidence))
    gap = confidence if gap is None else gap
    return intervals.calibration_error_by_chance(bins, confidence, gap, groups, **settings)


def test_chance_of_one_bin_is_that_of_a_binomial():
    """One bin: the error is |mistakes / n - 0.02|, whose exact quantile is known."""
    mistakes = np.arange(301)
    error, probability = np.abs(mistakes / 300 - 0.02), binom.pmf(mistakes, 300, 0.02)
    order = np.argsort(error)
    exact = error[order][np.searchsorted(np.cumsum(probability[order]), 0.95)]
    found = by_chance(np.full(300, 0.98), resamples=20_000)
    assert found == pytest.approx(exact, abs=1 / 300 + 1e-9)


@pytest.mark.parametrize("per_group", [1, 8])
def test_calibrated_answers_stay_under_chance_in_95_of_100_sets(per_group):
    """Samples of a group are right or wrong together; confidences by group, as likely as said."""
    random, sets, groups = np.random.default_rng(0), 300, 160 // per_group * 2
    stayed = 0
    for number in range(sets):
        confidence = random.uniform(0.5, 1, size=groups)
        right = random.random(groups) < confidence
        confidence, gap = (np.repeat(each, per_group) for each in (confidence, confidence - right))
        bins = np.floor(confidence * 15).astype(int)
        error = np.abs(np.bincount(bins, gap)).sum() / len(gap)
        names = [str(row // per_group) for row in range(len(gap))] if per_group > 1 else None
        stayed += error <= by_chance(confidence, gap, names, resamples=200, seed=number)
    assert 0.91 <= stayed / sets <= 0.99


def test_chance_does_not_hide_answers_that_are_too_sure():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, size=200)
    right = random.random(200) < confidence
    sure = np.minimum(confidence + 0.3, 0.999)
    bins = np.floor(sure * 15).astype(int)
    assert np.abs(np.bincount(bins, sure - right)).sum() / 200 > 2 * by_chance(sure, sure - right)


@pytest.mark.parametrize("ratio", [9.0, 1.5])
def test_area_variance_is_that_of_exponential_scores(ratio):
    """The model behind Hanley and McNeil's equation: both sides exponential."""
    random, positives, negatives = np.random.default_rng(0), 30, 50
    above = random.exponential(ratio, size=(4000, positives, 1))
    below = random.exponential(1, size=(4000, 1, negatives))
    areas = (above > below).mean(axis=(1, 2))
    area = ratio / (1 + ratio)
    assert areas.mean() == pytest.approx(area, abs=5e-3)
    expected = intervals.area_variance(area, positives, negatives)
    assert areas.var() == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("larger", ["bootstrap", "jackknife"])
def test_few_groups_count_by_the_jackknife_where_that_is_larger(larger):
    values = np.random.default_rng(0).normal(size=8) ** 2

    def square_of_mean(weights):
        return (weights @ values / weights.sum(axis=1)) ** 2

    def highest(weights):
        return np.where(weights > 0, values, 0).max(axis=1)

    statistic = square_of_mean if larger == "bootstrap" else highest
    drawn = resample(statistic, grouping(None, 8), resamples=3000)
    without = np.array(
        [statistic(np.delete(np.eye(8), row, 0).sum(0)[None])[0] for row in range(8)]
    )
    found = {
        "jackknife": 7 / 8 * ((without - without.mean()) ** 2).sum(),
        "bootstrap": drawn.resampled.var() * 8 / 7,
    }
    assert max(found, key=found.get) == larger
    assert drawn.variance[0] == pytest.approx(found[larger])
    np.testing.assert_allclose(drawn.left_out[:, 0], without)
    many = resample(lambda weights: weights[:, 0], grouping(None, 300), resamples=20)
    assert len(many.left_out) == 0


@pytest.mark.parametrize("perfect", [True, False])
def test_a_perfect_score_is_not_certain(perfect):
    truth = np.arange(40) % 2
    sure = np.where(truth[:, None] == np.arange(2), 0.99, 0.01)
    answers = sure if perfect else 1 - sure
    scores = class_figures(truth, answers, ["a", "b"], Sampling(grouping(None, 40))).metrics
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
        score = scores[name]
        assert score.value == float(perfect)
        assert score.high - score.low > 0.05, name


def test_one_group_gives_no_interval():
    truth = np.arange(40) % 2
    answers = np.random.default_rng(0).dirichlet([1, 1], size=40)
    sampling = Sampling(grouping(["anna"] * 40, 40))
    for name, score in class_figures(truth, answers, ["a", "b"], sampling).metrics.items():
        assert score.value is not None
        assert score.low is None
        assert score.high is None
        assert score.by_chance is None
        assert ("no interval: chance" if name == "ece" else "one group") in score.method


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(4, 60),
    n_groups=st.integers(2, 20),
    classes=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_every_interval_holds_its_value_and_stays_in_bounds(n, n_groups, classes, seed):
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=n)
    answers = random.dirichlet(np.full(classes, 0.3), size=n)
    names = [str(label) for label in range(classes)]
    groups = grouping([str(row % n_groups) for row in range(n)], n)
    found = class_figures(truth, answers, names, Sampling(groups, seed, resamples=50))
    rows = [getattr(row, name) for row in found.per_class for name in ("recall", "f1", "auroc")]
    for score in [*found.metrics.values(), *rows]:
        if score.value is None:
            assert "undefined" in score.method
        elif score.by_chance is not None:
            assert 0 <= score.by_chance <= 1
        else:
            assert 0 <= score.low <= score.value <= score.high


def coverage(draw, true, figures, simulations=120):
    """Share of simulated test sets whose interval holds `true`, by figure."""
    random, held = np.random.default_rng(7), dict.fromkeys(true, 0)
    for simulation in range(simulations):
        scores = figures(*draw(random), simulation)
        for name, value in true.items():
            held[name] += scores[name].low <= value <= scores[name].high
    return {name: count / simulations for name, count in held.items()}


def answers(random, groups, per_group, deviation):
    numbers = np.repeat(np.arange(groups), per_group)
    truth = random.integers(2, size=len(numbers))
    skill = 1.3 + deviation * random.normal(size=groups)[numbers]  # a hard group is hard as a whole
    margin = 2.5 * (skill * (2 * truth - 1) + random.normal(size=len(numbers)))
    share = 1 / (1 + np.exp(-margin))
    return truth, np.stack([1 - share, share], axis=1), Grouping(numbers, groups, per_group > 1)


@pytest.mark.parametrize(("groups", "per_group", "deviation"), [(200, 1, 0.0), (40, 6, 0.6)])
def test_intervals_cover(groups, per_group, deviation):
    """The short form of benchmarks/interval_coverage.py; about three standard errors under 95 %."""
    truth, probabilities, _ = answers(np.random.default_rng(1), 300_000, 1, deviation)
    true = {
        name: rule.value(truth, probabilities)
        for name, rule in CLASS_METRICS.items()
        if name != "ece"  # which has no interval
    }
    found = coverage(
        lambda random: answers(random, groups, per_group, deviation),
        true,
        lambda t, p, g, s: class_figures(t, p, ["a", "b"], Sampling(g, s, 200)).metrics,
    )
    assert min(found.values()) >= 0.89, found
    blind = coverage(  # the same without knowing the groups: what the groups are there for
        lambda random: answers(random, groups, per_group, deviation),
        {"accuracy": true["accuracy"]},
        lambda t, p, g, s: (
            class_figures(t, p, ["a", "b"], Sampling(grouping(None, len(t)), s, 100)).metrics
        ),
    )
    if per_group > 1:
        assert blind["accuracy"] < found["accuracy"]


def test_number_intervals_cover():
    def numbers(random, n=150):
        truth = random.normal(size=n)
        return truth, truth + 0.4 * random.standard_t(6, size=n), grouping(None, n)

    truth, predicted, _ = numbers(np.random.default_rng(1), 500_000)
    true = {name: rule.value(truth, predicted) for name, rule in NUMBER_METRICS.items()}
    found = coverage(
        numbers,
        true,
        lambda t, p, g, s: number_figures(t, p, "mm", Sampling(g, s, 200)).metrics,
    )
    assert min(found.values()) >= 0.89, found


def test_a_class_that_one_group_alone_has_leaves_the_mean_over_classes_open():
    """A share that no resample moves, but by rounding, is known of one group, not for certain."""
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], 60)
    shares = random.dirichlet([1, 1], 120)
    two = Sampling(grouping(["x"] * 60 + ["y"] * 60, 120))
    found = class_figures(truth, shares, ("a", "b"), two)
    for name in ("balanced_accuracy", "macro_f1"):
        assert found.metrics[name].low < 0.1
        assert found.metrics[name].high > 0.9
    for row in found.per_class:
        assert row.recall.low < 0.1
        assert row.recall.high > 0.9
