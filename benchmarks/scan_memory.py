"""How much memory do scans take: a large one answered, and training steps by the plan?

    python -m benchmarks.scan_memory [--only predict,steps,whole]

Anonymous memory (RssAnon: not the pages of mapped files) of processes of their own, beyond what
importing the framework takes. `predict` answers one scan of 256 x 256 x 200 voxels through the
command line, with the network and the patch that the plan for such scans has (its weights are
hardly trained: they make no difference to memory). `steps` takes training steps by the plans for
several budgets and sizes of scans, and compares the peaks with what `--memory` promises; `whole`
the same of whole scans with a label each. About seven minutes on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import anonymous_kb, peak_of
from benchmarks.results import keep

LARGE = (256, 256, 200)
BAR_GB = 3.0
BUDGETS = (  # --memory, side of the scans, channels, structures
    ("500MB", 160, 1, 1),
    ("1GB", 160, 1, 2),
    ("2GB", 160, 2, 4),
    ("4GB", 160, 1, 2),
    ("6GB", 48, 1, 2),
)
WHOLE = (("1GB", 160, 1), ("2GB", 160, 2), ("6GB", 48, 1))  # --memory, side, channels
STEPS = 3
PARTS = "predict,steps,whole"


def fingerprint_of(shape: tuple[int, ...], channels: int, structures: int):
    """The facts of MR scans of one size at 1 mm."""
    from vitreous.data.volumes.fingerprint import (
        Intensities,
        ScanFacts,
        Structure,
        VolumeFingerprint,
    )

    scan = ScanFacts("0", shape, (1.0, 1.0, 1.0), "RAS", channels, 0.0, 0.0, 1000.0)  # type: ignore
    values = Intensities(300.0, 100.0, 50.0, 300.0, 600.0, 0.0, 1000.0)
    return VolumeFingerprint(
        (scan,) * 40,
        tuple(f"channel {number}" for number in range(channels)),
        "MR",
        (values,) * channels,
        tuple(Structure(f"structure {number}", 10**6, 40, 1.0) for number in range(structures)),
    )


@dataclass(frozen=True)
class MadeStore:
    """Scans of noise, as a store of prepared ones has them."""

    shape: tuple[int, ...]
    channels: int
    structures: int
    count: int = 2
    skipped: tuple[int, ...] = ()

    def __getitem__(self, row: int):
        from vitreous.data.volumes.store import Prepared

        random = np.random.default_rng(row)
        mask = random.integers(0, self.structures + 1, self.shape, np.uint8)
        places = {1: np.array([[side // 2 for side in self.shape]])}
        values = random.normal(size=(self.channels, *self.shape)).astype(np.float32)
        return Prepared(values, mask, places)


def steps_by_plan(memory: str, side: int, channels: int, structures: int) -> dict[str, Any]:
    """Peak of a few real training steps, in this process; what the plan said."""
    from vitreous.data.volumes.plan import plan_volumes
    from vitreous.networks import build_network
    from vitreous.runs.volumes import unet_of
    from vitreous.tasks import Segment
    from vitreous.training.volume_batches import volume_training_data

    shape = (side,) * 3
    plan = plan_volumes(fingerprint_of(shape, channels, structures), memory=memory)
    before, scaling = anonymous_kb(_self()), scaling_of(channels)
    store: Any = MadeStore(shape, channels, structures)
    targets, rows = zeros((store.count, structures + 1)), np.arange(store.count)
    data = volume_training_data(store, plan, np.zeros((2, 1, 8, 8)), targets, rows, rows, scaling)
    network = build_network(
        "unet", (channels, *plan.patch), structures + 1, scaling=scaling, plan=unet_of(plan)
    )
    task = Segment(("background", *("abcdefgh"[:structures])), 3)
    return peak_of_steps(network, task, data, plan, before)


def whole_by_plan(memory: str, side: int, channels: int) -> dict[str, Any]:
    """The same of whole scans with a class each."""
    from vitreous.data.volumes.whole import WholeScans, plan_whole
    from vitreous.networks import build_network
    from vitreous.tasks import Classify
    from vitreous.training.whole_scans import whole_scan_data

    plan = plan_whole(fingerprint_of((side,) * 3, channels, 0), memory=memory)
    before, scaling = anonymous_kb(_self()), scaling_of(channels)
    store: Any = MadeStore(plan.patch, channels, 1, count=2 * plan.batch)
    rows = np.arange(store.count)
    data = whole_scan_data(WholeScans(store, plan), zeros((store.count,)), rows, rows, scaling)
    network = build_network("resnet", (channels, *plan.patch), 2, scaling=scaling)
    return peak_of_steps(network, Classify(("a", "b")), data, plan, before)


def zeros(shape: tuple[int, ...]):
    """Targets that do not matter."""
    import torch

    return torch.zeros(shape, dtype=torch.int64)


def scaling_of(channels: int):
    """Of scans that are numbers around 0."""
    from vitreous.inference.volumes import volume_scaling

    return volume_scaling(channels)


def peak_of_steps(network, task, data, plan, before_kb: int) -> dict[str, Any]:
    """Take a few steps as a training does, and look at the memory meanwhile."""
    from vitreous.training.checkpoints import State
    from vitreous.training.devices import choose_compute
    from vitreous.training.loop import Training, batches_of_epoch, train_step
    from vitreous.training.memory import freed_memory_kept
    from vitreous.training.recipe import Recipe

    training = Training(
        network, task, data, Recipe(plan.batch, 1e-3), State(planned_steps=100), 0, "val_dice",
        True, replace(choose_compute("cpu"), memory_format="contiguous"),
    )  # fmt: skip
    with Watched() as watched, freed_memory_kept():
        for done, batch in enumerate(batches_of_epoch(training), start=1):
            train_step(training, batch.pixels, batch.targets)
            if done == STEPS:
                break
    return {
        "patch": plan.patch, "batch": plan.batch, "widths": plan.widths,
        "promised_gb": plan.memory_bytes / 1e9, "gb": (watched.peak_kb - before_kb) * 1024 / 1e9,
    }  # fmt: skip


class Watched:
    """The peak of this process's anonymous memory, looked at all the time."""

    def __enter__(self) -> "Watched":
        """Begin to look."""
        self.peak_kb, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.peak_kb = max(self.peak_kb, anonymous_kb(_self()))
            time.sleep(0.005)


def _self() -> int:
    import os

    return os.getpid()


def predict_large(folder: Path) -> tuple[float, float, dict[str, Any]]:
    """Peak GB and seconds of `vitreous predict` on one large scan; the plan that it went by."""
    import nibabel

    from vitreous.data.volumes.plan import plan_volumes
    from vitreous.files import read_json, write_json

    plan = plan_volumes(fingerprint_of(LARGE[::-1], 1, 2), memory="6GB")
    small = replace(plan, patch=tuple(2 * int(s) for s in np.prod(plan.strides, axis=0)), batch=2)
    write_json(folder / "plan.json", small.to_json())
    random = np.random.default_rng(0)
    for case in range(8):
        for what, values in (
            ("images", random.normal(300, 100, (48, 48, 48)).astype(np.float32)),
            ("labels", random.integers(0, 3, (48, 48, 48)).astype(np.uint8)),
        ):
            path = folder / f"data/{what}Tr/case_{case}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    run = folder / "run"
    vitreous = [sys.executable, "-m", "vitreous"]
    subprocess.run(
        [*vitreous, "train", str(folder / "data"), "--plan", str(folder / "plan.json"), "--epochs",
         "1", "--out", str(run), "--quiet"],
        check=True,
    )  # fmt: skip
    record = read_json(run / "run.json")  # the same network, by larger patches
    record["data"]["volumes"]["plan"]["patch"] = list(plan.patch)
    write_json(run / "run.json", record)
    scan = folder / "large.nii.gz"
    values = random.normal(300, 100, LARGE).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), scan)
    del values
    peak, seconds = peak_of([*vitreous, "predict", str(run), str(scan), "--out",
                             str(folder / "answers")])  # fmt: skip
    return peak, seconds, {"patch": plan.patch, "widths": plan.widths}


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--only", default=PARTS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    if options.step:
        asked = json.loads(options.step)
        print(json.dumps((whole_by_plan if len(asked) == 3 else steps_by_plan)(*asked)))
        return
    if options.keep and options.only != PARTS:
        parser.error("--keep: is for all parts together")
    rows: list[dict[str, Any]] = []
    if "predict" in options.only:
        imports = "import vitreous.runs.train, vitreous.runs.predict_volumes, time; time.sleep(1)"
        framework, _ = peak_of([sys.executable, "-c", imports])
        with tempfile.TemporaryDirectory() as folder:
            peak, seconds, plan = predict_large(Path(folder))
        rows.append(
            {
                "what": f"predict a scan of {' x '.join(map(str, LARGE))} by patches of "
                f"{' x '.join(map(str, plan['patch']))}: anonymous GB beyond the framework",
                "value": round(peak - framework, 2),
                "spread": f"the framework {framework:.2f}; {seconds:.0f} s",
                "bar": f"under {BAR_GB:g}",
            }
        )
        print(rows[-1], flush=True)
    if "steps" in options.only:
        rows += [_row(each, f"{each[2]} channels, {each[3]} structures") for each in BUDGETS]
    if "whole" in options.only:
        rows += [_row(each, f"{each[2]} channels, a class each") for each in WHOLE]
    if options.keep:
        keep("scan_memory", "How much memory do scans take, answered and trained on?", rows)


def _row(asked: Sequence[Any], words: str) -> dict[str, Any]:
    """Steps in a process of their own."""
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.scan_memory", "--step", json.dumps(asked)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(out.stdout)
    row = {
        "what": f"train with --memory {asked[0]} on scans of {asked[1]}^3, {words}: patch "
        f"{' x '.join(map(str, found['patch']))}, batch {found['batch']}: peak GB",
        "value": round(found["gb"], 2),
        "spread": f"the plan said {found['promised_gb']:.2f}",
        "bar": f"at most {asked[0]}",
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
