"""Whole evaluations: the figures agree with the metrics, the JSON is whole, odd data are said."""

import json

import numpy as np
import pytest

from vitreous.errors import DataError, RequestError
from vitreous.evaluation.baselines import majority_class, training_mean
from vitreous.evaluation.evaluate import evaluate_classes, evaluate_labels, evaluate_numbers
from vitreous.evaluation.evaluation import WHOLE
from vitreous.evaluation.metrics import CLASS_METRICS, LABEL_METRICS, NUMBER_METRICS

SCORE_KEYS = {"value", "low", "high", "level", "method", "higher_is_better", "unit"}


def data(n=120, classes=4, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=n)
    logits = random.normal(size=(n, classes)) + 2 * (truth[:, None] == np.arange(classes))
    return truth, 3 * logits, [f"cats/{row}.png" for row in range(n)]


def names(classes):
    return ["ant", "bee", "cat", "dog", "elk"][:classes]


def whole(evaluation):
    """The evaluation as JSON text and back; NaN is refused."""
    return json.loads(json.dumps(evaluation.to_json(), allow_nan=False))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("grouped", [False, True])
def test_scores_are_the_metrics(classes, grouped):
    truth, logits, ids = data(classes=classes)
    groups = [f"patient {row // 4}" for row in range(len(truth))] if grouped else None
    found = evaluate_classes(
        truth, logits, classes=names(classes), sample_ids=ids, groups=groups, temperature=3.0
    )
    scaled = np.exp(logits / 3)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    assert set(found.metrics) == set(CLASS_METRICS)
    for name, score in found.metrics.items():
        expected = CLASS_METRICS[name].value(truth, probabilities)
        assert score.value == pytest.approx(expected), name
        assert name == "ece" or score.low < score.value < score.high
        assert score.higher_is_better == CLASS_METRICS[name].higher_is_better
    assert found.metrics["ece"].value == pytest.approx(found.calibration.ece_after)
    assert found.n_groups == (30 if grouped else None)
    assert (found.metrics["accuracy"].method == "Wilson") == (not grouped)


def test_table_confusion_and_most_wrong_agree():
    truth, logits, ids = data()
    found = evaluate_classes(truth, logits, classes=names(4), sample_ids=ids)
    matrix, answer = found.confusion.matrix, logits.argmax(axis=1)
    assert matrix[1, 2] == ((truth == 1) & (answer == 2)).sum()
    for place, row in enumerate(found.per_class):
        assert row.n == matrix[place].sum()
        assert row.recall.value == pytest.approx(matrix[place, place] / matrix[place].sum())
        assert row.precision.value == pytest.approx(matrix[place, place] / matrix[:, place].sum())
    wrong = found.most_wrong
    assert len(wrong) == (answer != truth).sum()
    assert [each.confidence for each in wrong] == sorted(
        (each.confidence for each in wrong), reverse=True
    )
    first = ids.index(wrong[0].sample_id)
    assert wrong[0].truth == names(4)[truth[first]]
    assert wrong[0].predicted == names(4)[answer[first]]


def test_json_has_the_agreed_keys():
    truth, logits, ids = data()
    baselines = {"majority class": majority_class(truth, len(truth), 4).answers}
    found = whole(
        evaluate_classes(truth, logits, classes=names(4), sample_ids=ids, baselines=baselines)
    )
    assert found["format"] == 1
    assert set(found) == {
        *("format", "name", "split", "task", "n", "n_groups", "metrics", "per_class"),
        *("baselines", "confusion", "calibration", "most_wrong", "label_errors", "warnings"),
    }
    assert set(found["metrics"]["accuracy"]) == SCORE_KEYS
    assert set(found["metrics"]["ece"]) == {*SCORE_KEYS, "by_chance"}
    assert set(found["baselines"]["majority class"]["auroc"]) == SCORE_KEYS
    assert found["baselines"]["majority class"]["auroc"]["value"] == 0.5
    assert set(found["per_class"][0]) == {"class", "n", "precision", "recall", "f1", "auroc"}
    assert set(found["confusion"]) == {"classes", "matrix"}
    assert set(found["calibration"]) == {"temperature", "ece_before", "ece_after", "bins"}
    assert set(found["calibration"]["bins"][0]) == {"low", "high", "n", "confidence", "accuracy"}
    assert set(found["most_wrong"][0]) == {"sample_id", "truth", "predicted", "confidence"}
    assert set(found["label_errors"][0]) == {"sample_id", "given", "suggested", "score"}


def test_same_seed_same_figures_and_order_does_not_matter_much():
    truth, logits, ids = data()
    settings = {"classes": names(4), "sample_ids": ids}
    first = evaluate_classes(truth, logits, seed=1, **settings)
    assert whole(first) == whole(evaluate_classes(truth, logits, seed=1, **settings))
    assert whole(first) != whole(evaluate_classes(truth, logits, seed=2, **settings))


def test_absent_and_small_classes_are_said():
    truth, logits, ids = data(classes=5)
    kept = truth != 2
    found = evaluate_classes(
        truth[kept], logits[kept], classes=names(5), sample_ids=np.array(ids)[kept].tolist()
    )
    absent = found.per_class[2]
    assert absent.n == 0
    assert absent.recall.value is None
    assert absent.auroc.method == "undefined: no sample of class 'cat'"
    assert any("no test sample of: cat" in each for each in found.warnings)
    assert any("fewer than 30" in each for each in found.warnings)
    assert found.metrics["auroc"].value is not None
    whole(found)


def test_one_class_only_has_no_auroc_and_json_stays_whole():
    _, logits, ids = data(n=20, classes=2)
    found = evaluate_classes(np.zeros(20, int), logits, classes=names(2), sample_ids=ids)
    assert found.metrics["auroc"].value is None
    assert whole(found)["metrics"]["auroc"]["value"] is None
    assert any("auroc is undefined" in each for each in found.warnings)
    assert any("only 20 samples" in each for each in found.warnings)


def test_few_groups_are_said():
    truth, logits, ids = data()
    for count, words in ((1, "no interval"), (5, "only 5 groups")):
        groups = [str(row % count) for row in range(len(truth))]
        found = evaluate_classes(
            truth, logits, classes=names(4), sample_ids=ids, groups=groups, resamples=50
        )
        assert any(words in each for each in found.warnings)
        whole(found)


def test_labels():
    random = np.random.default_rng(0)
    truth = random.random((150, 3)) < 0.4
    logits = 2.0 * truth - 1 + random.normal(size=truth.shape)
    ids = [str(row) for row in range(150)]
    found = evaluate_labels(truth, logits, classes=names(3), sample_ids=ids)
    probabilities = 1 / (1 + np.exp(-logits))
    assert set(found.metrics) == set(LABEL_METRICS)
    for name, score in found.metrics.items():
        assert score.value == pytest.approx(LABEL_METRICS[name].value(truth, probabilities)), name
        assert score.low < score.value < score.high
    assert found.metrics["exact_match"].method == "Wilson"
    answer = probabilities >= 0.5
    assert found.per_class[1].precision.value == pytest.approx(truth[answer[:, 1], 1].mean())
    row = int(found.most_wrong[0].sample_id)
    assert (
        found.most_wrong[0].truth.split("|")
        == [name for name, member in zip(names(3), truth[row], strict=True) if member]
        or not truth[row].any()
    )
    table = whole(found)["per_class"][0]
    assert set(table["average_precision"]) == SCORE_KEYS
    assert whole(found)["confusion"] is None


def test_numbers():
    random = np.random.default_rng(0)
    truth = 30 + 5 * random.normal(size=150)
    predicted = truth + random.normal(size=150)
    ids = [str(row) for row in range(150)]
    found = evaluate_numbers(
        truth,
        predicted,
        unit="mm",
        sample_ids=ids,
        baselines={"training mean": training_mean(truth, 150).answers},
    )
    for name, score in found.metrics.items():
        assert score.value == pytest.approx(NUMBER_METRICS[name].value(truth, predicted))
        assert score.low < score.value < score.high
    assert found.metrics["mae"].unit == "mm"
    assert found.metrics["r2"].unit is None
    worst = int(np.abs(truth - predicted).argmax())
    assert found.most_wrong[0].sample_id == str(worst)
    assert whole(found)["baselines"]["training mean"]["r2"]["value"] == pytest.approx(0, abs=1e-9)
    assert whole(found)["calibration"] is None


def test_impossible_requests_are_refused_in_one_line():
    truth, logits, ids = data()
    settings = {"classes": names(4), "sample_ids": ids}
    broken = logits.copy()
    broken[7, 1] = np.nan
    with pytest.raises(DataError, match=r"cats/7\.png: .* not a number"):
        evaluate_classes(truth, broken, **settings)
    with pytest.raises(RequestError, match="shape"):
        evaluate_classes(truth, logits[:, :3], **settings)
    with pytest.raises(RequestError, match="sample ids"):
        evaluate_classes(truth, logits, classes=names(4), sample_ids=ids[:-1])
    with pytest.raises(DataError, match="no sample"):
        evaluate_classes(truth[:0], logits[:0], classes=names(4), sample_ids=[])


def test_what_is_said_of_all_samples_names_no_part():
    logits = np.random.default_rng(0).standard_normal((12, 2))
    found = evaluate_classes(np.arange(12) % 2, logits, classes=["a", "b"], split=WHOLE,
                             sample_ids=[str(row) for row in range(12)])  # fmt: skip
    said = " ".join(found.warnings)
    assert "only 12 samples in all: the intervals are wide" in said
    assert "fewer than 30 samples of: a (6), b (6)" in said
    assert found.split == WHOLE
