"""The training as it went: curves, and small snapshots of kernels and maps by epoch."""

import re
from pathlib import Path

import numpy as np
from safetensors import safe_open

from vitreous.data.listing import printable
from vitreous.insight.colours import around_grey, symmetric_limit
from vitreous.insight.filters import strongest_planes
from vitreous.report.shown import smaller
from vitreous.report.tables_of_run import read_history
from vitreous.runs.run import Run
from vitreous.server import schemas
from vitreous.server.pack import Pack
from vitreous.server.samples import NotFoundError
from vitreous.training.checkpoints import load_tensors

SIDE = 64  # pixels of a map


def training_of(run: Run) -> schemas.Training:
    """Columns of history.csv, and which snapshots there are."""
    snapshots = snapshot_files(run)
    best = (run.record.best or {}).get("epoch")
    return schemas.Training(
        columns=read_history(run.folder / "history.csv"),
        best_epoch=best,
        snapshots=list(snapshots),
        pictures=_pictures(next(iter(snapshots.values()))) if snapshots else [],
    )


def snapshot_files(run: Run) -> dict[int, Path]:
    """Snapshot files by epoch, in order."""
    found = {}
    for path in sorted((run.folder / "snapshots").glob("epoch-*.safetensors")):
        matched = re.fullmatch(r"epoch-(\d+)\.safetensors", path.name)
        if matched:
            found[int(matched[1])] = path
    return found


class Snapshots:
    """The snapshots of a run, all epochs on the scale of the largest weight of any."""

    def __init__(self, run: Run) -> None:
        self.files = snapshot_files(run)
        self._limits: dict[str, float] | None = None

    def pack(self, epoch: int) -> Pack:
        """Blocks "kernels" and "map.<picture>.<layer>" of one epoch. Raises `NotFoundError`."""
        if epoch not in self.files:
            raise NotFoundError(f"there is no snapshot of epoch {epoch}")
        pack = Pack()
        for name, values in _arrays(self.files[epoch]).items():
            if name == "kernels":
                _add_kernels(pack, values, self.limits.get(name, 0.0))
            elif values.ndim == 3:
                pack.add_signed(name, smaller(values, SIDE), limit=self.limits.get(name, 0.0))
        return pack

    @property
    def limits(self) -> dict[str, float]:
        """The largest size of each tensor over all epochs: one scale for the whole replay."""
        if self._limits is None:
            found: dict[str, float] = {}
            for path in self.files.values():
                for name, values in _arrays(path).items():
                    found[name] = max(found.get(name, 0.0), symmetric_limit(values))
            self._limits = found
        return self._limits


def _add_kernels(pack: Pack, weights: np.ndarray, limit: float) -> None:
    if weights.shape[1] == 3:
        pack.add_colour("kernels", around_grey(weights, limit), limit)
        return
    planes = strongest_planes(weights)
    pack.add_signed("kernels", weights[np.arange(len(planes)), planes], planes.tolist(), limit)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return {name: tensor.float().numpy() for name, tensor in load_tensors(path).items()}


def _pictures(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return [printable(name) for name in metadata.get("pictures", "").split("\n") if name]
