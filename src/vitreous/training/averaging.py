"""An exponential moving average of the weights: what is validated and kept."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of a network's parameters and buffers over about the last `horizon` steps.

    The decay grows from nothing to `1 - 1 / horizon`, so that the random start is forgotten at
    once: after `n` steps it is at most `(1 + n) / (10 + n)`.
    """

    def __init__(self, network: nn.Module, horizon: float) -> None:
        self.decay = 1.0 - 1.0 / max(horizon, 1.0)
        self.tensors = {name: value.clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network's weights after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, values = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.tensors[name])
                values.append(value)
            else:
                self.tensors[name].copy_(value)  # counters are not averaged
        torch._foreach_lerp_(averages, values, 1.0 - decay)  # all of them in one call

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the averaged tensors, that later updates leave alone."""
        return {name: value.clone() for name, value in self.tensors.items()}
