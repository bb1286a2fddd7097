"""Parts switched off: against the arithmetic where it is linear, and against edited weights."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import Target
from vitreous.insight.causes import (
    channel_effects,
    with_cell,
    without_channels,
    without_patch,
    without_term,
)
from vitreous.insight.trace import trace_of
from vitreous.networks import build_network

INPUTS = torch.randn(1, 3, 32, 32, generator=torch.manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_network("lenet5", (3, 32, 32), 4, seed=0).eval()


def test_a_channel_off_is_a_kernel_of_zeros(network):
    effect = without_channels(network, INPUTS, "features.conv2", [3, 5], Target(1))
    edited = build_network("lenet5", (3, 32, 32), 4, seed=0).eval()
    with torch.no_grad():
        edited.features.conv2.weight[[3, 5]] = 0
        edited.features.conv2.bias[[3, 5]] = 0
        expected = edited(INPUTS)[0]
        before = network(INPUTS)[0]
    np.testing.assert_allclose(effect.after, expected, atol=1e-6)
    np.testing.assert_allclose(effect.before, before, atol=1e-6)
    assert effect.change == pytest.approx(float(expected[1] - before[1]), abs=1e-6)
    assert effect.to_json()["what"] == "channel 3, 5 of features.conv2 off"


def test_every_channel_in_turn_is_each_alone(network):
    found = channel_effects(network, INPUTS, "features.conv2", Target(2))
    assert found.losses.shape == (16,)
    assert found.forward_passes == 17
    for channel in (0, 7, 15):
        effect = without_channels(network, INPUTS, "features.conv2", [channel], Target(2))
        assert found.losses[channel] == pytest.approx(-effect.change, abs=1e-5)
    strongest = found.strongest(1)[0]
    assert abs(found.losses[strongest]) == np.abs(found.losses).max()


def test_more_channels_than_a_batch():
    network = build_network("resnet", (3, 32, 32), 4, seed=0).eval()
    name = next(
        name for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.out_channels > 64
    )  # fmt: skip
    found = channel_effects(network, INPUTS, name)
    effect = without_channels(network, INPUTS, name, [70], found.target)
    assert found.losses[70] == pytest.approx(-effect.change, abs=1e-5)


def test_a_term_left_out_is_missing_from_the_sum(network):
    trace = trace_of(network, INPUTS)
    cell = trace.cell("head.linear3", 2)
    source = cell.sources()[0]
    effect = without_term(network, INPUTS, cell, source, Target(2))
    assert effect.change == pytest.approx(-source.product, abs=1e-6)  # the last layer: no more
    deep = trace.cell("features.conv2", 4, (3, 3))
    source = deep.sources()[0]
    effect = without_term(network, INPUTS, deep, source)
    assert "left out" in effect.what
    same = with_cell(network, INPUTS, "features.conv2", 4, (3, 3), deep.computed)
    np.testing.assert_allclose(same.before, same.after, atol=1e-6)
    pooled = trace.cell("features.pool1", 0, (1, 1))
    with pytest.raises(RequestError, match="no sum of products"):
        without_term(network, INPUTS, pooled, pooled.sources()[0])


def test_a_patch_is_filled(network):
    fill = torch.full_like(INPUTS, 0.5)
    effect = without_patch(network, INPUTS, ((4, 9), (0, 31)), fill, Target(0))
    covered = INPUTS.clone()
    covered[:, :, 4:10] = 0.5
    with torch.no_grad():
        np.testing.assert_allclose(effect.after, network(covered)[0], atol=1e-6)
    whole = without_patch(network, INPUTS, ((0, 31), (0, 31)), fill)
    assert whole.after != whole.before


def test_what_is_not_there_is_named(network):
    with pytest.raises(RequestError, match="no channel 99; it has 16"):
        without_channels(network, INPUTS, "features.conv2", [99])
    with pytest.raises(RequestError, match=r"did you mean 'features\.conv2'"):
        without_channels(network, INPUTS, "features.conv_2", [0])
    with pytest.raises(RequestError, match="no cell"):
        with_cell(network, INPUTS, "features.conv2", 0, (99, 0), 1.0)
    with pytest.raises(RequestError, match="not inside the input"):
        without_patch(network, INPUTS, ((0, 32), (0, 31)), INPUTS)
    with pytest.raises(RequestError, match="one input"):
        without_channels(network, INPUTS.repeat(2, 1, 1, 1), "features.conv2", [0])
