"""CIFAR-10 on this machine: `pocket` beside the airbench94 recipe, and beside a plain loop.

The JPEG copies (their loss caps every method) are decoded once; both methods train on all 50,000
training pictures from the same decoded pixels, one after the other, and average their views of the
test pictures. `pocket` is trained by Vitreous' own loop, with validation on 500 training pictures
after each epoch as a pulse; its last averaged weights are scored, nothing is chosen. The plain loop
is what tutorials have: float32, a DataLoader with two workers that decode and augment.

    python -m benchmarks.cifar10 [--data FOLDER] [--scratch FOLDER] [--fresh] [--epochs N]

About forty minutes on two cores. What is finished is kept in the scratch folder: a broken
measurement goes on behind it; `--fresh` measures all anew. `--pictures` and `--peer-epochs` are for
trying the script: then nothing is written to `benchmarks/results`.
"""

import argparse
import itertools
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.peers import airbench94
from benchmarks.results import keep
from vitreous.data.augmentation import default_augmentation
from vitreous.data.transforms import fit_scaling
from vitreous.inference import Compute, Views, outputs_of_rows
from vitreous.networks import build_network
from vitreous.runs.prepare import decode, format_of, open_source
from vitreous.runs.request import TrainRequest
from vitreous.runs.set_up import fit_first_layer
from vitreous.runs.talk import Talk
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.cheaper_steps import full_steps
from vitreous.training.checkpoints import State
from vitreous.training.fastest import Wanted, fastest_path
from vitreous.training.loop import Training, batches_of_epoch, train, train_step
from vitreous.training.memory import freed_memory_kept
from vitreous.training.plan import steps_in_epochs
from vitreous.training.recipe import pocket_epochs, pocket_recipe

QUIET = Talk(True)
PULSE = 500  # training pictures looked at after each epoch
ROUNDS = 5
PLAIN_BATCH, PLAIN_STEPS, OUR_STEPS = 128, 30, 4  # a window of each in the interleaved timing


def unpacked(data: Path, scratch: Path) -> Path:
    """The folder of JPEGs, unpacked once."""
    folder = scratch / "jpeg"
    if not folder.is_dir():
        partial = scratch / "jpeg.partial"
        with tarfile.open(data / "cifar10" / "cifar10_jpeg.tar.gz") as archive:
            archive.extractall(partial, filter="data")
        partial.rename(folder)
    return folder


def our_training(data: TrainingData, classes: tuple[str, ...], seed: int, epochs: int) -> Training:
    """A training of pocket as `vitreous train` sets it up, on the path that is the fastest here."""
    shape: tuple[int, int, int] = tuple(data.pixels.shape[1:])  # type: ignore[assignment]
    network = build_network("pocket", shape, len(classes), scaling=data.scaling, seed=seed)
    fit_first_layer(network, data, QUIET)
    recipe = pocket_recipe(len(data.train_rows), shape[1:], default_augmentation(*shape))
    steps = steps_in_epochs(len(data.train_rows), recipe.batch_size, epochs)
    standing = Training(
        network=network,
        task=Classify(classes),
        data=data,
        recipe=recipe,
        state=State(planned_steps=steps),
        seed=seed,
        metric="val_accuracy",
        higher_is_better=True,
        compute=Compute(memory_format="channels_last"),
    )
    compute, _ = fastest_path(standing, Wanted(), steps=steps, seconds=None)
    return replace(standing, compute=compute)


class Pulse:
    """Says how an epoch went."""

    def step(self, state, loss, pictures) -> None:
        """Nothing is said of a step."""

    def epoch(self, state, row) -> None:
        """One line on the error stream."""
        print(f"pocket: epoch {row['epoch']}, {state.seconds:.0f} s", file=sys.stderr, flush=True)


def measure_pocket(data: TrainingData, classes, test_rows, seed: int, epochs: int) -> dict:
    """Seconds and accuracy of pocket; choosing the compute path and whitening are in the time."""
    started = time.monotonic()
    training = our_training(data, classes, seed, epochs)
    training.watchers = (Pulse(),)
    train(training)
    trained = time.monotonic()
    training.network.load_state_dict(training.average.tensors)
    truth = data.targets[torch.from_numpy(test_rows)]

    def accuracy(views: Views) -> float:
        answers = outputs_of_rows(
            training.network, data.pixels, test_rows, data.scaling, training.compute, views
        )
        return float((answers.argmax(1) == truth).double().mean())

    averaged = accuracy(training.recipe.views)
    scored = time.monotonic()
    return {
        "accuracy": averaged,
        "accuracy_one_view": accuracy(Views()),
        "training_seconds": trained - started,
        "scoring_seconds": scored - trained,
        "epochs": epochs,
        "path": f"{training.compute.dtype} {training.compute.memory_format}"
        + (" compiled" if training.compute.compiled else ""),
    }


def measure_peer(pixels, labels, seed: int, epochs: float) -> dict:
    """The same of airbench94."""

    def say(epoch: int, seconds: float) -> None:
        print(f"airbench94: epoch {epoch}, {seconds:.0f} s", file=sys.stderr, flush=True)

    return vars(airbench94.run(pixels, labels, seed, say, epochs))


def plain_steps(folder: Path, classes: int, scaling) -> Iterator[int]:
    """Steps of a loop as tutorials write it, with the network of `pocket`; pictures in each."""
    change = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(scaling.mean, scaling.std),
        ]
    )
    pictures = datasets.ImageFolder(str(folder / "train"), change)
    loader = DataLoader(pictures, PLAIN_BATCH, shuffle=True, num_workers=2, drop_last=True)
    network = build_network("pocket", (3, 32, 32), classes, seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network.train()
    while True:
        for inputs, targets in loader:
            loss = F.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            yield len(inputs)


def our_steps(training: Training) -> Iterator[int]:
    """Steps of our loop, one epoch's batches after the other; pictures in each."""
    while True:
        for batch in batches_of_epoch(training):
            train_step(training, batch.pixels, batch.targets)
            yield len(batch.pixels)


def window(steps: Iterator[int], count: int) -> float:
    """Pictures a second over so many steps."""
    started = time.monotonic()
    pictures = sum(itertools.islice(steps, count))
    return pictures / (time.monotonic() - started)


@freed_memory_kept()  # as in a training of ours; the others gain by it as well
def measure_pace(
    folder: Path, data: TrainingData, classes, labels: np.ndarray, rounds: int, epochs: int
) -> dict:
    """Pictures a second of the three loops, in windows by turns; a first one is left out."""
    training = our_training(data, classes, seed=0, epochs=epochs)
    training.recipe = full_steps(training.recipe)  # whole pictures, as the others see them
    pictures = data.pixels[data.train_rows]
    loops = {
        "ours": (our_steps(training), OUR_STEPS),
        "airbench94": (peer_steps(pictures, labels), OUR_STEPS),
        "plain": (plain_steps(folder, len(classes), data.scaling), PLAIN_STEPS),
    }
    for steps, _ in loops.values():
        window(steps, 2)
    rounds_of = [
        {name: window(steps, count) for name, (steps, count) in loops.items()}
        for _ in range(rounds)
    ]
    found: dict = {name: median(each[name] for each in rounds_of) for name in loops}
    for other in ("plain", "airbench94"):
        ratios = [each["ours"] / each[other] for each in rounds_of]
        found[f"over_{other}"] = {
            "ratio": median(ratios), "least": min(ratios), "most": max(ratios)
        }  # fmt: skip
    return found


def peer_steps(pictures: np.ndarray, labels: np.ndarray) -> Iterator[int]:
    """Steps of airbench94; pictures in each."""
    for _ in airbench94.steps(pictures, labels, 0, airbench94.EPOCHS):
        yield airbench94.BATCH


def once(path: Path, name: str, fresh: bool, measure: Callable[[], dict]) -> dict:
    """A part that was measured is read back; otherwise it is measured and kept."""
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if fresh or name not in kept:
        kept[name] = measure()
        path.write_text(json.dumps(kept, indent=1))
        print(name, json.dumps(kept[name]), file=sys.stderr, flush=True)
    return kept[name]


def rows_of(pocket: dict, peer: dict, pace: dict, decoding: dict) -> list[dict]:
    """What is kept."""
    gap = 100 * (pocket["accuracy"] - peer["accuracy"])
    share = pocket["training_seconds"] / peer["training_seconds"]
    plain, beside = pace["over_plain"], pace["over_airbench94"]
    rows: list[dict] = [
        {"what": "60,000 JPEGs decoded into the cache: s", "value": round(decoding["seconds"], 1)}
    ]
    for name, found in (("pocket", pocket), ("airbench94", peer)):
        rows += [
            {"what": f"{name}: test accuracy, views averaged: %",
             "value": round(100 * found["accuracy"], 2)},
            {"what": f"{name}: test accuracy, one view: %",
             "value": round(100 * found["accuracy_one_view"], 2)},
            {"what": f"{name}: training, s", "value": round(found["training_seconds"])},
            {"what": f"{name}: scoring, s", "value": round(found["scoring_seconds"])},
        ]  # fmt: skip
    rows += [
        {"what": "pocket less airbench94: points", "value": round(gap, 2), "bar": "at least -0.2"},
        {"what": "pocket's training time / airbench94's", "value": round(share, 3),
         "bar": "at most 0.8"},
        {"what": "pocket: pictures a second in training", "value": round(pace["ours"])},
        {"what": "plain float32 loop, same network: pictures a second",
         "value": round(pace["plain"])},
        {"what": "ours / plain loop, pictures a second, in turns",
         "value": round(plain["ratio"], 2),
         "bar": "at least 2.2", "spread": f"{plain['least']:.2f} to {plain['most']:.2f}"},
        {"what": "ours / airbench94, pictures a second, in turns",
         "value": round(beside["ratio"], 2),
         "spread": f"{beside['least']:.2f} to {beside['most']:.2f}"},
    ]  # fmt: skip
    return rows


def main() -> None:
    """Measure what is not measured yet, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
    )
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-cifar10"
    )
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--peer-epochs", type=float, default=airbench94.EPOCHS)
    parser.add_argument("--pictures", type=int, default=None)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    os.environ["VITREOUS_CACHE"] = str(options.scratch / "cache")
    trying = options.pictures is not None or options.peer_epochs != airbench94.EPOCHS
    parts = options.scratch / ("trying.json" if trying else f"parts-seed-{options.seed}.json")

    folder = unpacked(options.data, options.scratch)
    source = open_source(folder, TrainRequest(), QUIET)
    started = time.monotonic()
    cache = decode(source, format_of(source, TrainRequest()), QUIET)
    seconds = time.monotonic() - started
    decoding = once(parts, "decoding", False, lambda: {"seconds": seconds})
    if cache.skipped:
        sys.exit(f"{len(cache.skipped)} pictures cannot be read")
    pixels = np.asarray(cache.pixels)
    targets = Classify(source.classes).encode([sample.label for sample in source.samples])
    split = np.array([sample.split for sample in source.samples])
    rows = {part: np.flatnonzero(split == part) for part in ("train", "test")}
    if options.pictures is not None:
        chosen = np.random.default_rng(0).permutation(rows["train"])
        rows = {"train": np.sort(chosen[: options.pictures]), "test": rows["test"][::50]}
    pulse = rows["train"][:: max(1, len(rows["train"]) // PULSE)]
    scaling = fit_scaling(pixels, rows["train"])
    data = TrainingData(pixels, targets, rows["train"], pulse, scaling)
    epochs = options.epochs or pocket_epochs(len(rows["train"]))
    by_part = {part: (pixels[at], targets[at].numpy()) for part, at in rows.items()}

    fresh, classes = options.fresh, source.classes
    labels = by_part["train"][1]
    pace = once(
        parts, "pace", fresh,
        lambda: measure_pace(folder, data, classes, labels, ROUNDS, epochs),
    )  # fmt: skip
    pocket = once(
        parts, "pocket", fresh,
        lambda: measure_pocket(data, classes, rows["test"], options.seed, epochs),
    )  # fmt: skip
    peer = once(
        parts, "airbench94", fresh,
        lambda: measure_peer(
            {part: both[0] for part, both in by_part.items()},
            {part: both[1] for part, both in by_part.items()},
            options.seed, options.peer_epochs,
        ),
    )  # fmt: skip
    found = rows_of(pocket, peer, pace, decoding)
    if trying:
        print(json.dumps(found, indent=1))
        return
    notes = (
        f"pocket: {pocket['epochs']} epochs, {pocket['path']}; airbench94: 9.9 epochs, bfloat16 "
        "autocast, channels last. The pictures are JPEG copies, whose loss costs every method two "
        "to three points: not to be compared with published figures. Both trained on all 50,000."
    )
    keep(
        "cifar10",
        "Is pocket faster than airbench94 at its accuracy, on this machine?",
        found,
        notes,
    )


if __name__ == "__main__":
    main()
