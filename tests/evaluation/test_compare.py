"""Paired comparison: counts, verdicts, and that pairing sharpens them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from vitreous.errors import RequestError
from vitreous.evaluation.compare import compare_all, compare_paired
from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS


def pair(seed=0, n=400, gain=0.0):
    """Truth, and two answers that share most of their luck; the second has `gain` more signal."""
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=n)
    shared = random.normal(size=(n, 3)) + 1.5 * (truth[:, None] == np.arange(3))
    logits = [shared + 0.3 * random.normal(size=(n, 3)) for _ in range(2)]
    logits[1] = logits[1] + gain * (truth[:, None] == np.arange(3))
    return truth, *(np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in logits)


def test_difference_and_counts_are_those_written_out():
    truth, first, second = pair()
    found = compare_paired(truth, first, second)
    right = [each.argmax(axis=1) == truth for each in (first, second)]
    alone, other = (right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum()
    assert found.difference.value == pytest.approx((alone - other) / 400)
    assert (found.agreement.only_first, found.agreement.only_second) == (alone, other)
    assert found.agreement.both + found.agreement.neither + alone + other == 400
    assert found.agreement.p == pytest.approx(binomtest(alone, alone + other).pvalue)
    assert found.better is None
    assert found.verdict.startswith("no difference shown")
    assert found.to_json()["difference"]["value"] == found.difference.value


@pytest.mark.parametrize("metric", CLASS_METRICS)
def test_better_answers_are_called_better_by_every_metric(metric):
    truth, first, second = pair(gain=1.0)
    if metric == "ece":  # a sharper network is not a better calibrated one: make the first rash
        first = first**8 / (first**8).sum(axis=1, keepdims=True)
    found = compare_paired(truth, first, second, metric=metric, names=("old", "new"))
    assert found.better == "new"
    assert found.verdict.startswith("new is better")
    back = compare_paired(truth, second, first, metric=metric, names=("new", "old"))
    assert back.better == "new"
    assert back.difference.value == pytest.approx(-found.difference.value)


def test_pairing_sharpens():
    truth, first, second = pair()
    paired = compare_paired(truth, first, second, metric="log_loss").difference
    shuffled = np.random.default_rng(0).permutation(len(truth))
    order = np.argsort(truth[shuffled], kind="stable")  # same figures, pairs torn apart
    place = np.argsort(np.argsort(truth, kind="stable"), kind="stable")
    torn = compare_paired(truth, first, second[shuffled][order][place], metric="log_loss")
    assert torn.difference.value == pytest.approx(paired.value)
    assert paired.high - paired.low < 0.7 * (torn.difference.high - torn.difference.low)


def test_false_alarms_are_rare():
    alarms = [
        compare_paired(*pair(seed, n=150), seed=seed, resamples=200).better is not None
        for seed in range(200)
    ]
    assert np.mean(alarms) <= 0.09


def test_same_answers_differ_by_nothing_and_still_not_for_certain():
    truth, first, _ = pair(n=50)
    found = compare_paired(truth, first, first)
    assert found.difference.value == 0
    assert found.difference.low < 0 < found.difference.high
    assert found.better is None
    assert found.agreement.p == 1


def test_grouped_samples_have_a_wider_interval_and_no_mcnemar():
    truth, first, second = pair()
    rows = np.argsort(first.max(axis=1) - second.max(axis=1))  # groups that share their luck
    groups = [str(row // 20) for row in np.argsort(rows)]
    grouped = compare_paired(truth, first, second, groups=groups, metric="log_loss")
    single = compare_paired(truth, first, second, metric="log_loss")
    assert grouped.agreement.p is None
    assert grouped.n_groups == 20
    assert grouped.difference.high - grouped.difference.low > 1.2 * (
        single.difference.high - single.difference.low
    )


def test_other_tasks():
    truth, first, second = pair()
    labels = truth[:, None] == np.arange(3)
    found = compare_all(labels, first, second, table=LABEL_METRICS)
    assert set(found) == set(LABEL_METRICS)
    assert found["exact_match"].agreement is not None
    numbers = np.random.default_rng(0).normal(size=100)
    found = compare_all(numbers, numbers + 1, numbers + 0.1, table=NUMBER_METRICS, unit="mm")
    assert {each.better for each in found.values()} == {"second"}
    assert found["mae"].difference.unit == "mm"
    assert found["r2"].difference.unit is None


def test_wrong_requests():
    truth, first, second = pair()
    with pytest.raises(RequestError, match="did you mean 'accuracy'"):
        compare_paired(truth, first, second, metric="acuracy")
    with pytest.raises(RequestError, match="same samples"):
        compare_paired(truth, first, second[:-1])
