"""EEG networks prepared for answers alone: norms folded into kernels, kernels laid out once.

A trial takes a network for EEG a millisecond or two, of which most is calling layers. What does not
depend on the trial is computed once here; what is left are a dozen products. The same function as
the network in evaluation mode, to 1e-5 in float32, for any number of trials.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.convolution.fast.combined import combined_kernel
from vitreous.convolution.fast.fastest_way import fastest_way
from vitreous.convolution.fast.filter_bank import Norm, known_norm
from vitreous.convolution.fast.known_bank import KnownBank
from vitreous.convolution.fast.known_convolution import KnownConvolution, group_maxima
from vitreous.convolution.fast.norm_pool import averages_matrix
from vitreous.networks.features.atcnet import ATCNet
from vitreous.networks.features.convnets import (
    LEAST_POWER,
    Deep4,
    ShallowConvNet,
    TemporalSpatial,
)
from vitreous.networks.features.eeg import FilterBank, SeparableConvolution
from vitreous.networks.features.eegnet import BaseNet, EEGNet
from vitreous.networks.heads.eeg import ATCNetHead, FlatHead
from vitreous.networks.heads.windows_prepared import PreparedWindows
from vitreous.networks.network import Network

Function = Callable[[Tensor], Tensor]
"""Of features: trials (batch, 1, electrodes, time) to the last map with its channels innermost,
(batch, time, channels). Of heads: that map to outputs (batch, outputs)."""


@dataclass(frozen=True)
class Prepared:
    """A network as it was when it was prepared, for trials on the CPU."""

    features: Function
    head: Function
    made_of: tuple[tuple["ref[Tensor]", int, int], ...]  # tensor, version, place in memory
    alone: dict[tuple[int, int], bool] = field(default_factory=dict)  # by samples and threads

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (batch, outputs) for scaled trials (batch, 1, electrodes, time); no gradient.

        A single trial is answered by one thread where that is faster: threads take about as long to
        meet as such a product takes.
        """
        with torch.no_grad():
            if len(inputs) > 1 or torch.get_num_threads() == 1:
                return self.head(self.features(inputs))
            known = inputs.shape[-1], torch.get_num_threads()
            if known not in self.alone:
                ways = [partial(self._in_threads, inputs, each) for each in (known[1], 1)]
                self.alone[known] = fastest_way(ways) == 1
            return self._in_threads(inputs, 1 if self.alone[known] else known[1])

    def _in_threads(self, inputs: Tensor, count: int) -> Tensor:
        with threads(count):
            return self.head(self.features(inputs))

    @property
    def current(self) -> bool:
        """Whether the network's weights and statistics are still those it was made of."""
        for tensor, version, place in self.made_of:
            there = tensor()
            if there is None or there._version != version or there.data_ptr() != place:
                return False
        return True


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Operations within are computed by so many threads; the switch takes less than a microsecond.

    What other threads of the process compute meanwhile may be slower or faster for it.
    """
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count != before:
            torch.set_num_threads(before)


_known: WeakKeyDictionary[nn.Module, Prepared] = WeakKeyDictionary()


def prepared(network: nn.Module) -> Prepared | None:
    """The network prepared, once for as long as its weights stay; None where there is no such form.

    There is none of networks on other devices than the CPU, nor of those whose features or head are
    not of `FEATURES` and `HEADS`.
    """
    if not isinstance(network, Network):
        return None
    known = _known.get(network)
    if known is not None and known.current:
        return known
    features, head = FEATURES.get(type(network.features)), HEADS.get(type(network.head))
    if features is None or head is None:
        return None
    tensors = [*network.parameters(), *network.buffers()]
    if any(tensor.device.type != "cpu" or tensor.is_inference() for tensor in tensors):
        return None
    with torch.no_grad():
        made = Prepared(
            features(network.features),
            head(network.head, network.features.channels[-1]),  # type: ignore[union-attr]
            tuple((ref(tensor), tensor._version, tensor.data_ptr()) for tensor in tensors),
        )
    _known[network] = made
    return made


def _bank(bank: FilterBank) -> KnownBank:
    return KnownBank(
        bank.temporal,
        bank.temporal_norm,
        bank.spatial,
        bank.spatial_norm,
        bank.padding,
        bank.window,
        bank.stride,
    )


def _normed(kernel: Tensor, bias: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
    """Kernel (out, ...) and bias (out,) that give what the norm makes of their outputs."""
    factor, shift = known_norm(norm)
    folded = kernel * factor.view(-1, *[1] * (kernel.ndim - 1))
    return folded, shift if bias is None else shift + factor * bias


def _separable(layer: SeparableConvolution, norm: Norm, pool: int) -> KnownConvolution:
    """A kernel a map and the mix of all maps as one kernel: few maps, so it costs little."""
    depth, point = layer.depth, layer.point
    kernel = point.weight.flatten(1)[:, :, None] * depth.weight.flatten(1)  # type: ignore
    before = int(depth.padding[1])  # type: ignore
    return KnownConvolution(*_normed(kernel, None, norm), pool, (before, before))


def _combined(filters: TemporalSpatial, norm: Norm, pool: int) -> KnownConvolution:
    kernel, bias = combined_kernel(filters.temporal, filters.spatial)
    return KnownConvolution(*_normed(kernel.squeeze(2), bias, norm), pool)


def _electrodes_last(inputs: Tensor) -> Tensor:
    """(batch, 1, electrodes, time) as (batch, time, electrodes)."""
    return inputs[:, 0].mT


def _averages(convolution: KnownConvolution, maps: Tensor) -> Tensor:
    """ELU of a convolution, averaged by its groups: (batch, time, maps) to (batch, groups, out)."""
    return F.elu_(convolution(maps)).mean(2)


def _eegnet(features: EEGNet) -> Function:
    bank, second = _bank(features.bank), _separable(features.separable, features.norm, 8)
    return lambda inputs: _averages(second, bank(inputs).permute(1, 2, 0))


def _basenet(features: BaseNet) -> Function:
    bank, second = _bank(features.bank), _separable(features.separable, features.norm, 8)
    mix, added = _normed(features.mix.weight.flatten(1), None, features.mix_norm)

    def function(inputs: Tensor) -> Tensor:
        first = bank(inputs).permute(1, 2, 0)  # (batch, time, maps)
        return _averages(second, F.elu_(F.linear(first, mix, added)))

    return function


def _atcnet(features: ATCNet) -> Function:
    bank, window = _bank(features.bank), int(features.pool.kernel_size[1])  # type: ignore[index]
    kernel, bias = _normed(features.convolution.weight.squeeze(2), None, features.norm)
    left, right, _, _ = features.pad.padding
    second = KnownConvolution(kernel, bias, window, (left, right))
    return lambda inputs: _averages(second, bank(inputs).permute(1, 2, 0))


def _shallowconvnet(features: ShallowConvNet) -> Function:
    window, stride = features.window, features.stride
    common = math.gcd(window, stride)  # windows are made of averages of so many samples
    convolution = _combined(features.filters, features.norm, common)

    def function(inputs: Tensor) -> Tensor:
        count = (convolution.outputs_of(inputs.shape[-1]) - window) // stride + 1
        means = convolution(_electrodes_last(inputs)).square_().mean(2)
        matrix = averages_matrix(means.shape[1], window // common, stride // common, count,
                                 means.dtype, means.device)  # fmt: skip
        return torch.matmul(matrix.mT, means).clamp_(min=LEAST_POWER).log_()

    return function


def _deep4(features: Deep4) -> Function:
    first = int(features.pool.kernel_size[1])  # type: ignore[index]
    layers = [_combined(features.filters, features.norm, first)]
    for block in features.blocks:
        window = int(block.pool.kernel_size[1])  # type: ignore
        kernel, bias = _normed(block.convolution.weight.squeeze(2), None, block.norm)  # type: ignore
        layers.append(KnownConvolution(kernel, bias, window))

    def function(inputs: Tensor) -> Tensor:
        maps = _electrodes_last(inputs)
        for convolution in layers:  # ELU rises everywhere: the largest before it
            maps = F.elu_(group_maxima(convolution(maps)))
        return maps

    return function


def _flat_head(head: FlatHead, channels: int) -> Function:
    weight = head.linear.weight
    weight = weight.view(len(weight), channels, -1).mT.flatten(1).contiguous()
    bias = head.linear.bias.clone()
    return lambda maps: F.linear(maps.flatten(1), weight, bias)


def _atcnet_head(head: ATCNetHead, channels: int) -> Function:
    del channels
    return PreparedWindows(list(head.windows))


FEATURES: dict[type, Callable[..., Function]] = {
    EEGNet: _eegnet,
    BaseNet: _basenet,
    ATCNet: _atcnet,
    ShallowConvNet: _shallowconvnet,
    Deep4: _deep4,
}
HEADS: dict[type, Callable[..., Function]] = {FlatHead: _flat_head, ATCNetHead: _atcnet_head}
