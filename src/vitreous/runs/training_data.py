"""A run's own pictures again: found, decoded and split as they were when it was trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.data.cache import PixelCache
from vitreous.data.samples import Sample, Split
from vitreous.data.split_table import read_split
from vitreous.data.transforms import to_network_input
from vitreous.errors import DataError, VitreousError
from vitreous.insight.fills import Background
from vitreous.runs.aligning import as_trained
from vitreous.runs.evaluate import labelled_source
from vitreous.runs.prepare import decode
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.trials import TrialStore, trials_of
from vitreous.training.checkpoints import load_tensors, save_tensors

BACKGROUND = 64  # training pictures that others are compared with
MOST_KEPT = 2**24  # numbers of them
NUMBERS_A_BATCH = 2**22


@dataclass(frozen=True)
class RunData:
    """The data set of a run, its rows by part."""

    run: Run
    samples: tuple[Sample, ...]
    cache: PixelCache | TrialStore
    split: dict[str, Split]  # sample_id -> part

    @staticmethod
    def open(run: Run, talk: Talk | None = None) -> "RunData":
        """The data where they lay when the run was trained, from the cache where it has them.

        Raises `DataError` where they are gone, or are other data now.
        """
        given = Path(run.record.data.given)
        source = labelled_source(run, given, None)
        cache = decode(source, run.pixel_format, talk or Talk(quiet=True))
        if cache.fingerprint != run.record.data.fingerprint:
            raise DataError(
                f"{given}: these are not the data that {run.folder} was trained on any more; "
                "put those back, or train again"
            )
        if isinstance(cache, TrialStore):
            pixels, _ = as_trained(run, cache.pixels, trials_of(source).facts)
            cache = replace(cache, pixels=pixels)
        if run.of_scans:
            from vitreous.runs.whole_scans import later_scans

            scans = later_scans(run, source, talk or Talk(quiet=True))
            cache = replace(cache, pixels=scans)  # type: ignore[arg-type]  # see `WholeScans`
        rows = read_split(run.folder / "split.csv")
        split: dict[str, Split] = {row.sample_id: row.split for row in rows
                                   if row.split != "skipped"}  # fmt: skip
        return RunData(run, source.samples, cache, split)

    def rows(self, *parts: Split) -> np.ndarray:
        """Rows of some parts, in the order of the data, int64."""
        return np.array(
            [row for row, one in enumerate(self.samples) if self.split.get(one.sample_id) in parts],
            np.int64,
        )

    def inputs(self, rows: np.ndarray) -> Tensor:
        """Those rows as the network takes them: float32 (n, channels, height, width).

        Of a network that sees pieces of trials, the piece in the middle.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(self.cache.pixels[rows]))
        return self.run.views.one(to_network_input(pixels, self.run.scaling))

    def batches(self, rows: np.ndarray) -> Iterator[tuple[list[int], Tensor]]:
        """The rows and their inputs, a batch at a time."""
        size = max(1, min(64, NUMBERS_A_BATCH // int(np.prod(self.cache.pixels.shape[1:]))))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield part.tolist(), self.inputs(part)


def some_of(rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most so many of the rows, drawn without replacement, in order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def background_of(run: Run, talk: Talk | None = None) -> Background | None:
    """64 training pictures of a run (of large scans fewer), kept in its folder once they were
    found; None where gone.
    """
    path = run.folder / "background.safetensors"
    if not path.is_file():
        try:
            data = RunData.open(run, talk)
        except VitreousError as error:
            if talk is not None:
                talk.warn(
                    f"the training pictures are not at hand ({error}): parts that are taken away "
                    "are filled with the scaling's mean"
                )
            return None
        fit = max(1, MOST_KEPT // int(np.prod(data.cache.pixels.shape[1:])))
        rows = some_of(data.rows("train"), min(BACKGROUND, fit), run.record.seed)
        pixels = torch.from_numpy(np.ascontiguousarray(data.cache.pixels[rows]))
        save_tensors(path, {"pixels": pixels}, {})
    return Background(run.views.one(to_network_input(load_tensors(path)["pixels"], run.scaling)))
