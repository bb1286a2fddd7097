"""Batch statistics of a temporal convolution from the signals alone, without convolving them.

The mean square of all outputs of a kernel w is w' R w / n, where R[k, l] is the sum, over all
outputs, of sample t + k times sample t + l. R depends on the signals alone: one matrix of taps x
taps for all kernels. It is nearly constant along its diagonals; what differs comes from the
borders.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from vitreous.convolution.fast.toeplitz import skewed, unskewed


@dataclass(frozen=True)
class LaggedProducts:
    """What the outputs of any kernel of so many taps have for mean and variance. In float64."""

    products: Tensor  # (taps, taps)
    sums: Tensor  # (taps,): of the samples that each tap meets
    count: int  # outputs, all signals together

    def statistics(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and (biased) variance of the outputs of each of (kernels, taps): float64."""
        weights = kernels.double()
        mean = weights @ self.sums / self.count
        square = ((weights @ self.products) * weights).sum(1) / self.count
        return mean, (square - mean.square()).clamp(min=0)


def lagged_products(signals: Tensor, taps: int, outputs: int) -> LaggedProducts:
    """The products of signals (channels, trials, samples), each trial padded with zeros.

    A trial's `outputs` start at its first samples; the zeros in front and behind, as far as the
    last output reads, are at least taps - 1 in all.
    """
    channels, trials, _ = signals.shape
    with torch.no_grad(), torch.autocast(signals.device.type, enabled=False):
        read = outputs + taps - 1  # samples a trial, of which the zeros keep the ends apart
        at_lag = _autocorrelation(signals, read)[:taps]  # over all samples
        head, tail = (
            signals[:, :, start : start + taps - 1].reshape(channels * trials, taps - 1)
            for start in (0, outputs)
        )
        of_tail = (tail.mT @ tail).double()
        entering = of_tail - (head.mT @ head).double()  # as the window moves on by one tap
        products = _from_diagonals(at_lag - _diagonals(of_tail).sum(0), _diagonals(entering))
        total = signals.sum((1, 2)).double().sum()
        into, out = tail.double().sum(0), head.double().sum(0)
        sums = total - into.sum() + F.pad((into - out).cumsum(0), (1, 0))
    return LaggedProducts(products, sums, channels * trials * outputs)


def _autocorrelation(signals: Tensor, read: int) -> Tensor:
    """Sums of each sample times the one so many later, float64, by their power spectrum.

    Of a whole round: a signal with zeros at its ends does not meet itself there. It is within the
    first `read` samples; a length of small factors alone is transformed sooner (1,080 in place of
    64 x 17). Each frequency is added up over the trials in the signals' format, over the channels
    in float64.
    """
    fast = int(next_fast_len(read, real=True))  # type: ignore[arg-type]  # scipy leaves it unsaid
    length = min(fast, signals.shape[2])
    spectrum = torch.view_as_real(torch.fft.rfft(signals, n=length)).flatten(2)
    power = spectrum.square_().sum(1).double().sum(0).view(-1, 2).sum(1)
    return torch.fft.irfft(power.to(torch.complex128), n=length)


def _diagonals(matrix: Tensor) -> Tensor:
    """(n, n) to (n, n + 1): row i from the diagonal on, zeros behind its end."""
    n = len(matrix)
    return skewed(F.pad(matrix, (0, n)))[:, : n + 1]


def _from_diagonals(first_row: Tensor, entering: Tensor) -> Tensor:
    """The symmetric matrix of that first row whose [k+1, l+1] is [k, l] and what entered there."""
    taps = len(first_row)
    added = F.pad(entering.cumsum(0), (0, 0, 1, 0))  # (taps, taps)
    upper = unskewed(F.pad(first_row + added, (0, taps + 1)))[:, :taps]
    upper = upper.triu()
    return upper + upper.triu(1).mT
