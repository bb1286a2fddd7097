"""Trainings that the tests run in one process, and under torchrun in two: `FOLDER` is given.

torchrun --nproc-per-node 2 -m tests.training.shared_cases FOLDER
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from vitreous.data.augmentation import Augmentation
from vitreous.data.transforms import fit_scaling
from vitreous.networks import build_network
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import State
from vitreous.training.loop import Training, train
from vitreous.training.processes import Processes, processes_together
from vitreous.training.recipe import Recipe

CLASSES = tuple("0123456789")
STEPS = {"lenet5": 14, "resnet": 4, "balanced": 14}  # two epochs; what grows from rounding is small
RECIPE = Recipe(batch_size=56, learning_rate=2e-3, augmentation=Augmentation(shift=0.15))


def digits(times: int) -> TrainingData:
    """500 real digits of 8 x 8, each pixel repeated; batches of 55 and 56 have unequal parts."""
    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)[:, None]
    order = np.random.default_rng(0).permutation(len(pixels))[:501]
    pixels = pixels.repeat(times, axis=2).repeat(times, axis=3)
    targets = torch.from_numpy(found.target).long()
    rows, watched = order[:390], order[390:]
    return TrainingData(pixels, targets, rows, watched, fit_scaling(pixels, rows))


def network_of(name: str) -> nn.Module:
    if name == "balanced":  # batch norm over few values, and no dropout
        torch.manual_seed(0)
        body = [nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(
            *body, nn.Linear(8 * 36, 32, bias=False), nn.BatchNorm1d(32), nn.Linear(32, 10)
        )
    side = {"lenet5": 32, "resnet": 16}[name]
    network = build_network(name, (1, side, side), len(CLASSES), seed=0)
    return without_dropout(network)


def without_dropout(network: nn.Module) -> nn.Module:
    """Its masks differ between processes, so that no two pictures of a batch share one."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def trained(name: str, processes: Processes) -> tuple[dict[str, Tensor], State]:
    """The weights of a case (and their averages) after its steps, and where it stands."""
    training = Training(
        network=network_of(name),
        task=Classify(CLASSES),
        data=digits({"lenet5": 4, "resnet": 2, "balanced": 1}[name]),
        recipe=RECIPE,
        state=State(planned_steps=STEPS[name]),
        seed=3,
        metric="val_accuracy",
        higher_is_better=True,
        class_weights=torch.linspace(0.2, 3.0, 10) if name == "balanced" else None,
        processes=processes,
    )
    state = train(training)
    averages = {f"average.{key}": value for key, value in training.average.tensors.items()}
    tensors = {**training.network.state_dict(), **averages}
    return {key: value.contiguous().clone() for key, value in tensors.items()}, state


def talk(processes: Processes) -> dict:
    """What the processes tell each other, as each of them hears it."""
    rows = np.arange(5)
    part = torch.from_numpy(processes.part(rows)).float()
    return {
        "agreed": processes.agreed(40 + processes.rank),
        "flag": processes.agreed(processes.first),
        "share": processes.share(1.0 + 2 * processes.rank),
        "part": processes.part(rows).tolist(),
        "joined": processes.joined(torch.stack([part, -part], 1), 5).tolist(),
        "joined from one": processes.joined(torch.full((1 - processes.rank, 2), 7.0), 1).tolist(),
        "told": processes.from_first("told", lambda: {"rank": processes.rank}),
        "machine": processes.one_a_machine_first("machine", lambda: processes.rank),
        "remembered": processes.remembered("nothing"),
    }


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    with processes_together() as processes:
        heard = talk(processes)
        (folder / f"heard-{processes.rank}.json").write_text(json.dumps(heard))
        for name in STEPS:
            tensors, state = trained(name, processes)
            save_file(tensors, folder / f"{name}-{processes.rank}.safetensors")
            history = [{**row, "seconds": 0} for row in replace(state).history]
            (folder / f"{name}-{processes.rank}.json").write_text(json.dumps(history))
        processes.all_reach("the end")


if __name__ == "__main__":
    main()
