"""The filter bank of EEGNet and its kin for answers alone: all that can be computed once, is.

`filter_bank` with norms whose statistics are known: their factors go into the spatial kernels,
their additions into one, and the Toeplitz matrices of the temporal kernels are kept.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.convolution.fast.filter_bank import Norm, bank_shape, known_norm
from vitreous.convolution.fast.norm_pool import averages_matrix
from vitreous.convolution.fast.toeplitz import block_length, toeplitz


class KnownBank:
    """Temporal kernels, norm, spatial kernels, norm, ELU, average pooling, as `filter_bank` has it.

    The arguments are those of `filter_bank`; norms are in evaluation mode.
    """

    @torch.no_grad()
    def __init__(
        self,
        temporal: nn.Conv2d,
        temporal_norm: Norm,
        spatial: nn.Conv2d,
        spatial_norm: Norm,
        padding: tuple[int, int],
        window: int,
        stride: int,
    ) -> None:
        self.temporal, self.spatial, self.padding = temporal, spatial, padding
        self.window, self.stride = window, stride
        self.pool = window if window == stride else 1
        filters, maps = temporal.out_channels, spatial.out_channels
        each = maps // filters
        gain, constant = known_norm(temporal_norm)
        factor, shift = known_norm(spatial_norm)
        weights = spatial.weight.reshape(maps, -1)
        added = shift + factor * constant.repeat_interleave(each) * weights.sum(1)
        self.shift = added[:, None, None, None]
        self.weights = weights * (factor * gain.repeat_interleave(each))[:, None]
        taps = temporal.weight.reshape(filters, -1)
        block = block_length(taps.shape[1], self.pool)
        near, far = toeplitz(taps, block).mT.split(block, dim=1)
        self.matrices = torch.cat([near, far], dim=2)  # (filters, block, 2 * block)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(batch, 1, electrodes, time) to averages (maps, batch, outputs)."""
        batch, _, _, time = inputs.shape
        sizes = bank_shape(self.temporal, self.spatial, time, self.padding, self.pool)
        signals = inputs.new_zeros(sizes.maps, batch, sizes.samples)
        place = signals[..., sizes.before : sizes.before + time]
        if batch == 1:
            torch.mm(self.weights, inputs[0, 0], out=place[:, 0])
        else:
            place.copy_(torch.matmul(self.weights, inputs[:, 0]).transpose(0, 1))
        parts = torch.bmm(signals.view(sizes.filters, -1, sizes.block), self.matrices)
        parts = parts.view(sizes.maps, batch, sizes.blocks, 2 * sizes.block)
        maps = parts[:, :, :-1, : sizes.block] + parts[:, :, 1:, sizes.block :]
        active = F.elu_(maps.add_(self.shift))
        outputs = (sizes.outputs - self.window) // self.stride + 1
        length, count = sizes.samples - sizes.block, outputs
        if self.pool > 1:  # no window crosses the border of a block
            length, count = sizes.block, sizes.block // self.window
        matrix = averages_matrix(length, self.window, self.stride, count, maps.dtype, maps.device)
        pooled = (active.view(-1, length) @ matrix).view(sizes.maps, batch, -1)
        return pooled[..., :outputs]
