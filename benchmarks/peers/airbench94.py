"""The airbench94 recipe for CIFAR-10, ported to processors from its published description.

K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498: network, optimiser,
schedule, augmentation and test averaging with the published settings (9.9 epochs). What differs is
what a processor asks for: bfloat16 by autocast with float32 weights in place of float16 weights
(which was a little faster here, too), maps channels last.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS = 9.9
BATCH = 1024
LEARNING_RATE = 11.5  # a thousand and twenty-four examples, before the momentum's correction
WEIGHT_DECAY = 0.0153  # likewise
MOMENTUM = 0.85
BIAS_FACTOR = 64.0
SMOOTHING = 0.2
WHITENING_BIAS_EPOCHS = 3
WIDTHS = (64, 256, 256)
SHIFT = 2  # pixels
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    accuracy: float  # with the six views averaged
    accuracy_one_view: float
    training_seconds: float  # whitening included; scoring is not
    scoring_seconds: float


class Network(nn.Module):
    """Whitening 2 x 2, three blocks of two convolutions, the largest of 3 x 3 cells, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad_(False)
        befores = (24, *WIDTHS)
        self.blocks = nn.Sequential(*(block(a, b) for a, b in zip(befores, WIDTHS, strict=False)))
        self.linear = nn.Linear(WIDTHS[-1], 10, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Class scores (batch, 10)."""
        maps = self.blocks(F.gelu(self.whitening(pictures)))
        return self.linear(F.max_pool2d(maps, 3).flatten(1)) / 9


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, pool, norm, GELU, convolution, norm, GELU."""
    return nn.Sequential(
        convolution(inputs, outputs),
        nn.MaxPool2d(2),
        norm(outputs),
        nn.GELU(),
        convolution(outputs, outputs),
        norm(outputs),
        nn.GELU(),
    )


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3 x 3, the first `inputs` filters the identity."""
    layer = nn.Conv2d(inputs, outputs, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm without a trained scale."""
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def whiten(layer: nn.Conv2d, pictures: Tensor, level: float = 5e-4) -> None:
    """Eigenvectors of the 2 x 2 patches over the root of their eigenvalues, with both signs."""
    patches = F.unfold(pictures, 2).permute(0, 2, 1).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = (vectors / (values + level).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
    layer.weight.data[:] = torch.cat([scaled, -scaled])
    layer.bias.data.zero_()  # type: ignore[union-attr]


class Lookahead:
    """Slow weights that the fast ones are put back to, every five steps."""

    def __init__(self, network: nn.Module) -> None:
        self.slow = {
            name: value.clone()
            for name, value in network.state_dict().items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def update(self, network: nn.Module, keep: float) -> None:
        """Move the slow weights a share 1 - keep towards the fast ones, and the fast ones there."""
        state = network.state_dict()
        for name, slow in self.slow.items():
            slow.lerp_(state[name], 1 - keep)
            state[name].copy_(slow)


def optimiser(network: Network) -> torch.optim.SGD:
    """Nesterov SGD on the summed loss; norms' biases go 64 times as fast."""
    scale = BATCH * (1 + 1 / (1 - MOMENTUM))
    rate, decay = LEARNING_RATE / scale, WEIGHT_DECAY * BATCH / scale
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    biases = [p for name, p in named if name.startswith("blocks") and p.ndim == 1]
    others = [p for name, p in named if not (name.startswith("blocks") and p.ndim == 1)]
    groups = [
        {"params": biases, "lr": rate * BIAS_FACTOR, "weight_decay": decay / (rate * BIAS_FACTOR)},
        {"params": others, "lr": rate, "weight_decay": decay / rate},
    ]
    return torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True)


def train(pixels: np.ndarray, labels: np.ndarray, seed: int, epochs: float, report) -> Network:
    """The trained network; `pixels` uint8 (n, 3, 32, 32). `report` is told epoch and seconds."""
    started, steps_an_epoch = time.monotonic(), len(pixels) // BATCH
    network = Network()
    for step, network in enumerate(steps(pixels, labels, seed, epochs), start=1):  # noqa: B007
        if step % steps_an_epoch == 0:
            report(step // steps_an_epoch, time.monotonic() - started)
    return network


def steps(pixels: np.ndarray, labels: np.ndarray, seed: int, epochs: float) -> Iterator[Network]:
    """The network after each step of its training; after the last one it is the averaged one."""
    torch.manual_seed(seed)
    pictures, targets = normalised(pixels), torch.from_numpy(labels).long()
    network = Network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    whiten(network.whitening, pictures[:5000])
    mirrored = torch.rand(len(pictures)) < 0.5
    pictures[mirrored] = pictures[mirrored].flip(3)
    padded = F.pad(pictures, (SHIFT,) * 4, mode="reflect")
    steps_an_epoch = len(pictures) // BATCH
    planned = math.ceil(epochs * steps_an_epoch)
    sgd, lookahead = optimiser(network), Lookahead(network)
    order = torch.empty(0)
    peaks = [group["lr"] for group in sgd.param_groups]
    for step in range(planned):
        epoch, batch = divmod(step, steps_an_epoch)
        if batch == 0:
            order = torch.randperm(len(pictures))
            network.whitening.bias.requires_grad_(epoch < WHITENING_BIAS_EPOCHS)  # type: ignore
        rows = order[batch * BATCH : (batch + 1) * BATCH]
        inputs = shifted(padded, rows)
        inputs = (inputs.flip(3) if epoch % 2 else inputs).contiguous(
            memory_format=torch.channels_last
        )
        share = float(np.interp(step, [0, int(0.23 * planned), planned], [0.2, 1.0, 0.07]))
        for group, peak in zip(sgd.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(inputs)
        loss = F.cross_entropy(
            outputs.float(), targets[rows], label_smoothing=SMOOTHING, reduction="sum"
        )
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()
        if (step + 1) % 5 == 0:
            lookahead.update(network, 0.95**5 * ((step + 1) / planned) ** 3)
        if step == planned - 1:
            lookahead.update(network, 1.0)
        yield network


def normalised(pixels: np.ndarray) -> Tensor:
    """Float pictures of mean zero and deviation one, channels last."""
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (MEAN, STD))
    pictures = (torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255 - mean) / std
    return pictures.contiguous(memory_format=torch.channels_last)


def shifted(padded: Tensor, rows: Tensor) -> Tensor:
    """Crops of the padded pictures, each at its own place; one gather a shift."""
    side = padded.shape[2] - 2 * SHIFT
    places = torch.randint(0, 2 * SHIFT + 1, (len(rows), 2))
    crops = torch.empty(len(rows), 3, side, side)
    for top in range(2 * SHIFT + 1):
        for left in range(2 * SHIFT + 1):
            here = (places[:, 0] == top) & (places[:, 1] == left)
            crops[here] = padded[rows[here], :, top : top + side, left : left + side]
    return crops


def scores(network: Network, pixels: np.ndarray, averaged: bool) -> Tensor:
    """Class scores (n, 10): of the picture, or the mean over mirrored and shifted views."""
    network.eval()
    found = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(pixels), 1000):
            pictures = normalised(pixels[start : start + 1000])
            if not averaged:
                found.append(network(pictures).float())
                continue
            centre = both_sides(network, pictures)
            padded = F.pad(pictures, (1,) * 4, mode="reflect")
            moved = [padded[:, :, :32, :32], padded[:, :, 2:, 2:]]
            around = torch.stack([both_sides(network, each) for each in moved]).mean(0)
            found.append(0.5 * centre + 0.5 * around)
    return torch.cat(found)


def both_sides(network: Network, pictures: Tensor) -> Tensor:
    """Mean scores of pictures and mirrored pictures."""
    return (network(pictures).float() + network(pictures.flip(3)).float()) / 2


def run(
    pixels: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    seed: int,
    report,
    epochs: float = EPOCHS,
) -> Outcome:
    """Train on the part "train" and score on the part "test"."""
    started = time.monotonic()
    network = train(pixels["train"], labels["train"], seed, epochs, report)
    trained = time.monotonic()
    right = [
        float(
            (scores(network, pixels["test"], averaged).argmax(1).numpy() == labels["test"]).mean()
        )
        for averaged in (False, True)
    ]
    return Outcome(right[1], right[0], trained - started, time.monotonic() - trained)
