"""The main job on real data sets, by the command line alone: two minutes of training each.

Run by `make acceptance`; figures are printed and written to benchmarks/results/acceptance.json.
"""

import gzip
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.results import FOLDER, keep

pytestmark = [pytest.mark.data, pytest.mark.acceptance]
TIME = "2m"


def vitreous(*words, status: int = 0) -> str:
    """Run a verb; its standard output."""
    call = [sys.executable, "-m", "vitreous", *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == status, f"{call}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def cifar10(real_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(real_data / "cifar10" / "cifar10_jpeg.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    inside = [path for path in folder.iterdir() if path.is_dir()]
    return folder if (folder / "train").is_dir() else inside[0]


@pytest.fixture(scope="session")
def hippocampus_slices(real_data, tmp_path_factory) -> Path:
    """A CSV of MR slices with the patient as group: does the anterior part show?"""
    folder = tmp_path_factory.mktemp("slices")
    lines = ["path,label,patient"]
    for path in sorted((real_data / "msd_hippocampus" / "imagesTr").glob("*.nii.gz"))[:60]:
        scan = nifti(path)
        labels = nifti(real_data / "msd_hippocampus" / "labelsTr" / path.name)
        patient = path.name.split(".")[0]
        for number in range(0, scan.shape[1], 3):
            name = f"{patient}_{number:02d}.png"
            grey = 255.0 * scan[:, number] / np.percentile(scan, 99.5)
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / name)
            shows = "anterior" if (labels[:, number] == 1).any() else "none"
            lines.append(f"{name},{shows},{patient}")
    (folder / "slices.csv").write_text("\n".join(lines) + "\n")
    return folder


def nifti(path: Path) -> np.ndarray:
    """Values of a small NIfTI-1 file (float32 or uint8), axes x, y, z."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, "<i2", 3, 42)
    kind = {16: "<f4", 2: "u1"}[int(np.frombuffer(content, "<i2", 1, 70)[0])]
    start = int(np.frombuffer(content, "<f4", 1, 108)[0])
    values = np.frombuffer(content, kind, int(np.prod(shape)), start)
    return values.reshape(shape, order="F")


def main_job(name: str, data: Path, folder: Path, inputs, *train_words) -> dict:
    """inspect, train (and a rival for 30 s), evaluate, predict, compare; what came out."""
    found = json.loads(vitreous("inspect", data, "--json"))
    runs, seconds = [], []
    for network, allowed in (((), TIME), (("--network", "lenet5"), "30s")):
        started = time.monotonic()
        runs.append(folder / f"{name}-{allowed}")
        words = ["--time", allowed, *network, "--out", runs[-1], *train_words]
        vitreous("train", data, *words)
        seconds.append(time.monotonic() - started)
    scores = json.loads(vitreous("evaluate", runs[0], "--json"))
    answers = vitreous("predict", runs[0], *inputs).splitlines()
    assert len(answers) > 1
    compared = json.loads(vitreous("compare", *runs, "--json", "--quiet"))
    accuracy = scores["metrics"]["accuracy"]
    baseline = scores["baselines"]["logistic regression on 16x16 thumbnails"]["accuracy"]
    report = runs[0] / "report.html"
    assert report.stat().st_size > 20_000
    row = {
        "what": f"{name}: test accuracy after {TIME}",
        "value": round(accuracy["value"], 4),
        "spread": f"95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}",
        "n": scores["n"],
        "n_groups": scores["n_groups"],
        "thumbnail baseline": round(baseline["value"], 4),
        "lenet5 in 30s minus this": shown_difference(compared["accuracy"]["difference"]),
        "seconds in all": round(seconds[0]),
        "recognised as": found["kind"],
    }
    print("\n" + json.dumps(row))
    rows = [row]
    path = FOLDER / "acceptance.json"
    if path.exists():
        kept = json.loads(path.read_text())["rows"]
        rows = [item for item in kept if item["what"] != row["what"]] + rows
    keep(
        "acceptance",
        "What does two minutes give on real data sets?",
        rows,
        command="make acceptance",
    )
    return row


def shown_difference(score: dict) -> str:
    """The second run minus the first, with its interval."""
    ends = f"{-score['high']:+.4f} to {-score['low']:+.4f}"
    return f"{-score['value']:+.4f} ({ends})"


def test_hymenoptera(real_data, tmp_path):
    data = real_data / "hymenoptera"
    row = main_job("hymenoptera", data, tmp_path, [data / "val" / "ants"])
    assert row["value"] > 0.6


def test_fashion_mnist(real_data, tmp_path):
    picture = tmp_path / "black.png"
    Image.new("L", (28, 28)).save(picture)
    row = main_job("fashion_mnist", real_data / "fashion_mnist", tmp_path, [picture])
    assert row["value"] > 0.88


def test_cifar10_folders(cifar10, tmp_path):
    row = main_job("cifar10_jpeg", cifar10, tmp_path, [cifar10 / "test" / "cat"])
    assert row["value"] > 0.6


def test_a_table_with_groups(hippocampus_slices, tmp_path):
    row = main_job(
        "hippocampus_slices", hippocampus_slices, tmp_path, [hippocampus_slices],
        "--group", "patient",
    )  # fmt: skip
    assert row["n_groups"] > 5
    assert row["value"] > row["thumbnail baseline"] - 0.05
