"""Hippocampus: two structures in 120 MR volumes, beside MONAI's UNet and DynUNet.

    python -m benchmarks.hippocampus [--minutes 20] [--data DIR] [--only ours,unet,dynunet]

One split (80/20 of the volumes, seed 0: each is a patient of its own), the same time for each, one
after the other in processes of their own; those that are done are kept and not run again. MONAI's
networks get the recipe of its spleen tutorial (Adam 1e-4, Dice with cross-entropy, patches about
both classes), at its tutorial's widths, on the same patch and spacing. The test part is scored for
all by one function; differences are paired over patients.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.hippocampus_peers import PEERS, train_peer
from vitreous.data.recognise import recognise
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.volumes import compare_volumes, volume_figures

RESULTS = Path("benchmarks/results/hippocampus.json")
TEST_SHARE = 0.2
NAMES = ("ours", *PEERS)


def split_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to test on."""
    order = np.random.default_rng(0).permutation(count)
    tested = round(TEST_SHARE * count)
    return np.sort(order[tested:]), np.sort(order[:tested])


def folders_of(data: Path, work: Path) -> Path:
    """The training part as its own folder of links, so that no one sees the test part."""
    source = recognise(data)
    train, _ = split_of(len(source.samples))
    root = work / "train"
    for row in train:
        sample = source.samples[row]
        for path in (sample.path, sample.label.path):
            link = root / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(data / path)
    return root


def score(data: Path, masks: Path) -> dict:
    """Figures of a folder of answered masks (NIfTI, the scans' own grids) on the test part."""
    import nibabel

    source = recognise(data)
    _, test = split_of(len(source.samples))
    found = []
    for row in test:
        sample = source.samples[row]
        scan = source.volumes.scans[sample.sample_id]
        from vitreous.data.volumes.grid import turn_to_ras

        stored = np.asarray(nibabel.load(masks / Path(sample.path).name).dataobj)
        answer = turn_to_ras(scan.header.grid).apply(stored)
        spacing = source.volumes.grid(sample.sample_id).spacing_mm
        found.append(compare_volumes(source.read_mask(sample), answer, 3, spacing))
    figures = volume_figures(found, source.classes, Sampling(grouping(None, len(found))))
    return {
        "dice": [float(np.nanmean(one.dice[1:])) for one in found],
        "metrics": {name: one.to_json() for name, one in figures.metrics.items()},
        "per_class": [row.to_json() for row in figures.per_class],
    }


def run_ours(data: Path, train: Path, work: Path, minutes: float) -> Path:
    """Ours, through the command line's functions; the folder of its masks."""
    import vitreous

    out = work / "run"
    run = vitreous.train(train, time=60 * minutes, out=out)
    from vitreous.runs.predict_volumes import predict_scans, write_scan_folder

    source = recognise(data)
    _, test = split_of(len(source.samples))
    inputs = [str(data / source.samples[row].path) for row in test]
    folder = work / "answers"
    write_scan_folder(predict_scans(run, inputs), run, folder, "csv")
    return folder / "masks"


def one(name: str, data: Path, work: Path, minutes: float) -> None:
    """Train and answer with one of them, and write its result."""
    train = folders_of(data, work)
    began = time.monotonic()
    mine = work / name
    mine.mkdir(parents=True, exist_ok=True)
    if name == "ours":
        masks = run_ours(data, train, mine, minutes)
    else:
        source = recognise(data)
        _, test = split_of(len(source.samples))
        inputs = [data / source.samples[row].path for row in test]
        masks = train_peer(name, train, inputs, mine, 60 * minutes)
    result = score(data, masks) | {"seconds": time.monotonic() - began, "minutes": minutes}
    (work / f"{name}.json").write_text(json.dumps(result, indent=1))


def paired(first: list[float], second: list[float]) -> dict[str, float]:
    """Mean difference of the patients' Dice and its 95 % interval (Student's t)."""
    from scipy.stats import t

    difference = np.array(first) - np.array(second)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    reach = float(t.ppf(0.975, len(difference) - 1) * error)
    mean = float(difference.mean())
    return {"difference": mean, "low": mean - reach, "high": mean + reach}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("VITREOUS_DATA", "../shared/data")) / "msd_hippocampus"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/hippocampus"))
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    if arguments.one:
        one(arguments.one, data, arguments.work, arguments.minutes)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in arguments.only.split(","):
        kept = arguments.work / f"{name}.json"
        if not kept.is_file() or json.loads(kept.read_text())["minutes"] != arguments.minutes:
            command = [sys.executable, "-m", "benchmarks.hippocampus", "--one", name,
                       "--data", str(data), "--work", str(arguments.work),
                       "--minutes", str(arguments.minutes)]  # fmt: skip
            subprocess.run(command, check=True)
        results[name] = json.loads(kept.read_text())
        dice = results[name]["metrics"]["dice"]
        print(f"{name}: Dice {dice['value']:.4f} ({dice['low']:.4f} to {dice['high']:.4f})")
    for peer in PEERS:
        if peer in results and "ours" in results:
            found = paired(results["ours"]["dice"], results[peer]["dice"])
            results[f"ours - {peer}"] = found
            print(f"ours - {peer}: {found['difference']:+.4f} "
                  f"({found['low']:+.4f} to {found['high']:+.4f})")  # fmt: skip
    out = arguments.work / "hippocampus.json"
    out.write_text(json.dumps(results, indent=1))
    print(f"written to {out}; copy it to {RESULTS} to show it")


if __name__ == "__main__":
    main()
