"""Hippocampus: two structures in 120 MR volumes, beside MONAI's UNet and DynUNet.

    python -m benchmarks.hippocampus [--minutes 20] [--data DIR] [--only ours,unet,dynunet]

One split (80/20 of the volumes, seed 0; the set does not say which volumes are of one patient, so
each counts as its own), the same time for each, one after the other in processes of their own;
those that are done are kept and not run again. Of ours all counts: looking, planning, training,
validating, scoring and the report. MONAI's networks train for all of the time, by the recipes of
MONAI's own tutorials, and answer after it; see `peers.monai_hippocampus`. The test part is scored
for all by one function; differences are paired over volumes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.monai_hippocampus import PEERS, train_peer
from benchmarks.results import keep
from vitreous.data.recognise import recognise
from vitreous.data.volumes.grid import turn_to_ras
from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.volumes import compare_volumes, volume_figures

QUESTION = (
    "How well are the two parts of the hippocampus found after 20 minutes on two cores, beside "
    "MONAI's networks with the recipes of its tutorials for the same time?"
)
NOTES = (
    "96 volumes to learn from (ours takes its validation part out of them), 24 to be tested on; "
    "the set does not say which volumes are of one patient. 95 % intervals over volumes."
)
TITLES = {
    "ours": "vitreous train --time",
    "unet": "MONAI UNet, the spleen tutorial's recipe",
    "dynunet": "MONAI DynUNet, the Decathlon tutorial's recipe for this set",
    "dynunet-short": "MONAI DynUNet, a recipe for so short a time",
}
TEST_SHARE = 0.2
NAMES = ("ours", *PEERS)
DEFAULT = ("ours", "unet", "dynunet")
AFTER = 0.06  # of our time, for scoring and the report, which --time does not count
CLASSES = {"0": "background", "1": "Anterior", "2": "Posterior"}


def divided(data: Path, work: Path) -> Path:
    """The set as links in folders that say which part is the test part; the same for all."""
    root = work / "data"
    if (root / "dataset.json").is_file():
        return root
    names = sorted(path.name for path in (data / "imagesTr").glob("*.nii.gz"))
    order = np.random.default_rng(0).permutation(len(names))
    tested = {names[place] for place in order[: round(TEST_SHARE * len(names))]}
    for name in names:
        part = "Ts" if name in tested else "Tr"
        for what in ("images", "labels"):
            link = root / f"{what}{part}" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(data / f"{what}Tr" / name)
    (root / "dataset.json").write_text(json.dumps({"labels": CLASSES, "modality": {"0": "MRI"}}))
    return root


def score(root: Path, masks: Path) -> dict[str, Any]:
    """Figures of a folder of answered masks (NIfTI, the scans' own grids) on the test part."""
    import nibabel

    source = recognise(root)
    assert source.volumes is not None
    assert source.read_mask is not None
    test = [sample for sample in source.samples if sample.split == "test"]
    found = []
    for sample in test:
        stored = np.asarray(nibabel.load(masks / Path(sample.path).name).dataobj)  # type: ignore
        scan = source.volumes.scans[sample.sample_id]
        answer = turn_to_ras(scan.header.grid).apply(stored)
        spacing = source.volumes.grid(sample.sample_id).spacing_mm
        found.append(compare_volumes(source.read_mask(sample), answer, 3, spacing))
    figures = volume_figures(found, source.classes, Sampling(grouping(None, len(found))))
    return {
        "volumes": [Path(sample.path).name for sample in test],
        "dice": [float(np.nanmean(one.dice[1:])) for one in found],
        "metrics": {name: one.to_json() for name, one in figures.metrics.items()},
        "per_class": [row.to_json() for row in figures.per_class],
    }


def run_ours(root: Path, work: Path, minutes: float) -> tuple[Path, dict[str, Any]]:
    """One `train`, which scores the test part itself; its folder of masks, and facts of the run."""
    import vitreous

    out = work / "run"
    run = vitreous.train(root, time=60 * minutes * (1 - AFTER), out=out)
    record = run.record
    facts = {
        "steps": record.planned_steps,
        "parameters": record.network["parameters"],
        "batch": record.recipe["batch_size"],
        "computed_in": [record.compute["dtype"], record.compute["memory_format"]],
        "seconds": record.seconds,
        "dice_of_the_run": run.evaluation["metrics"]["dice"]["value"],
    }
    return out / "masks/imagesTs", facts


def one(name: str, data: Path, work: Path, minutes: float) -> None:
    """Train and answer with one of them, and write its result."""
    root = divided(data, work)
    began = time.monotonic()
    mine = work / name
    mine.mkdir(parents=True, exist_ok=True)
    if name == "ours":
        masks, facts = run_ours(root, mine, minutes)
    else:
        masks, facts = train_peer(name, root, mine, 60 * minutes)
    took = time.monotonic() - began
    result = {"minutes": minutes, "took_minutes": took / 60, "facts": facts, **score(root, masks)}
    (work / f"{name}.json").write_text(json.dumps(result, indent=1))


def paired(first: list[float], second: list[float]) -> dict[str, float]:
    """Mean difference of the volumes' Dice and its 95 % interval (Student's t)."""
    from scipy.stats import t

    difference = np.array(first) - np.array(second)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    reach = float(t.ppf(0.975, len(difference) - 1) * error)
    mean = float(difference.mean())
    return {"difference": mean, "low": mean - reach, "high": mean + reach}


def compared(work: Path, names: list[str]) -> dict[str, Any]:
    """What all of them reached, and ours beside each of the others; said as well."""
    results: dict[str, Any] = {name: json.loads((work / f"{name}.json").read_text())
                               for name in names}  # fmt: skip
    for name in names:
        dice = results[name]["metrics"]["dice"]
        print(
            f"{name}: Dice {dice['value']:.4f} ({dice['low']:.4f} to {dice['high']:.4f}) after "
            f"{results[name]['took_minutes']:.1f} minutes; {results[name]['facts']}"
        )
    for peer in [name for name in names if name != "ours" and "ours" in names]:
        found = paired(results["ours"]["dice"], results[peer]["dice"])
        results[f"ours - {peer}"] = found
        print(
            f"ours - {peer}: {found['difference']:+.4f} "
            f"({found['low']:+.4f} to {found['high']:+.4f})"
        )
    return results


def rows_of(results: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """What is kept: each one's Dice, and how far ours is from the others."""
    rows = []
    for name in names:
        found, dice = results[name], results[name]["metrics"]["dice"]
        each = ", ".join(f"{row['class']} {row['dice']['value']:.3f}" for row in found["per_class"])
        row = {
            "what": f"{TITLES[name]}: mean Dice of both structures",
            "value": f"{dice['value']:.4f} ({dice['low']:.4f} to {dice['high']:.4f})",
            "spread": f"{each}; {found['took_minutes']:.1f} minutes, "
            f"{found['facts']['steps']:,} steps of {found['facts']['batch']}, "
            f"{found['facts']['parameters']:,} parameters",
        }
        rows.append(row | ({"bar": "0.86 within 20 minutes"} if name == "ours" else {}))
    for key, found in results.items():
        if key.startswith("ours - "):
            rows.append(
                {
                    "what": f"ours less {TITLES[key.removeprefix('ours - ')]}, paired by volume",
                    "value": f"{found['difference']:+.4f} "
                    f"({found['low']:+.4f} to {found['high']:+.4f})",
                    "bar": "not below 0",
                }
            )
    return rows


def main() -> None:
    """Run those that are not done yet, each in a process of its own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    default = Path(os.environ.get("VITREOUS_DATA", "../shared/data")) / "msd_hippocampus"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/hippocampus"))
    parser.add_argument("--only", default=",".join(DEFAULT), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data, work = arguments.data.resolve(), arguments.work
    if arguments.one:
        one(arguments.one, data, work, arguments.minutes)
        return
    work.mkdir(parents=True, exist_ok=True)
    names = arguments.only.split(",")
    for name in names:
        kept = work / f"{name}.json"
        if not kept.is_file() or json.loads(kept.read_text())["minutes"] != arguments.minutes:
            subprocess.run(
                [sys.executable, "-m", "benchmarks.hippocampus", "--one", name, "--data", data,
                 "--work", work, "--minutes", str(arguments.minutes)],
                check=True,
            )  # fmt: skip
    results = compared(work, names)
    (work / "hippocampus.json").write_text(json.dumps(results, indent=1))
    if arguments.keep:
        keep("hippocampus", QUESTION, rows_of(results, names), NOTES)


if __name__ == "__main__":
    main()
