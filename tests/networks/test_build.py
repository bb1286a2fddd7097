"""Building networks by name, from a user's own modules, and what is refused."""

import pytest
import torch
from torch import nn

from vitreous.data.transforms import Scaling
from vitreous.errors import DataError, RequestError
from vitreous.networks import (
    Network,
    NetworkCard,
    build_network,
    capture,
    default_network,
    rebuild_network,
)
from vitreous.networks.blocks import ConvolutionBlock, ResidualBlock


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("lenet", (1, 28, 28), r"unknown network 'lenet'; did you mean 'lenet5'\? Known: atcnet, "),
        ("timm:resnet1", (3, 64, 64), r"unknown timm network 'resnet1'; did you mean resnet18"),
        ("vit_tiny_patch16_224", (3, 224, 224), "no convolutional network"),
        ("timm:swin_tiny_patch4_window7_224", (3, 224, 224), "no convolutional network"),
        ("timm:fastvit_sa12", (3, 64, 64), "not convolutional throughout"),
        ("lenet5-1998", (3, 32, 32), "takes pictures of 1 x 32 x 32 only, not 3 x 32 x 32"),
        ("lenet5", (1, 28, 8), "at least 12 x 12, not 1 x 28 x 8"),
        ("resnet", (3, 4, 40), "at least 8 x 8"),
        ("eegnet", (3, 64, 64), "takes EEG trials of 1 x electrodes x samples, not 3 x 64 x 64"),
        ("deep4", (1, 22, 300), "deep4 needs trials of at least 441 samples, not 300 samples; "),
        ("braindecode:EEGNett", (1, 22, 300), "unknown model of braindecode 'EEGNett'; did you"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(name, shape, message):
    with pytest.raises(RequestError, match=message) as caught:
        build_network(name, shape, 10)
    assert "\n" not in str(caught.value)


def test_trials_that_are_too_short_are_told_in_seconds():
    with pytest.raises(
        RequestError, match=r"147 samples \(1\.47 s at 100 Hz\), not 50 samples \(0"
    ):
        build_network("deep4", (1, 28, 50), 2, sampling_rate_hz=100.0)


def test_weights_that_are_not_there():
    with pytest.raises(
        RequestError, match="--weights imagenet: there are none of resnet; use --network timm:NAME"
    ):
        build_network("resnet", (3, 32, 32), 2, weights="imagenet")


def test_a_bare_name_of_timm_and_its_tag_mean_the_same_network():
    names = ("resnet18", "timm:resnet18", "timm:resnet18.a1_in1k")
    cards = [build_network(name, (1, 40, 40), 2).card for name in names]
    assert cards[0] == cards[1] == cards[2]
    assert cards[0].name == "timm:resnet18"


def test_card_holds_the_scaling_and_refuses_what_it_does_not_know():
    scaling = Scaling(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    card = build_network("resnet", (3, 32, 40), 1, scaling=scaling).card
    value = card.to_json()
    assert value["scaling"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    assert value["input"] == {"channels": 3, "height": 32, "width": 40}
    assert NetworkCard.from_json(value) == card
    assert rebuild_network(card).card == card
    with pytest.raises(
        RequestError, match=r"unknown key in the network card 'output'; .*'outputs'"
    ):
        NetworkCard.from_json({**value, "output": 3})
    with pytest.raises(DataError, match="'outputs' is missing"):
        NetworkCard.from_json({k: v for k, v in value.items() if k != "outputs"})
    with pytest.raises(RequestError, match="'widht'; did you mean 'width'"):
        NetworkCard.from_json({**value, "input": {**value["input"], "widht": 3}})


class TwoMaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, inputs):
        fine = self.fine(inputs)
        return [fine, self.coarse(fine)]


class Largest(nn.Module):
    def forward(self, maps):
        return maps[-1].amax((2, 3))


def test_a_users_modules_that_pass_a_list_of_maps():
    network = Network.of(TwoMaps().train(), Largest(), (3, 20, 28), name="mine")
    assert network.features.channels == (4, 6)
    assert network.features.strides == ((2, 2), (4, 4))
    assert (network.card.name, network.card.features, network.card.head) == (
        "mine",
        "TwoMaps",
        "Largest",
    )
    assert network.card.outputs == 6
    assert network.card.parameters == 3 * 4 * 9 + 4 + 4 * 6 * 9 + 6
    assert network.features.module.training


def test_a_users_modules_that_pass_one_map():
    features = nn.Sequential(nn.Conv2d(1, 5, 3), nn.MaxPool2d(3))
    head = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    network = Network.of(features, head, (1, 14, 14)).eval()
    inputs = torch.randn(2, 1, 14, 14)
    torch.testing.assert_close(network(inputs), head(features(inputs)))
    assert network.features.strides == ((4, 4),)  # 14 / 4 cells, to the nearest whole number
    assert [tuple(each.shape) for each in network.features(inputs)] == [(2, 5, 4, 4)]
    assert capture(network, inputs).nodes[1].name == "features.module.0"


def test_modules_that_do_not_fit_are_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(RequestError, match="no map of batch x channels x 2 axes; leave flattening"):
        Network.of(flat, nn.Identity(), (1, 8, 8))
    with pytest.raises(RequestError, match="features Conv2d cannot take 1 x 3 x 8 x 8"):
        Network.of(nn.Conv2d(1, 2, 3), nn.Identity(), (3, 8, 8))

    class Reversed(TwoMaps):
        def forward(self, inputs):
            return super().forward(inputs)[::-1]

    with pytest.raises(RequestError, match="finest first"):
        Network.of(Reversed(), Largest(), (3, 16, 16))


def test_the_card_of_any_module():
    card = Network.own_card(nn.Conv2d(1, 2, 3), (1, 8, 9), 2, Scaling((0.5,), (0.1,)))
    assert (card.name, card.parameters, card.outputs) == ("own", 20, 2)
    assert card.input_shape == (1, 8, 9)
    assert NetworkCard.from_json(card.to_json()) == card


def test_the_default_depends_on_the_pictures():
    assert default_network((1, 32, 32), 1200)[0] == "lenet5"
    assert default_network((1, 28, 28), 60_000)[0] == "resnet"
    assert default_network((3, 32, 32), 1200)[0] == "resnet"
    assert default_network((1, 8, 8), 1200)[0] == "resnet"


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_blocks_in_one_two_and_three_dimensions(dimensions):
    inputs = torch.randn(2, 3, *(9, 8, 7)[:dimensions])
    assert ConvolutionBlock(dimensions, 3, 5, kernel_size=5)(inputs).shape[2:] == inputs.shape[2:]
    halved = ResidualBlock(dimensions, 3, 4, stride=2)(inputs)
    assert halved.shape == (2, 4, *((9 + 1) // 2, 8 // 2, (7 + 1) // 2)[:dimensions])
    same = ResidualBlock(dimensions, 3, 3)
    torch.testing.assert_close(same(inputs), inputs.relu())  # starts as the identity
    nn.init.ones_(same.second.norm.weight)
    assert not torch.allclose(same(inputs), inputs.relu())
