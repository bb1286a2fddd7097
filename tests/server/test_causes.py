"""What a map speaks for an answer, the answer without it, and what moves a cell."""

import numpy as np
import pytest
import torch

from vitreous.insight.causes import channel_effects, with_cell


@pytest.fixture(scope="module")
def sample(explorer) -> str:
    return next(iter(explorer.samples.rows))


def got(client, path, **asked):
    answer = client.get(f"/api/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_answer_without_a_map_is_the_networks_with_that_map_off(client, explorer, sample):
    layer = "features.conv2"
    effects = channel_effects(explorer.run.network, explorer.inputs(sample), layer)
    for channel in (0, 7, 15):
        found = got(client, "without", sample=sample, layer=layer, channel=channel).json()
        assert found["explained"] == explorer.run.record.classes[effects.target.output]
        lost = found["before"]["score"] - found["after"]["score"]
        assert lost == pytest.approx(float(effects.losses[channel]), rel=1e-4, abs=1e-5)
    answer = got(client, "answer", sample=sample).json()
    likeliest = answer["probabilities"][0]
    assert found["before"]["answer"] == likeliest["name"]
    assert found["before"]["share"] == pytest.approx(likeliest["probability"], abs=1e-5)
    refused = client.get("/api/without", params={"sample": sample, "layer": layer, "channel": 16})
    assert refused.status_code == 400
    assert "channels 0 to 15" in refused.json()["error"]


def test_shares_are_what_the_answer_gains_by_a_little_of_each_map(client, explorer, sample):
    """Values times gradients: the slope of the answer as a map is turned up."""
    layer, step = "features.conv2", 1e-3
    found = got(client, "shares", sample=sample, layer=layer).json()
    own = explorer.run.record.classes.index(found["explained"])
    graph, inputs, output = explorer.graph, explorer.inputs(sample), explorer.graph.outputs[0]
    value = explorer.trace(sample).values[layer].double()
    assert len(found["shares"]) == value.shape[1]
    assert found["score"] == pytest.approx(float(explorer.trace(sample).array(output)[own]))
    for channel in (2, 9):
        ends = []
        for sign in (-1, 1):
            turned = value.clone()
            turned[:, channel] *= 1 + sign * step
            ends.append(graph.run(inputs, replaced={layer: turned.float()})[output][0, own].item())
        slope = (ends[1] - ends[0]) / (2 * step)
        assert found["shares"][channel] == pytest.approx(slope, rel=0.02, abs=0.01)


def test_what_moves_a_cell_lies_within_its_field(client, explorer, sample, unpacked):
    layer, index = "features.conv2", [3, 4, 5]
    asked = {"sample": sample, "layer": layer, "at": "3,4,5"}
    values = unpacked(got(client, "felt", **asked).content)["blocks"]["felt"][0]
    assert values.shape == explorer.graph.input_shape[2:]
    assert values.min() >= 0 < values.max()
    rows, columns = explorer.fields[layer].box((0, *index))
    outside = np.ones(values.shape, bool)
    outside[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = False
    assert not values[outside].any()
    strongest = np.unravel_index(values.argmax(), values.shape)
    inputs, step = explorer.inputs(sample), 1e-2
    ends = []
    for sign in (-1, 1):
        moved = inputs.clone()
        moved[(0, 0, *strongest)] += sign * step
        ends.append(explorer.graph.run(moved)[layer][(0, *index)].item())
    assert abs(ends[1] - ends[0]) / (2 * step) == pytest.approx(values[strongest], rel=0.05)
    assert client.get("/api/felt", params=asked | {"at": "99,0,0"}).status_code == 400


def test_a_value_given_is_taken_as_a_hook_would(explorer, sample):
    layer = "features.conv1"
    given = explorer.trace(sample).values[layer].clone()
    given[0, 1, 2, 3] = 5.0
    again = explorer.graph.run(explorer.inputs(sample), replaced={layer: given})
    expected = with_cell(explorer.run.network, explorer.inputs(sample), layer, 1, (2, 3), 5.0)
    found = again[explorer.graph.outputs[0]][0]
    torch.testing.assert_close(found, torch.tensor(expected.after), rtol=1e-5, atol=1e-5)
