"""What a training step costs: time, memory, and the wait for pictures, beside plain PyTorch.

LeNet-5 on 28 x 28 grey, `pocket` on 32 x 32 colour (where it is in the table of networks) and a
residual network of timm on 224 x 224 colour. Ours is the whole step of a training (augmented
pictures made beside it, clipped gradients, averaged weights) on the path that timing chooses for
a training of `--seconds`. Plain is the same network in float32, eager, in the plain layout, on
batches that are already made: forward, loss, backward, AdamW. They take turns in one process;
memory is measured in a process each.

    python -m benchmarks.steps [--seconds 300] [--turns 7]

On a GPU, where there is one, the same is measured there, too.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.memory import peak_of
from benchmarks.results import keep
from vitreous.data.augmentation import default_augmentation
from vitreous.data.transforms import Scaling, to_network_input
from vitreous.networks import NETWORKS, build_network
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import State
from vitreous.training.devices import choose_compute
from vitreous.training.fastest import Wanted, fastest_path, path_name
from vitreous.training.loop import Training, batches_of_epoch, timed, train_step
from vitreous.training.recipe import Recipe

CASES = {  # network -> shape of the pictures, pictures a step, steps in a turn
    "lenet5": ((1, 28, 28), 128, 30),
    "pocket": ((3, 32, 32), 512, 6),
    "timm:resnet18": ((3, 224, 224), 32, 4),
}
CLASSES = tuple("0123456789")


def make_training(name: str, device: str, seconds: float) -> Training:
    """A training on random pixels, on the path that is the fastest here."""
    shape, batch, steps = CASES[name]
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (batch * steps, *shape), dtype=np.uint8)
    targets = torch.from_numpy(random.integers(0, 10, len(pixels)))
    rows = np.arange(len(pixels))
    scaling = Scaling((0.5,) * shape[0], (0.29,) * shape[0])
    training = Training(
        network=build_network(name, shape, len(CLASSES), scaling=scaling, seed=0),
        task=Classify(CLASSES),
        data=TrainingData(pixels, targets, rows, rows[:batch], scaling),
        recipe=Recipe(batch, 1e-3, augmentation=default_augmentation(*shape)),
        state=State(planned_steps=1_000_000),
        seed=0,
        metric="val_accuracy",
        higher_is_better=True,
        compute=choose_compute(device),
    )
    path, _ = fastest_path(training, Wanted(), steps=None, seconds=seconds)
    return replace(training, compute=path)


def ours_of(training: Training) -> Callable[[], None]:
    """A turn: an epoch of steps, pictures made on the way."""

    def turn() -> None:
        for batch in timed(batches_of_epoch(training), training.state):
            train_step(training, batch.pixels, batch.targets)
            training.state.step += 1
        training.state.epoch += 1

    return turn


def plain_of(name: str, device: str) -> Callable[[], None]:
    """A turn of the plain loop, with as many steps."""
    shape, batch, steps = CASES[name]
    network = build_network(name, shape, len(CLASSES), seed=0).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    pixels = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8)
    scaling = Scaling((0.5,) * shape[0], (0.29,) * shape[0])
    inputs = to_network_input(pixels, scaling).to(device)
    targets = torch.randint(0, 10, (batch,)).to(device)

    def turn() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()

    return turn


def timings(name: str, device: str, seconds: float, turns: int) -> dict[str, object]:
    """Milliseconds a step of both ways, in turn, and the share of waiting."""
    training = make_training(name, device, seconds)
    ways = {"ours": ours_of(training), "plain": plain_of(name, device)}
    steps = CASES[name][2]
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(turns + 1):
        for way, turn in ways.items():
            started = time.perf_counter()
            turn()
            if number:  # the first turn makes kernels ready
                found[way].append(1000 * (time.perf_counter() - started) / steps)
            else:
                training.state.seconds_waiting = 0.0
    waiting = 1000 * training.state.seconds_waiting / (steps * sum(found["ours"]))
    return {"path": path_name(training.compute), "waiting": waiting, **found}


def measured(name: str, device: str, seconds: float, turns: int) -> list[dict]:
    """The rows of a network: times from one process, memory from one for each way."""
    words = [sys.executable, "-m", "benchmarks.steps", "--one", name, "--device", device]
    words += ["--seconds", str(seconds)]
    done = subprocess.run([*words, "--turns", str(turns)], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    framework, _ = peak_of([sys.executable, "-c", "import benchmarks.steps, time; time.sleep(1)"])
    memory = {way: peak_of([*words, "--only", way])[0] - framework for way in ("ours", "plain")}
    ratio = np.array(found["plain"]) / np.array(found["ours"])
    shape, batch, _ = CASES[name]
    what = f"{name}, {' x '.join(map(str, shape))}, batch {batch}, {device}"
    return [
        {"what": f"{what}: ours ({found['path']}), ms a step", **_median(found["ours"])},
        {"what": f"{what}: plain float32, ms a step", **_median(found["plain"])},
        {"what": f"{what}: plain to ours, ratio", **_median(ratio.tolist())},
        {"what": f"{what}: ours, anonymous MB beyond the framework",
         "value": round(1000 * memory["ours"])},
        {"what": f"{what}: plain, anonymous MB beyond the framework",
         "value": round(1000 * memory["plain"])},
        {"what": f"{what}: ours, share of the time waiting for pictures",
         "value": f"{found['waiting']:.1%}"},
    ]  # fmt: skip


def _median(values: list[float]) -> dict[str, object]:
    low, high = np.quantile(values, [0.25, 0.75])
    return {"value": float(f"{median(values):.4g}"), "spread": f"{low:.3g} to {high:.3g}"}


def run_only(name: str, way: str, device: str, seconds: float) -> None:
    """Two turns of one way, for its memory."""
    if way == "plain":
        turn = plain_of(name, device)
    else:
        turn = ours_of(make_training(name, device, seconds))
    turn()
    turn()


def main() -> None:
    """Measure and keep; with --one, a part of it, printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run_only(options.one, options.only, options.device, options.seconds)
        return
    if options.one:
        print(json.dumps(timings(options.one, options.device, options.seconds, options.turns)))
        return
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    networks = [name for name in CASES if name in NETWORKS or name.startswith("timm:")]
    rows = [
        row
        for device in devices
        for name in networks
        for row in measured(name, device, options.seconds, options.turns)
    ]
    notes = "random pixels; medians over turns, spread: quartiles; " + (
        "on a GPU, too" if len(devices) > 1 else "no GPU was there to be measured"
    )
    keep("steps", "What does a training step cost?", rows, notes)


if __name__ == "__main__":
    main()
