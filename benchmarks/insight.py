"""What explanations cost: maps a second by method, a check, and the index of best patches.

ResNet-18 at 224 x 224 (timm's layers, random weights: they take as long as any), float32.

    python -m benchmarks.insight [--pictures 8] [--turns 5] [--indexed 10000] [--out FOLDER]

Methods are run in turn, so that the machine's moods meet all of them; medians. The index looks
through pictures of CIFAR-10, enlarged, with its progress on the terminal. Some twenty minutes on
two cores; each turn is kept in --out, and what is there is not measured again, so that it can be
stopped and go on.
"""

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.results import keep
from vitreous.files import read_json, write_json
from vitreous.insight.attribution import METHODS, attribute, distinct, map_layer, map_layers
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.faithfulness import check_map
from vitreous.insight.features import index_patches
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.networks import build_network
from vitreous.networks.modes import evaluating
from vitreous.runs.talk import Talk

SIDE = 224
SLOW = {"occlusion", "integrated-gradients", "expected-gradients"}
SLOW_PICTURES = 1  # of these: each map takes hundreds of passes
BATCH = 16
MANY = 10_000
PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))


class Kept:
    """Figures in a file, so that a measurement that was stopped goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figures: dict = read_json(path) if path.is_file() else {}

    def once(self, name: str, measure: Callable[[], object]):
        """A figure that is there, else measured now and kept."""
        if name not in self.figures:
            self.figures[name] = measure()
            write_json(self.path, self.figures)
        return self.figures[name]


def timed(function) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def small_pictures(data: Path, count: int) -> torch.Tensor:
    """Pictures of CIFAR-10's test part, uint8 (count, 3, 32, 32)."""
    found = []
    with tarfile.open(data / "cifar10" / "cifar10_jpeg.tar.gz") as packed:
        for member in packed:
            if not member.isfile() or "/test/" not in f"/{member.name}":
                continue
            content = packed.extractfile(member)
            assert content is not None
            with Image.open(io.BytesIO(content.read())) as picture:
                found.append(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
            if len(found) == count:
                break
    return torch.from_numpy(np.stack(found))


def measured(pictures: int, turns: int, indexed: int, data: Path, kept: Kept) -> list[dict]:
    """The rows of the table."""
    torch.manual_seed(0)
    network = build_network("timm:resnet18", (3, SIDE, SIDE), 10, seed=0).eval()
    inputs = torch.randn(pictures, 3, SIDE, SIDE)
    background = Background(torch.randn(16, 3, SIDE, SIDE))
    found_s = kept.once("layer", lambda: timed(lambda: map_layer(network, inputs[:1])))
    layer = map_layer(network, inputs[:1])
    methods = [name for name, one in METHODS.items() if has_captum() or not one.needs_captum]

    def forward() -> None:
        with evaluating(network):
            network(inputs)

    def turn() -> dict[str, float]:
        forward()  # the first after a pause is slower
        seconds = {"forward": timed(forward) / pictures}
        for name in methods:
            some = inputs[:SLOW_PICTURES] if name in SLOW else inputs
            at = layer if METHODS[name].works_at == "layer" else None
            spent = timed(
                lambda some=some, name=name, at=at: attribute(
                    network, some, method=name, layer=at, background=background
                )
            )
            seconds[name] = spent / len(some)
        return seconds

    each = [kept.once(f"turn {number}", turn) for number in range(turns)]
    one_pass = median(one["forward"] for one in each)
    rows = [_row("forward pass alone: pictures a second", [one["forward"] for one in each])]
    for name in methods:
        ratio = median(one[name] / one["forward"] for one in each)
        rows.append({**_row(f"{name}: maps a second", [one[name] for one in each]),
                     "forward passes a map": float(f"{ratio:.3g}")})  # fmt: skip
    return [
        *rows,
        {"what": "finding the layer and where its cells look, once a network: seconds",
         "value": round(found_s, 2)},
        *kept.once("check", lambda: _check_rows(network, inputs, layer, background, one_pass)),
        *kept.once(f"index of {indexed}", lambda: _index_rows(network, indexed, data)),
    ]  # fmt: skip


def _row(what: str, seconds: Sequence[float]) -> dict:
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


def _index_rows(network, indexed: int, data: Path) -> list[dict]:
    layers = distinct(map_layers(network, torch.zeros(1, 3, SIDE, SIDE)))
    small = small_pictures(data, indexed)
    indexed = len(small)

    def batches(count: int = indexed):
        for start in range(0, count, BATCH):
            part = small[start : start + BATCH].float() / 127.5 - 1
            larger = F.interpolate(part, size=(SIDE, SIDE), mode="bilinear")
            yield list(range(start, start + len(part))), larger

    def passes(count: int) -> None:
        with evaluating(network):
            for _, inputs in batches(count):
                network(inputs)

    names = [str(row) for row in range(indexed)]
    tenth = BATCH * max(1, indexed // BATCH // 10)
    alone = timed(lambda: passes(tenth)) / tenth
    with Talk().counting("looking for the best patches") as counted:
        spent = timed(
            lambda: index_patches(
                network, batches(), layers, names, total=indexed, on_progress=counted
            )
        )
    rows: list[dict] = [
        {"what": f"best patches of all {len(layers)} layers, {indexed:,} pictures: minutes",
         "value": round(spent / 60, 1), "bar": "minutes",
         "times the forward passes alone": round(spent / indexed / alone, 2)},
    ]  # fmt: skip
    if indexed < MANY:
        rows.append({"what": f"so {MANY:,} pictures would take: minutes",
                     "value": round(spent * MANY / indexed / 60, 1)})  # fmt: skip
    return rows


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--indexed", type=int, default=MANY)
    parser.add_argument("--data", type=Path, default=PACKS)
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-insight"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.out / "figures.json")
    keep(
        "insight",
        "What do explanations cost?",
        measured(options.pictures, options.turns, options.indexed, options.data, kept),
        f"ResNet-18 at {SIDE} x {SIDE}, float32, {torch.get_num_threads()} threads; medians of "
        "turns, spread: quartiles; ratios to the forward pass of the same turn.",
        command="python -m benchmarks.insight",
    )


if __name__ == "__main__":
    main()
