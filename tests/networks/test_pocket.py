import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from vitreous.networks import build_network
from vitreous.networks.features.pocket import (
    LEVEL,
    STRONGEST,
    Pocket,
    Whitening,
    identity_convolution,
    patches_of,
)


def photographs(side, channels=3, count=24):
    """Crops of real photographs, scaled to mean zero and deviation one."""
    random = np.random.default_rng(0)
    crops = []
    for number in range(count):
        source = load_sample_images().images[number % 2]
        top, left = (random.integers(size - side + 1) for size in source.shape[:2])
        crops.append(source[top : top + side, left : left + side].transpose(2, 0, 1))
    pixels = torch.from_numpy(np.stack(crops)).double()
    extra = pixels.mean(1, keepdim=True) ** 2 / 255  # a fourth channel that is no mixture
    pixels = torch.cat([pixels, extra], 1)[:, :channels]
    return (pixels - pixels.mean((0, 2, 3), keepdim=True)) / pixels.std((0, 2, 3), keepdim=True)


def slow_patches(inputs, side, step):
    """Every patch by four loops, a row each, as the kernel's numbers lie."""
    n, _, height, width = inputs.shape
    return torch.stack(
        [
            inputs[i, :, top : top + side, left : left + side].flatten()
            for i, top, left in itertools.product(
                range(n), range(0, height - side + 1, step), range(0, width - side + 1, step)
            )
        ]
    )


@pytest.mark.parametrize(("side", "step"), [(2, 1), (4, 2)])
def test_patches_are_those_of_the_loops(side, step):
    inputs = photographs(9, count=3)
    assert torch.equal(patches_of(inputs, side), slow_patches(inputs, side, step))


@pytest.mark.parametrize(("channels", "stride"), [(1, 1), (3, 1), (4, 1), (1, 2), (3, 2)])
def test_whitened_patches_are_uncorrelated_with_variance_one(channels, stride):
    inputs = photographs(16, channels)
    layer = Whitening(channels, stride)
    layer.fit(inputs.float())
    patches = slow_patches(inputs, 2 * stride, stride)
    kernels = layer.weight.double().flatten(1)
    half = len(kernels) // 2
    assert half == min(STRONGEST, patches.shape[1])
    assert torch.equal(kernels[half:], -kernels[:half])

    answers = patches @ kernels[:half].T
    covariance = torch.from_numpy(np.cov(answers.numpy(), rowvar=False, ddof=0))
    variances = np.linalg.svd(patches - patches.mean(0), compute_uv=False)[:half] ** 2
    variances = torch.from_numpy(variances / len(patches))
    expected = torch.diag(variances / (variances + LEVEL))  # one, but for what is weaker than LEVEL
    torch.testing.assert_close(covariance, expected, rtol=0, atol=2e-4)
    assert expected.diagonal()[0] > 0.99


def test_the_fit_is_deterministic_and_no_step_moves_it():
    inputs = photographs(12).float()
    network = build_network("pocket", (3, 12, 12), 4, seed=1)
    assert isinstance(network.features, Pocket)
    network.features.initialise_from_data(inputs)
    first = network.features.whitening.weight.clone()
    network.features.initialise_from_data(inputs.clone())
    assert torch.equal(first, network.features.whitening.weight)
    assert all("whitening" not in name for name, _ in network.named_parameters())
    assert "features.whitening.weight" in network.state_dict()


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (5, 8), (8, 5)])
def test_a_convolution_starts_as_the_identity(inputs, outputs):
    maps = torch.randn(2, inputs, 7, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answers = identity_convolution(inputs, outputs)(maps)
    both = min(inputs, outputs)
    torch.testing.assert_close(answers[:, :both], maps[:, :both], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("side", "strides"),
    [(8, [2, 4]), (28, [2, 4, 8]), (32, [2, 4, 8]), (64, [4, 8, 16]), (128, [8, 16, 32])],
)
def test_large_pictures_are_whitened_in_larger_patches(side, strides):
    features = build_network("pocket", (3, side, side), 2).features
    assert features.whitening.stride[0] * 2 == features.whitening.kernel_size[0]
    cells = (side - features.whitening.kernel_size[0]) // features.whitening.stride[0] + 1
    assert cells <= 48
    assert features.strides == tuple((stride, stride) for stride in strides)
