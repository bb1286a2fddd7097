"""Trials of recordings on their way into `explain`: found by their file, one or all of them."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from vitreous.errors import DataError, VitreousError
from vitreous.insight.attribution.pixels import has_captum
from vitreous.report.traces import TrialAxes
from vitreous.runs.aligning import as_trained
from vitreous.runs.predict_trials import unlabelled
from vitreous.runs.run import Run
from vitreous.runs.trials import trial_axes, trials_of

COVERED = 1 / 8  # of a trial's time, in one channel: what occlusion takes away at once
NAMED = 5  # trials in an error's line


def usual_method(run: Run) -> str:
    """HiResCAM for pictures. For trials DeepLIFT, of which a benchmark on EEG found the maps most
    consistent in time, space and spectrum (Sujatha Ravindran and Contreras-Vidal 2023,
    doi 10.1038/s41598-023-43871-8), or occlusion where Captum is missing.
    """
    if not run.of_trials:
        return "hirescam"
    return "deeplift" if has_captum() else "occlusion"


def covered_patch(run: Run) -> tuple[int, ...] | None:
    """What occlusion covers at once: of a trial one channel, for neighbouring rows are no
    neighbours on the head; None for pictures, which have the usual patch.
    """
    return (1, ceil(run.seen_size[1] * COVERED)) if run.of_trials else None


def axes_of(run: Run) -> TrialAxes:
    """Channels and seconds of the run's trials."""
    made = trial_axes(run)
    return TrialAxes(tuple(made["channels"]), (made["window_s"][0], made["window_s"][1]))


def decoded_trials(
    run: Run, names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray | VitreousError]]:
    """Trials float32 (1, channels, time) of recordings, cut (and aligned) as the run's were; of a
    network that sees pieces of trials, the piece in the middle.

    A name is a recording, for all its trials, or `RECORDING#SECONDS` as sample ids have it, for the
    one that begins there. What cannot be read is the error that says why.
    """
    for name in names:
        path, onset = _named(name)
        try:
            source = unlabelled(run, path)
        except VitreousError as error:
            yield name, error
            continue
        for item in source.skipped:
            if not item.harmless:
                yield item.path, DataError(f"{item.path}: {item.reason}")
        trials = trials_of(source)
        aligned, _ = as_trained(run, trials.values[:, None], trials.facts)
        values = run.views.one(aligned)
        starts = [sample.sample_id.rpartition("#")[2] for sample in source.samples]
        rows = [row for row, start in enumerate(starts) if onset is None or start == onset]
        if not rows:
            known = ", ".join(starts[:NAMED]) + (", ..." if len(starts) > NAMED else "")
            yield name, DataError(f"{name}: no trial of {path} begins there; they begin at {known}")
        for row in rows:
            yield source.samples[row].sample_id, values[row]


def _named(name: str) -> tuple[Path, str | None]:
    """A recording, and where in it the trial that is meant begins; None: all of them."""
    path, mark, onset = name.rpartition("#")
    return (Path(path), onset) if mark and not Path(name).exists() else (Path(name), None)
