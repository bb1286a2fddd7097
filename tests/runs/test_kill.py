"""kill -9 at three moments: the next command works, and the weights end as if nothing was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_sample_image

from vitreous.runs.record import RunRecord

EPOCHS = "8"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Two classes of crops of two real photographs, large enough that decoding takes seconds."""
    folder = tmp_path_factory.mktemp("kill") / "photographs"
    random = np.random.default_rng(0)
    for name in ("china.jpg", "flower.jpg"):
        picture = Image.fromarray(load_sample_image(name))
        (folder / name[:-4]).mkdir(parents=True)
        for number in range(60):
            left, top = random.integers(0, 200), random.integers(0, 100)
            crop = picture.crop((left, top, left + 430, top + 320)).resize((1720, 1280))
            crop.save(folder / name[:-4] / f"{number:03d}.jpg", quality=90)
    return folder


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "vitreous", *map(str, words)]


def run_to_end(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_when(words: list[str], environment: dict[str, str], seen: Callable[[], bool]) -> None:
    """Start the command and kill -9 it as soon as something is seen on the disk."""
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not seen():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def lines_in(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def test_kill_at_any_time_and_go_on(photographs, tmp_path):
    cache = tmp_path / "cache"
    environment = {
        **os.environ,
        "VITREOUS_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "default",
    }
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    train = ["train", photographs, "--network", "lenet5", "--epochs", EPOCHS]
    start = command(*train, "--out", broken)
    resume = command("train", "--resume", broken)

    # in the middle of decoding: nothing half-written is read, the same command starts again
    kill_when(start, environment, lambda: any(cache.glob("**/pixels.u8")))
    assert not (broken / "run.json").exists()

    # in the middle of training
    kill_when(start, environment, lambda: lines_in(broken / "history.csv") > 2)
    assert RunRecord.read(broken).status == "running"

    # in the middle of scoring and reporting
    kill_when(resume, environment, lambda: (broken / "evaluation.json").exists())
    assert not (broken / "report.html").exists()

    run_to_end(resume, environment)
    run_to_end(command(*train, "--out", unbroken), environment)
    assert RunRecord.read(broken).status == RunRecord.read(unbroken).status == "finished"
    first = load_file(broken / "network.safetensors")
    second = load_file(unbroken / "network.safetensors")
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert (broken / "predictions.csv").read_text() == (unbroken / "predictions.csv").read_text()
    assert (broken / "report.html").stat().st_size > 10_000
    left = [path.name for path in (*broken.iterdir(), *cache.iterdir())]
    assert not [name for name in left if "partial" in name and "pixels" in name]


def test_ctrl_c_leaves_a_run_that_goes_on(photographs, tmp_path):
    environment = {**os.environ, "VITREOUS_CACHE": str(tmp_path / "c"), "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command("train", photographs, "--network", "lenet5", "--epochs", "400", "--out", folder),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while lines_in(folder / "history.csv") < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert f"go on with `vitreous train --resume {folder}`" in said
    assert RunRecord.read(folder).status == "interrupted"
    assert not (folder / "evaluation.json").exists()
