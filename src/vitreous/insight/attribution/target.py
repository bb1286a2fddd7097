"""What is explained: one output of a network, or how much more it is than another one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.networks.modes import evaluating


@dataclass(frozen=True)
class Target:
    """An output before softmax, by its number; with `versus`, less another one times a weight.

    "Why this and not that" is the difference of two outputs, after Finer-CAM (Zhang et al. 2025,
    arXiv 2501.11309), where the weight is called gamma.
    """

    output: int
    versus: int | None = None
    versus_weight: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def target_weights(targets: Sequence[Target], outputs: Tensor) -> Tensor:
    """Float (batch, outputs): what each output counts for in each sample's explained number.

    Raises `RequestError` where the numbers do not fit the outputs (batch, outputs).
    """
    if outputs.ndim != 2:
        shape = " x ".join(map(str, outputs.shape))
        raise RequestError(
            f"the network answers with {shape}; attribution needs batch x outputs: one vector a "
            "sample"
        )
    if len(targets) != len(outputs):
        raise RequestError(f"{len(targets)} targets for {len(outputs)} samples; give one for each")
    weights = torch.zeros_like(outputs)
    for row, target in enumerate(targets):
        for output, weight in ((target.output, 1.0), (target.versus, -target.versus_weight)):
            if output is None:
                continue
            if not 0 <= output < outputs.shape[1]:
                raise RequestError(
                    f"output {output} is not there: the network has {outputs.shape[1]}, from 0"
                )
            weights[row, output] += weight
    return weights


def scores(outputs: Tensor, weights: Tensor) -> Tensor:
    """Float (batch,): the explained number of each sample."""
    return (outputs * weights).sum(1)


def largest(outputs: Tensor, versus: bool = False) -> list[Target]:
    """The largest of each row of outputs (batch, outputs); with `versus`, against the second."""
    order = outputs.argsort(dim=1, descending=True)
    against = versus and outputs.shape[1] > 1
    return [Target(int(row[0]), int(row[1]) if against else None) for row in order]


def predicted_targets(network: nn.Module, inputs: Tensor, versus: bool = False) -> list[Target]:
    """What the network answers for each sample; with `versus`, against its second answer."""
    with evaluating(network):
        return largest(network(inputs), versus)
