"""Euclidean alignment in a run: fitted on its training trials, kept with it, applied alike later.

A group is a subject's session. With "training", trials of a group that was not trained on meet the
mean of all training covariances; with "transductive", the mean of their own, for which they are
looked at without their labels, and every result says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.data.alignment import Alignment, fit_alignment
from vitreous.data.recordings.trials import TrialFacts
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.trials import TrialStore, trials_of
from vitreous.training.checkpoints import load_tensors, save_tensors

FILE = "alignment.safetensors"
ELSEWHERE, GROUP = "elsewhere", "group "
TRANSDUCTIVE = "transductive"


def groups_of(facts: Sequence[TrialFacts]) -> list[str]:
    """The subject and session of each trial; its recording where neither is known."""
    return [" ".join(filter(None, (fact.subject, fact.session))) or fact.recording
            for fact in facts]  # fmt: skip


def with_alignment(prepared: Prepared, kind: str | None, talk: Talk) -> Prepared:
    """The trials aligned, by the training part of this division; as they are without a `kind`."""
    if kind is None:
        return prepared
    trials = trials_of(prepared.source)
    groups = np.array(groups_of(trials.facts))
    found = fit_alignment(trials.values, groups.tolist(), prepared.rows("train"))
    if kind == TRANSDUCTIVE:
        others = np.concatenate([prepared.rows("val"), prepared.rows("test")])
        found = found.with_unlabelled(trials.values[others], groups[others].tolist())
        tested = set(groups[prepared.rows("test")].tolist())
        found = replace(found, saw_test=tuple(name for name in found.saw_test if name in tested))
    (talk.warn if found.transductive else talk.say)(found.words)
    return replace(prepared, cache=_aligned(prepared.cache, groups, found), alignment=found)


def _aligned(cache: Any, groups: np.ndarray, alignment: Alignment) -> TrialStore:
    return replace(cache, pixels=alignment.apply(cache.pixels[:, 0], groups.tolist())[:, None])


def save_alignment(folder: Path, alignment: Alignment | None) -> None:
    """Keep it beside the run's weights."""
    if alignment is None:
        return
    matrices = {GROUP + name: torch.from_numpy(m) for name, m in alignment.matrices.items()}
    elsewhere = torch.from_numpy(alignment.elsewhere)
    save_tensors(folder / FILE, {**matrices, ELSEWHERE: elsewhere}, {})


def load_alignment(folder: Path, saw_test: Sequence[str] = ()) -> Alignment:
    """What `save_alignment` wrote. Raises `DataError` with the path."""
    tensors = {name: tensor.numpy() for name, tensor in load_tensors(folder / FILE).items()}
    elsewhere = tensors.pop(ELSEWHERE)
    matrices = {name.removeprefix(GROUP): matrix for name, matrix in tensors.items()}
    return Alignment(matrices, elsewhere, tuple(saw_test))


def alignment_of(run: Run) -> Alignment | None:
    """The alignment of a run; None where its trials are as they were recorded."""
    made = (run.record.data.trials or {}).get("alignment")
    return load_alignment(run.folder, made["saw_test"]) if made else None


def transductive_words(runs: Sequence[Run]) -> list[str]:
    """A sentence where test trials of any of these runs were looked at, without their labels."""
    made = [(run.record.data.trials or {}).get("alignment") or {} for run in runs]
    seen = {name for one in made for name in one.get("saw_test", ())}
    if not seen:
        return []
    whose = f"{len(seen)} groups ({', '.join(sorted(seen))})" if len(seen) > 1 else next(iter(seen))
    return [
        f"Euclidean alignment; transductive: that of {whose} was fitted on their test trials, "
        "without their labels"
    ]


def as_trained(
    run: Run, pixels: np.ndarray, facts: Sequence[TrialFacts], together: Sequence[Run] = ()
) -> tuple[np.ndarray, list[str]]:
    """Trials (n, 1, channels, time) aligned as the run's were, and what a result must say.

    Where the run is transductive, groups that it does not know are aligned by these trials.
    `together` are all runs of a study whose answers are averaged: what one looked at, all did.
    """
    alignment = alignment_of(run)
    if alignment is None:
        return pixels, []
    groups, values = groups_of(facts), pixels[:, 0]
    if run.record.request["align"] == TRANSDUCTIVE:
        alignment = alignment.with_unlabelled(values, groups)
    seen = set[str]().union(*(_looked_at(one, set(groups)) for one in together or [run]))
    alignment = replace(alignment, saw_test=tuple(sorted(seen)))
    notes = [alignment.words] if alignment.transductive else []
    return alignment.apply(values, groups)[:, None], notes


def _looked_at(run: Run, groups: set[str]) -> set[str]:
    """Groups whose matrix is of their own unlabelled trials: of the test part, or of later data."""
    alignment = alignment_of(run)
    if alignment is None:
        return set()
    unknown = groups - alignment.matrices.keys()
    later = unknown if run.record.request["align"] == TRANSDUCTIVE else set[str]()
    return groups & set(alignment.saw_test) | later
