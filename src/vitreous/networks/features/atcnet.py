"""ATCNet's convolutions: a filter bank and a second convolution, before attention (heads/atcnet).

H. Altaheri, G. Muhammad, M. Alsulaiman, "Physics-informed attention temporal convolutional network
for EEG-based motor imagery classification", IEEE Transactions on Industrial Informatics 19, 2023.
"""

from torch import Tensor, nn

from vitreous.networks.features.eeg import Dropout, FilterBank, at_rate, glorot, require_samples
from vitreous.networks.max_norm import limit_norm

WINDOWS = 5
LARGEST_NORM = 0.6  # of all kernels, as in the authors' later code; their first had 1, spatial only


class ATCNet(nn.Module):
    """16 temporal kernels with 2 spatial ones each, averages of 8; 32 kernels, averages of 7.

    Made for 250 Hz: 64 taps and averages of 8 samples, which go with the rate; then 16 taps and
    averages of 7 at any rate, which leaves 4.5 vectors of 32 numbers a second. The authors' norms
    are Keras' (epsilon 1e-3, momentum 0.99); here they are as in braindecode, whose weights fit:
    epsilon 1e-4 and PyTorch's momentum of 0.1. The authors also weight the squares of kernels
    (0.009) and of the last layer (0.5) in the loss: `training.eeg_recipes`.
    """

    has_fast_form = True

    def __init__(
        self,
        electrodes: int,
        samples: int,
        sampling_rate_hz: float | None = None,
        filters: int = 16,
        depth: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        taps, window = (at_rate(length, 250, sampling_rate_hz) for length in (64, 8))
        two_a_window = (WINDOWS + 1) * 7 * window  # vectors
        require_samples("atcnet", samples, two_a_window, sampling_rate_hz)
        maps = filters * depth
        self.channels, self.strides = (maps, maps), ((1, window), (1, 7 * window))
        same = (taps - 1) // 2, taps // 2  # as many samples out as in
        self.bank = FilterBank(electrodes, filters, depth, taps, same, window, window, (1e-4, 1e-4))
        self.dropout1 = Dropout(dropout)
        self.pad = nn.ZeroPad2d((7, 8, 0, 0))
        self.convolution = nn.Conv2d(maps, maps, (1, 16), bias=False)
        self.norm = nn.BatchNorm2d(maps, 1e-4)
        self.activation = nn.ELU()
        self.pool = nn.AvgPool2d((1, 7))
        self.dropout2 = Dropout(dropout)
        glorot(self)
        for layer in (self.bank.temporal, self.bank.spatial, self.convolution):
            limit_norm(layer, LARGEST_NORM)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Maps (batch, 32, 1, time): every 8 and every 56 samples at 250 Hz."""
        first = self.bank(inputs)
        second = self.norm(self.convolution(self.pad(self.dropout1(first))))
        return [first, self.dropout2(self.pool(self.activation(second)))]
