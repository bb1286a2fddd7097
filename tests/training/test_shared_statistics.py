"""Batch norm over the shares of several processes equals plain batch norm of the whole batch.

Threads stand for the processes here; `test_processes.py` starts real ones.
"""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
from torch import nn

from vitreous.networks import build_network
from vitreous.training.processes import ALONE, Processes
from vitreous.training.shared_statistics import shared_statistics, statistics_of_all

from .shared_cases import without_dropout

SPLITS = ((5, 3), (1, 9), (2, 1, 4))
SHAPES = {1: (6,), 2: (4, 5), 3: (3, 4, 2)}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Table:
    """Where threads lay down what they have, and take what all have."""

    def __init__(self, count: int) -> None:
        self.places: list[torch.Tensor | None] = [None] * count
        self.barrier = threading.Barrier(count, timeout=20)


class Thread(Processes):
    """A thread in the place of a process."""

    def at(self, table: Table) -> "Thread":
        object.__setattr__(self, "table", table)
        return self

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        self.table.places[self.rank] = tensor.clone()
        self.table.barrier.wait()
        found = torch.stack(self.table.places)
        self.table.barrier.wait()
        return found

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.copy_(self.gathered(tensor).sum(0))


def in_threads(count: int, do) -> list:
    table = Table(count)
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(do, Thread(rank, count).at(table)) for rank in range(count)]
        return [future.result() for future in futures]


def trained(network: nn.Module, inputs: torch.Tensor, wanted: torch.Tensor, processes=ALONE):
    """Outputs and the gradient of inputs, weights; the loss is a sum, so shares add up."""
    inputs = inputs.clone().requires_grad_()
    with shared_statistics(processes):
        outputs = network(inputs)
    (outputs * wanted).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return outputs.detach(), inputs.grad, gradients


def compare(network: nn.Module, inputs: torch.Tensor, split: tuple[int, ...], tolerance: float):
    wanted = torch.randn(network(inputs).shape, dtype=inputs.dtype)
    whole, parts = copy.deepcopy(network), [copy.deepcopy(network) for _ in split]
    outputs, gradient, of_weights = trained(whole, inputs, wanted)
    shares = list(zip(inputs.split(split), wanted.split(split), strict=True))
    found = in_threads(len(split), lambda p: trained(parts[p.rank], *shares[p.rank], p))

    def close(ours: torch.Tensor, expected: torch.Tensor) -> None:
        size = expected.abs().max().item()
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * max(1.0, size))

    close(torch.cat([each[0] for each in found]), outputs)
    close(torch.cat([each[1] for each in found]), gradient)
    for name, expected in of_weights.items():
        close(torch.stack([each[2][name] for each in found]).sum(0), expected)
    expected = whole.state_dict()
    for part in parts:
        assert part.state_dict().keys() == expected.keys()
        for name, value in part.state_dict().items():
            close(value, expected[name])


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_it_equals_plain_batch_norm_of_the_whole_batch(dimensions, split, dtype, tolerance):
    torch.manual_seed(0)
    network = BATCH_NORM[dimensions](7).to(dtype)
    nn.init.normal_(network.weight)
    nn.init.normal_(network.bias)
    inputs = torch.randn(sum(split), 7, *SHAPES[dimensions], dtype=dtype) * 3 + 20
    compare(network, inputs, split, tolerance)


@pytest.mark.parametrize(
    "network",
    [
        nn.BatchNorm1d(7),  # of rows (batch, channels)
        nn.BatchNorm1d(7, affine=False),
        nn.BatchNorm1d(7, track_running_stats=False),
        nn.BatchNorm1d(7, momentum=None),
    ],
)
def test_its_settings_are_those_of_the_module(network):
    torch.manual_seed(1)
    compare(network.double(), torch.randn(8, 7, dtype=torch.float64), (5, 3), 1e-12)


def test_layers_made_from_batch_norm_take_part_as_they_are():
    torch.manual_seed(2)
    layer = timm.layers.BatchNormAct2d(6, act_layer=nn.SiLU).double()
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3).double(), layer, nn.Conv2d(6, 4, 1).double(), layer.act
    )
    maps = torch.randn(9, 3, 8, 8, dtype=torch.float64).contiguous(
        memory_format=torch.channels_last
    )
    compare(network, maps, (4, 2, 3), 1e-11)


def test_a_whole_residual_network_has_the_gradients_of_the_whole_batch():
    network = without_dropout(build_network("resnet", (1, 16, 16), 5, seed=0)).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)  # the last of each block starts at zero: nothing to see
    pictures = torch.randn(12, 1, 16, 16, dtype=torch.float64)
    compare(network, pictures, (7, 5), 1e-10)


def test_a_large_mean_beside_a_small_spread_loses_nothing():
    torch.manual_seed(3)
    inputs = 1000 + torch.randn(64, 5, 8, 8)
    found = in_threads(2, lambda p: statistics_of_all(p, inputs.chunk(2)[p.rank]))
    for count, mean, square in found:
        exact = inputs.double()
        torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
        variance = exact.var((0, 2, 3), correction=0)
        torch.testing.assert_close(square.double() / count, variance, rtol=1e-4, atol=0)


def test_half_precision_keeps_its_statistics_in_float32():
    torch.manual_seed(4)
    network = nn.BatchNorm2d(3)
    inputs = (torch.randn(8, 3, 4, 4) + 5).bfloat16()
    expected = copy.deepcopy(network)(inputs)
    parts = [copy.deepcopy(network) for _ in range(2)]

    def forward_and_back(processes):
        part = inputs.chunk(2)[processes.rank].clone().requires_grad_()
        with shared_statistics(processes):
            outputs = parts[processes.rank](part)
        outputs.float().square().sum().backward()
        assert part.grad.dtype == torch.bfloat16
        return outputs

    found = torch.cat(in_threads(2, forward_and_back))
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def test_in_evaluation_mode_nothing_is_shared():
    network = nn.BatchNorm2d(3).eval()
    inputs = torch.randn(4, 3, 2, 2)
    with shared_statistics(Thread(0, 2)):  # it has nobody to talk to
        assert torch.equal(network(inputs), copy.deepcopy(network)(inputs))


def test_one_value_a_channel_is_refused_as_torch_does():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(torch.randn(1, 3))
    one = Thread(0, 2)
    object.__setattr__(one, "gathered", lambda tensor: tensor[None])
    with pytest.raises(ValueError, match="more than 1 value per channel"), shared_statistics(one):
        nn.BatchNorm1d(3)(torch.randn(1, 3))
