"""Made-up inputs: a known kernel's pattern is found, and what was made is labelled."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import map_layers
from vitreous.insight.features.synthetic import synthetic_input


@pytest.mark.parametrize("upright", [True, False])
def test_the_pattern_of_a_known_kernel_is_found(upright):
    network = nn.Sequential(nn.Conv2d(1, 1, 4, padding=2, bias=False), nn.ReLU())
    stripes = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(4, 4)
    with torch.no_grad():
        network[0].weight[0, 0] = stripes if upright else stripes.T
    layers = {layer.name: layer for layer in map_layers(network, torch.zeros(1, 1, 32, 32))}
    found = synthetic_input(network, layers["1"], 0, (1, 32, 32), steps=60)
    assert found.value > 5 * found.start
    assert found.label.startswith("synthetic")
    assert np.abs(found.inputs).max() <= 2
    down, right = (np.abs(np.diff(found.inputs[0], axis=axis)).mean() for axis in (0, 1))
    assert max(right, down) > 1.5 * min(right, down)
    assert bool(right > down) is upright
    again = synthetic_input(network, layers["1"], 0, (1, 32, 32), steps=60)
    np.testing.assert_array_equal(found.inputs, again.inputs)
    with pytest.raises(RequestError, match="channels 0 to 0"):
        synthetic_input(network, layers["1"], 1, (1, 32, 32))
