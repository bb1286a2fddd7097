"""What do two processes of one thread gain over one process of two threads, on one machine?

Training steps of LeNet-5 and of the residual network on real digits, at the same batches of 128.
One process with two threads and two processes with one thread each take turns; a figure is the
median over the turns, each after some steps that do not count.

    python -m benchmarks.processes [--turns 5]

About three minutes on two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_digits

from benchmarks.results import keep
from vitreous.data.augmentation import Augmentation
from vitreous.data.transforms import fit_scaling
from vitreous.inference import Compute
from vitreous.networks import build_network
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import State
from vitreous.training.loop import Training, batches_of_epoch, train_step
from vitreous.training.processes import Processes, processes_together
from vitreous.training.recipe import Recipe

CLASSES = tuple("0123456789")
NETWORKS = ("lenet5", "resnet")
SIDE, BATCH, WARM_UP, STEPS = 32, 128, 10, 40


def training_of(name: str, processes: Processes) -> Training:
    """A training of the network on all 1,797 digits, enlarged to 32 x 32."""
    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)[:, None]
    pixels = pixels.repeat(SIDE // 8, axis=2).repeat(SIDE // 8, axis=3)
    rows = np.arange(len(pixels))
    targets = torch.from_numpy(found.target).long()
    return Training(
        network=build_network(name, (1, SIDE, SIDE), len(CLASSES), seed=0),
        task=Classify(CLASSES),
        data=TrainingData(pixels, targets, rows, rows[:100], fit_scaling(pixels, rows)),
        recipe=Recipe(BATCH, 1e-3, augmentation=Augmentation(shift=0.08)),
        state=State(planned_steps=10_000),
        seed=0,
        metric="val_accuracy",
        higher_is_better=True,
        compute=Compute(memory_format="channels_last"),
        processes=processes,
    )


def pictures_a_second(name: str, processes: Processes) -> float:
    """Of whole training steps, augmentation included."""
    training, steps, pictures, started = training_of(name, processes), 0, 0, 0.0
    while True:
        for batch in batches_of_epoch(training):
            train_step(training, batch.pixels, batch.targets)
            training.state.step += 1
            steps += 1
            pictures += batch.samples
            if steps == WARM_UP:
                pictures, started = 0, time.perf_counter()
            if steps == WARM_UP + STEPS:
                return pictures / (time.perf_counter() - started)


def turn(count: int, threads: int) -> dict[str, float]:
    """Pictures a second of each network, with so many processes of so many threads."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "benchmarks.processes", "--worker"],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def work() -> None:
    """What each process does; the first one says the figures."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with processes_together() as processes:
        figures = {name: pictures_a_second(name, processes) for name in NETWORKS}
        processes.all_reach("the end")
    if processes.first:
        print(json.dumps(figures))


def main() -> None:
    """Measure in turns and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    if options.worker:
        work()
        return
    ways = {"1 process x 2 threads": (1, 2), "2 processes x 1 thread": (2, 1)}
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(options.turns):
        for way, (count, threads) in ways.items():
            found[way].append(turn(count, threads))
            print(f"turn {number + 1}, {way}: {found[way][-1]}", file=sys.stderr)
    rows = []
    for name in NETWORKS:
        figures = {way: [each[name] for each in turns] for way, turns in found.items()}
        rows += [
            {
                "what": f"{name}: pictures a second, {way}",
                "value": round(statistics.median(values)),
                "spread": f"{min(values):.0f} to {max(values):.0f}",
            }
            for way, values in figures.items()
        ]
        one, two = figures.values()
        ratios = [b / a for a, b in zip(one, two, strict=True)]
        rows.append(
            {
                "what": f"{name}: two processes against one, median of the turns' ratios",
                "value": round(statistics.median(ratios), 2),
                "spread": f"{min(ratios):.2f} to {max(ratios):.2f}",
            }
        )
    notes = f"Digits of {SIDE} x {SIDE}, batches of {BATCH}, float32, gloo on one machine."
    question = "What do two processes gain over one with two threads?"
    keep("processes", question, rows, notes)


if __name__ == "__main__":
    main()
