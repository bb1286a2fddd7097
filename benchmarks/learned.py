"""What the layers of two real networks learned: the measurements and pictures of the lesson.

    python -m benchmarks.learned [--data FOLDER] [--out FOLDER] [--pictures docs/lessons]

Trains a residual network for 6 epochs on 5,000 pictures of CIFAR-10 (15 % of them validation), and
fine-tunes EfficientNet-Lite0 for 2 epochs on hymenoptera. What --out holds already, runs and the
measurements of their layers, is not made again, so that it can be stopped and go on. Writes
`results/learned.json` and the pictures of docs/lessons/what-the-layers-learned.md. Probes are
judged on validation samples; the test part is read once, by `vitreous train`.
"""

import argparse
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.results import keep
from vitreous.files import atomic_path
from vitreous.insight.attribution import attribute, map_layer
from vitreous.insight.faithfulness import check_map
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.runs.features import RunFeatures, index_features, kept_features, patch_pixels
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.train import train
from vitreous.runs.training_data import RunData, background_of, some_of

INK, MUTED, BLUE, ORANGE = "#1c2733", "#5b6875", "#2473d6", "#d9601a"
PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
EACH = {"train": 500, "test": 100}  # pictures a class of CIFAR-10
EPOCHS = {"cifar": 6, "hymenoptera": 2}
CHANNELS, PATCHES = 5, 8
CHECKED = 6  # validation pictures whose maps are tested


def runs(data: Path, out: Path) -> dict[str, Run]:
    """The two runs, trained now where they are not there yet."""
    cifar, ants = out / "cifar10-run", out / "hymenoptera-run"
    if not (cifar / "evaluation.json").is_file():
        pictures = unpacked(data / "cifar10" / "cifar10_jpeg.tar.gz", out / "cifar10")
        train(
            pictures, network="resnet", epochs=EPOCHS["cifar"], out=cifar,
            precision="float32", compile="no",
        )  # fmt: skip
    if not (ants / "evaluation.json").is_file():
        weights = data / "weights_efficientnet_lite0" / "efficientnet-lite0-57934424.pth"
        train(
            data / "hymenoptera", weights=str(weights), image_size=128,
            epochs=EPOCHS["hymenoptera"], out=ants, precision="float32", compile="no",
        )  # fmt: skip
    return {"CIFAR-10": Run.load(cifar), "hymenoptera": Run.load(ants)}


def unpacked(archive: Path, folder: Path) -> Path:
    """The first pictures of each class, as a folder of train and test."""
    if folder.is_dir():
        return folder
    with tarfile.open(archive) as packed:
        for member in packed:
            parts = Path(member.name).parts[-3:]
            if len(parts) != 3 or not member.isfile() or parts[0] not in EACH:
                continue
            if int(Path(parts[2]).stem) < EACH[parts[0]]:
                path = folder.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = packed.extractfile(member)
                path.write_bytes(content.read() if content else b"")
    return folder


def rows_of(name: str, found: RunFeatures) -> list[dict]:
    """A row a layer that was probed."""
    rows = []
    for layer, cut in found.cuts.items():
        tuned, probe = found.tuning[layer], found.probes.get(layer)
        rows.append({
            "what": f"{name}: {layer}",
            "value": None if probe is None else f"{probe.accuracy:.3f}",
            "spread": None if probe is None else f"{probe.low:.3f} to {probe.high:.3f}",
            "channels": cut.channels,
            "channels needed": cut.needed,
            "tuned to an orientation": f"{tuned.tuned_share:.0%}",
            "median frequency": f"{np.median(tuned.frequency[tuned.answers]):.3f}"
            if tuned.answers.any() else None,
        })  # fmt: skip
    return rows


def check_rows(name: str, run: Run, data: RunData, background: Background) -> list[dict]:
    """How the default map does on some validation pictures, beside the controls."""
    rows = some_of(data.rows("val"), CHECKED, seed=1)
    inputs = data.inputs(rows)
    layer, forgetful = map_layer(run.network, inputs), randomised(run.network)
    found = [
        check_map(
            run.network, inputs[row : row + 1], one, background=background, layer=layer,
            forgetful=forgetful,
        )
        for row, one in enumerate(attribute(run.network, inputs, layer=layer))
    ]  # fmt: skip
    order = {"hirescam": np.mean([one.map.order for one in found])}
    for control in found[0].controls:
        order[control] = np.mean([one.controls[control].order for one in found])
    said = ", ".join(f"{key} {value:+.2f}" for key, value in order.items())
    return [
        {"what": f"{name}: mean worth of the order on {len(found)} pictures", "value": said},
        {"what": f"{name}: pictures whose map beats chance, edges and centre",
         "value": f"{sum(all(one.beaten.values()) for one in found)} of {len(found)}"},
    ]  # fmt: skip


def draw_patches(
    path: Path, run: Run, data: RunData, found: RunFeatures, layers: list[str]
) -> None:
    """The best patches of some channels of some layers, a row a channel."""
    figure = Figure(figsize=(4.4 * len(layers), 0.62 * CHANNELS + 0.5))
    FigureCanvasAgg(figure)
    wide = 1 / len(layers)
    for column, layer in enumerate(layers):
        figure.text(column * wide + 0.01, 1 - 0.25 / figure.get_figheight(), layer, fontsize=10,
                    fontweight="bold", color=INK)  # fmt: skip
        for row, channel in enumerate(_shown(found, layer)):
            _draw_row(figure, run, data, layer, channel, (column * wide, row), wide)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def _shown(found: RunFeatures, layer: str) -> list[int]:
    """Channels evenly spaced among those that answer at all."""
    values = found.patches[layer].highest[0]
    alive = np.flatnonzero(values[:, 0] > values[:, -1])
    alive = alive if len(alive) else np.arange(len(values))
    return alive[np.linspace(0, len(alive) - 1, min(CHANNELS, len(alive))).astype(int)].tolist()


def _draw_row(figure, run, data, layer, channel, place, wide) -> None:
    left, row = place
    tall = (1 - 0.4 / figure.get_figheight()) / CHANNELS
    bottom = 1 - 0.4 / figure.get_figheight() - (row + 1) * tall
    figure.text(left + 0.01, bottom + 0.35 * tall, str(channel), fontsize=8, color=MUTED)
    patches = patch_pixels(run, layer, channel, data=data)[:PATCHES]
    each = (wide - 0.05 * wide - 0.03) / PATCHES
    for number, (_, _, pixels) in enumerate(patches):
        axes = figure.add_axes((left + 0.03 + number * each, bottom, 0.94 * each, 0.94 * tall))
        shown = np.moveaxis(pixels, 0, -1)
        axes.imshow(shown[..., 0] if len(pixels) == 1 else shown, cmap="gray", vmin=0, vmax=255,
                    interpolation="nearest")  # fmt: skip
        axes.set_axis_off()


def draw_probes(path: Path, curves: dict[str, RunFeatures]) -> None:
    """Accuracy of the probes by layer with intervals; a panel a run."""
    figure = Figure(figsize=(5.2 * len(curves), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, found) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), number + 1)
        probes = list(found.probes.values())
        places = np.arange(len(probes))
        values = np.array([probe.accuracy for probe in probes])
        ends = np.array([[probe.low, probe.high] for probe in probes])
        axes.fill_between(places, ends[:, 0], ends[:, 1], color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(places, values, "o-", color=BLUE, markersize=4)
        names = [
            probe.layer.removeprefix("features.").removeprefix("backbone.") for probe in probes
        ]
        axes.set_xticks(places, names, rotation=60, ha="right", fontsize=8)
        axes.set_ylabel("probe accuracy, validation", color=MUTED)
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=INK)
        axes.grid(axis="y", color="#e3e7eb")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def main() -> None:
    """Measure, draw and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PACKS)
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-learned"
    )
    parser.add_argument("--pictures", type=Path, default=Path("docs/lessons"))
    parser.add_argument("--most-samples", type=int, default=None)
    options = parser.parse_args()
    rows, curves = [], {}
    for name, run in runs(options.data, options.out).items():
        found = kept_features(run) or index_features(
            run, most_samples=options.most_samples, talk=Talk()
        )
        data = RunData.open(run)
        background = background_of(run)
        assert background is not None
        scores = (run.evaluation or {})["metrics"]["accuracy"]
        rows.append({
            "what": f"{name}: the network itself, sealed test part",
            "value": f"{scores['value']:.3f}",
            "spread": f"{scores['low']:.3f} to {scores['high']:.3f}",
        })  # fmt: skip
        rows += rows_of(name, found) + check_rows(name, run, data, background)
        curves[name] = found
        layers = list(found.tuning)
        chosen = [layers[0], layers[len(layers) // 2], layers[-1]]
        draw_patches(options.pictures / f"learned-{name.lower()}.png", run, data, found, chosen)
    draw_probes(options.pictures / "learned-probes.png", curves)
    keep(
        "learned",
        "What did the layers learn?",
        rows,
        "Probe accuracy on validation samples with 95 % intervals; channels needed: the fewest of "
        "those tried with which at least 95 % of the answers stay.",
        command="python -m benchmarks.learned",
    )


if __name__ == "__main__":
    main()
