"""Networks prepared for answers: the same function, for as long as the weights are the same."""

import gc

import pytest
import torch
from torch import nn

from vitreous.convolution.fast.known_convolution import FEW_OUTPUTS, KnownConvolution
from vitreous.inference import PLAIN, Compute
from vitreous.networks import Network, build_network
from vitreous.networks import prepared as prepared_module
from vitreous.networks.build import EEG_NETWORKS
from vitreous.networks.prepared import prepared

SAMPLES = {"eegnet": 256, "shallowconvnet": 200, "deep4": 450, "basenet": 200, "atcnet": 340}
RATES = {"eegnet": 160, "shallowconvnet": 128, "deep4": 160, "basenet": 128, "atcnet": 160}


def trained(name, rate=None, dtype=torch.float64):
    """A network whose norms have been somewhere, with dropout that answers must not see."""
    network = build_network(name, (1, 6, SAMPLES[name]), 3, seed=0, sampling_rate_hz=rate)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            scales = torch.rand(module.weight.shape, generator=generator) + 0.5
            scales[0] = -scales[0]  # the largest of a window must be that behind the norm
            with torch.no_grad():
                module.weight.copy_(scales)
                module.bias.normal_(std=0.3, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.to(dtype).train()


def trials(name, count, dtype=torch.float64):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 1, 6, SAMPLES[name], generator=generator, dtype=dtype) + 0.3


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rate", [None, "other"])
@pytest.mark.parametrize("name", EEG_NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_answers_are_those_of_the_plain_network(name, rate, count, dtype, tolerance):
    rate = RATES[name] if rate else None
    plain, network = trained(name, rate).eval(), trained(name, rate, dtype)
    inputs = trials(name, count)
    with torch.no_grad():
        expected = plain(inputs.to(dtype).double())
    ready = prepared(network)
    assert ready is not None
    got = ready(inputs.to(dtype))
    assert not got.requires_grad
    assert float((got - expected).abs().max() / expected.abs().max()) < tolerance
    assert network.training  # and all of it as it was
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("name", EEG_NETWORKS)
def test_a_trial_has_the_same_answer_alone_and_among_others(name):
    ready, inputs = prepared(trained(name)), trials(name, 3)
    assert ready is not None
    for number in range(3):
        torch.testing.assert_close(ready(inputs[number : number + 1])[0], ready(inputs)[number])


def test_it_is_prepared_once_and_anew_when_the_weights_have_changed():
    network = trained("eegnet", dtype=torch.float32)
    ready = prepared(network)
    assert prepared(network) is ready
    inputs = trials("eegnet", 2, torch.float32)
    before = ready(inputs)
    with torch.no_grad():
        network.features.norm.running_mean.add_(0.5)  # as a step of training does
    changed = prepared(network)
    assert changed is not ready
    assert not torch.allclose(changed(inputs), before)
    network.load_state_dict(trained("eegnet", dtype=torch.float32).state_dict())
    torch.testing.assert_close(prepared(network)(inputs), before)
    known = prepared(network)
    network.head.linear.weight = nn.Parameter(2 * network.head.linear.weight.detach())
    gc.collect()
    assert prepared(network) is not known  # another tensor in its place
    known = prepared(network)
    network.head.linear.weight.data = 3 * network.head.linear.weight.data
    assert prepared(network) is not known


@pytest.mark.parametrize("faster", [0, 1])
def test_one_trial_is_answered_by_as_many_threads_as_is_fastest(monkeypatch, faster):
    ready, inputs = prepared(trained("eegnet")), trials("eegnet", 1)
    seen, asked = [], []
    features = ready.features
    object.__setattr__(ready, "features", lambda each: (
        seen.append(torch.get_num_threads()), features(each)
    )[1])  # fmt: skip
    monkeypatch.setattr(
        prepared_module,
        "fastest_way",
        lambda ways: [asked.append(way()) for way in ways] and faster,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        answers = [ready(inputs) for _ in range(2)]
        assert torch.get_num_threads() == 2
        ready(trials("eegnet", 3))
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 1, *[(2, 1)[faster]] * 2, 2]  # both ways once, two trials, then many
    for answer in (*answers, *asked):
        torch.testing.assert_close(answer, answers[0])


def test_there_is_none_of_what_is_no_network_for_eeg():
    assert prepared(nn.Linear(3, 2)) is None
    assert prepared(build_network("lenet5", (1, 28, 28), 3)) is None
    own = Network.of(nn.Conv2d(1, 2, (1, 5)), nn.Flatten(), (1, 4, 20))
    assert prepared(own) is None


def test_the_fast_form_answers_by_it_and_the_plain_form_by_its_layers():
    network = trained("eegnet", dtype=torch.float32)
    inputs = trials("eegnet", 2, torch.float32)
    assert PLAIN.answers_of(network) is prepared(network)
    assert Compute(dtype="bfloat16").answers_of(network) is prepared(network)
    plain = Compute(form="plain").answers_of(network)
    seen = []
    network.features.bank.temporal.register_forward_hook(lambda *_: seen.append(1))
    expected = plain(inputs)
    assert seen
    assert network.training
    torch.testing.assert_close(PLAIN.answers_of(network)(inputs), expected, rtol=1e-4, atol=1e-5)
    assert len(seen) == 1


@pytest.mark.parametrize("padding", [(0, 0), (3, 4), (0, 5)])
@pytest.mark.parametrize("taps", [1, 5, 7])
@pytest.mark.parametrize("out", [5, FEW_OUTPUTS])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_known_convolution_is_what_the_definition_says(taps, padding, out, batch):
    """Second derivation: the library's convolution along time."""
    generator = torch.Generator().manual_seed(taps)
    maps = torch.randn(batch, 4, 1, 41, generator=generator, dtype=torch.float64)
    kernel = torch.randn(out, 4, taps, generator=generator, dtype=torch.float64)
    bias = torch.randn(out, generator=generator, dtype=torch.float64)
    padded = nn.functional.pad(maps.squeeze(2), padding)
    expected = nn.functional.conv1d(padded, kernel, bias).unsqueeze(2)
    layer = KnownConvolution(kernel, bias, padding)
    for given in (maps, maps.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(layer(given), expected)
