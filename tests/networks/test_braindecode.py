"""Beside braindecode: its weights in our networks give its answers and gradients, in both forms."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from vitreous.convolution.fast.form import using_form
from vitreous.errors import RequestError
from vitreous.networks import NetworkCard, build_network, rebuild_network
from vitreous.networks.braindecode_weights import as_our_names, load_braindecode

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
    ours, theirs = (network.double().train() for network in both(case))
    inputs, targets = trials().double(), torch.arange(6) % CLASSES
    with using_form(form):
        nn.functional.cross_entropy(ours(inputs[:, None]), targets).backward()
    with parametrize.cached():
        effective = {
            f"{path}.{name}".lstrip("."): getattr(module, name)
            for path, module in theirs.named_modules()
            if not path.endswith(("parametrizations.weight", "parametrizations"))
            for name in ("weight", "bias")
            if isinstance(getattr(module, name, None), torch.Tensor)
        }
        loss = nn.functional.cross_entropy(theirs(inputs), targets)
        gradients = torch.autograd.grad(loss, list(effective.values()), allow_unused=True)
    # names and places as weights have them; what changes values there (a norm) is linear or none
    by_name = dict(zip(effective, gradients, strict=True))
    renamed = as_our_names_of_gradients(by_name)
    largest = max(float(gradient.abs().max()) for gradient in renamed.values())
    checked = 0
    for name, parameter in ours.named_parameters():
        gradient = renamed[name]
        got = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = max(float(gradient.abs().max()), 1e-3 * largest)
        assert float((got - gradient).abs().max()) / scale < 1e-5, name
        checked += 1
    assert checked == len(renamed)


def as_our_names_of_gradients(gradients):
    """Gradients moved as the weights are; they are of the weights that compute."""
    return as_our_names(gradients)


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
