"""How a network is computed: device, number format, memory layout; the same wherever it runs.

Weights, their averages and checkpoints are float32 on every path. In bfloat16 (autocast) the
convolutions of the features take bfloat16 and add up in float32; the head, the loss and softmax
are float32 throughout, and norms keep float32 statistics and scales. Networks for EEG have a fast
form (`convolution.fast`) that gives the same values; called by themselves they compute in the plain
one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vitreous.convolution.fast.form import Form, using_form
from vitreous.data.transforms import Scaling, TrialScaling, to_network_input
from vitreous.inference.depthwise import DepthwiseInFloat32
from vitreous.inference.idle_taps import IdleTapsInFloat32
from vitreous.networks.modes import evaluating
from vitreous.networks.network import OWN, Network
from vitreous.networks.prepared import prepared

DType = Literal["float32", "bfloat16"]
MemoryFormat = Literal["contiguous", "channels_last"]

Forward = Callable[[Tensor], Any]
"""Scaled pictures (batch, channels, height, width) to outputs float32 (batch, outputs), or to what
the network's head answers with: maps, or a list of tensors."""


@dataclass(frozen=True)
class Compute:
    """The compute path of a run, as written to run.json."""

    device: str = "cpu"
    dtype: DType = "float32"
    memory_format: MemoryFormat = "contiguous"
    compiled: bool = False  # the training step; what runs once a picture stays as it is
    form: Form = "fast"  # of networks that have an equivalent fast form; of others there is one
    threads: int = field(default_factory=torch.get_num_threads)
    processes: int = 1  # that share each batch
    why: str = ""
    timings: dict[str, float] = field(default_factory=dict)  # path -> median ms a training step

    def to_json(self) -> dict[str, Any]:
        """Plain words and numbers."""
        return asdict(self)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context in which convolutions take this path's number format."""
        if self.dtype == "float32":
            yield
            return
        kind = torch.device(self.device).type
        with torch.autocast(kind, dtype=getattr(torch, self.dtype)):
            if kind == "cpu" and torch.is_grad_enabled():
                with IdleTapsInFloat32(), DepthwiseInFloat32():
                    yield
            else:
                yield

    def place(self, network: nn.Module) -> nn.Module:
        """The network itself, moved to the device, its kernels laid out as the maps will be."""
        return network.to(self.device, memory_format=self._layout)  # type: ignore[call-overload]

    def inputs(self, pixels: Tensor, scaling: Scaling | TrialScaling) -> Tensor:
        """Scaled inputs float32 on the device from uint8 pictures (batch, channels, h, w).

        Or from trials, float32 (batch, 1, recorded channels, time).
        """
        # on the device first, and laid out while a pixel is one byte
        there = pixels.to(self.device, non_blocking=True, memory_format=self._layout)
        return to_network_input(there, scaling)

    def forward_of(self, network: nn.Module) -> Forward:
        """The network as a function of scaled inputs; outputs are float32 on the device."""
        if not isinstance(network, Network) or network.card.name == OWN or network.dense:
            return self._whole(network)

        def forward(inputs: Tensor) -> Tensor:
            with using_form(self._form):
                with self.autocast():
                    maps = network.features(inputs)
                # heads with one answer a sample read the coarsest map alone
                return network.head([*maps[:-1], maps[-1].float()])

        return forward

    def answers_of(self, network: nn.Module) -> Forward:
        """The network in evaluation mode as a function of scaled inputs, without gradients.

        Networks for EEG whose fast form is on are prepared for it (`networks.prepared`), in
        float32 whatever the number format of the steps: faster there, and more exact.
        """
        if self.form == "fast" and torch.device(self.device).type == "cpu":
            ready = prepared(network)
            if ready is not None:
                return ready
        forward = self.forward_of(network)

        def answer(inputs: Tensor) -> Any:
            with evaluating(network):
                return forward(inputs)

        return answer

    def _whole(self, network: nn.Module) -> Forward:
        def forward(inputs: Tensor) -> Any:
            with self.autocast():
                answer = network(inputs)
            if isinstance(answer, Tensor):
                return answer.float()
            return [each.float() for each in answer]

        return forward

    def training_forward_of(self, network: nn.Module) -> Forward:
        """`forward_of`, compiled where the path says so; on a GPU as a CUDA graph."""
        forward = self.forward_of(network)
        if not self.compiled:
            return forward
        graph = torch.device(self.device).type == "cuda"
        # of the two sizes that batches have, each is compiled by itself: faster than one for all
        mode = "reduce-overhead" if graph else None
        return torch.compile(forward, dynamic=False, mode=mode)

    @property
    def _form(self) -> Form:
        # batch statistics of several processes are shared by the norms of the plain form alone
        return "plain" if self.processes > 1 or self.compiled else self.form

    @property
    def _layout(self) -> torch.memory_format:
        last = self.memory_format == "channels_last"
        # not "preserve": a network that was channels last before is to be laid out anew
        return torch.channels_last if last else torch.contiguous_format


PLAIN = Compute()
"""float32 on the CPU, in the plain layout."""
