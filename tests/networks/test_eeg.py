"""The networks for EEG: sizes as published, both forms alike, norms kept, cells to be opened."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.convolution.fast.form import using_form
from vitreous.errors import RequestError
from vitreous.insight.trace import trace_of
from vitreous.networks import build_network, capture
from vitreous.networks.build import EEG_NETWORKS
from vitreous.networks.max_norm import keep_norms_limited, limit_norm

SAMPLES = {"eegnet": 256, "shallowconvnet": 200, "deep4": 450, "basenet": 200, "atcnet": 340}
RATES = {"eegnet": 160, "shallowconvnet": 100, "deep4": 160, "basenet": 128, "atcnet": 160}


def pink(shape, seed=0, offset=0.5):
    """Signals with the 1/f spectrum of brain signals, and an offset: float64, deviation 1."""
    generator = np.random.default_rng(seed)
    spectrum = np.fft.rfft(generator.standard_normal(shape), axis=-1)
    spectrum /= np.maximum(1, np.arange(spectrum.shape[-1])) ** 0.5
    signals = np.fft.irfft(spectrum, n=shape[-1], axis=-1)
    return torch.from_numpy(signals / signals.std() + offset)


def without_dropout(network):
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def built(name, dtype=torch.float64, **settings):
    network = without_dropout(build_network(name, (1, 6, SAMPLES[name]), 3, seed=0, **settings))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            torch.manual_seed(1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return network.to(dtype)


def one_step(network, form, inputs):
    """Answers, gradients and statistics after one step in training mode."""
    dtype = next(network.parameters()).dtype
    targets = torch.arange(len(inputs)) % 3
    with using_form(form):
        answers = network.train()(inputs.to(dtype))
    loss = nn.functional.cross_entropy(answers, targets)
    network.zero_grad()
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in network.named_parameters()
    }
    return answers.detach(), gradients, dict(network.named_buffers())


def far_apart(ours, reference, floor):
    """The largest difference, as a share of the largest value (or of the floor)."""
    difference = (ours.double() - reference.double()).abs().max()
    return float(difference / max(float(reference.abs().max()), floor))


@pytest.mark.parametrize("rate", [None, "other"])
@pytest.mark.parametrize("name", EEG_NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_fast_form_is_the_plain_one(name, rate, dtype, tolerance):
    """In values, gradients and statistics; the reference is the plain form in float64."""
    rate = RATES[name] if rate else None
    inputs = pink((8, 1, 6, SAMPLES[name])).float()  # the same numbers in both formats
    fast, plain = (built(name, kind, sampling_rate_hz=rate) for kind in (dtype, torch.float64))
    got, expected = one_step(fast, "fast", inputs), one_step(plain, "plain", inputs)
    assert far_apart(got[0], expected[0], 0) < tolerance
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    for key, gradient in expected[1].items():
        # of a constant that a norm takes away the gradient is zero, and rounding in either form
        nothing = float(gradient.abs().max()) < 1e-10 * largest
        floor = largest if nothing else 1e-2 * largest
        assert far_apart(got[1][key], gradient, floor) < tolerance, key
    for key, value in expected[2].items():
        assert far_apart(got[2][key], value, 1e-3) < tolerance, key
    with torch.no_grad(), using_form("fast"):
        answered = fast.eval()(inputs.to(dtype))
        alone = fast(inputs[:1].to(dtype))  # a single trial goes another way
    with torch.no_grad():
        expected = plain.eval()(inputs.double())
        assert far_apart(answered, expected, 0) < tolerance
        assert far_apart(alone, expected[:1], 0) < tolerance


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_in_bfloat16_the_fast_form_learns_the_same(name):
    inputs = pink((8, 1, 6, SAMPLES[name])).float()
    plain, low = built(name, torch.float32), built(name, torch.float32)
    expected, _, _ = one_step(plain, "plain", inputs)
    with using_form("fast"), torch.autocast("cpu", torch.bfloat16):
        maps = low.train().features(inputs)
    answers = low.head([*maps[:-1], maps[-1].float()])
    assert far_apart(answers.detach(), expected, 0) < 0.06
    nn.functional.cross_entropy(answers, torch.arange(8) % 3).backward()
    shared = [
        float(torch.cosine_similarity(p.grad.flatten(), q.grad.flatten(), dim=0))
        for p, q in zip(low.parameters(), plain.parameters(), strict=True)
        if p.grad is not None and q.grad.abs().max() > 1e-4
    ]
    assert np.median(shared) > 0.98


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_maps_are_the_same_in_both_forms(name):
    network = built(name).eval()
    inputs = pink((2, 1, 6, SAMPLES[name]))
    with torch.no_grad():
        plain = network.features(inputs)
        with using_form("fast"):
            fast = network.features(inputs)
    assert len(fast) == len(plain)
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_a_gradient_for_the_input_is_the_plain_forms(name):
    network = built(name).train()
    found = []
    for form in ("fast", "plain"):
        inputs = pink((4, 1, 6, SAMPLES[name])).requires_grad_()
        with using_form(form):
            network(inputs)[:, 0].sum().backward()
        found.append(inputs.grad)
    assert found[1].abs().max() > 0
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)


def test_a_network_with_norms_at_rest_trains_in_the_fast_form():
    inputs = pink((4, 1, 6, 256))
    networks = built("eegnet"), built("eegnet")
    for network, form in zip(networks, ("fast", "plain"), strict=True):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        with using_form(form):
            nn.functional.cross_entropy(network(inputs), torch.arange(4) % 3).backward()
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("eegnet", 8 * 64 + 16 + 16 * 22 + 32 + 16 * 16 + 16 * 16 + 32 + 16 * 31 * 4 + 4),
        ("shallowconvnet", 40 * 26 + 40 * 40 * 22 + 80 + 40 * 61 * 4 + 4),
        ("deep4", 282_879),  # these three as in braindecode's table of models
        ("basenet", 3_692),
        ("atcnet", 113_732),
    ],
)
def test_sizes_are_the_published_ones(name, parameters):
    assert build_network(name, (1, 22, 1000), 4).card.parameters == parameters


def test_lengths_go_with_the_sampling_rate_and_the_card_remembers_it():
    network = build_network("eegnet", (1, 4, 640), 2, sampling_rate_hz=160)
    assert network.features.bank.temporal.kernel_size == (1, 80)
    assert network.features.strides == ((1, 5), (1, 40))
    assert network.card.sampling_rate_hz == 160
    shallow = build_network("shallowconvnet", (1, 4, 640), 2, sampling_rate_hz=500)
    assert shallow.features.filters.temporal.kernel_size == (1, 50)
    assert shallow.features.strides == ((1, 30),)


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_trials_that_are_too_short_are_refused_in_one_line(name):
    with pytest.raises(RequestError, match=f"{name} needs trials of at least .* take a longer"):
        build_network(name, (1, 4, 20), 2)


@pytest.mark.parametrize("name", ["eegnet", "shallowconvnet", "deep4", "atcnet"])
def test_long_kernels_are_scaled_back_and_short_ones_left(name):
    network = build_network(name, (1, 4, SAMPLES[name]), 2, seed=0)
    limited = [module for module in network.modules() if hasattr(module, "largest_norm")]
    assert limited
    before = [module.weight.clone() for module in limited]
    keep_norms_limited(network)
    with torch.no_grad():
        for module in limited:
            module.weight.mul_(100)
    keep_norms_limited(network)
    for module, was in zip(limited, before, strict=True):
        norms = module.weight.flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.full_like(norms, module.largest_norm))
        direction = was.flatten(1) / was.flatten(1).norm(dim=1, keepdim=True)
        torch.testing.assert_close(module.weight.flatten(1), direction * norms[:, None])


def test_what_is_within_its_limit_stays_to_the_last_bit():
    layer = limit_norm(nn.Linear(3, 2), 10.0)
    before = layer.weight.clone()
    keep_norms_limited(layer)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_cells_of_every_layer_can_be_opened(name):
    network = built(name, torch.float32).eval()
    inputs = pink((1, 1, 6, SAMPLES[name])).float()
    with using_form("fast"):  # whatever the answer was computed with, the plain form is shown
        trace = trace_of(network, inputs)
    chosen = random.Random(0)
    for layer in trace.layers:
        cell = trace.at(layer, tuple(chosen.randrange(size) for size in trace.array(layer).shape))
        assert cell.difference.within, (layer, cell.difference)
    convolutions = [node for node in trace.graph.nodes if node.operation == "convolution"]
    assert convolutions[0].attributes["kernel_size"][0] == 1


def test_capture_shows_the_plain_form_in_a_fast_place():
    network = build_network("eegnet", (1, 4, 128), 2)
    with using_form("fast"):
        graph = capture(network, torch.zeros(1, 1, 4, 128))
    assert "features.bank.spatial" in [node.name for node in graph.nodes]
