"""The command line under torchrun: killed, stopped, and given bad data; real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitreous.errors import RequestError
from vitreous.runs.folders import run_folder
from vitreous.runs.record import RunRecord
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.set_up import refuse_empty_parts
from vitreous.runs.train import train
from vitreous.training.devices import device_of
from vitreous.training.launcher import Launch
from vitreous.training.processes import ALONE, Processes

from .conftest import write_digits

VITREOUS = ("-m", "vitreous")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "VITREOUS_CACHE": cache, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_digits(tmp_path_factory.mktemp("spread") / "digits", count=60)


def started(words: list, where: Path, environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        list(map(str, words)), cwd=where, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_epochs(process: subprocess.Popen, history: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    while not history.exists() or history.read_text().count("\n") <= epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def worker(torchrun: subprocess.Popen, rank: int) -> int:
    """The process number of torchrun's worker of a rank."""
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    for child in children:
        if f"RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text().replace("_RANK", ""):
            return int(child)
    raise AssertionError(f"no worker {rank} among {children}")


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@needs_proc
def test_a_killed_process_is_started_again_and_the_weights_are_those_of_one(
    pictures, environment, tmp_path, monkeypatch
):
    words = [*TORCHRUN, "--max-restarts", 1, *VITREOUS, "train", pictures]
    process = started([*words, "--network", "lenet5", "--epochs", 3], tmp_path, environment)
    folder = tmp_path / "runs" / "digits-1"  # no --out: the name must outlive the restart
    wait_for_epochs(process, folder / "history.csv", 1)
    os.kill(worker(process, 1), signal.SIGKILL)
    answer, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert [path.name for path in folder.parent.iterdir()] == ["digits-1"]
    assert "going on with runs/digits-1 at step 6 of 18" in said
    assert said.count("another process of this training ended") <= 1
    assert answer.count("run: runs/digits-1") == 1

    monkeypatch.setenv("VITREOUS_CACHE", environment["VITREOUS_CACHE"])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = train(pictures, network="lenet5", epochs=3, out=tmp_path / "alone", quiet=True)
    torch.set_num_threads(before)
    record = RunRecord.read(folder)
    assert record.status == "finished"
    assert (record.compute["processes"], alone.record.compute["processes"]) == (2, 1)
    assert record.recipe == alone.record.recipe
    for name in ("network", "last"):
        shared, whole = (load_file(at / f"{name}.safetensors") for at in (folder, alone.folder))
        assert shared.keys() == whole.keys()
        for key, value in whole.items():
            torch.testing.assert_close(shared[key], value, rtol=0, atol=1e-5)
    assert (folder / "split.csv").read_text() == (alone.folder / "split.csv").read_text()


@needs_proc
def test_ctrl_c_stops_all_at_one_step(pictures, environment, tmp_path):
    folder = tmp_path / "run"
    words = [*TORCHRUN, *VITREOUS, "train", pictures, "--network", "lenet5", "--out", folder]
    process = started([*words, "--epochs", 400], tmp_path, environment)
    wait_for_epochs(process, folder / "history.csv", 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert said.count("stopped after step") == 1, said
    assert "vitreous/" not in said  # no traceback of ours; torchrun has its own
    assert RunRecord.read(folder).status == "interrupted"
    assert not (folder / "evaluation.json").exists()


def test_the_same_command_goes_on_in_its_folder_under_torchrun_alone(run, digits, tmp_path):
    under_torchrun = Processes(launch=Launch(address="localhost"))
    request = TrainRequest.from_json(run.record.request)
    unfinished = Run(tmp_path / "run", replace(run.record, status="interrupted"))
    unfinished.record.write(unfinished.folder)
    assert run_folder(unfinished.folder, digits, request, under_torchrun) == (
        unfinished.folder, True,
    )  # fmt: skip
    others = [
        (digits, request, ALONE),
        (digits, replace(request, seed=7), under_torchrun),
        (digits.parent, request, under_torchrun),
    ]
    for other in others:
        with pytest.raises(RequestError, match="is not empty"):
            run_folder(unfinished.folder, *other)
    with pytest.raises(RequestError, match="is not empty"):  # what is finished is not begun again
        run_folder(run.folder, digits, request, under_torchrun)


def test_devices_that_cannot_be_shared_are_refused(monkeypatch):
    second = Processes(1, 2, Launch(1, 2, local_rank=1))
    assert device_of("cpu", second) == "cpu"
    assert device_of("mps", ALONE) == "mps"
    with pytest.raises(RequestError, match="several take cpu or cuda"):
        device_of("cuda:1", second)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda", second) == "cuda:1"
    assert chosen == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RequestError, match="process 2 of this machine finds 1 GPU"):
        device_of("cuda", second)


def test_a_batch_too_small_to_share_is_refused():
    refuse_empty_parts(100, 2, Processes(0, 2))
    with pytest.raises(RequestError, match="batches of 2 samples cannot be shared by 3"):
        refuse_empty_parts(100, 2, Processes(0, 3))


def both(words: list, folders: list[Path], environment: dict[str, str]) -> list[tuple[int, str]]:
    """Exit status and words of two processes that were started without torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        started([sys.executable, *VITREOUS, *words], folder,
                {**environment, **address, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, folder in enumerate(folders)
    ]  # fmt: skip
    found = []
    for process in processes:
        said = "".join(process.communicate(timeout=120))
        found.append((process.returncode, said))
    return found


@pytest.mark.parametrize(
    ("words", "folders", "speaker", "said"),
    [
        (["train", "nothing"], ["", ""], 0, "vitreous: nothing: "),
        (["train", "digits"], ["..", ""], 1, "vitreous: digits: "),  # one machine lacks the data
        (["predict", "run", "digits"], ["", ""], 0, "predict works in one process"),
    ],
)
def test_what_is_wrong_is_said_once_and_ends_both(
    pictures, environment, words, folders, speaker, said
):
    found = both(words, [pictures / folder for folder in folders], environment)
    assert [status for status, _ in found] == [1, 1]
    together = "".join(each for _, each in found)
    assert said in found[speaker][1]
    assert together.count("vitreous: ") == 1, together
    assert "Traceback" not in together
    assert not list(pictures.parent.rglob("run.json"))
