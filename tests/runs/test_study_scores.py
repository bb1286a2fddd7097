"""What a study says of its answers, told again trial by trial."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.data.folds import Fold
from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Sample
from vitreous.evaluation.intervals import wilson
from vitreous.report.words import whole_subjects_words
from vitreous.runs.study_scores import Pooled, beaten_by, guessing_is_punished, score_study

SUBJECTS, EACH, SEEDS, CLASSES = 6, 5, 3, ("control", "patient")


def answered(of_subjects: bool) -> Pooled:
    """Random answers of three networks and a baseline to thirty trials of six subjects."""
    random = np.random.default_rng(4)
    names = [f"s{subject}" for subject in range(SUBJECTS) for _ in range(EACH)]
    order = random.permutation(len(names))
    names = [names[row] for row in order]
    truth = np.array([int(name[1]) % 2 for name in names])
    shares = random.dirichlet([1, 1], size=(SEEDS + 1, len(names)))
    samples = [
        Sample(f"{row}", f"{name}.edf", CLASSES[true], None, name, row)
        for row, (name, true) in enumerate(zip(names, truth, strict=True))
    ]
    facts = [TrialFacts(f"{name}.edf", name, "1", "1", row, row, row + 1)
             for row, name in enumerate(names)]  # fmt: skip
    return Pooled(
        samples, facts, np.array([int(name[1]) for name in names]), truth, shares[:SEEDS],
        {"another": shares[SEEDS]}, of_subjects,
    )  # fmt: skip


def scored(pooled: Pooled):
    parts = ["test"] * len(pooled.samples)
    folds = [Fold(f"subject s{k}", tuple(parts), {}) for k in range(SUBJECTS)]
    return score_study(pooled, CLASSES, folds, range(SEEDS), seed=0)


def named_rightly(pooled: Pooled, shares: np.ndarray) -> int:
    """The slow way: subject by subject, trial by trial."""
    right = 0
    for name in {fact.subject for fact in pooled.facts}:
        total, truth = [0.0, 0.0], None
        for fact, true, (first, second) in zip(pooled.facts, pooled.truth, shares, strict=True):
            if fact.subject == name:
                total, truth = [total[0] + first, total[1] + second], true
        right += (total[1] > total[0]) == (truth == 1)
    return right


def test_a_subject_is_named_by_all_its_trials():
    pooled = answered(of_subjects=True)
    found = scored(pooled)["study"]["whole_subjects"]
    by_seed = [named_rightly(pooled, shares) for shares in pooled.probabilities]
    assert len(set(by_seed)) > 1
    assert found["by_seed"] == by_seed
    assert found["n"] == SUBJECTS
    assert found["baselines"] == {"another": named_rightly(pooled, pooled.baselines["another"])}
    assert (found["low"], found["high"]) == pytest.approx(wilson(np.mean(by_seed), SUBJECTS))
    said = whole_subjects_words(found)
    assert f"{np.mean(by_seed):.3g} of 6 subjects right (mean of 3 seeds, " in said
    assert said.endswith(f"; another {found['baselines']['another']}")


def test_a_single_subjects_interval_is_the_studys():
    pooled = answered(of_subjects=False)
    alone = replace(pooled, facts=[replace(fact, subject="s1") for fact in pooled.facts])
    found = scored(alone)
    [row] = found["study"]["per_subject"]
    accuracy = found["metrics"]["accuracy"]
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx(
        (accuracy["value"], accuracy["low"], accuracy["high"])
    )
    assert found["study"]["mean_over_subjects"] is None


def test_subjects_who_are_all_answered_rightly_leave_room_for_others():
    pooled = answered(of_subjects=False)
    right = np.eye(2)[pooled.truth] * 0.8 + 0.1
    found = scored(replace(pooled, probabilities=np.stack([right] * SEEDS)))
    mean = found["study"]["mean_over_subjects"]
    assert (mean["accuracy"], mean["high"]) == pytest.approx((1, 1))
    assert mean["low"] < 0.7  # six subjects


def test_a_trials_label_names_no_subject():
    assert scored(answered(of_subjects=False))["study"]["whole_subjects"] is None


def test_a_baseline_that_is_better_is_told():
    pooled = answered(of_subjects=False)
    assert not beaten_by(scored(pooled)["study"]["differences"])
    knows_all = np.eye(2)[pooled.truth]
    found = scored(replace(pooled, baselines={**pooled.baselines, "another": knows_all}))
    [said] = beaten_by(found["study"]["differences"])
    missed = 100 * (1 - found["metrics"]["accuracy"]["value"])
    assert said.startswith(f"another is right more often than the network on the same trials, by "
                           f"{missed:.1f} points (")  # fmt: skip


def test_where_common_spatial_patterns_are_better_the_start_at_them_is_named():
    pooled = answered(of_subjects=False)
    knows_all = {"CSP and linear discriminant": np.eye(2)[pooled.truth]}
    found = scored(replace(pooled, baselines=knows_all))["study"]["differences"]
    assert beaten_by(found, "none")[0].endswith("patterns: --weights csp --band 8,30")
    assert "--weights" not in beaten_by(found, "csp")[0]


def test_a_division_that_punishes_guessing_is_told():
    pooled = answered(of_subjects=True)
    always_wrong = np.eye(2)[1 - pooled.truth]  # as where one of as many is left out
    found = scored(replace(pooled, baselines={"majority class": always_wrong}))
    [said] = guessing_is_punished(found)
    assert "right on 0.0 % of the test trials, not on 50.0 %" in said
    fair = scored(replace(pooled, baselines={"majority class": np.eye(2)[pooled.truth * 0]}))
    assert guessing_is_punished(fair) == []
    assert [row["n"] for row in fair["per_class"]] == [15, 15]  # trials, however many the seeds
    assert guessing_is_punished(scored(pooled)) == []


def test_a_note_of_the_calibration_error_speaks_of_the_tables_figure():
    pooled = answered(of_subjects=False)
    pooled = replace(pooled, probabilities=0.5 + 0.2 * (pooled.probabilities - 0.5))
    found = scored(pooled)
    error = found["metrics"]["ece"]
    assert error["value"] != pytest.approx(found["study"]["averaged_networks"]["ece"]["value"])
    [said] = [words for words in found["warnings"] if "calibration error" in words]
    assert f"calibration error of {error['value']:.3f}" in said
    assert f"up to {error['by_chance']:.3f}" in said
    assert "fewer than 30 test samples of: control (15), patient (15)" in found["warnings"]
