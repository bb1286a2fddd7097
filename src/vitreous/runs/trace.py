"""`trace`: a picture's way through a run's network, every number of it open."""

from pathlib import Path

import torch

from vitreous.data.transforms import to_network_input
from vitreous.insight.trace import Trace, trace_of
from vitreous.runs.predict import letterboxed
from vitreous.runs.run import Run


def trace(run: Run, picture: str | Path) -> Trace:
    """Every value that the run's network computes for a picture, and what each is made of.

    Raises `DataError` for a picture that cannot be read.
    """
    return trace_of(run.network, network_input(run, Path(picture)))


def network_input(run: Run, picture: Path) -> torch.Tensor:
    """A picture as the run's network takes it: float32 (1, channels, height, width)."""
    pixels = letterboxed(picture, run, run.record.request["max_pixels"])
    return to_network_input(torch.from_numpy(pixels[None].copy()), run.scaling)
