"""From cells and arrays to classes, several classes and numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.data.labels import labels_from_array, labels_from_text
from vitreous.errors import DataError, RequestError


def test_one_hot_rows_are_one_class_each():
    found = labels_from_array(np.eye(3, dtype=int)[[2, 0, 1, 0]], None, None, "x")
    assert (found.kind, found.values, found.classes) == (
        "class",
        ("2", "0", "1", "0"),
        ("0", "1", "2"),
    )


def test_a_matrix_of_several_classes():
    found = labels_from_array(np.array([[1, 1], [0, 0], [0, 1]]), ["edge", "spot"], None, "x")
    assert found.kind == "classes"
    assert found.values == (("edge", "spot"), (), ("spot",))
    forced = labels_from_array(np.eye(2, dtype=int), None, "classify-multilabel", "x")
    assert forced.values == (("0",), ("1",))


@pytest.mark.parametrize("array", [[0, 1, 2, 1], [0.0, 1.0, 2.0, 1.0], [[0], [1], [2], [1]]])
def test_numbered_classes_take_their_names(array):
    found = labels_from_array(np.array(array), ["ant", "bee", "cat"], None, "x")
    assert found.values == ("ant", "bee", "cat", "bee")
    assert found.classes == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("array", "names", "words"),
    [
        ([0, 3], ["a", "b"], "labels 0 to 3, but 2 class names"),
        ([-1, 0], ["a", "b"], "labels -1 to 0, but 2 class names"),
        ([[0, 2], [1, 0]], None, "other values than 0 and 1"),
        ([[0, 1], [1, 1]], ["a"], "2 label columns, but 1 class names"),
        (np.zeros((2, 2, 2)), None, r"labels of shape \(2, 2, 2\)"),
        ([0.5, 1.25, 7.0], None, "say --task regress"),
    ],
)
def test_labels_that_make_no_sense(array, names, words):
    with pytest.raises(DataError, match=words):
        labels_from_array(np.array(array), names, None, "x")


def test_an_unknown_task_lists_the_known():
    with pytest.raises(RequestError, match="unknown task 'regres'; did you mean 'regress'"):
        labels_from_text(["1"], "regres", "x")


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40))
def test_numbers_survive(values):
    found = labels_from_array(np.array(values), None, "regress", "x")
    assert found.values == tuple(map(float, values))


@given(st.lists(st.lists(st.sampled_from("abcd"), unique=True), min_size=1, max_size=20))
def test_joined_classes_come_apart_again(rows):
    found = labels_from_text(["|".join(row) for row in rows], "classify-multilabel", "x")
    assert found.values == tuple(tuple(row) for row in rows)
    assert found.classes == tuple(sorted({name for row in rows for name in row}))


def test_counted_classes_may_be_many_and_measurements_are_asked_about():
    counted = labels_from_text([str(n % 100) for n in range(300)], None, "x")
    assert len(counted.classes) == 100
    with pytest.raises(DataError, match="from 18 to 116"):
        labels_from_text([str(18 + 2 * (n % 50)) for n in range(300)], None, "x")
    with pytest.raises(DataError, match="no numbers"):
        labels_from_text(["a", ""], "regress", "x")
