import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.normalisation import batch_norm_steps, fold_batch_norm
from vitreous.errors import RequestError


def random_batch_norm(channels: int, seed: int, affine: bool = True) -> nn.BatchNorm2d:
    torch.manual_seed(seed)
    layer = nn.BatchNorm2d(channels, affine=affine)
    layer.running_mean.normal_(0, 3)
    layer.running_var.uniform_(0.01, 4)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer.eval()


def numbers_of(layer) -> list:
    tensors = [layer.running_mean, layer.running_var, layer.weight, layer.bias]
    return [None if tensor is None else tensor.detach().numpy() for tensor in tensors]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_steps_equal_a_float32_network(seed, affine):
    layer = random_batch_norm(3, seed, affine)
    inputs = torch.randn(3, 4, 5) * 4
    computed = layer(inputs[None])[0].detach().numpy()
    for cell in [(0, 0, 0), (1, 2, 3), (2, 3, 4)]:
        steps = batch_norm_steps(inputs.numpy(), *numbers_of(layer), cell=cell, epsilon=layer.eps)
        assert steps.difference(computed[cell]).within
        assert not steps.difference(computed[cell] + 3e-5 * steps.magnitude).within
        assert steps.folded.total == pytest.approx(steps.total, rel=1e-9, abs=1e-9)
        assert steps.total == steps.normalised * steps.scale + steps.shift
        json.dumps(steps.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("layer", "transposed", "groups"),
    [
        (nn.Conv2d(4, 6, 3, groups=2), False, 2),
        (nn.Conv2d(4, 6, 3, bias=False), False, 1),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), True, 2),
        (nn.ConvTranspose2d(4, 6, (3, 2)), True, 1),
    ],
)
def test_folded_into_the_layer_before(layer, transposed, groups):
    layer, norm = layer.double(), random_batch_norm(6, seed=1).double()
    inputs = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    expected = norm(layer(inputs)).detach()
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    weights, bias = fold_batch_norm(
        layer.weight.detach().numpy(),
        bias,
        *numbers_of(norm),
        epsilon=norm.eps,
        transposed=transposed,
        groups=groups,
    )
    layer.bias = nn.Parameter(torch.from_numpy(bias))
    layer.weight.data = torch.from_numpy(weights)
    np.testing.assert_allclose(layer(inputs).detach(), expected, rtol=1e-10, atol=1e-10)


def test_numbers_that_do_not_fit_are_said():
    with pytest.raises(RequestError, match=r"mean \(1,\): expected one number for 2 channels"):
        batch_norm_steps(np.ones((2, 3)), [0.0], [1.0, 1], cell=(0, 0))
    with pytest.raises(RequestError, match="is not in an output"):
        batch_norm_steps(np.ones((2, 3)), [0.0, 0], [1.0, 1], cell=(0, 3))
