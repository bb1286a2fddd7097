"""Blood cells in BCCD: `vitreous train` beside torchvision's FCOS and RetinaNet, in equal time.

All three start from the same EfficientNet-Lite0 weights, see the same letterboxed pictures with the
same augmentation, and are trained by the same loop for the same time on the official split (205
pictures, 87 for choosing the epoch); the 72 test pictures are scored once. Each picture with its
boxes, paired, says whose average precision is higher. Steps and pictures are timed in turn in one
process. A longer run of ours follows.

    python -m benchmarks.detection [--data FOLDER] [--weights FILE] [--time 10m] [--long 30m]

An hour and a quarter on two cores. It stops and goes on: what is done is kept in the folder of
--out, and --only ours|fcos|retinanet|speed|long does a part of it; figures are written where all
parts are there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.results import keep
from vitreous.data.boxes.boxes import Boxes
from vitreous.data.recognise import recognise
from vitreous.evaluation.box_comparison import compare_boxes
from vitreous.evaluation.box_matching import BoxAnswers
from vitreous.files import read_json
from vitreous.runs.predict import read_predictions
from vitreous.runs.run import Run

PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
FILE = PACKS / "weights_efficientnet_lite0" / "efficientnet-lite0-57934424.pth"
FEATURES = "timm:tf_efficientnet_lite0"
NETWORKS = {
    "ours": f"detect:{FEATURES}",
    "fcos": f"torchvision:fcos:{FEATURES}",
    "retinanet": f"torchvision:retinanet:{FEATURES}",
}
PARTS = (*NETWORKS, "speed", "long")
AP50_BAR, LONG_AP50_BAR, LONG_AP_BAR = 0.80, 0.86, 0.50
TURNS, STEPS = 7, 2


def allowed_time(options: argparse.Namespace, part: str) -> str:
    """What --time is for a part of the measurement."""
    return dict(options.allow).get(part, options.long if part == "long" else options.time)


def trained(options: argparse.Namespace, part: str) -> dict:
    """`vitreous train` as one types it; wall clock of the whole command."""
    out = options.out / part
    network = NETWORKS.get(part, NETWORKS["ours"])
    words = ["train", str(options.data), "--network", network, "--weights", str(options.weights)]
    allowed = allowed_time(options, part)
    words += ["--time", allowed, "--seed", str(options.seed), "--out", str(out), "--quiet"]
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "vitreous", *words], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    run = read_json(out / "run.json")
    return {
        "allowed": allowed,
        "seconds": round(time.monotonic() - started, 1),
        "steps": read_json(out / "last.json").get("step"),
        "parameters": run["network"]["parameters"],
        "evaluation": read_json(out / "evaluation.json"),
    }


def timed_in_turn(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Milliseconds a step and a picture of each network, in turn in this process."""
    from vitreous.runs.prepare import prepare
    from vitreous.runs.recipes import recipe_of
    from vitreous.runs.request import TrainRequest
    from vitreous.runs.set_up import (
        network_for,
        new_training,
        scaling_of,
        task_of,
        training_data,
        weights_of,
    )
    from vitreous.runs.talk import Talk
    from vitreous.training.devices import choose_compute
    from vitreous.training.loop import batches_of_epoch, train_step

    talk, ways = Talk(quiet=True), {}
    for part, network in NETWORKS.items():
        request = TrainRequest(network=network, weights=str(options.weights), seed=options.seed)
        weights = weights_of(request, None)
        prepared = prepare(options.data, request, talk, weights)
        task = task_of(prepared)
        data = training_data(prepared, task, scaling_of(weights, prepared))
        built = network_for(prepared, task, data.scaling, request, weights, talk)
        recipe = recipe_of(prepared, data, task, request, built.card.name, weights)
        ways[part] = new_training(task, data, built, recipe, choose_compute(None, False), 0, 10**6)
    found = {part: {"step": [], "picture": []} for part in ways}
    for turn in range(TURNS + 1):
        for part, training in ways.items():
            batches = batches_of_epoch(training)
            ready = [next(batches) for _ in range(STEPS)]
            started = time.perf_counter()
            for batch in ready:
                train_step(training, batch.pixels, batch.targets)
            step = 1000 * (time.perf_counter() - started) / STEPS
            training.network.eval()
            picture = ready[0].pixels[:1]
            forward = training.compute.forward_of(training.network)
            started = time.perf_counter()
            with torch.no_grad():
                for _ in range(STEPS):
                    inputs = training.compute.inputs(picture, training.data.scaling)
                    training.task.answers(forward(inputs))
            single = 1000 * (time.perf_counter() - started) / STEPS
            if turn:  # the first turn makes kernels ready
                found[part]["step"].append(step)
                found[part]["picture"].append(single)
    return found


def answers_of(run: Run) -> dict[str, BoxAnswers]:
    """The boxes of predictions.csv by picture."""
    place = {name: number for number, name in enumerate(run.record.classes)}
    rows: dict[str, list[list[float]]] = {}
    for row in read_predictions(run.folder / "predictions.csv"):
        sides = [float(row[side]) for side in ("left", "top", "right", "bottom")]
        numbers = [*sides, place[row["class"]], float(row["confidence"])]
        rows.setdefault(row["sample_id"], []).append(numbers)
    found = {name: np.array(each) for name, each in rows.items()}
    return {name: BoxAnswers(n[:, :4], n[:, 4].astype(int), n[:, 5]) for name, n in found.items()}


def differences(options: argparse.Namespace) -> dict[str, dict]:
    """Ours minus each of the others, paired by picture."""
    source = recognise(options.data)
    test = [s for s in source.samples if s.split == "test" and isinstance(s.label, Boxes)]
    truth = [sample.label for sample in test if isinstance(sample.label, Boxes)]
    nothing = BoxAnswers(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    given = {}
    for part in NETWORKS:
        found = answers_of(Run.load(options.out / part))
        given[part] = [found.get(sample.sample_id, nothing) for sample in test]
    return {
        part: {
            metric: each.to_json()
            for metric, each in compare_boxes(
                truth, given["ours"], given[part], source.classes, names=("ours", part)
            ).items()
        }
        for part in NETWORKS
        if part != "ours"
    }


def rows_of(done: dict[str, dict], compared: dict[str, dict]) -> list:
    """All figures, as they are kept."""
    rows = []
    for part in (*NETWORKS, "long"):
        found = done[part]
        title = NETWORKS.get(part, NETWORKS["ours"])
        for metric in ("ap50", "ap"):
            score = found["evaluation"]["metrics"][metric]
            bar = {"ours ap50": AP50_BAR, "long ap50": LONG_AP50_BAR, "long ap": LONG_AP_BAR}
            wanted = bar.get(f"{part} {metric}")
            rows.append({
                "what": f"{title}, {found['allowed']}: test {metric.upper()}",
                "value": round(score["value"], 4),
                "bar": None if wanted is None else f"at least {wanted}",
                "spread": f"95 % interval {score['low']:.3f} to {score['high']:.3f}",
                "steps": found["steps"],
                "seconds": found["seconds"],
            })  # fmt: skip
    for part, metrics in compared.items():
        score = metrics["ap"]["difference"]
        rows.append({
            "what": f"AP of ours minus that of {NETWORKS[part]}, paired by picture",
            "value": f"{score['value']:+.4f}",
            "bar": "not below 0 by the interval",
            "spread": f"95 % interval {score['low']:+.4f} to {score['high']:+.4f}",
        })  # fmt: skip
    speed = done["speed"]
    for kind in ("step", "picture"):
        for part in NETWORKS:
            ratios = np.array(speed[part][kind]) / np.array(speed["ours"][kind])
            low, high = np.quantile(ratios, [0.25, 0.75])
            rows.append({
                "what": f"{NETWORKS[part]}: ms a {kind}",
                "value": float(f"{median(speed[part][kind]):.4g}"),
                "bar": None if part == "ours" else "more than ours",
                "spread": f"{np.median(ratios):.2f} times ours (quartiles {low:.2f} to {high:.2f})",
            })  # fmt: skip
    for part in ("ours", "long"):
        for row in done[part]["evaluation"]["per_class"]:
            score = row["count_error"]
            rows.append({
                "what": f"{row['class']} ({row['n']} true boxes), {part}: mean error of the count "
                "a slide",
                "value": round(score["value"], 3),
                "spread": f"95 % interval {score['low']:.2f} to {score['high']:.2f}",
            })  # fmt: skip
    return rows


def main() -> None:
    """Measure what is not yet there, and keep the figures once all are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PACKS / "bccd")
    parser.add_argument("--weights", type=Path, default=FILE)
    parser.add_argument("--time", default="10m")
    parser.add_argument("--long", default="30m")
    parser.add_argument("--allow", action="append", default=[], metavar="PART=TIME",
                        type=lambda word: word.split("=", 1),
                        help="another --time for a part that plans too little")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-detection"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "measured.json"
    done: dict[str, dict] = json.loads(path.read_text()) if path.exists() else {}
    for part in PARTS if options.only is None else (options.only,):
        if part in done:
            continue
        print(f"{part} ...", file=sys.stderr, flush=True)
        done[part] = timed_in_turn(options) if part == "speed" else trained(options, part)
        path.write_text(json.dumps(done))
    if set(PARTS) - set(done):
        print(f"still to do: {', '.join(p for p in PARTS if p not in done)}", file=sys.stderr)
        return
    more = [f" --allow {part}={done[part]['allowed']}" for part in NETWORKS
            if done[part]["allowed"] != options.time]  # fmt: skip
    keep(
        "detection",
        "Blood cells of BCCD, boxes of three classes, from EfficientNet-Lite0's weights",
        rows_of(done, differences(options)),
        f"Each had {options.time} for decoding and training (`long` {options.long}); scoring and "
        "the report come after it and are in its seconds. A plan counts on every look at the "
        "validation part as slow as the first, before training, when RetinaNet answers with far "
        "more boxes than later. So a part can be allowed more: its row says what.",
        command="".join(["python -m benchmarks.detection", *more]),
    )


if __name__ == "__main__":
    main()
