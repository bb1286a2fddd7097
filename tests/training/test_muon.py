import timm.optim
import torch
from torch import nn

from vitreous.training.muon import COEFFICIENTS, Muon, orthogonalise


def matrices(rows, columns, count=3):
    return torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(rows))


def test_singular_values_go_through_the_polynomial_and_directions_stay():
    """Against the singular value decomposition: X = U s V becomes U p(p(p(s / |X|))) V."""
    a, b, c = COEFFICIENTS
    for rows, columns in ((6, 20), (20, 6), (9, 9)):
        given = matrices(rows, columns).double()
        left, values, right = torch.linalg.svd(given, full_matrices=False)
        values = values / given.norm(dim=(1, 2))[:, None]
        for _ in range(3):
            values = a * values + b * values**3 + c * values**5
        expected = left @ torch.diag_embed(values) @ right
        torch.testing.assert_close(orthogonalise(given), expected, rtol=1e-9, atol=1e-9)


def test_with_a_few_more_iterations_the_result_is_nearly_orthogonal():
    values = torch.linalg.svdvals(orthogonalise(matrices(16, 90), steps=5))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_in_bfloat16_the_directions_are_the_same_to_a_few_hundredths():
    given = matrices(24, 90)
    rough, exact = orthogonalise(given, dtype=torch.bfloat16), orthogonalise(given)
    assert rough.dtype == torch.float32
    cosine = nn.functional.cosine_similarity(rough.flatten(1), exact.flatten(1))
    assert cosine.min() > 0.999
    assert 0 < (rough - exact).norm() / exact.norm() < 0.03


def test_a_step_goes_where_timm_goes():
    """timm's Muon on the same gradients: the same directions, one after the other."""
    torch.manual_seed(0)
    ours, theirs = nn.Conv2d(5, 8, 3, bias=False), nn.Conv2d(5, 8, 3, bias=False)
    muon = Muon([{"params": [ours.weight], "lr": 0.1}], momentum=0.6)
    peer = timm.optim.Muon(
        [theirs.weight],
        lr=0.1,
        momentum=0.6,
        nesterov=True,
        ns_steps=3,
        ns_coefficients=COEFFICIENTS,
        adjust_lr_fn="original",  # one for kernels with more inputs than outputs
    )
    for step in range(4):
        gradient = torch.randn(8, 5, 3, 3, generator=torch.Generator().manual_seed(step))
        ours.weight.grad, theirs.weight.grad = gradient.clone(), gradient.clone()
        length = ours.weight.detach() * (8**0.5 / ours.weight.detach().norm())
        before = theirs.weight.detach().clone()
        muon.step()
        peer.step()
        moved, expected = ours.weight.detach() - length, theirs.weight.detach() - before
        cosine = nn.functional.cosine_similarity(moved.flatten(), expected.flatten(), dim=0)
        assert cosine > 0.999, step  # timm iterates in bfloat16, and sums momentum with weights


def test_the_length_of_a_kernel_is_kept_and_without_gradient_it_rests():
    moved, rests = nn.Conv2d(4, 9, 3), nn.Conv2d(4, 9, 3)
    before = rests.weight.detach().clone()
    muon = Muon([{"params": [moved.weight, rests.weight], "lr": 0.0}])
    moved.weight.grad = torch.ones_like(moved.weight)
    muon.step()
    torch.testing.assert_close(moved.weight.norm().item(), 3.0)
    assert torch.equal(rests.weight.detach(), before)
