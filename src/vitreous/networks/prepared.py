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
from vitreous.convolution.fast.known_convolution import KnownConvolution
from vitreous.convolution.fast.pooling import average_along_time
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
"""Of features: trials (batch, 1, electrodes, time) to the last map (batch, channels, 1, time). Of
heads: that map to outputs (batch, outputs)."""


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
            count = torch.get_num_threads()
            if count == 1 or inputs.shape[0] > 1:
                return self.head(self.features(inputs))
            known = inputs.shape[3], count
            alone = self.alone.get(known)
            if alone is None:
                ways = [partial(self._in_threads, inputs, each) for each in (count, 1)]
                alone = self.alone[known] = fastest_way(ways) == 1
            if alone:
                return self._in_threads(inputs, 1)
            return self.head(self.features(inputs))

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


def _separable(layer: SeparableConvolution, norm: Norm) -> KnownConvolution:
    """A kernel a map and the mix of all maps as one kernel: few maps, so it costs little."""
    depth, point = layer.depth, layer.point
    kernel = point.weight.flatten(1)[:, :, None] * depth.weight.flatten(1)  # type: ignore
    before = int(depth.padding[1])  # type: ignore
    return KnownConvolution(*_normed(kernel, None, norm), (before, before))


def _combined(filters: TemporalSpatial, norm: Norm, group: int = 1) -> KnownConvolution:
    kernel, bias = combined_kernel(filters.temporal, filters.spatial)
    return KnownConvolution(*_normed(kernel.squeeze(2), bias, norm), group=group)


def _first_maps(bank: KnownBank, inputs: Tensor) -> Tensor:
    """(batch, maps, 1, time)."""
    return bank(inputs).transpose(0, 1).unsqueeze(2)


def _eegnet(features: EEGNet) -> Function:
    bank, second = _bank(features.bank), _separable(features.separable, features.norm)
    window = features.pool.kernel_size
    return lambda inputs: F.avg_pool2d(F.elu_(second(_first_maps(bank, inputs))), window)


def _basenet(features: BaseNet) -> Function:
    bank, second = _bank(features.bank), _separable(features.separable, features.norm)
    mix, added = _normed(features.mix.weight, None, features.mix_norm)
    window = features.pool.kernel_size

    def function(inputs: Tensor) -> Tensor:
        mixed = F.elu_(torch.conv2d(_first_maps(bank, inputs), mix, added))
        return F.avg_pool2d(F.elu_(second(mixed)), window)

    return function


def _atcnet(features: ATCNet) -> Function:
    bank, window = _bank(features.bank), features.pool.kernel_size
    kernel, bias = _normed(features.convolution.weight.squeeze(2), None, features.norm)
    left, right, _, _ = features.pad.padding
    second = KnownConvolution(kernel, bias, (left, right))
    return lambda inputs: F.avg_pool2d(F.elu_(second(_first_maps(bank, inputs))), window)


def _shallowconvnet(features: ShallowConvNet) -> Function:
    group = math.gcd(features.window, features.stride)
    convolution = _combined(features.filters, features.norm, group)

    def function(inputs: Tensor) -> Tensor:
        maps = convolution(inputs.transpose(1, 2))
        power = average_along_time(maps.mul_(maps), features.window, features.stride)
        return power.clamp_(min=LEAST_POWER).log_()

    return function


def _deep4(features: Deep4) -> Function:
    pools = [features.pool.kernel_size]
    layers = [_combined(features.filters, features.norm)]
    for block in features.blocks:
        kernel, bias = _normed(block.convolution.weight.squeeze(2), None, block.norm)  # type: ignore
        layers.append(KnownConvolution(kernel, bias))
        pools.append(block.pool.kernel_size)  # type: ignore

    def function(inputs: Tensor) -> Tensor:
        maps = inputs.transpose(1, 2)
        for convolution, window in zip(layers, pools, strict=True):
            maps = F.elu_(torch.max_pool2d(convolution(maps), window))  # ELU rises everywhere
        return maps

    return function


def _flat_head(head: FlatHead, channels: int) -> Function:
    weight, bias = head.linear.weight.clone(), head.linear.bias.clone()
    by_time = weight.view(len(weight), channels, -1).mT.flatten(1).contiguous()

    def function(maps: Tensor) -> Tensor:
        if maps.shape[0] > 1:
            return F.linear(maps.flatten(1), weight, bias)
        if maps.is_contiguous():
            return torch.addmv(bias, weight, maps.view(-1)).unsqueeze(0)
        innermost = maps.permute(0, 2, 3, 1).reshape(-1)  # as it lies in memory
        return torch.addmv(bias, by_time, innermost).unsqueeze(0)

    return function


def _atcnet_head(head: ATCNetHead, channels: int) -> Function:
    del channels
    windows = PreparedWindows(list(head.windows))
    return lambda maps: windows(maps.squeeze(2).mT)


FEATURES: dict[type, Callable[..., Function]] = {
    EEGNet: _eegnet,
    BaseNet: _basenet,
    ATCNet: _atcnet,
    ShallowConvNet: _shallowconvnet,
    Deep4: _deep4,
}
HEADS: dict[type, Callable[..., Function]] = {FlatHead: _flat_head, ATCNetHead: _atcnet_head}
