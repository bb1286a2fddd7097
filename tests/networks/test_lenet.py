"""LeNet-5 against the numbers in the paper (section II.B)."""

import torch
import torch.nn.functional as F

from vitreous.networks import build_network
from vitreous.networks.features.lenet import (
    C3_CONNECTIONS,
    PartialConvolution,
    ScaledTanh,
    Subsampling,
)


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_each_layer_are_the_papers():
    network = build_network("lenet5-1998", (1, 32, 32), 10)
    layers = {**dict(network.features.named_children()), **dict(network.head.named_children())}
    counted = {name: parameters_of(layers[name]) for name in ("c1", "s2", "c3", "s4", "c5", "f6")}
    assert counted == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert sum(counted.values()) == 60_000  # "60,000 trainable free parameters"


def test_maps_of_each_layer_are_the_papers():
    features = build_network("lenet5-1998", (1, 32, 32), 10).features
    maps = features(torch.zeros(1, 1, 32, 32))
    assert [tuple(each.shape[1:]) for each in maps] == [(6, 14, 14), (16, 5, 5), (120, 1, 1)]


def test_connections_are_those_that_the_paper_describes():
    """Six contiguous triples, six contiguous fours, three discontinuous fours, and all."""

    def contiguous(maps):
        return any(set(maps) == {(start + i) % 6 for i in range(len(maps))} for start in range(6))

    assert len(set(C3_CONNECTIONS)) == 16
    assert [len(maps) for maps in C3_CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
    assert [contiguous(maps) for maps in C3_CONNECTIONS] == [True] * 12 + [False] * 3 + [True]
    uses = [sum(source in maps for maps in C3_CONNECTIONS) for source in range(6)]
    assert uses == [10] * 6


def test_partial_convolution_is_a_sum_over_its_connections():
    layer = PartialConvolution(6, C3_CONNECTIONS, 5)
    maps = torch.randn(2, 6, 14, 14)
    made = layer(maps)
    kernel = iter(layer.weight)
    for output, sources in enumerate(C3_CONNECTIONS):
        total = (
            sum(F.conv2d(maps[:, s : s + 1], next(kernel)[None, None]) for s in sources)
            + layer.bias[output]
        )
        torch.testing.assert_close(made[:, output : output + 1], total, rtol=1e-5, atol=1e-5)


def test_subsampling_adds_four_cells_times_a_coefficient_plus_a_bias():
    layer = Subsampling(2)
    maps = torch.arange(32.0).reshape(1, 2, 4, 4)
    made = layer(maps)
    four = maps[0, 1, 0, 2] + maps[0, 1, 0, 3] + maps[0, 1, 1, 2] + maps[0, 1, 1, 3]
    expected = four * layer.coefficient[1, 0, 0] + layer.bias[1, 0, 0]
    torch.testing.assert_close(made[0, 1, 0, 1], expected)


def test_squashing_goes_through_one_and_one():
    made = ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0, 100.0]))
    torch.testing.assert_close(made, torch.tensor([-1.0, 0.0, 1.0, 1.7159]), atol=1e-4, rtol=0)


def test_first_weights_lie_within_the_published_bound():
    network = build_network("lenet5-1998", (1, 32, 32), 10, seed=0)
    for layer, fan_in in ((network.features.c1, 25), (network.head.f6, 120)):
        bound = 2.4 / fan_in
        assert 0.9 * bound < layer.weight.abs().max() <= bound
    dense = network.features.c3.dense_weight()
    assert 0.9 * 2.4 / 75 < dense[0].abs().max() <= 2.4 / 75
    assert 0.9 * 2.4 / 150 < dense[15].abs().max() <= 2.4 / 150
    assert dense[0, 3:].abs().max() == 0


def test_the_modern_reading_has_its_well_known_size_for_all_large_pictures():
    for shape in ((1, 28, 28), (1, 32, 32), (1, 224, 200)):
        assert build_network("lenet5", shape, 10).card.parameters == 61_706


def test_both_learn_the_handwritten_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    pixels = (F.interpolate(pixels, size=(32, 32), mode="bilinear") - 0.3) / 0.37
    labels = torch.tensor(digits.target)
    for name in ("lenet5", "lenet5-1998"):
        network = build_network(name, (1, 32, 32), 10, seed=0)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        order = torch.Generator().manual_seed(0)
        for _ in range(6):
            for rows in torch.randperm(1297, generator=order).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(pixels[rows]), labels[rows]).backward()
                optimizer.step()
        with torch.no_grad():
            right = network.eval()(pixels[1297:]).argmax(1) == labels[1297:]
        assert right.float().mean() > 0.85, name
