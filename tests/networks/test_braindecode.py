"""Beside braindecode: its weights in our networks give its answers and gradients, in both forms."""

import warnings

import pytest
import torch
from torch import nn

from benchmarks.eeg_parity import (
    holding,
    our_gradients,
    samples_taken,
    share,
    their_gradients,
)
from vitreous.convolution.fast.form import using_form
from vitreous.errors import RequestError
from vitreous.networks import NetworkCard, build_network, rebuild_network
from vitreous.networks.braindecode_weights import load_braindecode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    models = pytest.importorskip("braindecode.models")

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")  # theirs, of even kernels

ELECTRODES, SAMPLES, CLASSES = 5, 650, 3
PAIRS = {
    "eegnet": ("EEGNet", {}),
    "eegnet, linear": ("EEGNet", {"final_layer_with_constraint": True}),
    "shallowconvnet": ("ShallowFBCSPNet", {}),
    "deep4": ("Deep4Net", {}),
    "atcnet": ("ATCNet", {}),
    "atcnet, short kernels": ("ATCNet", {"conv_max_norm_const": 0.6}),
    "basenet": ("AttentionBaseNet", {}),
}


def both(case):
    """braindecode's model with norms as if it had been trained, and ours with its weights."""
    kind, settings = PAIRS[case]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(models, kind)(
            n_chans=ELECTRODES, n_times=SAMPLES, n_outputs=CLASSES, **settings
        )
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    ours = build_network(case.split(",")[0], (1, ELECTRODES, SAMPLES), CLASSES, seed=1)
    load_braindecode(ours, theirs.state_dict())
    for network in (ours, theirs):
        for module in network.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.p = 0.0
    return ours, theirs


def trials(count=6):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, ELECTRODES, SAMPLES, generator=generator)


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("case", PAIRS)
def test_the_same_answers_in_evaluation(case, form):
    ours, theirs = both(case)
    inputs = trials()
    with torch.no_grad(), using_form(form):
        got, expected = ours.eval()(inputs[:, None]), theirs.eval()(inputs)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("case", PAIRS)
def test_the_same_gradients_in_training(case, form):
    """Of the weights that compute: where theirs are parametrised, of what that makes of them."""
    ours, theirs = (network.double() for network in both(case))
    inputs, targets = trials().double(), torch.arange(6) % CLASSES
    got, expected = (
        our_gradients(ours, inputs, targets, form),
        their_gradients(theirs, inputs, targets),
    )
    assert got.keys() == expected.keys()
    # torch.renorm, by which theirs keep norms limited, divides by the norm and 1e-7
    constrained = case == "eegnet, linear" or case.startswith("atcnet")
    assert share(got, expected) < (1e-6 if constrained else 1e-10)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():  # each by its own size, too
        scale = max(float(gradient.abs().max()), 1e-3 * largest)
        assert float((got[name] - gradient).abs().max()) / scale < 1e-5, name


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("case", PAIRS)
def test_gradients_in_float32_are_theirs_in_float64(case, form):
    """As shares of the largest; the reference's max-poolings take the samples that float32 took."""
    inputs, targets = trials(), torch.arange(6) % CLASSES
    ours, _ = both(case)
    with samples_taken(ours) as taken:
        got = our_gradients(ours, inputs, targets, form)
    ours, theirs = (network.double() for network in both(case))
    if taken:
        held = holding(ours, taken)
        expected = our_gradients(held, inputs, targets, "plain")
    else:
        expected = their_gradients(theirs, inputs, targets)
    assert share(got, expected) < 1e-5
    assert (case == "deep4") == bool(taken)


def test_a_pooling_that_is_held_takes_what_it_is_told_to():
    """Another sample than the largest: then its gradient goes there, and nowhere else."""
    ours, _ = both("deep4")
    inputs, targets = trials(), torch.arange(6) % CLASSES
    with samples_taken(ours) as taken:
        expected = our_gradients(ours.double(), inputs, targets, "plain")
    assert [tuple(each.shape[1:3]) for each in taken] == [(25, 1), (50, 1), (100, 1), (200, 1)]
    again = our_gradients(holding(both("deep4")[0].double(), taken), inputs, targets, "plain")
    assert share(again, expected) < 1e-12
    others = [each // 3 * 3 for each in taken]  # the first of each window
    moved = our_gradients(holding(both("deep4")[0].double(), others), inputs, targets, "plain")
    assert share(moved, expected) > 1e-2


def test_weights_that_do_not_fit_are_refused_in_one_line():
    _, theirs = both("eegnet")
    other = build_network("eegnet", (1, ELECTRODES + 1, SAMPLES), CLASSES)
    with pytest.raises(RequestError, match=r"do not fit this network \(1 tensors .*spatial"):
        load_braindecode(other, theirs.state_dict())
    with pytest.raises(RequestError, match="no model of braindecode that is known here"):
        load_braindecode(other, nn.Linear(2, 2).state_dict())


def test_any_model_of_braindecode_is_a_network():
    network = build_network(
        "braindecode:eegconformer", (1, 8, 500), 3, seed=0, sampling_rate_hz=250
    )
    assert network.card.name == "braindecode:EEGConformer"
    inputs = torch.randn(2, 1, 8, 500)
    with torch.no_grad():
        assert network.eval()(inputs).shape == (2, 3)
    again = rebuild_network(NetworkCard.from_json(network.card.to_json()))
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(inputs), network(inputs))


def test_a_model_that_cannot_be_made_says_why():
    with pytest.raises(
        RequestError, match=r"ShallowFBCSPNet cannot be made for 4 .*20 samp"
    ) as said:
        build_network("braindecode:ShallowFBCSPNet", (1, 4, 20), 3)
    assert "\n" not in str(said.value)
