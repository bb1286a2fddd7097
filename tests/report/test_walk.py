"""What a report carries for its walk: the network's own numbers, and never too many."""

import base64

import numpy as np
import pytest
import torch

from vitreous.errors import RequestError
from vitreous.insight.receptive_fields import receptive_fields
from vitreous.networks import build_network, capture
from vitreous.report.extras import picture_bytes
from vitreous.report.payload import wanted_walk
from vitreous.report.tables_of_run import Answer
from vitreous.report.walk import WalkSample, walk_shown


@pytest.fixture(scope="module")
def graph():
    return capture(
        build_network("lenet5", (1, 28, 28), 3, seed=0).eval(), torch.zeros(1, 1, 28, 28)
    )


PICTURE = picture_bytes(np.zeros((1, 4, 4), np.uint8))


def samples(count):
    made = torch.randn(count, 1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    answer = Answer(sample_id="a", truth="x", predicted="x", confidence=1.0)
    return [WalkSample(answer, inputs, PICTURE) for inputs in made]


def numbers_of(walk):
    return np.frombuffer(base64.b64decode(walk["numbers"]), "<f4")


def test_every_value_and_every_weight_is_carried_exactly(graph):
    given = samples(3)
    walk = walk_shown(graph, given, "lenet5")
    numbers = numbers_of(walk)
    for name, held in walk["tensors"].items():
        tensor = graph.tensors[name].detach().numpy()
        found = numbers[held["offset"] :][: tensor.size].reshape(held["shape"])
        np.testing.assert_array_equal(found, tensor)
    assert set(walk["tensors"]) == {
        name for node in graph.nodes for name in node.parameters.values()
    }
    assert len(walk["samples"]) == 3
    for sample, shown in zip(given, walk["samples"], strict=True):
        for name, value in graph.run(sample.inputs).items():
            assert isinstance(value, torch.Tensor)
            found = numbers[shown["values"][name] :][: value.numel()]
            np.testing.assert_array_equal(found, value.numpy().ravel())


def test_what_only_lays_numbers_anew_is_not_carried_twice(graph):
    (shown,) = walk_shown(graph, samples(1), "lenet5")["samples"]
    values = shown["values"]
    assert values["head.reshape"] == values["features.pool2"]
    assert len(set(values.values())) == len(values) - 1


def test_fields_are_those_of_the_arithmetic(graph):
    walk, fields = walk_shown(graph, samples(1), "lenet5"), receptive_fields(graph)
    for name in ("features.conv1", "features.conv2", "head.linear2"):
        shape = graph[name].shape
        index = tuple(size // 3 for size in shape)
        box = fields[name].box(index)
        carried = walk["fields"][name]
        places = [0 if one["axis"] is None else index[one["axis"] + 1] for one in carried]
        found = [
            (one["first"][at], one["last"][at]) for one, at in zip(carried, places, strict=True)
        ]
        assert found == list(box or ())


def test_as_many_samples_as_there_is_room_for_and_else_a_reason(graph):
    whole = len(numbers_of(walk_shown(graph, samples(6), "lenet5"))) * 4
    one = len(numbers_of(walk_shown(graph, samples(1), "lenet5"))) * 4
    each = (whole - one) // 5
    for count in (1, 4):
        room = one + (count - 1) * each
        for spare in (0, each - 4):
            walk = walk_shown(graph, samples(6), "lenet5", most_bytes=room + spare)
            assert len(walk["samples"]) == count
            assert len(numbers_of(walk)) * 4 <= room + spare
    with pytest.raises(RequestError, match=r"0\.3 MiB"):
        walk_shown(graph, samples(1), "lenet5", most_bytes=one - 4)
    with pytest.raises(RequestError, match="no sample"):
        walk_shown(graph, [], "lenet5")


def test_wrong_and_right_answers_are_walked_in_turn(digit_run):
    wanted = wanted_walk(digit_run.folder)
    assert [one["truth"] == one["predicted"] for one in wanted] == [False, True] * 3
    wrong = [row["sample_id"] for row in digit_run.evaluation["most_wrong"][:3]]
    assert [one["sample_id"] for one in wanted[::2]] == wrong
