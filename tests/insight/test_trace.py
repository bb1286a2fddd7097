"""The trace: every rule against the network's own numbers, and its sources against gradients."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.trace import RULES, Trace, trace_of
from vitreous.networks import build_network
from vitreous.networks.operations import OPERATIONS

from .paths import inputs_for, paths_from_every_layer, real_network, scaled, with_statistics

torch.manual_seed(0)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function, **parameters: torch.Tensor):
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, x):
        return self.function(x, *self.parameters())


MAP, LINE, BOX = (1, 4, 7, 6), (1, 4, 11), (1, 4, 5, 4, 6)

CASES: dict[str, list[tuple[nn.Module, tuple[int, ...]]]] = {
    "convolution": [
        (nn.Conv2d(4, 6, 3), MAP),
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2)), MAP),
        (nn.Conv2d(4, 8, 3, groups=4, padding="same", bias=False), MAP),
        (nn.Conv2d(4, 6, 4, padding="same", groups=2), MAP),
        (nn.Conv1d(4, 3, 5, padding=2, stride=2), LINE),
        (nn.Conv3d(4, 2, (1, 3, 3), padding=(0, 1, 1)), BOX),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), MAP),
    ],
    "transposed convolution": [
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), MAP),
        (nn.ConvTranspose1d(4, 3, 4, stride=3, dilation=2, bias=False), LINE),
        (nn.ConvTranspose3d(4, 2, 2, stride=2), BOX),
    ],
    "linear": [(nn.Linear(6, 5), (1, 6)), (nn.Linear(6, 5, bias=False), MAP)],
    "matrix product": [
        (Apply(lambda x: x @ x.transpose(-1, -2)), MAP),
        (Apply(lambda x, w: torch.addmm(torch.ones(1, 3), x, w), w=torch.randn(6, 3)), (1, 6)),
    ],
    "batch norm": [
        (with_statistics(nn.BatchNorm2d(4)), MAP),
        (with_statistics(nn.BatchNorm1d(6)), (1, 6)),
        (nn.BatchNorm3d(4, affine=False), BOX),
    ],
    "layer norm": [(scaled(nn.LayerNorm(6)), MAP), (scaled(nn.LayerNorm((7, 6))), MAP)],
    "group norm": [(scaled(nn.GroupNorm(2, 4)), MAP)],
    "instance norm": [(nn.InstanceNorm2d(4, affine=True), MAP), (nn.InstanceNorm1d(4), LINE)],
    "max pool": [
        (nn.MaxPool2d(3, stride=2, padding=1), MAP),
        (nn.MaxPool2d(2, ceil_mode=True), MAP),
        (nn.MaxPool1d(3, stride=1, dilation=2), LINE),
        (nn.MaxPool3d(2), BOX),
    ],
    "average pool": [
        (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), MAP),
        (nn.AvgPool2d((2, 3), ceil_mode=True, divisor_override=5), MAP),
        (nn.AvgPool1d(4), LINE),
    ],
    "adaptive average pool": [(nn.AdaptiveAvgPool2d((3, 4)), MAP), (nn.AdaptiveAvgPool1d(3), LINE)],
    "adaptive max pool": [(nn.AdaptiveMaxPool2d((3, 4)), MAP)],
    "mean": [
        (Apply(lambda x: x.mean((2, 3))), MAP),
        (Apply(lambda x: x.mean(1, keepdim=True)), MAP),
    ],
    "sum": [(Apply(lambda x: x.sum(-1)), MAP)],
    "maximum": [(Apply(lambda x: x.amax((2, 3))), MAP)],
    "minimum": [(Apply(lambda x: x.amin(1, keepdim=True)), MAP)],
    "vector norm": [(Apply(lambda x: torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)), MAP)],
    "softmax": [(nn.Softmax(dim=1), MAP)],
    "log softmax": [(nn.LogSoftmax(dim=-1), (1, 6))],
    "interpolate nearest": [
        (Apply(lambda x: F.interpolate(x, scale_factor=2)), MAP),
        (Apply(lambda x: F.interpolate(x, size=(5, 9))), MAP),
    ],
    "interpolate linear": [
        (Apply(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")), MAP),
        (Apply(lambda x: F.interpolate(x, size=(5, 9), mode="bilinear", align_corners=True)), MAP),
        (Apply(lambda x: F.interpolate(x, size=4, mode="linear")), LINE),
        (Apply(lambda x: F.interpolate(x, scale_factor=1.5, mode="trilinear")), BOX),
    ],
    "interpolate cubic": [(Apply(lambda x: F.interpolate(x, size=(9, 4), mode="bicubic")), MAP)],
    "pad": [
        (Apply(lambda x: F.pad(x, (1, 2, 0, 3), value=1.5)), MAP),
        (Apply(lambda x: F.pad(x, (3, 2, 1, 1), mode="reflect")), MAP),
        (Apply(lambda x: F.pad(x, (3, 2, 1, 1), mode="replicate")), MAP),
        (Apply(lambda x: F.pad(x, (3, 2), mode="circular")), LINE),
        (Apply(lambda x: F.pad(x, (-1, 2))), LINE),
    ],
    "concatenate": [(Apply(lambda x: torch.cat([x, x.relu(), x.tanh()], dim=2)), MAP)],
    "add": [
        (Apply(lambda x, w: torch.add(x, w, alpha=2), w=torch.randn(4, 1, 1)), MAP),
        (Apply(lambda x: x + x.mean((2, 3), keepdim=True)), MAP),
        (Apply(lambda x: x + 3), MAP),
    ],
    "subtract": [(Apply(lambda x: x - x.tanh()), MAP)],
    "multiply": [
        (Apply(lambda x: x * x.sigmoid()), MAP),
        (Apply(lambda x: 0.25 * x), MAP),
    ],
    "divide": [(Apply(lambda x: x / (2 + x.tanh())), MAP)],
    "power": [(Apply(lambda x: x**3), MAP)],
    "multiply and add": [(Apply(lambda x, w: torch.addcmul(w, x, w, value=0.5),
                                w=torch.randn(4, 1, 1)), MAP)],
    "relu": [(nn.ReLU(), MAP)],
    "leaky relu": [(nn.LeakyReLU(0.2), MAP)],
    "prelu": [(nn.PReLU(4, init=0.3), MAP), (nn.PReLU(), MAP)],
    "elu": [(nn.ELU(1.5), MAP)],
    "selu": [(nn.SELU(), MAP)],
    "celu": [(nn.CELU(2.0), MAP)],
    "gelu": [(nn.GELU(), MAP), (nn.GELU(approximate="tanh"), MAP)],
    "silu": [(nn.SiLU(), MAP)],
    "mish": [(nn.Mish(), MAP)],
    "clamp": [(nn.ReLU6(), MAP), (Apply(lambda x: x.clamp(min=0.2)), MAP)],
    "hard swish": [(nn.Hardswish(), MAP)],
    "hard sigmoid": [(nn.Hardsigmoid(), MAP)],
    "sigmoid": [(nn.Sigmoid(), MAP)],
    "tanh": [(nn.Tanh(), MAP)],
    "softplus": [(nn.Softplus(beta=2), MAP)],
    "exponential": [(Apply(torch.exp), MAP)],
    "logarithm": [(Apply(lambda x: torch.log(x.abs() + 1)), MAP)],
    "square root": [(Apply(lambda x: torch.sqrt(x.abs() + 1)), MAP)],
    "reciprocal square root": [(Apply(lambda x: torch.rsqrt(x.abs() + 1)), MAP)],
    "square": [(Apply(torch.square), MAP)],
    "absolute value": [(Apply(torch.abs), MAP)],
    "negate": [(Apply(torch.neg), MAP)],
    "reshape": [(nn.Flatten(), MAP), (Apply(lambda x: x.reshape(1, 14, 12)), MAP)],
    "permute": [
        (Apply(lambda x: x.permute(0, 3, 1, 2)), MAP),
        (Apply(lambda x: x.transpose(1, -1)), MAP),
    ],
    "slice": [(Apply(lambda x: x[:, 1:4:2, -3:]), MAP)],
    "part": [
        (Apply(lambda x: torch.cat(x.split([1, 4, 2], dim=2)[1:], dim=2)), MAP),
        (Apply(lambda x: torch.mul(*x.chunk(2, dim=1))), MAP),
    ],
    "split": [(Apply(lambda x: x.split([1, 4, 2], dim=2)[1]), MAP)],  # one part alone is read
    "identity": [(nn.Dropout(), MAP)],
}  # fmt: skip

ALL_CASES = [
    pytest.param(operation, module, shape, id=f"{operation}-{number}")
    for operation, cases in CASES.items()
    for number, (module, shape) in enumerate(cases)
]


def test_every_operation_has_its_rule_and_its_case():
    assert set(RULES) == set(OPERATIONS.values())
    assert set(CASES) == set(OPERATIONS.values())


def nodes_of(trace: Trace, operation: str) -> list[str]:
    return [name for name in trace.layers if trace.graph[name].operation == operation]


@pytest.mark.parametrize(("operation", "module", "shape"), ALL_CASES)
def test_cells_equal_the_networks_and_sources_are_what_has_a_gradient(operation, module, shape):
    """Autograd is the second derivation: weights are gradients, and nothing else has one."""
    inputs = torch.randn(shape)
    trace = trace_of(module.eval(), inputs)
    values = trace.graph.run(inputs.clone().requires_grad_(), gradients=True)
    names = nodes_of(trace, operation)
    assert names
    for name in names:
        indices = list(np.ndindex(*trace.array(name).shape))
        for number, index in enumerate(random.Random(0).sample(indices, min(80, len(indices)))):
            cell = trace.at(name, index)
            assert cell.difference.within, (name, index, cell.difference)
            if number < 5 and operation != "clamp":  # a clamped value has a source, no gradient
                check_gradients(trace, values, cell)


def check_gradients(trace: Trace, values: dict, cell) -> None:
    value = values[cell.node][(0, *cell.index)]
    readers = {o.node for o in cell.explanation.operands if o.node is not None}
    for read in readers:
        if any(read in ancestors(trace, other) for other in trace.graph[cell.node].inputs.values()):
            continue  # it is reached through another operand, too
        (gradient,) = torch.autograd.grad(value, values[read], retain_graph=True, allow_unused=True)
        expected = torch.zeros_like(values[read])[0] if gradient is None else gradient[0]
        check_sources(cell, read, expected.detach().numpy())


def ancestors(trace: Trace, name: str) -> set[str]:
    above = set(trace.graph[name].inputs.values())
    return above.union(*(ancestors(trace, each) for each in above))


def check_sources(cell, read: str, gradient: np.ndarray) -> None:
    found = np.zeros_like(gradient, dtype=float)
    named = np.zeros_like(gradient, dtype=bool)
    for source in cell.sources():
        if source.node == read:
            named[source.index] = True
            found[source.index] += 1.0 if source.weight is None else source.weight
    assert not gradient[~named].any(), "a cell with a gradient is not named as a source"
    weighted = any(o.weights is not None for o in cell.explanation.operands)
    if weighted:
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-6)
    elif cell.explanation.winner is not None:
        np.testing.assert_allclose(found, gradient)


@pytest.fixture(scope="module")
def trace() -> Trace:
    network = build_network("resnet", (3, 32, 32), 4, seed=0)
    return trace_of(network, torch.randn(1, 3, 32, 32, generator=torch.manual_seed(1)))


@pytest.mark.parametrize("name", ["lenet5", "resnet", "pocket"])
def test_random_paths_lead_down_to_the_input(name):
    side = 32 if name == "lenet5" else 64
    trace = trace_of(real_network(name, (3, side, side)), inputs_for((3, side, side)))
    assert len(paths_from_every_layer(trace, 2)) >= 10


def test_a_broken_kernel_is_noticed():
    network = build_network("resnet", (3, 32, 32), 4, seed=0)
    trace = trace_of(network, torch.rand(1, 3, 32, 32) + 0.5)
    layer = nodes_of(trace, "convolution")[3]
    assert trace.cell(layer, 2, (3, 3)).difference.within
    weight = trace.graph.tensors[trace.graph[layer].parameters["weight"]]
    strongest = np.unravel_index(int(weight[2].abs().argmax()), weight[2].shape)
    with torch.no_grad():
        weight[2][tuple(int(axis) for axis in strongest)] *= 1.5
    broken = [trace.cell(layer, 2, (row, 3)).difference.within for row in range(8)]
    assert not all(broken)


def test_a_long_sum_is_shown_short_and_adds_up(trace):
    cell = trace.cell(nodes_of(trace, "convolution")[-1], 1, (1, 1))
    shown = cell.to_json(most=5)
    assert len(shown["sources"]) == 5
    assert shown["rest_count"] == len(cell.sources()) - 5
    total = sum(source["product"] for source in shown["sources"]) + shown["rest"]
    assert total + (shown["bias"] or 0.0) == pytest.approx(shown["expected"])
    products = [abs(source["product"]) for source in shown["sources"]]
    assert products == sorted(products, reverse=True)


def test_what_is_normalised_has_no_rest_of_a_sum():
    trace = trace_of(scaled(nn.LayerNorm(6)), torch.randn(MAP))
    shown = trace.cell(nodes_of(trace, "layer norm")[0], 1, (2, 3)).to_json(most=2)
    assert (len(shown["sources"]), shown["rest_count"], shown["rest"]) == (2, 4, None)


def test_a_maximum_comes_from_its_winner_alone():
    trace = trace_of(nn.MaxPool2d(2), torch.arange(16.0).reshape(1, 1, 4, 4))
    cell = trace.cell(nodes_of(trace, "max pool")[0], 0, (1, 1))
    (winner,) = cell.sources()
    assert winner.index == (0, 3, 3)
    assert cell.to_json()["rest_count"] == 0


def test_padding_has_no_cell_behind_it():
    trace = trace_of(nn.Conv2d(1, 1, 3, padding=1), torch.ones(1, 1, 4, 4))
    cell = trace.cell(nodes_of(trace, "convolution")[0], 0, (0, 0))
    outside = [source for source in cell.sources() if source.index is None]
    assert len(outside) == 5
    with pytest.raises(RequestError, match="weight or padding"):
        trace.follow(outside[0])


def test_flat_maps_stay_within_the_tolerance():
    network = nn.Sequential(nn.Conv2d(64, 4, 3, padding=1), nn.Conv2d(4, 4, 7, padding=3))
    trace = trace_of(network, torch.full((1, 64, 24, 24), 0.7311))
    for layer in nodes_of(trace, "convolution"):
        for place in np.ndindex(4, 24, 24):
            assert trace.at(layer, place).difference.within


def test_what_is_not_understood_is_refused_by_name():
    trace = trace_of(Apply(lambda x: torch.cumsum(x, 1).relu()), torch.randn(MAP))
    (name,) = [n for n in trace.layers if "cumsum" in trace.graph[n].target]
    with pytest.raises(RequestError, match=r"aten\.cumsum.*cannot be shown"):
        trace.cell(name, 0, (0, 0))
    assert trace.cell(nodes_of(trace, "relu")[0], 0, (0, 0)).sources()[0].node == name


def test_a_kernel_made_from_the_input_is_refused():
    def dynamic(x):
        return F.conv2d(x, x.mean((2, 3), keepdim=True).reshape(1, 4, 1, 1))

    trace = trace_of(Apply(dynamic), torch.randn(MAP))
    with pytest.raises(RequestError, match="weight is computed from the input"):
        trace.cell(nodes_of(trace, "convolution")[0], 0, (0, 0))


def test_wrong_requests_are_named(trace):
    with pytest.raises(RequestError, match=r"unknown layer 'head\.linaer'; did you mean"):
        trace.cell("head.linaer", 0)
    with pytest.raises(RequestError, match=r"is not in an output of 3 x 32 x 32"):
        trace.cell("input", 3, (0, 0))
    with pytest.raises(RequestError, match="a trace is of one sample"):
        trace_of(nn.ReLU(), torch.zeros(2, 3, 4, 4))
    split = trace_of(Apply(lambda x: torch.mul(*x.chunk(2, 1))), torch.randn(MAP))
    several = [node.name for node in split.graph.nodes if node.operation == "split"]
    with pytest.raises(RequestError, match="has several results"):
        split.cell(several[0], 0, (0, 0))
