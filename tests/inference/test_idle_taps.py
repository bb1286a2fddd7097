"""Taps that meet padding alone are found, and their gradients are zero in bfloat16 as well."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vitreous.inference import Compute
from vitreous.inference.idle_taps import taps_met


def dirty_the_heap() -> None:
    """What is read without having been written should show."""
    kept = [torch.full((2**n,), float("nan")) for n in range(4, 20) for _ in range(3)]
    kept += [torch.full((2**n * 9,), float("nan")) for n in range(4, 16) for _ in range(3)]
    del kept


@given(
    size=st.integers(1, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 6),
    after=st.integers(0, 6),
    dilation=st.integers(1, 3),
)
def test_taps_met_are_those_whose_gradient_is_not_zero(
    size, kernel, stride, before, after, dilation
):
    if size + before + after < dilation * (kernel - 1) + 1:
        return
    weight = torch.ones(1, 1, kernel, requires_grad=True)
    padded = F.pad(torch.ones(1, 1, size), (before, after))
    F.conv1d(padded, weight, stride=stride, dilation=dilation).sum().backward()
    assert weight.grad is not None
    assert (
        taps_met(size, kernel, stride, before, after, dilation)
        == (weight.grad.flatten() > 0).tolist()
    )


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((1, 1), 3, 2, 1),
        ((4, 1), 3, 2, 1),
        ((1, 1), 5, 2, 2),
        ((1, 8), 5, 1, 2),
        ((1, 8), 5, 1, "same"),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_their_gradients_are_zero_in_bfloat16(size, kernel, stride, padding, layout):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 128, *size, generator=generator).to(memory_format=layout)
    start = torch.randn(128, 128, kernel, kernel, generator=generator).to(memory_format=layout)

    def gradient(path: Compute) -> torch.Tensor:
        weight = start.clone().requires_grad_()
        with path.autocast():
            outputs = F.conv2d(inputs, weight, stride=stride, padding=padding)
        dirty_the_heap()
        outputs.float().square().mean().backward()
        assert weight.grad is not None
        return weight.grad

    plain = gradient(Compute())
    for _ in range(5):
        torch.testing.assert_close(gradient(Compute(dtype="bfloat16")), plain, rtol=0.1, atol=0.02)


def test_other_convolutions_stay_in_bfloat16():
    inputs, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)

    def products(with_idle_taps: bool) -> set[torch.dtype]:
        """Number formats that the convolution's input was saved in for the way back."""
        cells = inputs[..., :1] if with_idle_taps else inputs
        own = weight.clone().requires_grad_()
        saved = set()
        with (
            torch.autograd.graph.saved_tensors_hooks(
                lambda kept: saved.add(kept.dtype) or kept, lambda kept: kept
            ),
            Compute(dtype="bfloat16").autocast(),
        ):
            outputs = F.conv2d(cells, own, stride=2, padding=1)
        assert outputs.dtype == torch.bfloat16  # as its neighbours expect
        return saved

    assert products(with_idle_taps=False) == {torch.bfloat16}
    assert products(with_idle_taps=True) == {torch.float32}
