"""How nearly do our EEG networks give braindecode's answers, gradients and batch statistics?

The same weights, one batch of 64 trials of 22 electrodes and 1,000 samples, dropout off, one step.
The reference is braindecode's module in float64. A difference in a gradient is a share of the
largest gradient of the whole network: what a step of the optimiser would notice. Beside ours stands
what float32 does to braindecode's own module.

Where a max-pooling meets two samples that rounding cannot tell apart, one form takes the one and
another form the other, and what is behind gets its gradient at another place: no form is wrong.
So a second figure is given of networks that have such poolings, with the reference taking the same
samples as the form that it is compared with.

    python -m benchmarks.eeg_parity [--network NAME ...]
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmarks.eeg_networks import BATCH, PAIRS, our_network, their_module, trials
from vitreous.convolution.fast.form import Form, using_form
from vitreous.networks.braindecode_weights import as_our_names, load_braindecode
from vitreous.networks.features import convnets
from vitreous.networks.prepared import prepared

Gradients = dict[str, Tensor]
"""Of the weights that compute, float64, by the names of our networks."""


def without_dropout(network: nn.Module) -> nn.Module:
    """The network, none of whose values are dropped."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return network


def our_gradients(network: nn.Module, inputs: Tensor, targets: Tensor, form: Form) -> Gradients:
    """After one backward pass, in the number format of the network."""
    network.train().zero_grad()
    kind = next(network.parameters()).dtype
    with using_form(form):
        answers = network(inputs.to(kind)[:, None])
    F.cross_entropy(answers, targets).backward()
    return {
        key: torch.zeros_like(each).double() if each.grad is None else each.grad.double()
        for key, each in network.named_parameters()
    }


def their_gradients(module: nn.Module, inputs: Tensor, targets: Tensor) -> Gradients:
    """The same of braindecode's; where its weights are parametrised, of what that makes of them."""
    module.train()
    kind = next(module.parameters()).dtype
    with parametrize.cached():
        effective = {
            f"{path}.{name}".lstrip("."): getattr(each, name)
            for path, each in module.named_modules()
            if not path.endswith(("parametrizations.weight", "parametrizations"))
            for name in ("weight", "bias")
            if isinstance(getattr(each, name, None), Tensor)
        }
        loss = F.cross_entropy(module(inputs.to(kind)), targets)
        found = torch.autograd.grad(loss, list(effective.values()), allow_unused=True)
    # names and places as weights have them; what changes values there (a norm) is linear or none
    renamed = as_our_names(dict(zip(effective, found, strict=True)))  # type: ignore[arg-type]
    return {key: each.double() for key, each in renamed.items()}


def share(got: Gradients, expected: Gradients) -> float:
    """The largest difference, as a share of the largest gradient of the network."""
    largest = max(float(each.abs().max()) for each in expected.values())
    return max(float((got[key] - each).abs().max()) for key, each in expected.items()) / largest


class Held(nn.Module):
    """A max-pooling along time that takes the samples it is told to take."""

    def __init__(self, places: Tensor) -> None:
        super().__init__()
        self.places = places

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, maps, 1, time) to (batch, maps, 1, windows)."""
        return maps.flatten(2).gather(2, self.places.flatten(2)).unsqueeze(2)


@contextmanager
def samples_taken(network: nn.Module) -> Iterator[list[Tensor]]:
    """Which samples its max-poolings take in the fast form while it is open, pooling by pooling."""
    taken: list[Tensor] = []
    plain = convnets.norm_elu_max

    def noted(maps: Tensor, norm: nn.BatchNorm2d, window: int) -> Tensor:
        normed = maps.detach() * norm.weight.detach().sign()[:, None, None]
        taken.append(F.max_pool2d(normed, (1, window), return_indices=True)[1])
        return plain(maps, norm, window)

    convnets.norm_elu_max = noted
    handles = [
        pool.register_forward_hook(lambda pool, inputs, _: taken.append(
            F.max_pool2d(inputs[0].detach(), pool.kernel_size, return_indices=True)[1]  # type: ignore
        ))
        for pool in poolings(network)
    ]  # fmt: skip
    try:
        yield taken
    finally:
        convnets.norm_elu_max = plain
        for handle in handles:
            handle.remove()


def poolings(network: nn.Module) -> list[nn.MaxPool2d]:
    """The network's max-poolings, in their order."""
    return [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]


def holding(network: nn.Module, places: list[Tensor]) -> nn.Module:
    """The network, whose max-poolings take the samples at these places."""
    of = {id(pool): Held(each) for pool, each in zip(poolings(network), places, strict=True)}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if id(child) in of:
                setattr(module, name, of[id(child)])
    return network


def parity(name: str) -> dict[str, float]:
    """Differences to braindecode's module as shares, and how often a max-pooling took another."""
    signals, labels = trials(BATCH, seed=5)
    inputs, targets = torch.from_numpy(signals), torch.from_numpy(labels)

    def ours() -> nn.Module:
        return without_dropout(our_network(name))

    def theirs() -> nn.Module:
        return without_dropout(their_module(name))

    expected = their_gradients(theirs().double(), inputs, targets)
    found: dict[str, float] = {}
    with torch.no_grad():
        answered = theirs().eval()(inputs)
        with using_form("fast"):
            found["answers"] = _share(ours().eval()(inputs[:, None]), answered)
        found["answers, prepared"] = _share(prepared(ours())(inputs[:, None]), answered)  # type: ignore
    module = theirs()
    found["gradients, float64"] = share(
        our_gradients(ours().double(), inputs, targets, "fast"), expected
    )
    single = ours()
    with samples_taken(single) as taken:
        got = our_gradients(single, inputs, targets, "fast")
    found["gradients"] = share(got, expected)
    found["gradients, braindecode's own module"] = share(
        their_gradients(module, inputs, targets), expected
    )
    if taken:
        exact = ours().double()
        with samples_taken(exact) as own:
            our_gradients(exact, inputs, targets, "plain")
        others = sum(int((a != b).sum()) for a, b in zip(taken, own, strict=True))
        held = our_gradients(holding(ours().double(), taken), inputs, targets, "plain")
        found["max-poolings that take another sample, of all"] = others / sum(
            each.numel() for each in own
        )
        found["gradients, the same samples taken"] = share(got, held)
    reference = our_network(name)
    load_braindecode(reference, module.state_dict())
    buffers = dict(single.named_buffers())
    found["statistics"] = max(
        _share(buffers[key], value)
        for key, value in reference.named_buffers()
        if value.is_floating_point()
    )
    return found


def _share(got: Tensor, expected: Tensor) -> float:
    difference = (got.double() - expected.double()).abs().max()
    return float(difference / expected.double().abs().max().clamp(min=1e-3))


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="*", default=list(PAIRS))
    for name in parser.parse_args().network:
        for what, value in parity(name).items():
            print(f"{name}: {what}: {value:.2g}")


if __name__ == "__main__":
    main()
