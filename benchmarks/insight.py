"""What explanations cost: maps a second by method, a check, and the index of best patches.

ResNet-18 at 224 x 224 (timm's layers, random weights: they take as long as any), float32.

    python -m benchmarks.insight [--pictures 8] [--turns 5]

Methods are run in turn, so that the machine's moods meet all of them; medians. Some minutes.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch

from benchmarks.results import keep
from vitreous.insight.attribution import METHODS, attribute, distinct, map_layer, map_layers
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.faithfulness import check_map
from vitreous.insight.features import index_patches
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.networks import build_network
from vitreous.networks.modes import evaluating

SIDE = 224
SLOW = {"occlusion", "integrated-gradients", "expected-gradients"}
SLOW_PICTURES = 1  # of these: each map takes hundreds of passes
INDEXED = 64
MANY = 10_000


def timed(function) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measured(pictures: int, turns: int) -> list[dict]:
    """The rows of the table."""
    torch.manual_seed(0)
    network = build_network("timm:resnet18", (3, SIDE, SIDE), 10, seed=0).eval()
    inputs = torch.randn(pictures, 3, SIDE, SIDE)
    background = Background(torch.randn(16, 3, SIDE, SIDE))
    found_s = timed(lambda: map_layer(network, inputs[:1]))
    layer = map_layer(network, inputs[:1])
    methods = [name for name, one in METHODS.items() if has_captum() or not one.needs_captum]
    seconds: dict[str, list[float]] = {name: [] for name in ("forward", *methods)}

    def forward() -> None:
        with evaluating(network):
            network(inputs)

    forward()
    for _ in range(turns):
        seconds["forward"].append(timed(forward) / pictures)
        for name in methods:
            some = inputs[:SLOW_PICTURES] if name in SLOW else inputs
            at = layer if METHODS[name].works_at == "layer" else None
            spent = timed(
                lambda some=some, name=name, at=at: attribute(
                    network, some, method=name, layer=at, background=background
                )
            )
            seconds[name].append(spent / len(some))
    one_pass = median(seconds["forward"])
    rows = [_row("forward pass alone: pictures a second", seconds["forward"])]
    for name in methods:
        ratio = median(np.array(seconds[name]) / np.array(seconds["forward"]))
        rows.append({**_row(f"{name}: maps a second", seconds[name]),
                     "forward passes a map": float(f"{ratio:.3g}")})  # fmt: skip
    return [
        *rows,
        {"what": "finding the layer and where its cells look, once a network: seconds",
         "value": round(found_s, 2)},
        *_check_rows(network, inputs, layer, background, one_pass),
        *_index_rows(network, one_pass),
    ]  # fmt: skip


def _row(what: str, seconds: list[float]) -> dict:
    low, high = np.quantile(seconds, [0.25, 0.75])
    return {
        "what": what,
        "value": float(f"{1 / median(seconds):.3g}"),
        "spread": f"{1 / high:.3g} to {1 / low:.3g}",
    }


def _check_rows(network, inputs, layer, background, one_pass: float) -> list[dict]:
    (one,) = attribute(network, inputs[:1], layer=layer)
    forgetful = randomised(network)
    found = check_map(
        network, inputs[:1], one, background=background, layer=layer, forgetful=forgetful
    )
    return [
        {"what": "all checks of one map: seconds", "value": round(found.seconds, 1),
         "forward passes a map": round(found.seconds / one_pass)},
        {"what": "all checks of one map: forward passes that it counts",
         "value": found.forward_passes},
    ]  # fmt: skip


def _index_rows(network, one_pass: float) -> list[dict]:
    layers = distinct(map_layers(network, torch.zeros(1, 3, SIDE, SIDE)))
    inputs = torch.randn(INDEXED, 3, SIDE, SIDE)
    batches = [
        (list(range(start, start + 16)), inputs[start : start + 16])
        for start in range(0, INDEXED, 16)
    ]
    names = [str(row) for row in range(INDEXED)]
    spent = timed(lambda: index_patches(network, batches, layers, names, total=INDEXED)) / INDEXED
    return [
        {"what": f"best patches of all {len(layers)} layers: pictures a second",
         "value": float(f"{1 / spent:.3g}"),
         "forward passes a map": float(f"{spent / one_pass:.3g}")},
        {"what": f"so {MANY:,} pictures take: minutes", "value": round(MANY * spent / 60, 1),
         "bar": "minutes"},
    ]  # fmt: skip


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    keep(
        "insight",
        "What do explanations cost?",
        measured(options.pictures, options.turns),
        f"ResNet-18 at {SIDE} x {SIDE}, float32, {torch.get_num_threads()} threads; medians of "
        "turns, spread: quartiles; ratios to the forward pass of the same turn.",
        command="python -m benchmarks.insight",
    )


if __name__ == "__main__":
    main()
