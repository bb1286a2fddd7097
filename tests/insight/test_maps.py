"""Feature maps are what the layers really gave, and looking leaves no trace."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.maps import chosen_maps, evenly, feature_maps, strongest_channels


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 8 * 8, 2),
    )


INPUTS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Pyramid(nn.Module):
    """Features as a list, finest first, and a head that reads them."""

    def __init__(self, levels: int):
        super().__init__()
        self.features = Levels(levels)
        self.head = nn.Flatten()

    def forward(self, inputs):
        return self.head(self.features(inputs)[-1])


class Levels(nn.Module):
    def __init__(self, levels: int):
        super().__init__()
        self.levels = levels
        self.strides = tuple((2**level, 2**level) for level in range(levels))

    def forward(self, inputs):
        return [nn.functional.avg_pool2d(inputs, 2**k) for k in range(self.levels)]


def test_maps_are_those_of_the_layers_by_hand():
    network = small_network()
    maps = feature_maps(network, INPUTS, ["0", "1", "3"])
    network.eval()
    with torch.no_grad():
        first = network[0](INPUTS)
        normed = network[1](first)
        third = network[3](normed.clamp(min=0))
    np.testing.assert_allclose(maps["0"], first, rtol=1e-6)
    np.testing.assert_allclose(maps["1"], normed, rtol=1e-6)  # not what ReLU made of it in place
    np.testing.assert_allclose(maps["3"], third, rtol=1e-5, atol=1e-6)
    assert maps["1"].min() < 0


def test_looking_leaves_modes_weights_and_statistics_alone():
    network = small_network()
    network[4].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    feature_maps(network, INPUTS, ["3"])
    assert [module.training for module in network] == [True] * 4 + [False] + [True] * 2
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())


def test_hooks_go_also_when_the_network_fails():
    network = small_network()
    with pytest.raises(RuntimeError):
        feature_maps(network, torch.zeros(1, 3, 5, 5), ["0"])
    assert all(not module._forward_hooks for module in network.modules())
    assert network.training


def test_an_unknown_layer_names_the_nearest():
    network = nn.Sequential()
    network.add_module("convolution", nn.Conv2d(1, 1, 1))
    with pytest.raises(RequestError, match="did you mean 'convolution'"):
        feature_maps(network, torch.zeros(1, 1, 4, 4), ["convolutoin"])


def test_layers_without_one_tensor_or_without_a_run_say_so():
    network = Pyramid(2)
    with pytest.raises(RequestError, match="layer 'features': gives a list, not one tensor"):
        feature_maps(network, INPUTS, ["features"])
    network.spare = nn.Conv2d(1, 1, 1)
    with pytest.raises(RequestError, match="layer 'spare': did not run"):
        feature_maps(network, INPUTS, ["spare"])


def test_a_pyramid_shows_its_maps_finest_first():
    pictures = chosen_maps(Pyramid(5), INPUTS, count=3)
    assert len(pictures) == 2
    assert [layer.stride for layer in pictures[0]] == [1, 4, 16]
    assert [layer.name for layer in pictures[0]] == [f"features, map {i}" for i in (1, 3, 5)]
    expected = nn.functional.avg_pool2d(INPUTS, 4)[1].numpy()
    np.testing.assert_allclose(pictures[1][1].maps, expected, rtol=1e-6)


def test_strides_are_the_networks_own_and_never_guessed():
    network = Pyramid(2)
    network.features.strides = ((1, 1), (4, 4))  # sizes alone would say 2
    assert [layer.stride for layer in chosen_maps(network, INPUTS)[0]] == [1, 4]
    del network.features.strides
    assert [layer.stride for layer in chosen_maps(network, INPUTS)[0]] == [None, None]


def test_any_other_network_shows_its_convolutions():
    layers = chosen_maps(small_network(), INPUTS)[0]
    assert [(layer.name, layer.stride) for layer in layers] == [("0", None), ("3", None)]
    assert layers[1].maps.shape == (6, 8, 8)


def test_strongest_channels_are_sorted_by_mean_size():
    maps = np.random.default_rng(0).normal(size=(9, 4, 5))
    chosen = strongest_channels(maps, 4)
    sizes = [np.abs(one).mean() for one in maps]
    assert [sizes[i] for i in chosen] == sorted(sizes, reverse=True)[:4]
    assert len(strongest_channels(maps, 99)) == 9


@pytest.mark.parametrize(("length", "count"), [(3, 5), (5, 5), (50, 4), (17, 2), (9, 1)])
def test_evenly_keeps_order_and_the_first(length, count):
    items = [str(i) for i in range(length)]
    chosen = evenly(items, count)
    assert len(chosen) == min(length, count)
    assert chosen[0] == "0"
    assert [int(i) for i in chosen] == sorted({int(i) for i in chosen})
    if count > 1:
        assert chosen[-1] == items[-1]
