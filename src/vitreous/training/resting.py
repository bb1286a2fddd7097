"""What rests while the rest of a network learns: norms with statistics of their own, early layers.

A batch norm that rests is a fixed factor and shift a channel, and so part of the convolution before
it: one pass over the maps less in each direction. Weights, factors and shifts are trained as they
are; the values differ by rounding alone.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from vitreous.networks.detectors import trained_features
from vitreous.networks.modes import evaluating
from vitreous.networks.network import Network

CONVOLUTIONS: tuple[Callable, ...] = (torch.conv1d, torch.conv2d, torch.conv3d)
SMALL = 64  # pixels a side, at most, of a picture that shows how a network is connected
ALIKE = 1e-4  # of a map's largest value: what a folded network may differ by

Pair = tuple[nn.Module, _BatchNorm]
"""A convolution, and the norm that reads what it gives."""


def resting_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms that came with statistics: all but those of a head with `new_norms`."""
    heads = [module for module in network.modules() if getattr(module, "new_norms", False)]
    learning = {norm for head in heads for norm in head.modules()}
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module not in learning
    ]


def rest_early_features(network: nn.Module, stride: int) -> tuple[str, ...]:
    """Keep the numbers of all layers that lead to the features' maps of at most this stride.

    Edges and colours are alike in most pictures, and the finest maps, which are the largest, take
    most of a step's time: nothing is carried back to layers that rest. Their parameters' names, as
    the network has them; none where the features have no map so fine, or the stride is 0.
    """
    found = trained_features(network)
    fine = [] if found is None else [max(each) <= stride for each in found.strides]  # type: ignore
    if found is None or not isinstance(network, Network) or not any(fine):
        return ()
    place = len(fine) - 1 - fine[::-1].index(True)
    trained = [parameter for parameter in found.parameters() if parameter.requires_grad]
    with evaluating(found), torch.enable_grad():
        value = found(_example(network, found))[place].sum()
        gradients = torch.autograd.grad(value, trained, allow_unused=True)
    resting = {id(p) for p, used in zip(trained, gradients, strict=True) if used is not None}
    names = tuple(name for name, p in network.named_parameters() if id(p) in resting)
    for parameter in trained:
        if id(parameter) in resting:
            parameter.requires_grad_(False)
    return names


class FoldedNorms(TorchFunctionMode):
    """Within it the convolutions of some pairs do what their norm, at rest, would do after them."""

    def __init__(self, pairs: Sequence[Pair]):
        super().__init__()
        self.norm_after = {id(convolution.weight): norm for convolution, norm in pairs}
        self.means = {id(norm.running_mean) for _, norm in pairs}

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call `func`; convolutions of the pairs with the norm in them, their norms not at all."""
        kwargs = kwargs or {}
        if func in CONVOLUTIONS and len(args) > 1 and id(args[1]) in self.norm_after:
            return _folded(func, self.norm_after[id(args[1])], *args, **kwargs)
        if func is F.batch_norm and len(args) > 1 and id(args[1]) in self.means:
            return args[0]
        return func(*args, **kwargs)


def _folded(
    convolution: Callable,
    norm: _BatchNorm,
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """The norm's factor goes into the kernels, its shift into the biases."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    off = norm.running_mean if bias is None else norm.running_mean - bias
    scaled = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return convolution(inputs, scaled, norm.bias - off * factor, *args, **kwargs)


def folded_norms(network: nn.Module) -> AbstractContextManager:
    """The context in which the network's resting norms are part of the convolutions before them.

    Nothing is folded where the maps would not be the same: where what a convolution gives is read
    by something else, too. The network's features are run on a small example to find that out.
    """
    features, resting = trained_features(network), set(resting_norms(network))
    if features is None or not isinstance(network, Network) or not resting:
        return nullcontext()
    example = _example(network, features)
    folded = FoldedNorms([pair for pair in _pairs(features, example) if pair[1] in resting])
    with evaluating(features), torch.no_grad():
        plain = features(example)
        with folded:
            other = features(example)
    alike = all(
        float((one - two).abs().max()) <= ALIKE * float(one.abs().max())
        for one, two in zip(plain, other, strict=True)
    )
    return folded if alike else nullcontext()


def _pairs(features: nn.Module, example: Tensor) -> list[Pair]:
    """Each norm with the convolution whose answer it reads; those that are used once alone."""
    answers: list[tuple[Tensor, nn.Module]] = []  # kept, so that no identity is used again
    pairs: list[Pair] = []

    def note(module: nn.Module, _inputs: Any, answer: Tensor) -> None:
        answers.append((answer, module))

    def match(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found = [module for answer, module in answers if answer is inputs[0]]
        assert isinstance(norm, _BatchNorm)
        if found and norm.affine and norm.track_running_stats:
            pairs.append((found[0], norm))

    hooks = []
    for module in features.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            hooks.append(module.register_forward_hook(note))
        elif isinstance(module, _BatchNorm):
            hooks.append(module.register_forward_pre_hook(match))
    try:
        with evaluating(features), torch.no_grad():
            features(example)
    finally:
        for hook in hooks:
            hook.remove()
    calls = [id(module) for _, module in answers]
    norms = [id(norm) for _, norm in pairs]
    return [
        (convolution, norm)
        for convolution, norm in pairs
        if calls.count(id(convolution)) == 1 and norms.count(id(norm)) == 1
    ]


def _example(network: Network, features: nn.Module) -> Tensor:
    """A picture of noise, the same each time: what the network takes, but small."""
    channels, *space = network.card.input_shape
    sides = [min(side, SMALL) for side in space]
    noise = torch.randn(1, channels, *sides, generator=torch.Generator().manual_seed(0))
    first = next(features.parameters())
    return noise.to(first.device, first.dtype)
