"""How far up the labels are to be read, and how many channels that takes.

Linear probes: G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier
probes", 2016 (arXiv 1610.01644). A probe says what could be read from a layer, not what the
network reads; cutting channels away asks the network.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from vitreous.evaluation.intervals import bootstrap, wilson
from vitreous.evaluation.resampling import grouping, resample
from vitreous.insight.attribution.layers import MapLayer, replaced_output
from vitreous.insight.features.collect import Batch, OnProgress, collect
from vitreous.networks.modes import evaluating

Batches = Callable[[], Iterable[Batch]]
"""A fresh pass over the data, each time it is called."""

MOST_NUMBERS = 1024  # that a probe reads of a layer
STRENGTHS = (0.001, 0.03, 1.0)  # C of the logistic regression; chosen on a held-back fifth
STEPS = 200
SHARES = (1.0, 0.5, 0.25, 0.125, 1 / 16, 1 / 32)  # of the channels, that are kept
SAME_ANSWERS = 0.95


@dataclass(frozen=True)
class LayerProbe:
    """The share of held-out samples whose label a linear classifier reads from a layer."""

    layer: str
    numbers: int  # that it reads
    accuracy: float
    low: float  # 95 % interval
    high: float
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LayerCut:
    """How often the network's answer stays with only the most varying channels of a layer."""

    layer: str
    channels: int
    shares: tuple[float, ...]  # of the channels that were kept
    same_answers: tuple[float, ...]  # share of the samples
    samples: int

    @property
    def needed(self) -> int:
        """Fewest channels, of those tried, with which 95 % of the answers (and more) stay."""
        kept = [
            share
            for share, same in zip(self.shares, self.same_answers, strict=True)
            if same >= SAME_ANSWERS
        ]
        return max(1, round(min(kept, default=1.0) * self.channels))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "needed": self.needed}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "LayerCut":
        """What `to_json` wrote."""
        return LayerCut(
            value["layer"],
            value["channels"],
            tuple(value["shares"]),
            tuple(value["same_answers"]),
            value["samples"],
        )


def probe_layers(
    network: nn.Module,
    train: Iterable[Batch],
    held_out: Iterable[Batch],
    labels: np.ndarray,
    layers: Sequence[MapLayer],
    *,
    groups: Sequence[str | None] | None = None,
    total: int,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> dict[str, LayerProbe]:
    """A linear classifier a layer, fitted on `train`, judged on `held_out`.

    `labels` int (n,) and `groups` are those of all rows of the data set; `total` counts the
    samples of both parts. Maps are averaged to 2 cells an axis, to 1 where that is more than 1,024
    numbers, and standardised. The interval is Wilson's, over groups where there are some.
    """
    rows: dict[str, list[list[int]]] = {"train": [], "held out": []}
    kept: dict[str, dict[str, list[np.ndarray]]] = {}
    done = 0
    for part, batches in (("train", train), ("held out", held_out)):
        numbers = {layer.name: [] for layer in layers}
        kept[part] = numbers

        def keeper(name: str, into=numbers):
            return lambda _rows, maps: into[name].append(pooled(maps).cpu().numpy())

        def noted(source: Iterable[Batch], seen: list[list[int]] = rows[part]):
            for some, inputs in source:
                seen.append(list(some))
                yield some, inputs

        def progress(now: int, _total: int, before: int = done) -> None:
            if on_progress is not None:
                on_progress(before + now, total)

        collect(network, noted(batches), {name: keeper(name) for name in numbers}, total, progress)
        done += sum(map(len, rows[part]))
    where = {part: np.concatenate([np.array(some) for some in parts]).astype(np.int64)
             for part, parts in rows.items()}  # fmt: skip
    return {
        layer.name: _probe(
            layer.name,
            np.concatenate(kept["train"][layer.name]),
            labels[where["train"]],
            np.concatenate(kept["held out"][layer.name]),
            labels[where["held out"]],
            None if groups is None else [groups[row] for row in where["held out"]],
            seed,
        )
        for layer in layers
    }


def pooled(maps: Tensor, most: int = MOST_NUMBERS) -> Tensor:
    """Maps (batch, channels, *cells) as rows of at most about `most` numbers."""
    axes = maps.ndim - 2
    side = 2 if maps.shape[1] * 2**axes <= most else 1
    pool = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[axes]
    size = [min(side, cells) for cells in maps.shape[2:]]
    return pool(maps, size if axes > 1 else size[0]).flatten(1).float()  # type: ignore


def _probe(layer, inputs, truth, test_inputs, test_truth, groups, seed) -> LayerProbe:
    mean, deviation = inputs.mean(0), inputs.std(0)
    scale = np.where(deviation > 1e-6, deviation, 1.0)
    inputs, test_inputs = (inputs - mean) / scale, (test_inputs - mean) / scale
    order = np.random.default_rng(seed).permutation(len(inputs))
    held, rest = order[: len(order) // 5], order[len(order) // 5 :]

    def score(strength: float) -> float:
        fitted = _fitted(inputs[rest], truth[rest], strength)
        return float((fitted(inputs[held]) == truth[held]).mean()) if len(held) else 0.0

    best = max(STRENGTHS, key=score)
    right = _fitted(inputs, truth, best)(test_inputs) == test_truth
    low, high = share_interval(right, groups, seed)
    return LayerProbe(layer, inputs.shape[1], float(right.mean()), low, high, len(right))


def _fitted(
    inputs: np.ndarray, truth: np.ndarray, strength: float
) -> Callable[[np.ndarray], np.ndarray]:
    known = np.unique(truth)
    if len(known) < 2:
        return lambda rows: np.full(len(rows), known[0] if len(known) else 0)
    model = LogisticRegression(C=strength, max_iter=STEPS)
    with warnings.catch_warnings():  # stopping early is a penalty like another
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, truth)
    return lambda rows: np.asarray(model.predict(rows))


def share_interval(
    right: np.ndarray, groups: Sequence[str | None] | None, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a share of right answers (n,): Wilson's, over groups where given."""
    found = grouping(groups, len(right))
    if found.single:
        return wilson(float(right.sum()), len(right))
    hits = right.astype(np.float64)
    drawn = resample(lambda weights: weights @ hits / weights.sum(1), found, seed=seed)
    (interval,) = bootstrap(drawn, share=True)
    return interval or (0.0, 1.0)


def cut_layers(
    network: nn.Module,
    batches: Batches,
    layers: Sequence[MapLayer],
    *,
    total: int,
    on_progress: OnProgress | None = None,
) -> dict[str, LayerCut]:
    """How far each layer can be cut to its most varying channels before the answers change.

    The others are held at their means over the data. One pass for means and variances, and one for
    each layer and share: give it some hundred samples. The answer is the largest output, and the
    sign of the only one.
    """
    whole, spread = _answers_and_spread(network, batches, layers)
    passes, found = len(layers) * (len(SHARES) - 1), {}
    done = 0
    for layer in layers:
        mean, order = spread[layer.name]
        same = [1.0]
        for share in SHARES[1:]:
            dropped = order[max(1, round(share * len(order))) :]
            same.append(_same(network, batches, layer.name, dropped, mean, whole))
            done += 1
            if on_progress is not None:
                on_progress(done * total // passes, total)
        found[layer.name] = LayerCut(layer.name, layer.channels, SHARES, tuple(same), len(whole))
    return found


Spread = dict[str, tuple[Tensor, Tensor]]
"""A layer's means (channels,), and its channels by falling variance."""


def _answers_and_spread(
    network: nn.Module, batches: Batches, layers: Sequence[MapLayer]
) -> tuple[np.ndarray, Spread]:
    sums = {layer.name: torch.zeros(3, layer.channels, dtype=torch.float64) for layer in layers}

    def keeper(name: str):
        def keep(_rows: list[int], maps: Tensor) -> None:
            flat = maps.detach().double().cpu().transpose(0, 1).flatten(1)
            sums[name] += torch.stack([flat.sum(1), flat.square().sum(1),
                                       torch.full((len(flat),), float(flat.shape[1]))])  # fmt: skip

        return keep

    collect(network, batches(), {name: keeper(name) for name in sums}, 0)
    spread: Spread = {}
    for name, (total, squares, count) in sums.items():
        mean = total / count
        spread[name] = (mean, (squares / count - mean**2).argsort(descending=True))
    return _answers(network, batches), spread


def _same(
    network: nn.Module,
    batches: Batches,
    layer: str,
    dropped: Tensor,
    mean: Tensor,
    whole: np.ndarray,
) -> float:
    def cut(maps: Tensor) -> Tensor:
        changed = maps.clone()
        held = mean[dropped].to(maps).reshape(1, -1, *(1,) * (maps.ndim - 2))
        changed[:, dropped.to(maps.device)] = held.expand(len(maps), -1, *maps.shape[2:])
        return changed

    with replaced_output(network, layer, cut):
        return float((_answers(network, batches) == whole).mean())


def _answers(network: nn.Module, batches: Batches) -> np.ndarray:
    with evaluating(network):
        outputs = torch.cat([network(inputs).float().cpu() for _, inputs in batches()])
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).numpy()
    return outputs.argmax(1).numpy()
