"""Protocols: which trials are scored together, so that the score means something.

A protocol names the test part of each fold; `vitreous.data.folds` makes the folds of it, clean at
their borders. Where the label is a subject's, no subject is on two sides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol as Interface

import numpy as np

from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Label, Sample
from vitreous.data.units import assign_units, make_units
from vitreous.errors import DataError, RequestError, unknown_name

FEW_SUBJECTS = 12  # up to so many each is left out once; more are divided into groups
GROUPS = 10
BLOCKS = 5
SUBJECT_LEAK = (
    "the label is a subject's, and the given split has the same subjects in train and test: a "
    "network can score by knowing the subject instead of the label"
)


@dataclass(frozen=True)
class Dataset:
    """What a protocol needs to know of trials, row by row."""

    samples: Sequence[Sample]
    facts: Sequence[TrialFacts]
    equal: dict[int, set[int]] = field(default_factory=dict)  # row -> rows with the same trial
    of_subjects: bool = False  # whether labels are subjects'

    @property
    def subjects(self) -> list[str]:
        """Subject of each row; one nameless subject where the data names none."""
        return [fact.subject or "" for fact in self.facts]

    @property
    def sessions(self) -> list[str]:
        """Subject and session of each row."""
        return [f"{fact.subject or ''}/{fact.session or ''}" for fact in self.facts]

    @property
    def labels(self) -> list[Label]:
        """The label of each row."""
        return [sample.label for sample in self.samples]

    @property
    def of_classes(self) -> bool:
        """Whether labels are classes, not numbers."""
        return all(isinstance(label, str) for label in self.labels)


class Protocol(Interface):
    """What all protocols have in common."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def words(self) -> str: ...  # noqa: D102
    @property
    def words_of_one(self) -> str: ...  # noqa: D102
    def tests(self, data: Dataset) -> list[tuple[str, np.ndarray]]: ...  # noqa: D102
    def units(self, data: Dataset, rows: np.ndarray) -> list[str]: ...  # noqa: D102


@dataclass(frozen=True)
class AcrossSubjects:
    """Each subject is tested by a network that never saw it; `groups` None: one at a time."""

    groups: int | None = None
    seed: int = 0
    name = "across-subjects"

    @property
    def words(self) -> str:
        """One sentence for people."""
        if self.groups is None:
            return "across subjects: each subject is tested by networks that never saw it"
        return f"across subjects: {self.groups} groups of subjects, each tested once"

    @property
    def words_of_one(self) -> str:
        """One sentence for a single fold."""
        return "across subjects: those that are tested are not seen in training"

    def tests(self, data: Dataset) -> list[tuple[str, np.ndarray]]:
        """The name and the test rows of each fold. Raises `DataError` for too few subjects."""
        subjects = np.array(data.subjects)
        names = sorted(set(subjects))
        if len(names) < 2:
            raise DataError(
                "one subject cannot be divided across subjects; use --protocol within-session, or "
                "say whose the recordings are with --group REGEX"
            )
        if self.groups is None:
            return [(f"subject {name}", np.flatnonzero(subjects == name)) for name in names]
        if not 2 <= self.groups <= len(names):
            raise RequestError(
                f"--folds {self.groups}: {len(names)} subjects give 2 to {len(names)} folds"
            )
        # by subject and stratified; the group in a sample may be something else
        units = make_units(
            [with_group(s, name) for s, name in zip(data.samples, subjects, strict=True)],
            np.arange(len(subjects)), self.seed, [], stratify=True,
        )  # fmt: skip
        part = assign_units(units, [1 / self.groups] * self.groups)
        return [
            (
                f"subjects {_some(sorted({subjects[r] for r in rows_of_part(units, part, k)}))}",
                np.array(sorted(rows_of_part(units, part, k)), np.int64),
            )
            for k in range(self.groups)
        ]

    def units(self, data: Dataset, rows: np.ndarray) -> list[str]:
        """What validation is made of: subjects."""
        subjects = data.subjects
        return [subjects[row] for row in rows]


@dataclass(frozen=True)
class AcrossSessions:
    """Each session is tested by networks that saw the other sessions only."""

    name = "across-sessions"

    @property
    def words(self) -> str:
        """One sentence for people."""
        return "across sessions: each session is tested by networks that saw the others only"

    @property
    def words_of_one(self) -> str:
        """One sentence for a single fold."""
        return "across sessions: the one that is tested is not seen in training"

    def tests(self, data: Dataset) -> list[tuple[str, np.ndarray]]:
        """The name and the test rows of each fold. Raises `DataError` for too few sessions.

        Sessions of one name go together: session 2 of all subjects is one fold.
        """
        sessions = np.array([fact.session or "" for fact in data.facts])
        names = sorted(set(sessions))
        if len(names) < 2:
            raise DataError(
                "one session cannot be divided across sessions; use --protocol within-session"
            )
        return [(f"session {name}", np.flatnonzero(sessions == name)) for name in names]

    def units(self, data: Dataset, rows: np.ndarray) -> list[str]:
        """What validation is made of: sessions."""
        sessions = data.sessions
        return [sessions[row] for row in rows]


@dataclass(frozen=True)
class WithinSession:
    """Each session is cut into blocks that are contiguous in time; each block is tested once.

    Neighbours in time resemble one another whatever their label, so that trials drawn at random
    would be scored by their neighbours.
    """

    blocks: int = BLOCKS
    name = "within-session"

    @property
    def words(self) -> str:
        """One sentence for people."""
        return f"within each session: {self.blocks} blocks of neighbours in time, each tested once"

    @property
    def words_of_one(self) -> str:
        """One sentence for a single fold."""
        return f"within each session: one of {self.blocks} blocks of neighbours in time is tested"

    def tests(self, data: Dataset) -> list[tuple[str, np.ndarray]]:
        """The name and the test rows of each fold. Raises `DataError` for sessions too short."""
        found: list[list[int]] = [[] for _ in range(self.blocks)]
        for rows in _in_time(data).values():
            if len(rows) < 2 * self.blocks:
                raise DataError(
                    f"{data.samples[rows[0]].path}: a session of {len(rows)} trials cannot be cut "
                    f"into {self.blocks} blocks; use fewer --folds, or another --protocol"
                )
            for block, part in enumerate(np.array_split(rows, self.blocks)):
                found[block].extend(part.tolist())
        return [
            (f"block {block + 1} of {self.blocks}", np.array(sorted(rows), np.int64))
            for block, rows in enumerate(found)
        ]

    def units(self, data: Dataset, rows: np.ndarray) -> list[str]:
        """What validation is made of: short blocks of neighbours in time."""
        wanted = set(rows.tolist())
        unit: dict[int, str] = {}
        for session, ordered in _in_time(data).items():
            left = [row for row in ordered if row in wanted]
            for number, part in enumerate(np.array_split(left, max(1, min(20, len(left) // 3)))):
                unit |= dict.fromkeys(map(int, part), f"{session} {number}")
        return [unit[int(row)] for row in rows]


@dataclass(frozen=True)
class GivenSplit:
    """The split that the data comes with: one fold."""

    name = "given"

    @property
    def words(self) -> str:
        """One sentence for people."""
        return "the given split is kept"

    words_of_one = words

    def tests(self, data: Dataset) -> list[tuple[str, np.ndarray]]:
        """The given test part. Raises `RequestError` where the data gives none."""
        splits = [sample.split for sample in data.samples]
        rows = np.array([row for row, split in enumerate(splits) if split == "test"], np.int64)
        if not len(rows) or "train" not in splits:
            raise RequestError("--protocol given: the data gives no split; leave it out")
        return [("given", rows)]

    def units(self, data: Dataset, rows: np.ndarray) -> list[str]:
        """What validation is made of: subjects where there are several, else blocks in time."""
        if len(set(data.subjects)) > 2:
            return AcrossSubjects().units(data, rows)
        return WithinSession().units(data, rows)


PROTOCOLS = ("across-subjects", "across-sessions", "within-session", "given")


def subjects_of_rarest_label(data: Dataset) -> int:
    """How many subjects have the label that fewest have."""
    found: dict[Label, set[str]] = {}
    for label, subject in zip(data.labels, data.subjects, strict=True):
        found.setdefault(label, set()).add(subject)
    return min(map(len, found.values()))


def splits_subjects(data: Dataset) -> bool:
    """Whether the given split has a subject in train and in test."""
    sides: dict[str, set[str]] = {}
    for sample, subject in zip(data.samples, data.subjects, strict=True):
        if sample.split is not None:
            sides.setdefault(subject, set()).add("test" if sample.split == "test" else "train")
    return any(len(found) > 1 for found in sides.values())


def choose_protocol(
    data: Dataset,
    name: str | None = None,
    folds: int | None = None,
    *,
    accept_subject_leak: bool = False,
    seed: int = 0,
) -> tuple[Protocol, str]:
    """The protocol asked for, or the one that the data calls for; and a sentence why.

    Raises `RequestError` for an unknown name, folds that do not fit, and for a division that would
    have subjects on two sides while labels are subjects', unless that is accepted.
    """
    subjects = len(set(data.subjects))
    why = "asked for by --protocol"
    given = any(sample.split == "test" for sample in data.samples)
    if name is None:
        name, why = _called_for(data, subjects, given, accept_subject_leak)
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    if folds is not None and folds < 2:
        raise RequestError(f"--folds {folds}: at least 2 are needed")
    leaks = name != "across-subjects" and (name != "given" or splits_subjects(data))
    if data.of_subjects and leaks and not accept_subject_leak:
        said = (
            SUBJECT_LEAK
            if name == "given"
            else (f"the label is a subject's, and {name} has the same subjects in train and test")
        )
        raise RequestError(
            f"--protocol {name}: {said}; use --protocol across-subjects, or say "
            "--accept-subject-leak to have it all the same"
        )
    if folds is not None and name in ("across-sessions", "given"):
        raise RequestError(f"--folds {folds}: {name} has as many folds as the data gives")
    if name == "across-subjects":
        groups = folds if folds != subjects else None
        if folds is None and subjects > FEW_SUBJECTS:
            groups = GROUPS
        return AcrossSubjects(groups, seed), why
    if name == "across-sessions":
        return AcrossSessions(), why
    return (WithinSession(folds or BLOCKS) if name == "within-session" else GivenSplit()), why


def _called_for(
    data: Dataset, subjects: int, given: bool, accept_subject_leak: bool
) -> tuple[str, str]:
    if given and not (data.of_subjects and splits_subjects(data) and not accept_subject_leak):
        return "given", "the data comes with it"
    if given and subjects > 1:
        return "across-subjects", (
            f"the given split is not used: {SUBJECT_LEAK} (--accept-subject-leak uses it)"
        )
    if data.of_subjects or subjects > 2:
        return "across-subjects", f"there are {subjects} subjects"
    sessions = {fact.session for fact in data.facts}
    if len(sessions) > 1:
        return "across-sessions", f"there are {len(sessions)} sessions"
    return "within-session", "there is one session" if subjects == 1 else "there are few subjects"


def with_group(sample: Sample, group: str) -> Sample:
    """The sample as one of another group, without its split."""
    return Sample(sample.sample_id, sample.path, sample.label, None, group, sample.index)


def rows_of_part(units, part: Sequence[int], wanted: int) -> list[int]:
    """Rows of the units that are in the part numbered `wanted`."""
    return [row for unit, of in zip(units, part, strict=True) if of == wanted for row in unit.rows]


def _in_time(data: Dataset) -> dict[str, list[int]]:
    """Rows of each session in the order of time: of runs, and of trials within them."""
    found: dict[str, list[int]] = {}
    for row, session in enumerate(data.sessions):
        found.setdefault(session, []).append(row)

    def when(row: int) -> tuple:
        fact = data.facts[row]
        return (_natural(fact.run or ""), _natural(fact.recording), fact.start_s or 0.0, row)

    return {session: sorted(rows, key=when) for session, rows in found.items()}


def _natural(text: str) -> list[str | int]:
    """A key that sorts run 2 before run 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
