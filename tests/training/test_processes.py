"""Two processes under torchrun train as one does; each case runs in both ways."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitreous.data.augmentation import Augmentation
from vitreous.errors import RequestError
from vitreous.tasks import Classify, ClassifyMultilabel, Regress
from vitreous.training.batches import batches
from vitreous.training.launcher import launched
from vitreous.training.processes import ALONE, Processes, processes_together

from .shared_cases import STEPS, digits, trained

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """The folder that two processes have written all cases to."""
    folder = tmp_path_factory.mktemp("shared")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "tests.training.shared_cases", str(folder)],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def history_of(shared: Path, name: str, rank: int) -> list[dict]:
    return json.loads((shared / f"{name}-{rank}.json").read_text())


@pytest.mark.parametrize("name", STEPS)
def test_two_processes_end_with_the_weights_of_one(shared, name, one_thread):
    alone, state = trained(name, ALONE)
    first, second = (load_file(shared / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys() == alone.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert history_of(shared, name, 0) == history_of(shared, name, 1)
    for row, expected in zip(history_of(shared, name, 0), state.history, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-6)
        assert row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-5)
    apart = [(first[key].double() - value.double()) for key, value in alone.items()]
    if name == "resnet":
        # Adam divides a gradient by its own size: those near to rounding differ more
        norm = sum(float(value.double().square().sum()) for value in alone.values()) ** 0.5
        assert sum(float(each.square().sum()) for each in apart) ** 0.5 < 1e-4 * norm
    else:
        assert max(float(each.abs().max()) for each in apart) < 1e-5


def test_what_processes_tell_each_other(shared):
    first, second = (json.loads((shared / f"heard-{rank}.json").read_text()) for rank in (0, 1))
    assert (first["part"], second["part"]) == ([0, 1, 2], [3, 4])
    assert (first["share"], second["share"]) == (0.25, 0.75)
    assert (first["machine"], second["machine"]) == (0, 1)
    for heard in (first, second):
        assert heard["agreed"] == 40
        assert heard["flag"] is True
        assert heard["joined"] == [[float(row), -float(row)] for row in range(5)]
        assert heard["joined from one"] == [[7.0, 7.0]]
        assert heard["told"] == {"rank": 0}
        assert heard["remembered"] is None


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_parts_of_a_batch_are_the_batch_whatever_their_number(count):
    def of(processes):
        changes = Augmentation(shift=0.3, flip_horizontal=True, erase=0.3)
        return list(batches(digits(1), batch_size=50, seed=2, epoch=5, augmentation=changes,
                            processes=processes))  # fmt: skip

    parts = [of(Processes(rank, count)) for rank in range(count)]
    for number, whole in enumerate(of(ALONE)):
        assert torch.equal(torch.cat([each[number].pixels for each in parts]), whole.pixels)
        assert torch.equal(torch.cat([each[number].targets for each in parts]), whole.targets)
        assert {each[number].samples for each in parts} == {len(whole.pixels)}
        sizes = [len(each[number].pixels) for each in parts]
        assert max(sizes) - min(sizes) <= 1


CLASSES = ("a", "b", "c")
RANDOM = torch.Generator().manual_seed(0)
SOME = torch.randint(3, (9,), generator=RANDOM)
WEIGHTS = torch.tensor([0.1, 1.0, 5.0])


@pytest.mark.parametrize(
    ("task", "targets", "weights"),
    [
        (Classify(CLASSES), SOME, None),
        (Classify(CLASSES), SOME, WEIGHTS),
        (Classify(CLASSES), torch.rand(9, 3, generator=RANDOM), WEIGHTS),  # shares of classes
        (ClassifyMultilabel(CLASSES), (torch.rand(9, 3, generator=RANDOM) > 0.5).float(), WEIGHTS),
        (Regress(), torch.rand(9, 1, generator=RANDOM), None),
    ],
)
def test_the_losses_of_parts_add_up_to_that_of_the_batch(task, targets, weights):
    outputs = torch.randn(9, task.outputs, generator=RANDOM)
    loss = {"label_smoothing": 0.1, "class_weights": weights}
    parts = [(outputs[rows], targets[rows]) for rows in (slice(0, 2), slice(2, 9))]
    counts = [task.weight(part, weights) for _, part in parts]
    shared = sum(
        count / sum(counts) * float(task.loss(*part, **loss))
        for count, part in zip(counts, parts, strict=True)
    )
    assert shared == pytest.approx(float(task.loss(outputs, targets, **loss)), rel=1e-6)


def test_one_process_by_itself_needs_nobody(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with processes_together() as processes:
        assert processes is ALONE
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(RequestError, match="start several processes with torchrun"):
        launched()


def test_processes_that_cannot_meet_say_so(monkeypatch):
    with socket.socket() as taken:  # a port on which nobody answers as a store
        taken.bind(("127.0.0.1", 0))
        where = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(taken.getsockname()[1])}  # fmt: skip
        for name, value in where.items():
            monkeypatch.setenv(name, value)
        taken.listen()
        with pytest.raises(Exception, match="cannot reach the others at"), processes_together():
            pass


def test_summed_gradients_lie_in_memory_as_their_parameters_do(monkeypatch):
    """A fused step goes by memory: a kernel with channels last needs its gradient so, too."""
    monkeypatch.setattr(Processes, "summed", lambda self, tensor: tensor)
    start = torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    gradient, moved = torch.randn(8, 4, 3, 3), []
    for processes in (ALONE, Processes(count=2)):
        kernel = torch.nn.Parameter(start.clone(memory_format=torch.preserve_format))
        (kernel * gradient).sum().backward()
        processes.sum_gradients([kernel], torch.tensor(0.0))
        assert kernel.grad is not None
        assert kernel.grad.stride() == kernel.stride()
        torch.optim.AdamW([kernel], fused=True).step()
        moved.append(kernel.detach())
    torch.testing.assert_close(moved[1], moved[0])
