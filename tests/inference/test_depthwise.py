"""Depthwise convolutions that are slow in bfloat16 are computed in float32, others are not."""

import pytest
import torch
from torch.nn import functional as F

from vitreous.inference import Compute

CHANNELS = 16


def saved_formats(inputs, weight, **how):
    """Number formats of what is kept for the way back, and of the answer."""
    own = weight.clone().requires_grad_()
    saved = set()
    with (
        torch.autograd.graph.saved_tensors_hooks(
            lambda kept: saved.add(kept.dtype) or kept, lambda kept: kept
        ),
        Compute(dtype="bfloat16").autocast(),
    ):
        answer = F.conv2d(inputs, own, **how)
    return saved, answer.dtype


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "layout", "exact"),
    [
        (5, 1, CHANNELS, torch.channels_last, True),
        (3, 2, CHANNELS, torch.channels_last, True),
        (3, 1, CHANNELS, torch.channels_last, False),
        (5, 1, CHANNELS, torch.contiguous_format, False),
        (5, 1, 1, torch.channels_last, False),
        (1, 2, CHANNELS, torch.channels_last, False),
    ],
)
def test_only_what_float32_is_faster_at(kernel, stride, groups, layout, exact):
    inputs = torch.randn(2, CHANNELS, 12, 14).contiguous(memory_format=layout)
    weight = torch.randn(CHANNELS, CHANNELS // groups, kernel, kernel)
    how = {"stride": stride, "groups": groups, "padding": kernel // 2}
    saved, answer = saved_formats(inputs, weight, **how)
    assert saved == {torch.float32 if exact else torch.bfloat16}
    assert answer == torch.bfloat16  # as its neighbours expect


@pytest.mark.parametrize("kernel", [3, 5])
def test_values_and_gradients_are_those_of_float32_but_for_rounding(kernel):
    torch.manual_seed(0)
    inputs = torch.randn(2, CHANNELS, 12, 14).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, 1, kernel, kernel)
    found = []
    for dtype in ("float32", "bfloat16"):
        own, seen = weight.clone().requires_grad_(), inputs.clone().requires_grad_()
        with Compute(dtype=dtype).autocast():
            answer = F.conv2d(seen, own, stride=2, groups=CHANNELS, padding=kernel // 2)
        answer.float().square().sum().backward()
        found.append([answer.detach().float(), own.grad, seen.grad])
    for exact, rounded in zip(*found, strict=True):
        assert float((rounded - exact).norm() / exact.norm()) < 0.01
    assert not torch.equal(found[0][0], found[1][0])  # rounded it is
