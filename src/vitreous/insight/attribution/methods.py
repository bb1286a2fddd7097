"""The methods by name, and the one function that runs them in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import numpy as np
from torch import Tensor, nn

from vitreous.errors import RequestError, unknown_name
from vitreous.insight.attribution.cams import cells_of, hirescam, layercam
from vitreous.insight.attribution.layers import AtLayer, JoinedLayers, map_layer
from vitreous.insight.attribution.occlusion import occlusion
from vitreous.insight.attribution.pixels import (
    DRAWS,
    STEPS,
    deeplift,
    expected_gradients,
    integrated_gradients,
    require_captum,
)
from vitreous.insight.attribution.signed_map import SignedMap, remarks_on
from vitreous.insight.attribution.target import Target, largest, target_weights
from vitreous.insight.fills import Background, mean_fill, mean_words
from vitreous.networks.modes import evaluating

NUMBERS_A_BATCH = 2**21  # of input; the maps that gradients need take many times as much
LARGE_GAP = 0.05  # of what was claimed, above which it is said


@dataclass(frozen=True)
class Method:
    """A way to make a map."""

    summary: str
    works_at: Literal["layer", "input"]
    needs_captum: bool = False
    needs_background: bool = False
    needs_versus: bool = False


METHODS = {
    "hirescam": Method("where: map times gradient at a layer, by default the last maps", "layer"),
    "layercam": Method("where, at early layers: only what speaks for the answer", "layer"),
    "finer-cam": Method(
        "why this and not that: HiResCAM of the difference of two outputs",
        "layer",
        needs_versus=True,
    ),
    "occlusion": Method("the answer without each patch in turn; slow, and the referee", "input"),
    "integrated-gradients": Method(
        "pixels: the gradient along paths from the mean and from a blur", "input", needs_captum=True
    ),
    "expected-gradients": Method(
        "pixels: the gradient along paths from training samples",
        "input",
        needs_captum=True,
        needs_background=True,
    ),
    "deeplift": Method(
        "pixels: differences from the mean input, layer by layer", "input", needs_captum=True
    ),
}

COMBINE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hirescam": hirescam,
    "layercam": layercam,
    "finer-cam": hirescam,
}


def attribute(
    network: nn.Module,
    inputs: Tensor,
    targets: Sequence[Target] | None = None,
    method: str = "hirescam",
    *,
    layer: str | AtLayer | None = None,
    background: Background | None = None,
    seed: int = 0,
    patch: Sequence[int] | None = None,
) -> list[SignedMap]:
    """A signed map of each input (batch, channels, *space), in its coordinates.

    `targets` are one a sample; without them what the network answers (for `finer-cam` against its
    second answer). `layer` is a module's path or what `map_layer` (or `read_layers`) found, which
    saves finding it again; without one the last that holds maps. `background` are training inputs:
    baselines of Expected Gradients, and the mean that others compare with. `patch` is what
    occlusion covers at once, in input cells an axis; by default an eighth of a picture's sides.
    Works in 1, 2 and 3 dimensions, on any network whose answer is one vector a sample, on the
    device where both lie, in float32; the network is left in the mode it was in.

    Raises `RequestError`: unknown method or layer, Captum or a background missing, a map that is
    not finite.
    """
    chosen = _checked(method, targets, background)
    if targets is not None and len(targets) != len(inputs):
        raise RequestError(f"{len(targets)} targets for {len(inputs)} samples; give one for each")
    size = max(1, NUMBERS_A_BATCH // inputs[0].numel())
    at = None
    if chosen.works_at == "layer":
        at = layer if isinstance(layer, AtLayer) else map_layer(network, inputs[:1], layer)
    elif layer is not None:
        raise RequestError(
            f"{method} explains the input itself, no layer; leave the layer out, or take hirescam"
        )
    maps: list[SignedMap] = []
    for start in range(0, len(inputs), size):
        part = inputs[start : start + size]
        asked = None if targets is None else targets[start : start + size]
        begun = perf_counter()
        if at is not None:
            found = _at_layer(network, part, asked, method, at)
        else:
            found = _at_input(network, part, asked, method, background, seed, patch)
        seconds = (perf_counter() - begun) / len(part)
        maps += [_finished(one, seconds) for one in found]
    return maps


def _checked(
    method: str, targets: Sequence[Target] | None, background: Background | None
) -> Method:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    chosen = METHODS[method]
    if chosen.needs_captum:
        require_captum(method)
    if chosen.needs_background and background is None:
        raise RequestError(
            f"{method} compares with training samples, and none are at hand; give some, "
            "or take integrated-gradients"
        )
    if chosen.needs_versus and any(target.versus is None for target in targets or ()):
        raise RequestError(f"{method} asks 'why this and not that'; name the other class (versus)")
    return chosen


def _at_layer(
    network: nn.Module,
    inputs: Tensor,
    targets: Sequence[Target] | None,
    method: str,
    layer: AtLayer,
) -> list[SignedMap]:
    resolved: list[Target] = []

    def weigh(outputs: Tensor) -> Tensor:
        resolved[:] = targets or largest(outputs, METHODS[method].needs_versus)
        return target_weights(resolved, outputs)

    names = [part.name for part in layer.parts]
    found, score = cells_of(network, inputs, names, weigh, COMBINE[method])
    cells = [_arrays(each) for each in found]
    for each in cells:
        _require_finite(each, method)
    return [
        SignedMap(
            values=_laid(layer, [each[row] for each in cells], inputs.shape[2:]),
            method=method,
            target=target,
            score=value,
            layer=layer.name,
            cells=cells[0][row] if len(cells) == 1 else None,
        )
        for row, (value, target) in enumerate(zip(score.tolist(), resolved, strict=True))
    ]


def _laid(layer: AtLayer, cells: list[np.ndarray], space: Sequence[int]) -> np.ndarray:
    """The cells of a layer, or of each of several, over the input."""
    if isinstance(layer, JoinedLayers):
        return layer.to_input(cells, space)
    return layer.to_input(cells[0], space)


def _at_input(
    network: nn.Module,
    inputs: Tensor,
    targets: Sequence[Target] | None,
    method: str,
    background: Background | None,
    seed: int,
    patch: Sequence[int] | None,
) -> list[SignedMap]:
    with evaluating(network):
        outputs = network(inputs)
    resolved = list(targets or largest(outputs))
    weights = target_weights(resolved, outputs)
    score = (outputs * weights).sum(1)
    if method == "occlusion":
        fill = mean_fill(inputs, background)
        values, _ = occlusion(network, inputs, fill, weights, sides=patch)
        claimed = None
    else:
        found, claimed = _along_paths(network, inputs, weights, method, background, seed)
        values = found.sum(1)
    claims = [None] * len(inputs) if claimed is None else claimed.tolist()
    return [
        SignedMap(
            values=one,
            method=method,
            target=target,
            score=value,
            baseline=_baseline_words(method, background),
            claimed=claim,
            gap=None if claim is None else float(one.astype(np.float64).sum() - claim),
        )
        for one, value, target, claim in zip(
            _arrays(values), score.tolist(), resolved, claims, strict=True
        )
    ]


def _along_paths(
    network: nn.Module,
    inputs: Tensor,
    weights: Tensor,
    method: str,
    background: Background | None,
    seed: int,
) -> tuple[Tensor, Tensor]:
    if method == "integrated-gradients":
        return integrated_gradients(network, inputs, weights, background)
    if method == "deeplift":
        return deeplift(network, inputs, weights, background)
    assert background is not None  # checked
    return expected_gradients(network, inputs, weights, background, seed)


def _baseline_words(method: str, background: Background | None) -> str:
    mean = mean_words(background)
    match method:
        case "expected-gradients":
            count = 0 if background is None else len(background.samples)
            return f"{count} samples of the training data, {DRAWS} draws"
        case "integrated-gradients":
            return f"{mean}, and the input blurred; {STEPS} steps each"
        case _:
            return mean


def _arrays(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()


def _finished(one: SignedMap, seconds: float) -> SignedMap:
    """The map with its time and what has to be said of it."""
    _require_finite(one.values, one.method)
    remarks = list(remarks_on(one.values, one.layer))
    if one.relative_gap is not None and one.relative_gap > LARGE_GAP:
        remarks.append(
            f"its values should sum to {one.claimed:.3g} and miss that by {one.gap:+.2g} "
            f"({one.relative_gap:.0%})"
        )
    return replace(one, seconds=seconds, remarks=tuple(remarks))


def _require_finite(values: np.ndarray, method: str) -> None:
    if not np.isfinite(values).all():
        raise RequestError(
            f"{method}: the map is not finite; the network's own numbers overflow on this input, "
            "look at them with a trace"
        )
