"""Is it faster to train the folds and seeds of a study together than one after the other?

EEGNet on batches of 64 and of 16 trials (22 electrodes, 1,000 samples), the steps of two networks:
one after the other with all threads; in two processes with one thread each; and together in one
process, vmapped over their weights (`torch.func`, the plain form, which is what vmap can do). Each
way is timed for the same number of steps, in turn; milliseconds a step of one network.

    python -m benchmarks.eeg_together [--turns 5] [--steps 10] [--no-keep]
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.eeg_networks import CLASSES, ELECTRODES, SAMPLES, trials
from benchmarks.eeg_steps import _row
from vitreous.convolution.fast.form import using_form
from vitreous.networks import build_network
from vitreous.networks.max_norm import keep_norms_limited

NETWORKS = 2


def made(seed: int):
    """A network, its optimiser, and a step on a batch."""
    network = build_network("eegnet", (1, ELECTRODES, SAMPLES), CLASSES, seed=seed).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        with using_form("fast"):
            loss = nn.functional.cross_entropy(network(inputs), targets)
        network.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        keep_norms_limited(network)

    return step


def batch_of(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    signals, labels = trials(size)
    return torch.from_numpy(signals)[:, None], torch.from_numpy(labels)


def one_after_the_other(size: int, steps: int) -> Callable[[], None]:
    """Both networks, each for all its steps."""
    inputs, targets = batch_of(size)
    taken = [made(seed) for seed in range(NETWORKS)]

    def turn() -> None:
        for step in taken:
            for _ in range(steps):
                step(inputs, targets)

    return turn


def _work(seed: int, size: int, steps: int, asked, done) -> None:
    torch.set_num_threads(1)
    inputs, targets = batch_of(size)
    step = made(seed)
    while asked.get():
        for _ in range(steps):
            step(inputs, targets)
        done.put(seed)


class Processes:
    """Two processes with a thread each, that wait for their turn."""

    def __init__(self, size: int, steps: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.done = context.Queue()
        self.asked = [context.Queue() for _ in range(NETWORKS)]
        self.processes = [
            context.Process(target=_work, args=(seed, size, steps, asked, self.done))
            for seed, asked in enumerate(self.asked)
        ]
        for process in self.processes:
            process.start()

    def turn(self) -> None:
        """All steps of both."""
        for asked in self.asked:
            asked.put(True)
        for _ in self.asked:
            self.done.get()

    def end(self) -> None:
        """Let them go."""
        for asked, process in zip(self.asked, self.processes, strict=True):
            asked.put(False)
            process.join()


def vmapped(size: int, steps: int) -> Callable[[], None]:
    """Both networks in each operation; norms take batch statistics and keep none."""
    inputs, targets = batch_of(size)
    networks = [
        build_network("eegnet", (1, ELECTRODES, SAMPLES), CLASSES, seed=seed).train()
        for seed in range(NETWORKS)
    ]
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    parameters, buffers = stack_module_state(networks)  # type: ignore[arg-type]
    held = [nn.Parameter(value) for value in parameters.values()]
    optimizer = torch.optim.AdamW(held, lr=1e-3, fused=True)

    def loss_of(own, own_buffers):
        answers = functional_call(networks[0], (own, own_buffers), (inputs,))
        return nn.functional.cross_entropy(answers, targets)

    gradients = vmap(grad(loss_of), randomness="different")

    def turn() -> None:
        for _ in range(steps):
            found = gradients(dict(zip(parameters, held, strict=True)), buffers)
            for value, gradient in zip(held, found.values(), strict=True):
                value.grad = gradient
            optimizer.step()

    return turn


def measured(size: int, turns: int, steps: int) -> list[dict]:
    """The rows of one batch size."""
    processes = Processes(size, steps)
    ways = {
        "one after the other, all threads": one_after_the_other(size, steps),
        "two processes of one thread": processes.turn,
        "vmapped over weights": vmapped(size, steps),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for turn in range(turns + 1):
            for way, call in ways.items():
                started = time.perf_counter()
                call()
                if turn:
                    spent = 1000 * (time.perf_counter() - started)
                    found[way].append(spent / (steps * NETWORKS))
    finally:
        processes.end()
    first = median(found["one after the other, all threads"])
    return [
        {**_row(f"batch {size}: {way}, ms a step", times), "faster": f"{first / median(times):.2f}"}
        for way, times in found.items()
    ]


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("--no-keep", action="store_true")
    options = parser.parse_args()
    rows = [row for size in (64, 16) for row in measured(size, options.turns, options.steps)]
    if options.no_keep:
        print(*rows, sep="\n")
        return
    from benchmarks.results import keep

    notes = f"{torch.get_num_threads()} threads in all. {options.note}"
    question = "Is it faster to train the folds and seeds of a study together?"
    keep("eeg_together", question, rows, notes)


if __name__ == "__main__":
    main()
