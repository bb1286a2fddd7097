"""Trials that a run was trained on, known again by what they hold, wherever their files lie now."""

from collections.abc import Sequence

import numpy as np
import torch

from vitreous.data.samples import Source
from vitreous.data.trial_copies import known_again, trial_sketches
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.trials import trials_of
from vitreous.training.checkpoints import load_tensors, save_tensors

FILE = "training_trials.safetensors"
TRAINED, VALIDATED = "train", "val"


def remember_training_trials(run: Run, prepared: Prepared) -> None:
    """Keep a sketch of each trial of training and validation, so that evaluation knows it again.

    They are sketched as they were read, not aligned: a later evaluation reads them so.
    """
    values = trials_of(prepared.source).values
    sketches = {
        part: torch.from_numpy(trial_sketches(values, prepared.rows(part)))
        for part in (TRAINED, VALIDATED)
    }
    save_tensors(run.folder / FILE, sketches, {})


def seen_trials_warning(runs: Sequence[Run], source: Source, rows: np.ndarray) -> list[str]:
    """A sentence where trials are scored that one of the runs, which answer together, has seen.

    Older runs have kept no sketches, and are not asked.
    """
    kept = [load_tensors(run.folder / FILE) for run in runs if (run.folder / FILE).is_file()]
    if not kept:
        return []
    sketches = trial_sketches(trials_of(source).values, rows)
    trained, validated = (_of_any(sketches, kept, part) for part in (TRAINED, VALIDATED))
    seen = trained | validated
    if not seen.any():
        return []
    only_validated = int((validated & ~trained).sum())
    example = source.samples[rows[seen.argmax()]].sample_id
    return [_sentence(int(trained.sum()), only_validated, len(rows), len(runs), example)]


def _sentence(trained: int, validated: int, total: int, runs: int, example: str) -> str:
    said = [
        f"{count:,} {'was' if count == 1 else 'were'} {word}"
        for count, word in ((trained, "trained on"), (validated, "validated with"))
        if count
    ]
    whose = f" by at least one of the {runs} runs" if runs > 1 else ""
    sealed = "the folds" if runs > 1 else "the sealed test part"
    return (
        f"of the {total:,} trials {' and '.join(said)}{whose}, such as {example}: "
        "the scores are flattered; leave the recordings of these trials out "
        f"(the scores of {sealed} are shown without DATA)"
    )


def _of_any(sketches: np.ndarray, kept: Sequence[dict[str, torch.Tensor]], part: str) -> np.ndarray:
    """Which trials are in a part of any of the runs, bool (n,)."""
    found = np.zeros(len(sketches), bool)
    for tensors in kept:
        found |= known_again(sketches, tensors[part].numpy())
    return found
