"""Attribution to single input values: what a change of each would do, along a path.

All three are Captum's (the extra `insight`); here are the batches, the baselines and the gaps.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution.target import scores
from vitreous.insight.fills import Background, blur_fill, mean_fill
from vitreous.networks.modes import evaluating, evaluation_mode

STEPS = 32  # of the path of Integrated Gradients; Gauss-Legendre, which is exact for smooth ones
DRAWS = 64  # of Expected Gradients: pairs of a baseline and a place on the way to it
NUMBERS_AT_ONCE = 2**21  # of input, gradients beside them

Found = tuple[Tensor, Tensor]
"""(batch, channels, *space) attributions, and (batch,) what they claim to sum to."""


class OneNumber(nn.Module):
    """A network as a function whose one number a sample is what is explained."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """(batch,) from inputs and the outputs' weights (batch, outputs)."""
        return scores(self.network(inputs), weights)


def has_captum() -> bool:
    """Whether the extra `insight` is installed."""
    return find_spec("captum") is not None


def require_captum(method: str) -> None:
    """Raises `RequestError` with the extra to install where Captum is missing."""
    if not has_captum():
        raise RequestError(
            f"{method} needs Captum: pip install 'vitreous[insight]'; "
            "hirescam, layercam, finer-cam and occlusion work without"
        )


def integrated_gradients(
    network: nn.Module, inputs: Tensor, weights: Tensor, background: Background | None
) -> Found:
    """The gradient along straight paths from two baselines, the mean and the blurred input.

    M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017. The attributions claim
    to sum to the explained number less its mean at the baselines.
    """
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(OneNumber(network))
    limit = max(len(inputs), NUMBERS_AT_ONCE // inputs[0].numel())
    parts, starts = [], []
    for baseline in (mean_fill(inputs, background), blur_fill(inputs)):
        with _quiet(network):
            parts.append(
                method.attribute(
                    inputs,
                    baseline,
                    additional_forward_args=(weights,),
                    n_steps=STEPS,
                    internal_batch_size=limit,
                ).detach()
            )
        starts.append(_plain(network, baseline, weights))
    claimed = _plain(network, inputs, weights) - torch.stack(starts).mean(0)
    return torch.stack(parts).mean(0), claimed


def expected_gradients(
    network: nn.Module,
    inputs: Tensor,
    weights: Tensor,
    background: Background,
    seed: int = 0,
    draws: int = DRAWS,
) -> Found:
    """The gradient at random places on the way from random training inputs, times the way.

    G. Erion et al., "Improving performance of deep learning models with axiomatic attribution
    priors and expected gradients", 2021. Claims to sum to the explained number less its mean over
    the training inputs; what is left over is the chance of so many draws.
    """
    from captum.attr import GradientShap

    method = GradientShap(OneNumber(network))
    baselines = background.samples.to(inputs)
    at_once = max(1, NUMBERS_AT_ONCE // inputs.numel())
    total = torch.zeros_like(inputs)
    with _quiet(network), _seeded(seed):
        for start in range(0, draws, at_once):
            count = min(at_once, draws - start)
            found = method.attribute(
                inputs, baselines, n_samples=count, additional_forward_args=(weights,)
            )
            total += found.detach() * count
    with evaluating(network):
        outputs = torch.cat([network(part) for part in baselines.split(32)])
    return total / draws, _plain(network, inputs, weights) - (weights @ outputs.mean(0))


def deeplift(
    network: nn.Module, inputs: Tensor, weights: Tensor, background: Background | None
) -> Found:
    """Differences of activations from those of the mean input, handed down layer by layer.

    A. Shrikumar et al., "Learning Important Features Through Propagating Activation Differences",
    2017, rescale rule. Claims to sum to the explained number less that of the mean input. Captum
    knows the rule for ReLU, ELU, leaky ReLU, sigmoid, tanh, softplus and max-pooling; elsewhere it
    takes the gradient, and the gap says what that costs.

    Raises `RequestError` where one activation module is used several times.
    """
    from captum.attr import DeepLift

    baseline = mean_fill(inputs, background)
    _refuse_shared(network, inputs)
    with _quiet(network):
        found = DeepLift(OneNumber(network)).attribute(
            inputs, baseline, additional_forward_args=(weights,)
        )
    claimed = _plain(network, inputs, weights) - _plain(network, baseline, weights)
    return found.detach(), claimed


def _plain(network: nn.Module, inputs: Tensor, weights: Tensor) -> Tensor:
    with evaluating(network):
        return scores(network(inputs), weights)


@contextmanager
def _quiet(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, gradients on, and Captum's notes about its own hooks unsaid."""
    with evaluation_mode(network), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Captum draws from the global generators; they are as before afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(before)


def _refuse_shared(network: nn.Module, inputs: Tensor) -> None:
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    runs: dict[str, int] = {}

    def count(name: str):
        def hook(_module: nn.Module, _inputs: object, _output: object) -> None:
            runs[name] = runs.get(name, 0) + 1

        return hook

    handles = [
        module.register_forward_hook(count(name))
        for name, module in network.named_modules()
        if type(module) in SUPPORTED_NON_LINEAR
    ]
    try:
        with evaluating(network):
            network(inputs[:1])
    finally:
        for handle in handles:
            handle.remove()
    shared = [name for name, times in runs.items() if times > 1]
    if shared:
        raise RequestError(
            f"deeplift: the activation {shared[0]} is used {runs[shared[0]]} times in one pass, "
            "and the method needs one module for each use; take integrated-gradients"
        )
