"""The checks themselves: curves by hand, ranks, controls, words, and what they cost."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import SignedMap, Target
from vitreous.insight.controls import centre_gaussian, edges
from vitreous.insight.faithfulness import (
    STEPS,
    Asker,
    check_map,
    curve_of,
    furthest,
    single_parts,
)
from vitreous.insight.faithfulness_scores import Curve, Faithfulness, MapScores
from vitreous.insight.fills import Background, blur_fill, mean_fill
from vitreous.insight.randomise import randomised
from vitreous.insight.regions import rank_correlation, region_means, regions_of
from vitreous.networks import build_network

RANDOM = np.random.default_rng(0)


class SumOfParts(nn.Module):
    """Answers with a weighted sum of the input's 8 x 8 parts: what each part is worth is known."""

    def __init__(self, worth: np.ndarray):
        super().__init__()
        self.register_buffer("worth", torch.from_numpy(worth).float())
        self.convolution = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.convolution.weight)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        maps = self.convolution(inputs)
        answer = (maps[:, 0] * self.worth).mean((1, 2))
        return torch.stack([answer + self.bias, -answer], 1).flatten(1)


@pytest.mark.parametrize("space", [(64,), (8, 8), (30, 17), (9, 20, 5), (3, 100)])
def test_regions_are_boxes_of_nearly_equal_size(space):
    regions = regions_of(space)
    counts = np.bincount(regions.ravel())
    assert counts.min() > 0
    assert len(counts) <= 64
    sides = [np.ptp(np.nonzero(regions == number), axis=1) + 1 for number in range(len(counts))]
    assert all(np.prod(side) == count for side, count in zip(sides, counts, strict=True))
    assert (np.ptp(sides, axis=0) <= 1).all()
    values = RANDOM.normal(size=space)
    expected = [values[regions == number].mean() for number in range(len(counts))]
    np.testing.assert_allclose(region_means(values, regions), expected)


def test_rank_correlation_is_spearmans_and_undefined_where_nothing_varies():
    first, second = RANDOM.integers(5, size=(2, 40))
    expected = spearmanr(first, second).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert rank_correlation(first, np.zeros(40)) is None


def test_curves_and_single_parts_by_hand():
    side = 16
    regions = regions_of((side, side))
    worth = RANDOM.normal(size=64)
    network = SumOfParts(worth[regions])
    inputs = torch.ones(1, 1, side, side)
    fill = torch.zeros_like(inputs)
    ask = Asker(network, Target(0), as_probability=False)
    np.testing.assert_allclose(single_parts(ask, inputs, fill, regions), worth / 64, atol=1e-6)
    whole, empty = float(ask(inputs)[0]), float(ask(fill)[0])
    curve = curve_of(ask, inputs, fill, regions, worth, (whole, empty), "mean")
    order = np.sort(worth)[::-1]
    counts = [round(64 * step / STEPS) for step in range(STEPS + 1)]
    inserted = [order[:count].sum() / 64 for count in counts]
    np.testing.assert_allclose(curve.insertion, inserted, atol=1e-5)
    np.testing.assert_allclose(curve.deletion, [whole - each for each in inserted], atol=1e-5)
    expected = np.trapezoid(inserted, np.linspace(0, 1, STEPS + 1))
    assert curve.insertion_area == pytest.approx(expected, abs=1e-5)
    wrong = curve_of(ask, inputs, fill, regions, -worth, (whole, empty), "mean")
    assert curve.order > 0 > wrong.order


def test_the_true_map_passes_and_its_opposite_does_not():
    regions = regions_of((16, 16))
    values = RANDOM.normal(size=64)[regions].astype(np.float32)
    network = SumOfParts(10 * values)
    inputs = 1 + 0.01 * torch.randn(1, 1, 16, 16, generator=torch.manual_seed(0))
    for sign in (1, -1):
        one = SignedMap(sign * values, "hirescam", Target(0), 1.0, layer="convolution")
        found = check_map(network, inputs, one)
        assert all(found.beaten.values()) is (sign == 1)
        assert found.map.patches is not None
        assert sign * found.map.patches > 0.5
        assert ("it does not beat chance" in found.alarms) is (sign == -1)
        assert found.forward_passes == 4 + 2 * 65 + 6 * 2 * 2 * (STEPS - 1) - 1
        assert found.forward_passes < 350


def test_asker_gives_probabilities_and_differences():
    network = build_network("lenet5", (1, 28, 28), 3, seed=0).eval()
    inputs = torch.randn(5, 1, 28, 28)
    with torch.no_grad():
        outputs = network(inputs).double()
    softmax = outputs.softmax(1)[:, 2]
    np.testing.assert_allclose(Asker(network, Target(2))(inputs), softmax, rtol=1e-5)
    two = outputs[:, [2, 0]].softmax(1)[:, 0]
    np.testing.assert_allclose(Asker(network, Target(2, versus=0))(inputs), two, rtol=1e-5)
    cool = Asker(network, Target(2), temperature=0.5)
    np.testing.assert_allclose(cool(inputs), (2 * outputs).softmax(1)[:, 2], rtol=1e-5)
    np.testing.assert_allclose(Asker(network, Target(2)).plain(inputs), outputs[:, 2], rtol=1e-5)
    target = furthest(network, inputs[:1], Target(0))
    assert target is not None
    assert target.output == 1 + int(outputs[0, 1:].argmin())


def test_fills_take_the_detail_away():
    inputs = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(0))
    background = Background(torch.randn(5, 3, 32, 32) + torch.tensor([1.0, 2, 3])[:, None, None])
    mean = mean_fill(inputs, background)
    np.testing.assert_allclose(
        mean[1, :, 4, 7].numpy(), background.samples.mean((0, 2, 3)).numpy(), rtol=1e-5
    )
    assert mean.std(dim=(2, 3)).max() < 1e-6
    assert not mean_fill(inputs).any()
    blurred = blur_fill(inputs)
    assert blurred.std(dim=(2, 3)).max() < 0.2
    torch.testing.assert_close(blurred.mean((2, 3)), inputs.mean((2, 3)), atol=0.1, rtol=0)


def test_shuffled_weights_keep_their_sizes_and_leave_the_network_alone():
    network = build_network("pocket", (3, 32, 32), 3, seed=0).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copy = randomised(network, seed=1)
    changed = 0
    for name, value in copy.state_dict().items():
        assert torch.equal(network.state_dict()[name], before[name])
        torch.testing.assert_close(value.flatten().sort().values,
                                   before[name].flatten().sort().values)  # fmt: skip
        changed += not torch.equal(value, before[name])
    assert changed >= 5
    assert "features.whitening.weight" in before
    assert not torch.equal(copy.features.whitening.weight, network.features.whitening.weight)


def test_controls_know_where_edges_and_the_middle_are():
    picture = np.zeros((1, 20, 30))
    picture[:, :, 15:] = 1.0
    assert set(edges(picture).argmax(1)) <= {14, 15}
    assert np.unravel_index(centre_gaussian((21, 31)).argmax(), (21, 31)) == (10, 15)


def scores(order: float, patches: float | None = 0.5, inside: float | None = None) -> MapScores:
    return MapScores(order, patches, inside, (Curve("mean", (0.9, 0.1), (0.1, 0.9)),))


def found_with(own: MapScores, other: MapScores, **more) -> Faithfulness:
    return Faithfulness(own, {"sobel": other}, 0.9, {"mean": 0.1}, **more)


def test_the_words_say_what_was_found():
    good = found_with(scores(0.4, 0.6), scores(0.1, 0.1))
    assert not good.alarms
    assert good.sentence.startswith("The map holds")
    bad = found_with(scores(0.4, 0.1), scores(0.1, 0.2))
    assert bad.alarms == ("it does not beat an edge detector",)
    assert "edge detector" in bad.sentence
    same = found_with(scores(0.4, 0.6), scores(0.1, 0.1), randomised=0.9, other_target=0.8)
    assert "shuffled weights" in same.alarms[0]
    assert "another answer" in same.alarms[1]
    masked = found_with(scores(0.4, 0.6, 0.1), scores(0.1, 0.1, 0.3), mask_share=0.1)
    assert "mask" in masked.alarms[0]
    still = Faithfulness(MapScores(0.4, 0.6), {"sobel": MapScores(0.1, 0.1)}, 0.5, {"mean": 0.49})
    assert "no map can be judged" in still.alarms[0]
    empty = found_with(scores(0, None), scores(0.1, 0.1), nothing_shown=True)
    assert empty.alarms == ("the map is zero everywhere",)
    plain = masked.to_json()
    assert plain["beaten"] == {"sobel": True}
    assert plain["map"]["curves"][0]["deletion_area"] == pytest.approx(0.5)


def test_what_does_not_fit_is_refused():
    network = build_network("lenet5", (1, 28, 28), 3, seed=0).eval()
    inputs = torch.randn(2, 1, 28, 28)
    one = SignedMap(np.zeros((28, 28), np.float32), "hirescam", Target(0), 0.0)
    with pytest.raises(RequestError, match="not on 2 samples"):
        check_map(network, inputs, one)
    with pytest.raises(RequestError, match="the mask is 5 x 5"):
        check_map(network, inputs[:1], one, mask=np.zeros((5, 5), bool))
