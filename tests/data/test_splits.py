from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.samples import Sample
from vitreous.data.splits import folds, plan_splits
from vitreous.errors import DataError


def sample(i, label="a", split=None, group=None):
    return Sample(f"{label}/{i:05}.png", f"{label}/{i:05}.png", label, split, group)


def balanced(counts, **more):
    return [sample(i, label, **more) for label, n in counts.items() for i in range(n)]


@st.composite
def grouped_samples(draw):
    """Three classes with enough groups each; some groups hold several classes."""
    groups = draw(st.integers(12, 60))
    sizes = draw(st.lists(st.integers(1, 6), min_size=groups, max_size=groups))
    labels = "abc"
    found = []
    for group, size in enumerate(sizes):
        for i in range(size):
            label = labels[group % 3] if i < 4 else labels[(group + i) % 3]
            found.append(sample(len(found), label, None, f"patient {group}"))
    return found


@settings(max_examples=40, deadline=None)
@given(grouped_samples(), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_split_is_a_partition_by_group_that_ignores_order(samples, seed, shuffler):
    plan = plan_splits(samples, seed=seed)
    assert set(plan.split) == {"train", "val", "test"}
    sides = defaultdict(set)
    for one, split in zip(samples, plan.split, strict=True):
        sides[one.group].add(split)
    assert all(len(found) == 1 for found in sides.values())
    for label in "abc":
        assert {s for one, s in zip(samples, plan.split, strict=True) if one.label == label} == {
            "train", "val", "test",
        }  # fmt: skip
    counts, n = Counter(plan.split), len(samples)
    largest = max(Counter(one.group for one in samples).values())
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert abs(counts[name] - share * n) <= 2 * largest + 3
    order = list(range(n))
    shuffler.shuffle(order)
    shuffled = plan_splits([samples[i] for i in order], seed=seed)
    assert [plan.split[i] for i in order] == list(shuffled.split)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(3, 80), min_size=2, max_size=6), st.integers(0, 99))
def test_every_class_is_divided_70_15_15(counts, seed):
    samples = balanced({f"class {i}": n for i, n in enumerate(counts)})
    plan = plan_splits(samples, seed=seed)
    found = Counter(zip((one.label for one in samples), plan.split, strict=True))
    for i, n in enumerate(counts):
        for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            assert abs(found[f"class {i}", name] - share * n) <= 1.5
            assert found[f"class {i}", name] >= 1


def test_seeds_give_different_splits_and_one_seed_the_same():
    samples = balanced({"a": 60, "b": 60})
    assert plan_splits(samples, seed=1) == plan_splits(samples, seed=1)
    assert plan_splits(samples, seed=1).split != plan_splits(samples, seed=2).split
    grouped = [sample(i, "ab"[i % 2], None, f"g{i // 4}") for i in range(200)]
    assert plan_splits(grouped, seed=1).split != plan_splits(grouped, seed=2).split


def test_large_sets_come_out_exact():
    plan = plan_splits(balanced({"a": 2000, "b": 1000}), seed=0)
    assert Counter(plan.split) == {"train": 2100, "val": 450, "test": 450}
    assert not plan.warnings


def test_copies_stay_together_also_through_groups():
    samples = [sample(i, "ab"[i % 2], None, f"g{i // 3}") for i in range(120)]
    plan = plan_splits(samples, seed=4, together=[[0, 50, 100], [50, 7]])
    joined = {i for g in (0, 50, 100, 7) for i in range(120) if i // 3 == g // 3}
    assert len({plan.split[i] for i in joined}) == 1
    together = [[i, i + 60] for i in range(60)]
    ungrouped = balanced({"a": 120})
    plan = plan_splits(ungrouped, seed=4, together=together)
    assert all(plan.split[i] == plan.split[i + 60] for i in range(60))


def test_a_huge_group_goes_to_train():
    samples = [sample(i, "ab"[i % 2], None, "big" if i < 60 else f"g{i}") for i in range(100)]
    assert {*plan_splits(samples, seed=0).split[:60]} == {"train"}


def test_unusable_rows_get_no_part():
    usable = np.ones(40, bool)
    usable[[3, 7]] = False
    plan = plan_splits(balanced({"a": 20, "b": 20}), seed=0, usable=usable)
    assert plan.split[3] is plan.split[7] is None
    assert Counter(plan.split)[None] == 2
    with pytest.raises(DataError, match="no sample can be used"):
        plan_splits(balanced({"a": 20}), seed=0, usable=np.zeros(20, bool))


def given_split(**counts):
    return [
        sample(i, label, split)
        for split, n in counts.items()
        for label in "ab"
        for i in range(100 * len(split), 100 * len(split) + n)
    ]


def test_a_given_split_is_kept():
    samples = given_split(train=10, val=3, test=4)
    plan = plan_splits(samples, seed=0)
    assert list(plan.split) == [one.split for one in samples]
    assert "kept" in plan.how


def test_val_is_carved_out_of_train_and_test_stays():
    samples = given_split(train=40, test=10)
    plan = plan_splits(samples, seed=0)
    assert Counter(plan.split) == {"train": 68, "val": 12, "test": 20}
    for one, split in zip(samples, plan.split, strict=True):
        assert (one.split == "test") == (split == "test")
    assert "test part kept" in plan.how


def test_a_lone_val_is_the_test_part():
    samples = given_split(train=40, val=10)
    plan = plan_splits(samples, seed=0)
    assert Counter(plan.split) == {"train": 68, "val": 12, "test": 20}
    assert all(split == "test" for split in plan.split[80:])


def test_train_alone_is_divided_in_three():
    assert {*plan_splits(given_split(train=20), seed=0).split} == {"train", "val", "test"}


def test_val_is_carved_by_group():
    samples = [sample(i, "ab"[i % 2], "train", f"g{i // 5}") for i in range(100)]
    samples += [sample(i, "ab"[i % 2], "test", f"g{i}") for i in range(100, 110)]
    plan = plan_splits(samples, seed=0)
    for start in range(0, 100, 5):
        assert len({*plan.split[start : start + 5]}) == 1
    assert Counter(plan.split)["val"] == 15
    assert "by group" in plan.how


def test_groups_that_cross_a_given_split_are_said():
    samples = [sample(i, "ab"[i % 2], s, "anna") for i, s in enumerate(["train", "test"] * 10)]
    samples += [sample(i, "ab"[i % 2], "train", f"g{i}") for i in range(50, 70)]
    warnings = plan_splits(samples, seed=0).warnings
    assert any("'anna'" in warning and "too good" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (balanced({"a": 20, "b": 2}), r"class 'b' has only 2 pictures.*add pictures"),
        (balanced({"a": 20, "b": 1}), r"b/00000.png: class 'b' has only 1 picture,"),
        (
            [sample(i, "ab"[i % 2], None, f"g{i % 2}{i % 4}") for i in range(40)],
            r"class 'a' has only 20 pictures in 2 independent group",
        ),
        (balanced({"a": 2}), "2 independent groups of pictures"),
        (given_split(train=1, test=5), r"class 'a' has only 1 picture, but 2 parts"),
        (
            [*given_split(train=5, test=5), sample(1, "A", "test")],
            r"A/00001.png: class 'A' is in test but not in train",
        ),
        (
            [*given_split(train=5, test=5), sample(1, "a ", "test")],
            r"is it 'a', mistyped\?",
        ),
        ([*given_split(train=5, test=5), sample(1)], "has no split, like 1 of 21 samples"),
        (given_split(val=5, test=5), "without a train part"),
    ],
)
def test_what_cannot_be_divided_is_said(samples, message):
    with pytest.raises(DataError, match=message) as caught:
        plan_splits(samples, seed=0)
    assert "\n" not in str(caught.value)


def test_numbers_are_spread_by_range():
    rng = np.random.default_rng(0)
    samples = [sample(i, float(v)) for i, v in enumerate(rng.exponential(size=300))]
    plan = plan_splits(samples, seed=0)
    values = np.array([one.label for one in samples])
    top = values > np.quantile(values, 0.8)
    split = np.array(plan.split)
    assert (top & (split == "test")).sum() == pytest.approx(9, abs=1)
    assert (top & (split == "val")).sum() == pytest.approx(9, abs=1)
    assert "range" in plan.how


def test_several_labels_a_picture_are_spread_and_rare_ones_said():
    samples = [sample(i, ("cat",) if i % 3 else ("cat", "dog")) for i in range(60)]
    samples.append(sample(60, ("cat", "owl")))
    plan = plan_splits(samples, seed=0)
    dogs = Counter(s for one, s in zip(samples, plan.split, strict=True) if "dog" in one.label)
    assert dogs == {"train": 14, "val": 3, "test": 3}
    assert any("'owl'" in warning for warning in plan.warnings)


def test_unstratified_split_ignores_the_label():
    plan = plan_splits(balanced({"a": 300, "b": 300}), seed=0, stratify=False)
    assert Counter(plan.split) == {"train": 420, "val": 90, "test": 90}
    found = Counter(zip("a" * 300 + "b" * 300, plan.split, strict=True))
    assert found["a", "test"] != 45
    assert "at random" in plan.how


def test_folds_partition_by_group_and_class():
    samples = [sample(i, "ab"[i // 4 % 2], None, f"g{i // 4}") for i in range(160)]
    usable = np.ones(160, bool)
    usable[0] = False
    found = folds(samples, 5, seed=0, usable=usable)
    assert found[0] == -1
    counts = Counter(found[1:].tolist())
    assert sorted(counts) == [0, 1, 2, 3, 4]
    assert all(28 <= count <= 36 for count in counts.values())
    for start in range(4, 160, 4):
        assert len({*found[start : start + 4].tolist()}) == 1
    for fold in range(5):
        assert {samples[i].label for i in np.flatnonzero(found == fold)} == {"a", "b"}
    with pytest.raises(DataError, match="class 'b' has only 3 pictures, but 5 parts"):
        folds(balanced({"a": 20, "b": 3}), 5, seed=0)
