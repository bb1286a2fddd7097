"""Protocols: properties that every division must have, whatever the data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.folds import make_folds, usual_folds
from vitreous.data.protocols import (
    PROTOCOLS,
    AcrossSessions,
    AcrossSubjects,
    Dataset,
    GivenSplit,
    WithinSession,
    choose_protocol,
)
from vitreous.data.recordings.trials import TrialFacts, overlapping
from vitreous.data.samples import Sample
from vitreous.errors import DataError, RequestError


def dataset(
    subjects=4, sessions=2, each=24, step=1.0, length=1.0, equal=(), splits=None, of_subjects=False
) -> Dataset:
    samples, facts = [], []
    for subject in range(subjects):
        for session in range(sessions):
            name = f"s{subject}/{session}.edf"
            for trial in range(each):
                row = len(samples)
                start = trial * step
                label = f"g{subject % 2}" if of_subjects else "ab"[(trial + subject) % 2]
                samples.append(
                    Sample(f"{name}#{start}", name, label, splits and splits(trial), index=row)
                )
                facts.append(
                    TrialFacts(name, f"s{subject}", str(session), "1", start, start, start + length)
                )
    same: dict[int, set[int]] = {}
    for first, second in equal:
        same.setdefault(first, set()).add(second)
        same.setdefault(second, set()).add(first)
    return Dataset(samples, facts, same, of_subjects)


def share_time(facts, first: int, second: int) -> bool:
    """The slow way: the two windows have a moment in common."""
    one, other = facts[first], facts[second]
    if one.recording != other.recording or first == second:
        return False
    return min(one.stop_s, other.stop_s) - max(one.start_s, other.start_s) > 1e-9


@st.composite
def made(draw):
    count = st.integers(1, 4)
    subjects, sessions = draw(count), draw(count)
    each = draw(st.integers(16, 30))
    step = draw(st.sampled_from([0.25, 0.5, 1.0, 1.5]))
    length = draw(st.sampled_from([0.5, 1.0, 2.2]))
    total = subjects * sessions * each
    pairs = draw(
        st.lists(st.tuples(st.integers(0, total - 1), st.integers(0, total - 1)), max_size=4)
    )
    data = dataset(subjects, sessions, each, step, length, [p for p in pairs if p[0] != p[1]])
    possible = [WithinSession(draw(st.integers(2, 5)))]
    if subjects > 1:
        possible += [AcrossSubjects(), AcrossSubjects(draw(st.integers(2, subjects)))]
    if sessions > 1:
        possible.append(AcrossSessions())
    return data, draw(st.sampled_from(possible)), draw(st.sampled_from([0.0, 0.2]))


@settings(max_examples=60, deadline=None)
@given(made())
def test_every_fold_is_clean(case):
    data, protocol, share = case
    try:
        folds = make_folds(protocol, data, validation_share=share, seed=1)
    except DataError:
        return  # so many windows overlap that nothing is left: said, not divided
    tested = np.concatenate([fold.rows("test") for fold in folds])
    assert sorted(tested) == list(range(len(data.samples)))  # each trial once
    for fold in folds:
        parts = {part: fold.rows(part) for part in ("train", "val", "test")}
        assert sum(map(len, parts.values())) + len(fold.left_out) == len(data.samples)
        for train, others in (("train", "val"), ("train", "test"), ("val", "test")):
            for row in parts[train]:
                for other in parts[others]:
                    assert not share_time(data.facts, row, other)
                    assert other not in data.equal.get(row, set())
        if isinstance(protocol, AcrossSubjects):
            of = [{data.subjects[row] for row in rows} for rows in parts.values()]
            assert sum(map(len, of)) == len(set().union(*of))
        if isinstance(protocol, AcrossSessions):
            seen = {data.facts[row].session for row in parts["train"]}
            assert not seen & {data.facts[row].session for row in parts["test"]}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.floats(0, 20), st.floats(0.1, 9)), min_size=2, max_size=25
    ),
    st.integers(1, 20),
)
def test_overlaps_are_those_of_the_slow_way(windows, cut):
    facts = [TrialFacts(f"r{k}", start_s=a, stop_s=a + long) for k, a, long in windows]
    cut = min(cut, len(facts) - 1)
    rows, others = np.arange(cut), np.arange(cut, len(facts))
    slow = [row for row in rows if any(share_time(facts, row, other) for other in others)]
    assert overlapping(facts, rows, others).tolist() == slow


def test_blocks_are_neighbours_in_time():
    data = dataset(subjects=1, sessions=1, each=20)
    folds = make_folds(WithinSession(4), data)
    assert [fold.rows("test").tolist() for fold in folds] == [
        list(range(start, start + 5)) for start in range(0, 20, 5)
    ]


def test_runs_are_ordered_by_number_not_by_letter():
    facts = [TrialFacts(f"r{run}", "s", None, str(run), 0, 0, 1) for run in (10, 2, 1, 9)]
    samples = [Sample(str(k), "x", "ab"[k % 2]) for k in range(4)]
    folds = make_folds(WithinSession(2), Dataset(samples, facts), seed=0)
    assert folds[0].rows("test").tolist() == [1, 2]


def test_overlapping_windows_at_the_border_are_left_out_and_said():
    data = dataset(subjects=1, sessions=1, each=20, step=0.5, length=1.0)
    fold = make_folds(WithinSession(2), data)[0]
    assert fold.left_out == {10: "its window overlaps one of the test part"}


def test_equal_trials_are_left_out_and_named():
    data = dataset(subjects=2, sessions=1, each=8, equal=[(0, 9)])
    folds = make_folds(AcrossSubjects(), data)
    assert folds[0].left_out == {9: "equal to s0/0.edf#0.0 of the test part"}
    assert folds[1].left_out == {0: "equal to s1/0.edf#1.0 of the test part"}


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({"subjects": 4}, "across-subjects"),
        ({"subjects": 1, "sessions": 2}, "across-sessions"),
        ({"subjects": 1, "sessions": 1}, "within-session"),
        ({"subjects": 3, "splits": lambda trial: "test" if trial > 15 else "train"}, "given"),
        ({"subjects": 4, "of_subjects": True}, "across-subjects"),
    ],
)
def test_the_protocol_that_the_data_calls_for(shape, name):
    protocol, why = choose_protocol(dataset(**shape))
    assert protocol.name == name
    assert why
    assert name in PROTOCOLS


def test_subject_labels_are_never_split_within_subjects_unless_accepted():
    data = dataset(
        subjects=4, of_subjects=True, splits=lambda trial: "test" if trial > 15 else "train"
    )
    protocol, why = choose_protocol(data)
    assert protocol.name == "across-subjects"
    assert "the given split is not used: the label is a subject's" in why
    for name in ("given", "within-session", "across-sessions"):
        with pytest.raises(RequestError, match="--accept-subject-leak"):
            choose_protocol(data, name)
        assert choose_protocol(data, name, accept_subject_leak=True)[0].name == name
    assert isinstance(choose_protocol(data, accept_subject_leak=True)[0], GivenSplit)


def test_many_subjects_are_divided_into_groups():
    protocol, _ = choose_protocol(dataset(subjects=13, sessions=1, each=4))
    assert protocol == AcrossSubjects(10, 0)
    assert len(make_folds(protocol, dataset(subjects=13, sessions=1, each=4))) == 10


@pytest.mark.parametrize(
    ("name", "folds", "shape", "said"),
    [
        ("by-chance", None, {}, "unknown protocol"),
        ("across-subjects", 9, {}, "4 subjects give 2 to 4 folds"),
        ("across-sessions", 3, {}, "as many folds as the data gives"),
        ("within-session", 1, {}, "at least 2"),
        ("across-subjects", None, {"subjects": 1}, "one subject cannot be divided"),
        ("across-sessions", None, {"sessions": 1}, "one session cannot be divided"),
        ("within-session", 20, {}, "cannot be cut into 20 blocks"),
        ("given", None, {}, "the data gives no split"),
    ],
)
def test_what_cannot_be_divided_is_refused(name, folds, shape, said):
    data = dataset(**shape)
    with pytest.raises((DataError, RequestError), match=said):
        make_folds(choose_protocol(data, name, folds)[0], data)


def test_validation_is_whole_units():
    data = dataset(subjects=8, sessions=1, each=30)
    for fold in make_folds(AcrossSubjects(), data, validation_share=0.2):
        of = [{data.subjects[row] for row in fold.rows(part)} for part in ("train", "val")]
        assert not of[0] & of[1]
        assert 1 <= len(of[1]) <= 2


def test_validation_never_takes_far_more_than_its_share():
    """One subject of each group would be two of seven: all seven are trained on instead."""
    few = dataset(subjects=8, sessions=1, each=20, of_subjects=True)
    for fold in make_folds(AcrossSubjects(), few, validation_share=0.15):
        assert not len(fold.rows("val"))
    many = dataset(subjects=20, sessions=1, each=20, of_subjects=True)
    for fold in make_folds(AcrossSubjects(), many, validation_share=0.15):
        assert {many.labels[row] for row in fold.rows("val")} == {"g0", "g1"}
        assert len(fold.rows("val")) <= 1.5 * 0.15 * 19 * 20


def test_validation_of_subjects_numbers_which_are_all_different():
    data = dataset(subjects=40, sessions=1, each=20, of_subjects=True)
    ages = [replace(sample, label=float(sample.path[1:].split("/")[0])) for sample in data.samples]
    for fold in make_folds(AcrossSubjects(5), replace(data, samples=ages), validation_share=0.15):
        assert 0.5 * 0.15 * 640 <= len(fold.rows("val")) <= 1.5 * 0.15 * 640


@pytest.mark.parametrize(("each", "validated"), [(70, False), (100, True)])
def test_few_trials_are_all_trained_on(each, validated):
    data = dataset(subjects=8, sessions=1, each=each)
    for fold in usual_folds(AcrossSubjects(), data):
        assert bool(len(fold.rows("val"))) == validated


def test_a_class_that_only_the_test_part_has():
    data = dataset(subjects=2, sessions=1)
    data = replace(data, samples=[replace(one, label=one.path[1]) for one in data.samples])
    with pytest.raises(DataError, match="no trial of class '0'; use another --protocol"):
        make_folds(AcrossSubjects(), data)


def test_a_class_of_one_subject_is_told_with_what_helps():
    """Other protocols are refused where labels are subjects', so that they are no remedy."""
    data = dataset(subjects=3, sessions=1, of_subjects=True)
    with pytest.raises(DataError, match=r"'g1', which only subject 's1' has.*--only") as told:
        make_folds(AcrossSubjects(), data)
    assert "--protocol" not in str(told.value)
    assert "--task regress" not in str(told.value)
    ages = [replace(one, label=str(20 + int(one.path[1]))) for one in data.samples]
    with pytest.raises(DataError, match="--task regress"):
        make_folds(AcrossSubjects(), replace(data, samples=ages))
    together = dataset(subjects=4, sessions=1, of_subjects=True)
    names, rows = np.array(together.subjects), np.arange(len(together.samples))

    class Both(AcrossSubjects):
        def tests(self, data):
            return [("both", rows[(names == "s0") | (names == "s2")])]

    with pytest.raises(DataError, match=r"its 2 subjects are all tested together; .*--folds 4"):
        make_folds(Both(), together)
