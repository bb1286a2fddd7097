"""Whether a map is true: take away what it marks, and see whether the network agrees.

    found = check_map(network, inputs, one)     # one: a SignedMap of inputs (1, channels, *space)
    found.sentence, found.alarms

Deletion and insertion: Petsiuk et al. 2018 (arXiv 1806.07421), on parts, under two fills, because
each fill is a picture the network has never seen. Single parts, signed: Hesse et al. 2024 (IDSDS,
arXiv 2407.11910).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.insight.attribution import AtLayer, SignedMap, Target, attribute
from vitreous.insight.attribution.target import scores, target_weights
from vitreous.insight.controls import control_maps
from vitreous.insight.faithfulness_scores import Curve, Faithfulness, MapScores
from vitreous.insight.fills import Background, blur_fill, mean_fill
from vitreous.insight.randomise import randomised
from vitreous.insight.regions import rank_correlation, region_means, regions_of
from vitreous.networks.modes import evaluating

STEPS = 8  # of each curve
BATCH = 32
NUMBERS_A_BATCH = 2**22  # of input


@dataclass
class Asker:
    """Asks a network for one answer of changed inputs, and counts how often."""

    network: nn.Module
    target: Target
    as_probability: bool = True
    temperature: float = 1.0  # that calibrates probabilities
    passes: int = 0

    def __call__(self, inputs: Tensor) -> np.ndarray:
        """The answer to each input, float64 (n,): a probability, or the explained number."""
        size = max(1, min(BATCH, NUMBERS_A_BATCH // inputs[0].numel()))
        with evaluating(self.network):
            outputs = torch.cat([self.network(part) for part in inputs.split(size)])
        self.passes += len(inputs)
        return self._answers(outputs).double().cpu().numpy()

    def plain(self, inputs: Tensor) -> np.ndarray:
        """The explained number itself, before softmax: float64 (n,)."""
        was, self.as_probability = self.as_probability, False
        try:
            return self(inputs)
        finally:
            self.as_probability = was

    def _answers(self, outputs: Tensor) -> Tensor:
        explained = scores(outputs, target_weights([self.target] * len(outputs), outputs))
        if not self.as_probability or outputs.shape[1] == 1:
            return explained
        if self.target.versus is not None:
            return torch.sigmoid(explained / self.temperature)
        return torch.softmax(outputs / self.temperature, 1)[:, self.target.output]


def check_map(
    network: nn.Module,
    inputs: Tensor,
    one: SignedMap,
    *,
    background: Background | None = None,
    layer: AtLayer | None = None,
    mask: np.ndarray | None = None,
    others: Sequence[SignedMap] = (),
    forgetful: nn.Module | None = None,
    as_probability: bool = True,
    temperature: float = 1.0,
    seed: int = 0,
) -> Faithfulness:
    """The checks of one map, beside the same checks of random, Sobel and centre maps.

    `inputs` is the one sample (1, channels, *space) that the map is of; `layer` is where it was
    made, where known, which saves finding it again; `mask` bool (*space) is where the cause lies,
    where that is known; `others` are maps by other methods to compare with; `forgetful` is
    `randomised(network)`, where it is at hand. Without `as_probability` the curves follow the
    output itself (a regression's number); `temperature` calibrates probabilities. About 300
    forward passes of one input; the result counts them. Raises `RequestError` where map, mask and
    input differ in shape.
    """
    space = tuple(inputs.shape[2:])
    _check_shapes(inputs, one, mask)
    begun = perf_counter()
    regions = regions_of(space)
    fills = {"mean": mean_fill(inputs, background), "blur": blur_fill(inputs)}
    ask = Asker(network, one.target, as_probability, temperature)
    whole = float(ask(inputs)[0])
    empty = {name: float(ask(fill)[0]) for name, fill in fills.items()}
    drops = {name: single_parts(ask, inputs, fill, regions) for name, fill in fills.items()}

    def tested(values: np.ndarray) -> MapScores:
        means = region_means(values, regions)
        curves = [
            curve_of(ask, inputs, fill, regions, means, (whole, empty[name]), name)
            for name, fill in fills.items()
        ]
        found = [rank_correlation(means, drops[name]) for name in fills]
        ranks = [each for each in found if each is not None]
        return MapScores(
            order=float(np.mean([curve.order for curve in curves])),
            patches=float(np.mean(ranks)) if ranks else None,
            mass_inside=None if mask is None else _mass_inside(values, mask),
            curves=tuple(curves),
        )

    sample = inputs[0].detach().cpu().numpy()
    controls = {
        name: mean_scores([tested(each) for each in maps])
        for name, maps in control_maps(sample, seed).items()
    }
    own = tested(one.values)
    again = _Again(inputs, one, layer, background, regions, seed)
    copy = forgetful if forgetful is not None else randomised(network, seed)
    return Faithfulness(
        map=own,
        controls=controls,
        answer=whole,
        answers_of_fills=empty,
        randomised=again.alike(copy, one.target),
        other_target=again.alike(network, furthest(network, inputs, one.target)),
        mask_share=None if mask is None else float(np.mean(mask)),
        agreement={each.method: again.correlation(each.values) for each in others},
        forward_passes=ask.passes,
        seconds=perf_counter() - begun,
        nothing_shown=not one.values.any(),
    )


def curve_of(
    ask: Asker,
    inputs: Tensor,
    fill: Tensor,
    regions: np.ndarray,
    means: np.ndarray,
    ends: tuple[float, float],
    name: str,
) -> Curve:
    """Both curves of one map: parts go, and come, by falling value of `means` (parts,).

    `ends` are the answers to the whole input and to the fill alone.
    """
    ranks = np.empty(len(means), np.int64)
    ranks[np.argsort(-means, kind="stable")] = np.arange(len(means))
    counts = np.round(np.linspace(0, len(means), STEPS + 1)[1:-1]).astype(int)
    first = np.stack([ranks[regions] < count for count in counts])  # the strongest parts
    marked = torch.from_numpy(first)[:, None].to(inputs.device)
    deleted, inserted = torch.where(marked, fill, inputs), torch.where(marked, inputs, fill)
    answers = ask(torch.cat([deleted, inserted]))
    whole, empty = ends
    return Curve(
        fill=name,
        deletion=(whole, *answers[: len(counts)].tolist(), empty),
        insertion=(empty, *answers[len(counts) :].tolist(), whole),
    )


def single_parts(ask: Asker, inputs: Tensor, fill: Tensor, regions: np.ndarray) -> np.ndarray:
    """What the explained number loses when each part alone is taken away: float64 (parts,)."""
    parts = np.arange(regions.max() + 1)
    losses = []
    whole = ask.plain(inputs)[0]
    for some in np.array_split(parts, -(-len(parts) // BATCH)):
        marked = torch.from_numpy(regions[None] == some[:, *(None,) * regions.ndim])[:, None]
        losses.append(whole - ask.plain(torch.where(marked.to(inputs.device), fill, inputs)))
    return np.concatenate(losses)


def mean_scores(several: Sequence[MapScores]) -> MapScores:
    """The mean of several maps of one kind; the curves are the first one's."""
    ranks = [each.patches for each in several if each.patches is not None]
    inside = [each.mass_inside for each in several if each.mass_inside is not None]
    return MapScores(
        order=float(np.mean([each.order for each in several])),
        patches=float(np.mean(ranks)) if ranks else None,
        mass_inside=float(np.mean(inside)) if inside else None,
        curves=several[0].curves,
    )


def furthest(network: nn.Module, inputs: Tensor, target: Target) -> Target | None:
    """The output that the network gives least to, beside the explained one; None without one."""
    with evaluating(network):
        outputs = network(inputs)[0]
    order = [int(output) for output in outputs.argsort() if int(output) != target.output]
    return Target(order[0]) if order else None


@dataclass(frozen=True)
class _Again:
    """Makes the map again under other circumstances, and compares."""

    inputs: Tensor
    one: SignedMap
    layer: AtLayer | None
    background: Background | None
    regions: np.ndarray
    seed: int

    def alike(self, network: nn.Module, target: Target | None) -> float | None:
        """Rank correlation with the map of another network or target; None where undefined."""
        if target is None:
            return None
        method = self.one.method
        if method == "finer-cam" and target.versus is None:
            method = "hirescam"
        (made,) = attribute(
            network,
            self.inputs,
            [target],
            method,
            layer=(self.layer or self.one.layer) if self.one.layer else None,
            background=self.background,
            seed=self.seed,
        )
        return self.correlation(made.values)

    def correlation(self, values: np.ndarray) -> float | None:
        means = [region_means(each, self.regions) for each in (self.one.values, values)]
        return rank_correlation(*means)


def _mass_inside(values: np.ndarray, mask: np.ndarray) -> float:
    positive = np.maximum(np.asarray(values, np.float64), 0)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def _check_shapes(inputs: Tensor, one: SignedMap, mask: np.ndarray | None) -> None:
    space = tuple(inputs.shape[2:])
    if len(inputs) != 1:
        raise RequestError(f"a map is checked on its one input, not on {len(inputs)} samples")
    for what, shape in (("map", one.values.shape), ("mask", None if mask is None else mask.shape)):
        if shape is not None and tuple(shape) != space:
            raise RequestError(
                f"the {what} is {' x '.join(map(str, shape))}, the input "
                f"{' x '.join(map(str, space))}: they must be of one size"
            )
