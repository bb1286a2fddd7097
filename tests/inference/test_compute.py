"""Every compute path gives the network's answer; what must be float32 stays float32."""

from itertools import product

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from vitreous.data.transforms import Scaling
from vitreous.inference import PLAIN, Compute, outputs_of
from vitreous.networks import build_network

DIGITS = load_digits()
PIXELS = torch.from_numpy((DIGITS.images[:96] * 15).astype("uint8"))[:, None]
TARGETS = torch.from_numpy(DIGITS.target[:96])
SCALING = Scaling((0.3,), (0.37,))
PATHS = [
    Compute(dtype=dtype, memory_format=layout)
    for dtype, layout in product(("float32", "bfloat16"), ("contiguous", "channels_last"))
]


def pictures(name: str) -> torch.Tensor:
    side = 32 if name == "lenet5-1998" else 28 if name == "lenet5" else 8
    return nn.functional.interpolate(PIXELS, (side, side))


def network_of(name: str) -> nn.Module:
    shape = tuple(pictures(name).shape[1:])
    return build_network(name, shape, 10, scaling=SCALING, seed=1)  # type: ignore[arg-type]


def gradients(name: str, path: Compute) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss, and all gradients as one vector."""
    network = path.place(network_of(name)).train()
    torch.manual_seed(0)
    outputs = path.training_forward_of(network)(path.inputs(pictures(name), SCALING))
    loss = nn.functional.cross_entropy(outputs, TARGETS)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])  # type: ignore


@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998", "resnet", "timm:resnet18"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.dtype}-{path.memory_format}")
def test_loss_and_gradients_are_those_of_the_plain_path(name, path):
    plain_loss, plain = gradients(name, PLAIN)
    loss, found = gradients(name, path)
    difference = float((found - plain).norm() / plain.norm())
    if path.dtype == "float32":
        torch.testing.assert_close(loss, plain_loss, rtol=1e-5, atol=0)
        assert difference < 1e-4
    else:
        # bfloat16 has 8 significant bits
        torch.testing.assert_close(loss, plain_loss, rtol=0.01, atol=0)
        assert 1e-4 < difference < 0.2


def test_in_bfloat16_weights_statistics_and_answers_are_float32():
    path = Compute(dtype="bfloat16", memory_format="channels_last")
    network = path.place(network_of("resnet")).train()
    seen = {}
    network.features.register_forward_hook(lambda *it: seen.update(maps=it[2][-1].dtype))
    network.head.register_forward_hook(lambda *it: seen.update(answer=it[2].dtype))
    outputs = path.forward_of(network)(path.inputs(pictures("resnet"), SCALING))
    assert seen == {"maps": torch.bfloat16, "answer": torch.float32}
    assert (outputs != outputs.bfloat16().float()).float().mean() > 0.9  # not rounded on the way
    kinds = {value.dtype for value in network.state_dict().values() if value.is_floating_point()}
    assert kinds == {torch.float32}


def test_maps_lie_as_the_path_says():
    for path in PATHS:
        network = path.place(network_of("resnet"))
        inputs = path.inputs(pictures("resnet").expand(-1, 3, -1, -1), Scaling((0,) * 3, (1,) * 3))
        last = path.memory_format == "channels_last"
        assert inputs.is_contiguous(memory_format=torch.channels_last) == last
        kernel = next(p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1)
        assert kernel.is_contiguous(memory_format=torch.channels_last) == last


def test_a_network_that_was_channels_last_is_laid_out_anew():
    """Paths are timed in turn on one network: each must find its own layout."""
    kernel = nn.Conv2d(8, 8, 3)
    Compute(memory_format="channels_last").place(kernel)
    assert not kernel.weight.is_contiguous()
    Compute(memory_format="contiguous").place(kernel)
    assert kernel.weight.is_contiguous()


def test_a_users_own_network_answers_in_float32_too():
    torch.manual_seed(0)
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    found = {
        dtype: next(outputs_of(own, [PIXELS], SCALING, Compute(dtype=dtype)))
        for dtype in ("float32", "bfloat16")
    }
    assert found["bfloat16"].dtype == torch.float32
    torch.testing.assert_close(found["bfloat16"], found["float32"], rtol=0.05, atol=0.02)
    assert not torch.equal(found["bfloat16"], found["float32"])
