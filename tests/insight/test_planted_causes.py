"""Where the cause is known the default map finds it, and a network that knows nothing does not."""

import numpy as np
import pytest
import torch

from vitreous.insight.attribution import SignedMap, attribute, map_layer, predicted_targets
from vitreous.insight.controls import control_maps
from vitreous.insight.faithfulness import Faithfulness, check_map
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised

from .planted import CHANCE, PATCH, STRIDE, pictures, small_network, trained

CHECKED = 6


@pytest.fixture(scope="module")
def network():
    return trained()


@pytest.fixture(scope="module")
def held_out():
    return pictures(64, seed=2)


@pytest.fixture(scope="module")
def background():
    return Background(pictures(64, seed=1)[0])


def maps_of(network, inputs) -> list[SignedMap]:
    return attribute(network, inputs, layer=map_layer(network, inputs))


def checks_of(network, inputs, masks, background) -> list[Faithfulness]:
    layer = map_layer(network, inputs)
    forgetful = randomised(network)
    return [
        check_map(
            network, inputs[row : row + 1], one, background=background, layer=layer,
            mask=masks[row], forgetful=forgetful,
        )
        for row, one in enumerate(attribute(network, inputs[:CHECKED], layer=layer))
    ]  # fmt: skip


def test_the_task_is_what_it_should_be(network, held_out):
    inputs, labels, masks = held_out
    layer = map_layer(network, inputs)
    assert layer.cells == (16, 16)
    assert PATCH // STRIDE >= 3
    assert masks.mean() == pytest.approx(CHANCE)
    assert CHANCE < 0.15
    answers = np.array([target.output for target in predicted_targets(network, inputs)])
    assert (answers == labels).mean() > 0.95


def test_the_default_map_puts_its_mass_on_the_cause(network, held_out):
    inputs, _, masks = held_out
    maps = maps_of(network, inputs)
    inside = [one.mass_inside(mask) for one, mask in zip(maps, masks, strict=True)]
    assert np.mean(inside) >= 0.7
    for name in ("random", "sobel", "centre"):
        others = []
        for sample, mask in zip(inputs.numpy(), masks, strict=True):
            values = np.maximum(control_maps(sample)[name][0], 0)
            others.append(values[mask].sum() / values.sum())
        assert np.mean(others) < 0.4
        assert (np.array(inside) > others).mean() > 0.95, name


def test_the_checks_say_that_the_map_holds(network, held_out, background):
    inputs, _, masks = held_out
    found = checks_of(network, inputs, masks, background)
    for name in ("random", "sobel", "centre"):
        assert np.mean([one.map.order - one.controls[name].order for one in found]) > 0.05
    beaten = [all(one.beaten.values()) for one in found]
    assert np.mean(beaten) >= 0.8
    assert sum("holds" in one.sentence for one in found) >= 0.6 * len(found)


def test_with_shuffled_weights_the_check_raises_the_alarm(network, held_out, background):
    inputs, _, masks = held_out
    for seed in range(3):
        forgot = randomised(network, seed=seed + 10)
        inside = [
            one.mass_inside(mask) for one, mask in zip(maps_of(forgot, inputs), masks, strict=True)
        ]
        assert np.mean(inside) < 0.5
    found = checks_of(randomised(network, seed=10), inputs, masks, background)
    assert np.mean([bool(one.alarms) for one in found]) >= 0.8
    assert any("Do not lean on this map" in one.sentence for one in found)


def test_a_map_that_does_not_depend_on_the_weights_is_noticed(network, held_out, background):
    """The edges of the picture, passed off as an explanation."""
    inputs, _, masks = held_out
    (real,) = maps_of(network, inputs[:1])
    edges = control_maps(inputs[0].numpy())["sobel"][0].astype(np.float32)
    claimed = SignedMap(edges, "hirescam", real.target, real.score, layer=real.layer)
    found = check_map(network, inputs[:1], claimed, background=background, mask=masks[0])
    assert not found.beaten["sobel"]
    assert any("edge detector" in alarm for alarm in found.alarms)


def test_occlusion_agrees_with_the_default_map(network, held_out, background):
    inputs, _, masks = held_out
    occluded = attribute(network, inputs[:8], method="occlusion", background=background)
    inside = [one.mass_inside(mask) for one, mask in zip(occluded, masks[:8], strict=True)]
    assert np.mean(inside) > 3 * CHANCE


def test_an_untrained_network_does_not_find_the_cause(held_out):
    inputs, _, masks = held_out
    inside = []
    for seed in range(3):
        maps = maps_of(small_network(seed).eval(), inputs)
        inside += [one.mass_inside(mask) for one, mask in zip(maps, masks, strict=True)]
    assert np.mean(inside) < 0.5
    assert torch.is_grad_enabled()
